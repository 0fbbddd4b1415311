"""What the tables show: one row a column, one tuple of columns a kind.

A column knows its title, the field it reads, how a value becomes text, and when it stands back: `wide` columns wait
for `-o wide`; the others leave a narrow terminal by `worth`, the lowest first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

UNKNOWN = "-"
ESSENTIAL = 9
"""The worth of a column that never leaves: what the row is about, and how it is."""


class Column(NamedTuple):
    title: str
    key: str
    """The item's field, as JSON names it; `pcie.width` reaches into it. `--sort-by` takes this or the title."""
    unit: str = ""
    show: Callable[[Any], str] | None = None
    """Known value -> text; None: as it is. An unknown value is `-` whatever the column."""
    right: bool = False
    wide: bool = False
    worth: int = ESSENTIAL
    value: Callable[[Any], Any] | None = None
    """Item -> value, where no single field holds it."""
    marked: bool = False
    """The words mean ok, warning, failed or unknown: they get a glyph and a colour."""
    prose: bool = False
    """A sentence, which may wrap or be cut where room is short."""

    @property
    def heading(self) -> str:
        return f"{self.title} {self.unit}" if self.unit else self.title

    def of(self, item: Any) -> Any:
        """The value of an item, None where unknown: what is sorted by."""
        if self.value is not None:
            return self.value(item)
        for part in self.key.split("."):
            item = getattr(item, "class_" if part == "class" else part, None)
        return item

    def text(self, item: Any) -> str:
        value = self.of(item)
        if value is None or value == "":
            return UNKNOWN
        return str(value) if self.show is None else self.show(value)


# How values become text


def decimal(value: float) -> str:
    """`2741.25` -> `2,741.2`: Gb/s and the like."""
    return f"{value:,.1f}"


def rounded(value: float) -> str:
    """`812.4` -> `812`, `0.3` -> `0.3`: a count a second, where a little is not nothing."""
    return f"{value:,.1f}" if 0 < abs(value) < 10 and value != int(value) else f"{value:,.0f}"


def short(value: float) -> str:
    """`1600.0` -> `1,600`, `2.5` -> `2.5`: what a link or lane runs at."""
    return f"{value:,.0f}" if value == int(value) else f"{value:g}"


def grouped(value: int) -> str:
    return f"{value:,}"


def size(value: int) -> str:
    """`65536` -> `64 Ki`; sizes between stand as they are."""
    for factor, unit in ((1 << 20, "Mi"), (1 << 10, "Ki")):
        if value >= factor and value % factor == 0:
            return f"{value // factor} {unit}"
    return f"{value}"


def age(value: float) -> str:
    """`372` -> `6m`."""
    for factor, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if value >= factor:
            return f"{value / factor:.0f}{unit}"
    return f"{value:.0f}s"


def clock(value: str) -> str:
    """`2026-11-24T12:04:31.250Z` -> `11-24 12:04:31`."""
    return f"{value[5:10]} {value[11:19]}"


def percent(value: float) -> str:
    return f"{value:.0f} %"


def counts(value: dict[str, int]) -> str:
    """`{"RC": 510, "UD": 2}` -> `RC 510, UD 2`."""
    return ", ".join(f"{name} {count:,}" for name, count in value.items()) or UNKNOWN


def listed(value: tuple[str, ...]) -> str:
    return ", ".join(value) or UNKNOWN


def layer(value: str) -> str:
    return {"InfiniBand": "IB", "Ethernet": "Eth"}.get(value, value)


# What no single field holds


def place(item: Any) -> str | None:
    """`mlx5_0/1`, of a whole device `mlx5_0`: how a port is written everywhere."""
    if item.device is None:
        return None
    return item.device if item.port is None else f"{item.device}/{item.port}"


def peer(item: Any) -> str | None:
    if item.peer_node is None:
        return None
    return ":".join(str(part) for part in (item.peer_node, item.peer_device) if part is not None)


def link_state(item: Any) -> str | None:
    """`ACTIVE`; of a port that is not, what its physical side does: `DOWN Polling`."""
    if item.gone_since is not None:
        return "gone"
    if item.state is None or item.phys_state in (None, "LinkUp"):
        return item.state  # type: ignore[no-any-return]
    return f"{item.state} {item.phys_state}"


def ports_up(item: Any) -> str:
    return f"{item.ports_up}/{item.ports_expected}"


def width_of(item: Any) -> str | None:
    if item.pcie is None or item.pcie.width is None:
        return None
    speed = "" if item.pcie.speed_gts is None else f"{item.pcie.speed_gts:g} GT/s "
    return f"{speed}x{item.pcie.width}"


def reached(item: Any) -> float | None:
    """Percent of what was expected."""
    if item.bandwidth_gbps is None or not item.expected_gbps:
        return None
    return 100 * item.bandwidth_gbps / item.expected_gbps  # type: ignore[no-any-return]


def median_us(item: Any) -> float | None:
    return None if item.latency_us is None else item.latency_us.p50


def outcome(item: Any) -> str:
    """The verdict, or the state of what has none yet."""
    return item.verdict if item.state == "done" or item.verdict != "unknown" else item.state  # type: ignore[no-any-return]


def qualified(item: Any) -> str:
    """The rate's quality, and why a value could not be read."""
    return item.quality if item.unread is None else f"{item.quality}: {item.unread}"


def severities(item: Any) -> str:
    found = item.findings
    return f"{found.critical}/{found.warning}/{found.info}"


NODE = Column("NODE", "node")
PORT = Column("PORT", "port", value=place)

COLUMNS: dict[str, tuple[Column, ...]] = {
    "nodes": (
        NODE,
        Column("HEALTH", "health", marked=True),
        Column("PORTS", "ports_up", value=ports_up, right=True),
        Column("RATE", "rate_gbps", show=short, right=True, worth=6),
        Column("TX", "tx_gbps", "Gb/s", decimal, right=True, worth=8),
        Column("RX", "rx_gbps", "Gb/s", decimal, right=True, worth=8),
        Column("ERR/m", "errors_per_minute", show=rounded, right=True, worth=7),
        Column("CNP/s", "cnp_per_second", show=rounded, right=True, worth=5),
        Column("DRIVER", "driver_version", worth=4),
        Column("C/W/I", "findings", value=severities, right=True, wide=True),
        Column("BENCH", "benchmark", show=percent, right=True, wide=True),
        Column("KERNEL", "kernel", wide=True),
        Column("AGENT", "agent_version", wide=True),
        Column("AGE", "age_s", show=age, right=True, wide=True),
    ),
    "devices": (
        Column("DEVICE", "device"),
        Column("CARD", "card", worth=8),
        Column("DRIVER", "driver", worth=4),
        Column("FIRMWARE", "firmware", worth=7),
        Column("FUNC", "function", worth=5),
        Column("PORTS", "ports", right=True, worth=6),
        Column("PCI", "pci_address", worth=8),
        Column("NUMA", "numa_node", right=True, worth=5),
        Column("PCIE", "pcie.limit_gbps", "Gb/s", decimal, right=True, worth=6),
        Column("LINK", "pcie.width", value=width_of, wide=True),
        Column("NARROWEST", "pcie.narrowest", wide=True),
        Column("PSID", "board_id", wide=True),
        Column("TYPE", "hca_type", wide=True),
        Column("NODE GUID", "node_guid", wide=True),
        Column("SYSTEM GUID", "sys_image_guid", wide=True),
        Column("NODE", "node", wide=True),
    ),
    "ports": (
        PORT,
        Column("HEALTH", "health", marked=True),
        Column("STATE", "state", value=link_state),
        Column("LINK", "link_layer", show=layer, worth=4),
        Column("RATE", "rate_gbps", show=short, right=True, worth=7),
        Column("TX", "tx_gbps", "Gb/s", decimal, right=True, worth=8),
        Column("RX", "rx_gbps", "Gb/s", decimal, right=True, worth=8),
        Column("ERR/m", "errors_per_minute", show=rounded, right=True, worth=6),
        Column("NETDEV", "netdev", worth=3),
        Column("CNP/s", "cnp_per_second", show=rounded, right=True, wide=True),
        Column("ECN/s", "ecn_per_second", show=rounded, right=True, wide=True),
        Column("PAUSE/s", "pause_per_second", show=rounded, right=True, wide=True),
        Column("DROP/s", "discards_per_second", show=rounded, right=True, wide=True),
        Column("QUALITY", "rate_quality", wide=True),
        Column("EXPECTED", "expected", wide=True),
        Column("MAX", "max_rate_gbps", show=short, right=True, wide=True),
        Column("LANES", "lanes", right=True, wide=True),
        Column("SPEED", "speed", wide=True),
        Column("LID", "lid", right=True, wide=True),
        Column("SM", "sm_lid", right=True, wide=True),
        Column("MTU", "mtu_bytes", right=True, wide=True),
        Column("CARRIER", "netdev_state", wide=True),
        Column("GID", "gid", wide=True),
        Column("NODE", "node", wide=True),
    ),
    "gids": (
        PORT,
        Column("INDEX", "index", right=True),
        Column("TYPE", "type"),
        Column("GID", "gid"),
        Column("NETDEV", "netdev", worth=5),
        Column("NODE", "node", wide=True),
    ),
    "counters": (
        PORT,
        Column("COUNTER", "name"),
        Column("VALUE", "value", show=grouped, right=True),
        Column("/s", "per_second", show=rounded, right=True, worth=8),
        Column("UNIT", "unit", worth=6),
        Column("CLASS", "class", worth=5),
        Column("QUALITY", "quality", value=qualified, worth=4),
        Column("1 MIN", "delta_1m", show=rounded, right=True, wide=True),
        Column("BASELINE", "since_baseline", show=rounded, right=True, wide=True),
        Column("SOURCE", "source", wide=True),
        Column("NODE", "node", wide=True),
        Column("MEANING", "meaning", wide=True, prose=True),
    ),
    "processes": (
        Column("PID", "pid", right=True),
        Column("COMMAND", "command"),
        Column("USER", "user", worth=5),
        PORT,
        Column("QPS", "qps", show=grouped, right=True),
        Column("NAMESPACE", "namespace", worth=6),
        Column("POD", "pod", worth=8),
        Column("TYPES", "qp_types", show=counts, wide=True),
        Column("CONTAINER", "container", wide=True),
        Column("POD UID", "pod_uid", wide=True),
        Column("NODE", "node", wide=True),
    ),
    "findings": (
        Column("SEVERITY", "severity", marked=True),
        Column("CHECK", "check"),
        Column("WHERE", "device", value=lambda item: place(item) or item.component or item.node),
        Column("SINCE", "since", show=clock, worth=6),
        Column("MESSAGE", "message", prose=True),
        Column("LAYER", "layer", wide=True),
        Column("FOLLOWS", "follows", wide=True),
        Column("ID", "id", wide=True),
        Column("NODE", "node", wide=True),
        Column("NEXT", "hint", wide=True, prose=True),
    ),
    "events": (
        Column("TIME", "time", show=clock),
        Column("KIND", "kind"),
        Column("CHECK", "check"),
        Column("WHERE", "device", value=lambda item: place(item) or item.node),
        Column("NODE", "node", wide=True),
        Column("MESSAGE", "message", prose=True),
    ),
    "benchmarks": (
        Column("TIME", "started", show=clock, worth=3),
        Column("KIND", "kind", worth=2),
        Column("WHERE", "device", value=place),
        Column("OP", "operation", worth=5),
        Column("SIZE", "size_bytes", show=size, right=True),
        Column("QP", "qps", right=True, worth=1),
        Column("Gb/s", "bandwidth_gbps", show=decimal, right=True),
        Column("EXPECT", "expected_gbps", show=decimal, right=True, worth=6),
        Column("%", "percent", show=lambda value: f"{value:.0f}", value=reached, right=True, worth=7),
        Column("p50 us", "latency_us.p50", show=lambda value: f"{value:.2f}", value=median_us, right=True, worth=7),
        Column("VERDICT", "verdict", value=outcome, marked=True),
        Column("MSG/s", "messages_per_s", show=rounded, right=True, wide=True),
        Column("LIMIT", "limited_by", wide=True),
        Column("VERIFIED", "verified", show=lambda value: "yes" if value else "no", wide=True),
        Column("CPU", "cpu_percent", show=percent, right=True, wide=True),
        Column("PEER", "peer_node", value=peer, wide=True),
        Column("ID", "id", wide=True),
        Column("NODE", "node", wide=True),
        Column("REASON", "reason", wide=True, prose=True),
    ),
}
"""`ports` -> the columns of its table, left to right."""


def node_first(columns: tuple[Column, ...]) -> tuple[Column, ...]:
    """The same columns where rows are of many nodes."""
    return (NODE, *(column for column in columns if column.key != NODE.key))


class Naming(NamedTuple):
    """How the items of a kind are called: on the command line, and by `-o name`."""

    groups: Callable[[Any], tuple[tuple[str | None, ...], ...]]
    """Item -> groups of names it answers to. NAMEs of one group widen the choice, those of two narrow it."""
    name: Callable[[Any], str]


def _port_names(item: Any) -> tuple[str | None, ...]:
    return (item.device, place(item))


NAMES: dict[str, Naming] = {
    "nodes": Naming(lambda item: ((item.node,),), lambda item: item.node),
    "devices": Naming(lambda item: ((item.device, item.pci_address),), lambda item: item.device),
    "ports": Naming(lambda item: ((*_port_names(item), item.netdev),), lambda item: str(place(item))),
    "gids": Naming(lambda item: (_port_names(item), (item.gid,)), lambda item: f"{place(item)}/{item.index}"),
    "counters": Naming(lambda item: (_port_names(item), (item.name,)), lambda item: f"{place(item)}/{item.name}"),
    "processes": Naming(
        lambda item: (_port_names(item), (item.command, None if item.pid is None else str(item.pid), item.pod)),
        lambda item: UNKNOWN if item.pid is None else str(item.pid),
    ),
    "findings": Naming(lambda item: (_port_names(item), (item.check, item.id)), lambda item: item.id),
    "events": Naming(
        lambda item: (_port_names(item), (item.check,)),
        lambda item: "/".join(part for part in (item.check, place(item)) if part),
    ),
    "benchmarks": Naming(lambda item: (_port_names(item), (item.id,)), lambda item: item.id),
}
