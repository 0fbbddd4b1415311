"""The wire types: what every command, route, stream and file of rdmatop is made of.

Each Struct is immutable. Absence is `None`, which becomes `null`: never 0, never "". Units stand in the names:
`_bytes`, `_gbps` (10^9 bit/s), `_us`, `_s`. Readers ignore fields they do not know, and v1 only ever adds fields.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

SCHEMA = "rdmatop.dev/v1"

Health = Literal["healthy", "warning", "failed", "unknown"]
Severity = Literal["critical", "warning", "info"]
Quality = Literal["ok", "first", "reset", "wrapped", "clamped", "stale", "unknown"]
CounterClass = Literal["traffic", "error", "congestion", "info"]
CounterSource = Literal["counters", "hw_counters", "netlink", "ethtool", "pci"]
Expected = Literal["up", "spare", "unknown"]
Function = Literal["pf", "vf", "sf", "virtual"]
Layer = Literal[
    "link", "errors", "congestion", "pcie", "host", "operator",
    "resources", "networks", "workloads", "benchmarks", "fleet", "agent",
]  # fmt: skip
BenchmarkKind = Literal["loopback", "pair", "tcp"]
BenchmarkState = Literal["queued", "running", "done", "failed", "cancelled"]
BenchmarkVerdict = Literal["pass", "note", "warn", "fail", "unknown"]
Operation = Literal["write", "read", "send"]


class Wire(msgspec.Struct, frozen=True):
    """Base of all wire types."""


class Problem(Wire, frozen=True, kw_only=True):
    """Something that was asked for and could not be answered."""

    source: str
    """Where: `ports/mlx5_3/1`, `node/gpu-017`."""
    message: str
    hint: str | None = None


class Unread(Wire, frozen=True, kw_only=True):
    """A file or kernel answer that this node does not give, and that is not asked for again."""

    device: str | None
    port: int | None
    name: str
    """The counter or file, as the kernel names it."""
    reason: str
    """`EINVAL`, `EOPNOTSUPP`, `EPERM`, `N/A (no PMA)`, `hangs`."""
    since: str


class FindingCounts(Wire, frozen=True, kw_only=True):
    critical: int = 0
    warning: int = 0
    info: int = 0


class Node(Wire, frozen=True, kw_only=True):
    """One node in one line: an item of NodeList."""

    node: str
    health: Health
    ports_up: int
    ports_expected: int
    rate_gbps: float | None
    """Sum over the ports that are expected up."""
    tx_gbps: float | None
    rx_gbps: float | None
    errors_per_minute: float | None
    cnp_per_second: float | None
    driver_version: str | None
    kernel: str | None
    findings: FindingCounts
    benchmark: float | None
    """The last loopback, in percent of what was expected."""
    agent_version: str | None
    age_s: float | None
    """Seconds since the reading; 0.0 for one made now."""


class Pcie(Wire, frozen=True, kw_only=True):
    """The PCIe path of a function up to the root: what it runs at and what it could."""

    speed_gts: float | None
    width: int | None
    max_speed_gts: float | None
    max_width: int | None
    limit_gbps: float | None
    """What the narrowest hop carries, usable Gb/s after packet overhead."""
    narrowest: str | None
    """PCI address of that hop."""


class Device(Wire, frozen=True, kw_only=True):
    """An RDMA device (HCA function): an item of DeviceList."""

    node: str
    device: str
    driver: str | None
    node_guid: str | None
    sys_image_guid: str | None
    card: str | None
    """`ConnectX-7`."""
    hca_type: str | None
    board_id: str | None
    firmware: str | None
    function: Function | None
    pci_address: str | None
    numa_node: int | None
    pcie: Pcie | None
    ports: int
    bond: bool | None = None
    """Two functions of one card as one device (LAG)."""
    bluefield: bool | None = None
    physfn: str | None = None
    """PCI address of the physical function, of a VF."""
    slave: str | None = None
    """PCI address of the bond's second function."""
    verbs: bool | None = None
    """Whether the verbs worker could open it; None where there is no worker."""
    gone_since: str | None = None
    """RFC 3339; the device vanished then and has not come back."""
    stale_since: str | None = None
    """RFC 3339; a read of it hangs since then, and what is shown is from before."""


class Port(Wire, frozen=True, kw_only=True):
    """A port of a device: an item of PortList."""

    node: str
    device: str
    port: int
    link_layer: str | None
    state: str | None
    phys_state: str | None
    rate_gbps: float | None
    lanes: int | None
    speed: str | None
    lid: int | None
    sm_lid: int | None
    mtu_bytes: int | None
    netdev: str | None
    netdev_state: str | None
    gid: str | None
    max_rate_gbps: float | None
    expected: Expected
    health: Health
    tx_gbps: float | None
    rx_gbps: float | None
    rate_quality: Quality
    gid_index: int | None = None
    """Index of `gid` in the table."""
    errors_per_minute: float | None = None
    """Sum of the counters of class error; over the last minute, or as long as there is."""
    cnp_per_second: float | None = None
    """CNP handled and sent, a second."""
    pause_per_second: float | None = None
    """PFC and global pause frames received and sent, a second."""
    discards_per_second: float | None = None
    ecn_per_second: float | None = None
    pkeys: tuple[str, ...] | None = None
    """Non-zero entries of the P_Key table."""
    netdev_mtu_bytes: int | None = None
    carrier_changes: int | None = None
    """Of the netdev, since it was made."""
    netdev_speed_gbps: float | None = None
    """Of the netdev's `speed` file; disagreement with `rate_gbps` is evidence."""
    netdev_admin_up: bool | None = None
    """IFF_UP of the netdev's `flags`: False is switched off on purpose, which is no fault."""
    gid_count: int | None = None
    """Non-zero entries of the GID table; None where the table could not be read."""
    gone_since: str | None = None
    stale_since: str | None = None


class PortBrief(Wire, frozen=True, kw_only=True):
    """What a view of many nodes shows of a port: in the summary of an agent, and from a node's last state."""

    device: str
    port: int
    health: Health
    expected: Expected
    state: str | None
    phys_state: str | None
    link_layer: str | None
    rate_gbps: float | None
    tx_gbps: float | None
    rx_gbps: float | None
    netdev: str | None


class Gid(Wire, frozen=True, kw_only=True):
    """A non-zero entry of a port's GID table: an item of GidList."""

    node: str
    device: str
    port: int
    index: int
    gid: str
    type: str | None
    """`IB`, `RoCEv1`, `RoCEv2`."""
    netdev: str | None


class Counter(Wire, frozen=True, kw_only=True):
    """A counter of a port or device: an item of CounterList."""

    node: str
    device: str
    port: int | None
    """None for a counter of the whole device (PCI)."""
    name: str
    source: CounterSource
    value: int | None
    """In `unit`: what the kernel counts in 4-octet words stands here in bytes."""
    unit: str
    class_: CounterClass = msgspec.field(name="class")
    per_second: float | None
    """In `unit` a second, scale applied (4-octet words are given in bytes)."""
    quality: Quality
    meaning: str | None
    delta_1m: float | None = None
    """Increase within the last minute, scale applied."""
    since_baseline: float | None = None
    """Increase since `NodeSnapshot.baseline`, scale applied: what was counted before is nobody's business."""
    since: str | None = None
    """RFC 3339; since when `quality` has been clamped, stale or unknown."""
    unread: str | None = None
    """Why there is no value: `EPERM`, `hangs`."""


class Process(Wire, frozen=True, kw_only=True):
    """A process that holds queue pairs on a port: an item of ProcessList."""

    node: str
    pid: int | None
    """None for queue pairs whose owner the kernel does not name to us."""
    command: str | None
    user: str | None
    device: str
    port: int | None
    qps: int
    qp_types: dict[str, int]
    """`{"RC": 510, "UD": 2}`."""
    namespace: str | None
    pod: str | None
    container: str | None
    pod_uid: str | None = None
    """Of the cgroup path; the pod's name is known only where the kubelet or the API server tells it."""


class Evidence(Wire, frozen=True, kw_only=True):
    """A number a finding stands on."""

    name: str
    value: float | None
    unit: str
    window_s: float | None
    """None for a state, which has no window."""
    threshold: float | None
    source: str | None
    """Who published the threshold."""


class Finding(Wire, frozen=True, kw_only=True):
    """Something that is wrong, how we know, and what to do next: an item of FindingList."""

    id: str
    """Stable while it lasts."""
    node: str
    device: str | None
    port: int | None
    component: str | None
    check: str
    layer: Layer
    severity: Severity
    message: str
    evidence: tuple[Evidence, ...]
    since: str
    hint: str | None
    follows: str | None
    """The id of its cause."""
    acknowledged: bool
    unread: tuple[str, ...]
    """What could not be read and would have been used."""


class Event(Wire, frozen=True, kw_only=True):
    """A finding that started, changed or ended: an item of EventList."""

    node: str
    time: str
    check: str
    device: str | None
    port: int | None
    kind: Literal["started", "changed", "ended"]
    message: str


class Latency(Wire, frozen=True, kw_only=True):
    min: float | None
    p50: float | None
    p99: float | None
    max: float | None


class Benchmark(Wire, frozen=True, kw_only=True):
    """One benchmark of one port (or pair) at one size: an item of BenchmarkList."""

    id: str
    kind: BenchmarkKind
    state: BenchmarkState
    verdict: BenchmarkVerdict
    reason: str | None
    node: str
    device: str | None
    port: int | None
    peer_node: str | None
    peer_device: str | None
    peer_port: int | None
    operation: Operation
    size_bytes: int
    qps: int
    chain: int
    duration_s: float | None
    bandwidth_gbps: float | None
    """Average over the run, both directions added where bidirectional."""
    messages_per_s: float | None
    latency_us: Latency | None
    expected_gbps: float | None
    limited_by: Literal["link", "pcie", "host"] | None
    verified: bool | None
    """Whether the bytes were found equal on both ends."""
    counters: dict[str, int] | None
    """What moved on the port during the run, by counter name."""
    cpu_percent: float | None
    memory: str | None
    """`host memory, NUMA 0`."""
    started: str | None
    error: str | None
    bidirectional: bool = False
    mtu_bytes: int | None = None
    gid_index: int | None = None
    gid: str | None = None
    progress: float | None = None
    """0 to 1 while it runs."""
    batch: str | None = None
    """Shared by the items of one request."""
    boot_id: str | None = None
    latency_by: str | None = None
    """What ended a latency sample: `memory` (the last byte of a write seen) or `completion`."""


class BenchmarkRequest(Wire, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a benchmark is asked to do; the body of POST /v1/benchmarks."""

    kind: BenchmarkKind = "loopback"
    device: str | None = None
    """None: every active port, one after the other."""
    port: int | None = None
    operation: Operation = "write"
    sizes: tuple[int, ...] = (1048576,)
    """Bytes; 2 to 8 MiB."""
    qps: int = 2
    chain: int = 128
    duration_s: float = 5.0
    iterations: int | None = None
    """Messages in place of a duration."""
    latency: bool = False
    bidirectional: bool = False
    gid_index: int | None = None
    force: bool = False
    """Run on a port that carries more than 5 % of its rate."""


class Component(Wire, frozen=True, kw_only=True):
    """A part of the Network Operator's stack: an item of ComponentList."""

    component: str
    verdict: Literal["ok", "absent", "rolling", "degraded", "no-nodes", "failed", "drift", "unmanaged", "unknown"]
    operator_state: str | None
    version: str | None
    expected_version: str | None
    workload: str | None
    namespace: str | None
    desired: int | None
    ready: int | None
    nodes_failing: tuple[str, ...]
    message: str | None
    evidence: tuple[Evidence, ...]


class Host(Wire, frozen=True, kw_only=True):
    """What the whole node has: versions and settings that RDMA depends on."""

    kernel: str | None = None
    driver_version: str | None = None
    """Of mlx5_core: `24.10-0.7.0` for DOCA/MOFED, None for the inbox driver, whose version is the kernel's."""
    driver_kind: Literal["inbox", "doca"] | None = None
    modules: dict[str, str | None] = {}
    """Loaded RDMA modules and their versions, where they have one."""
    rdma_core: str | None = None
    netns_mode: Literal["shared", "exclusive"] | None = None
    memlock_bytes: int | None = None
    """The soft limit of this process; None is unlimited or unknown, see `memlock_unlimited`."""
    memlock_unlimited: bool | None = None
    iommu: str | None = None
    """`off`, `translated`, `passthrough`."""
    peer_memory: str | None = None
    """The loaded peer memory module: `nvidia_peermem`."""
    cpu_percent: float | None = None
    memory_bytes: int | None = None
    memory_available_bytes: int | None = None
    gpus: int | None = None
    pci_functions: tuple[PciFunction, ...] = ()
    """PCI functions of the RDMA card families, with or without an RDMA device."""


class PciFunction(Wire, frozen=True, kw_only=True):
    """A PCI function that could carry an RDMA device."""

    address: str
    vendor: str
    device_id: str
    card: str | None
    driver: str | None
    function: Function | None
    rdma: str | None
    """The RDMA device on it."""
    netdev: str | None = None


class AgentInfo(Wire, frozen=True, kw_only=True):
    version: str
    pid: int
    started: str
    interval_s: float
    verbs: str
    """`ok`, or why there is no verbs worker: `pyverbs is not installed`."""
    missed: int = 0
    """Samples that were due and not taken."""
    cpu_percent: float | None = None
    memory_bytes: int | None = None


class NodeSnapshot(Wire, frozen=True, kw_only=True):
    """Everything known of a node at one moment: what /v1/node answers and every source streams."""

    schema: str = SCHEMA
    kind: str = "NodeSnapshot"
    node: Node
    time: str
    sequence: int
    """Rises by one a sample; a gap is a missed one."""
    boot_id: str | None
    interval_s: float | None
    """Between samples; None for a single reading."""
    host: Host
    devices: tuple[Device, ...]
    ports: tuple[Port, ...]
    gids: tuple[Gid, ...]
    counters: tuple[Counter, ...]
    """All, or those of the ports that were asked for."""
    processes: tuple[Process, ...]
    findings: tuple[Finding, ...]
    benchmarks: tuple[Benchmark, ...]
    """The last one of each port, and those that run."""
    unread: tuple[Unread, ...]
    errors: tuple[Problem, ...]
    agent: AgentInfo | None = None
    source: str | None = None
    """`this host`, `capture DIR`."""
    baseline: str | None = None
    """RFC 3339; from then on `since_baseline` of the counters counts. An agent keeps it until the node boots."""


class Series(Wire, frozen=True, kw_only=True):
    """The history of one counter: what /v1/history answers, oldest point first."""

    device: str
    port: int | None
    name: str
    unit: str
    interval_s: float
    per_second: tuple[float | None, ...]
    """None where no rate is known: gaps, resets, the first reading."""
    end: str
    """The time of the last point."""


class Envelope(Wire, frozen=True, kw_only=True):
    """What `-o json` prints."""

    schema: str = SCHEMA
    kind: str
    time: str
    items: tuple[Any, ...]
    errors: tuple[Problem, ...] = ()
