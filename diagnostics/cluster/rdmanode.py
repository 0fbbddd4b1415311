"""RdmaNode, the object in which each agent says how its node is: what of a snapshot goes into it, and what comes out.

Field names are camelCase as Kubernetes has them. The whole object stays within `MAX_BYTES`: etcd keeps every version
for minutes, and a thousand nodes write one each minute. What does not fit is counted, never silently dropped.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from diagnostics.model import Benchmark, Device, Finding, Health, Node, NodeSnapshot, Port, Severity

GROUP = "rdmatop.dev"
VERSION = "v1alpha1"
PLURAL = "rdmanodes"
API_VERSION = f"{GROUP}/{VERSION}"
PATH = f"/apis/{GROUP}/{VERSION}/{PLURAL}"

MAX_BYTES = 8 * 1024
MESSAGE_CHARACTERS = 240
SEVERITY_ORDER: tuple[Severity, ...] = ("critical", "warning", "info")


class Camel(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Base: absent means unknown, as everywhere in Kubernetes."""


class DeviceStatus(Camel, frozen=True, kw_only=True):
    name: str
    card: str | None = None
    firmware: str | None = None
    function: str | None = None
    pci_address: str | None = None
    gone_since: str | None = None


class PortStatus(Camel, frozen=True, kw_only=True):
    device: str
    port: int
    health: Health = "unknown"
    expected: str = "unknown"
    state: str | None = None
    phys_state: str | None = None
    link_layer: str | None = None
    rate_gbps: float | None = None
    tx_gbps: float | None = None
    rx_gbps: float | None = None
    netdev: str | None = None


class FindingStatus(Camel, frozen=True, kw_only=True):
    id: str
    check: str
    severity: Severity
    message: str
    since: str
    device: str | None = None
    port: int | None = None
    follows: str | None = None
    acknowledged: bool = False


class BenchmarkStatus(Camel, frozen=True, kw_only=True):
    device: str | None = None
    port: int | None = None
    kind: str = "loopback"
    verdict: str = "unknown"
    bandwidth_gbps: float | None = None
    expected_gbps: float | None = None
    started: str | None = None


class Condition(Camel, frozen=True, kw_only=True):
    """As metav1.Condition has it."""

    type: str
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str
    last_transition_time: str


class FindingCounts(Camel, frozen=True, kw_only=True, omit_defaults=False):
    """Zero is said: server-side apply makes `null` of an object that loses all its fields."""

    critical: int = 0
    warning: int = 0
    info: int = 0


class RdmaNodeStatus(Camel, frozen=True, kw_only=True):
    health: Health = "unknown"
    time: str = ""
    """Of the reading; a heartbeat a minute keeps it young."""
    agent_version: str | None = None
    driver_version: str | None = None
    kernel: str | None = None
    boot_id: str | None = None
    ports_up: int = 0
    ports_expected: int = 0
    ports_text: str = "0/0"
    """`7/8`, for the printer column."""
    rate_gbps: float | None = None
    tx_gbps: float | None = None
    rx_gbps: float | None = None
    errors_per_minute: float | None = None
    cnp_per_second: float | None = None
    benchmark_percent: float | None = None
    finding_counts: FindingCounts = FindingCounts()
    worst: str = ""
    """The first finding in words, for the wide printer column."""
    devices: tuple[DeviceStatus, ...] = ()
    ports: tuple[PortStatus, ...] = ()
    findings: tuple[FindingStatus, ...] = ()
    """Worst first, without evidence; cut to fit, see `findingCounts`."""
    benchmarks: tuple[BenchmarkStatus, ...] = ()
    conditions: tuple[Condition, ...] = ()
    omitted: dict[str, int] = {}
    """How many entries of each list did not fit."""


def status_of(
    snapshot: NodeSnapshot, before: RdmaNodeStatus | None = None, max_bytes: int = MAX_BYTES
) -> RdmaNodeStatus:
    """What a snapshot says in at most `max_bytes` of JSON; conditions keep the transition time of `before`."""
    node = snapshot.node
    findings = sorted(snapshot.findings, key=lambda finding: SEVERITY_ORDER.index(finding.severity))
    status = RdmaNodeStatus(
        health=node.health,
        time=snapshot.time,
        agent_version=node.agent_version,
        driver_version=node.driver_version,
        kernel=node.kernel,
        boot_id=snapshot.boot_id,
        ports_up=node.ports_up,
        ports_expected=node.ports_expected,
        ports_text=f"{node.ports_up}/{node.ports_expected}",
        rate_gbps=node.rate_gbps,
        tx_gbps=_short(node.tx_gbps),
        rx_gbps=_short(node.rx_gbps),
        errors_per_minute=_short(node.errors_per_minute),
        cnp_per_second=_short(node.cnp_per_second),
        benchmark_percent=_short(node.benchmark),
        finding_counts=FindingCounts(**msgspec.structs.asdict(node.findings)),
        worst=_cut(findings[0].message) if findings else "",
        devices=tuple(map(_device, snapshot.devices)),
        ports=tuple(map(_port, snapshot.ports)),
        findings=tuple(map(_finding, findings)),
        benchmarks=tuple(map(_benchmark, snapshot.benchmarks)),
        conditions=_conditions(node, snapshot, before),
    )
    return _fit(status, max_bytes)


def _short(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def _cut(text: str) -> str:
    return text if len(text) <= MESSAGE_CHARACTERS else text[: MESSAGE_CHARACTERS - 1] + "…"


def _device(device: Device) -> DeviceStatus:
    return DeviceStatus(
        name=device.device,
        card=device.card,
        firmware=device.firmware,
        function=device.function,
        pci_address=device.pci_address,
        gone_since=device.gone_since,
    )


def _port(port: Port) -> PortStatus:
    return PortStatus(
        device=port.device,
        port=port.port,
        health=port.health,
        expected=port.expected,
        state=port.state,
        phys_state=port.phys_state,
        link_layer=port.link_layer,
        rate_gbps=port.rate_gbps,
        tx_gbps=_short(port.tx_gbps),
        rx_gbps=_short(port.rx_gbps),
        netdev=port.netdev,
    )


def _finding(finding: Finding) -> FindingStatus:
    return FindingStatus(
        id=finding.id,
        check=finding.check,
        severity=finding.severity,
        message=_cut(finding.message),
        since=finding.since,
        device=finding.device,
        port=finding.port,
        follows=finding.follows,
        acknowledged=finding.acknowledged,
    )


def _benchmark(benchmark: Benchmark) -> BenchmarkStatus:
    return BenchmarkStatus(
        device=benchmark.device,
        port=benchmark.port,
        kind=benchmark.kind,
        verdict=benchmark.verdict,
        bandwidth_gbps=_short(benchmark.bandwidth_gbps),
        expected_gbps=_short(benchmark.expected_gbps),
        started=benchmark.started,
    )


def _conditions(node: Node, snapshot: NodeSnapshot, before: RdmaNodeStatus | None) -> tuple[Condition, ...]:
    healthy: Literal["True", "False", "Unknown"] = "Unknown"
    if node.health != "unknown":
        healthy = "False" if node.health == "failed" else "True"
    reason = {"healthy": "NoFinding", "warning": "Warnings", "failed": "CriticalFindings"}.get(node.health, "NotJudged")
    counts = node.findings
    message = (
        f"{counts.critical} critical, {counts.warning} warning findings;"
        f" ports {node.ports_up} of {node.ports_expected} up"
    )
    told = [("RdmaHealthy", healthy, reason, message), ("AgentReady", "True", "Sampling", "the agent reads this node")]
    earlier = {condition.type: condition for condition in before.conditions} if before else {}
    return tuple(
        _condition(kind, status, why, text, snapshot.time, earlier.get(kind)) for kind, status, why, text in told
    )


def _condition(kind: str, status: Any, reason: str, message: str, time: str, earlier: Condition | None) -> Condition:
    since = (
        earlier.last_transition_time if earlier and earlier.status == status else time.split(".")[0].rstrip("Z") + "Z"
    )
    return Condition(type=kind, status=status, reason=reason, message=message, last_transition_time=since)


def _fit(status: RdmaNodeStatus, max_bytes: int) -> RdmaNodeStatus:
    """Halve the longest of the lists that may be cut until all fits; benchmarks go first, ports last."""
    omitted: dict[str, int] = {}
    while len(msgspec.json.encode(status)) > max_bytes:
        for name in ("benchmarks", "devices", "findings", "ports"):
            items = getattr(status, name)
            if len(items) > (4 if name in ("findings", "ports") else 0) or (name == "ports" and items):
                keep = len(items) // 2
                omitted[name] = omitted.get(name, 0) + len(items) - keep
                status = msgspec.structs.replace(status, omitted=dict(omitted), **{name: items[:keep]})
                break
        else:
            break
    return status
