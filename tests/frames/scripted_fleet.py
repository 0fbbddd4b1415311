"""A cluster that plays pictures from a script, made of the rows that the real one is made of."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from types import SimpleNamespace
from typing import Any

import msgspec

from diagnostics.cluster.fleet import Fleet, FleetRow, Notice
from diagnostics.cluster.presence import Agent
from diagnostics.cluster.rdmanode import BenchmarkStatus, FindingStatus, RdmaNodeStatus
from diagnostics.errors import UserError
from diagnostics.model import FindingCounts, Node, PortBrief
from tests.frames.scripted import START, Scripted, at, faulty
from tui.sources.base import Outage

SILENT_S = 360.0


def brief(number: int, **changes: Any) -> PortBrief:
    base = PortBrief(
        device=f"mlx5_{number}", port=1, health="healthy", expected="up", state="ACTIVE", phys_state="LinkUp",
        link_layer="Ethernet", rate_gbps=400.0, tx_gbps=372.0 + number, rx_gbps=370.0 + number, netdev=f"ens{number}f0",
    )  # fmt: skip
    return msgspec.structs.replace(base, **changes)


EIGHT = tuple(brief(number) for number in range(8))


def row(name: str, second: float = 0.0, item: dict[str, Any] | None = None, **changes: Any) -> FleetRow:
    """A healthy node that its agent tells of."""
    given = changes.get("ports", EIGHT)
    up = sum(port.state == "ACTIVE" for port in given)
    base = Node(
        node=name, health="healthy", ports_up=up, ports_expected=len(given), rate_gbps=400.0 * len(given),
        tx_gbps=sum(port.tx_gbps or 0.0 for port in given), rx_gbps=sum(port.rx_gbps or 0.0 for port in given),
        errors_per_minute=0.0, cnp_per_second=0.0, driver_version="24.10", kernel="5.15.0-141",
        findings=FindingCounts(), benchmark=98.0, agent_version="1.0", age_s=0.0,
    )  # fmt: skip
    facts: dict[str, Any] = {
        "name": name, "item": msgspec.structs.replace(base, **(item or {})), "ports": given, "rates_from": "agent",
        "agent": Agent(state="running", pod=f"rdmatop-agent-{name}", ready=True), "seen": START + second - 1.0,
        "boot_id": "b",
    }  # fmt: skip
    return FleetRow(**{**facts, **changes})


def found(check: str, severity: str, message: str, **changes: Any) -> FindingStatus:
    base = {"id": f"{check}/{changes.get('device', '')}", "check": check, "severity": severity, "message": message}
    return FindingStatus(**{**base, "since": at(-360), **changes})


def port_down(name: str, number: int = 3, second: float = 0.0) -> FleetRow:
    ports = [brief(n) for n in range(8)]
    ports[number] = brief(number, health="failed", state="DOWN", phys_state="Polling", tx_gbps=None, rx_gbps=None)
    message = f"mlx5_{number}/1 down for 6 min, Polling; its 7 peers are up at 400 Gb/s: cable, module or switch port"
    return row(
        name, second, ports=tuple(ports),
        item={"health": "failed", "findings": FindingCounts(critical=1), "benchmark": 97.0},
        findings=(found("link-down", "critical", message, device=f"mlx5_{number}", port=1),),
    )  # fmt: skip


def congested(name: str, second: float = 0.0) -> FleetRow:
    ports = [brief(n) for n in range(8)]
    ports[1] = brief(1, health="warning", tx_gbps=148.2, rx_gbps=151.0)
    message = "the fabric holds this port back: 3,850 PFC pauses received/s, 812 CNP handled/s over 1 min"
    return row(
        name, second, ports=tuple(ports),
        item={"health": "warning", "findings": FindingCounts(warning=1), "errors_per_minute": 124.0,
              "cnp_per_second": 812.0, "benchmark": 61.0},
        findings=(found("congestion-fabric", "warning", message, device="mlx5_1", port=1),),
    )  # fmt: skip


def silent(name: str, state: str = "failing", reason: str = "agent: CrashLoopBackOff: back-off 5m0s") -> FleetRow:
    """Its agent told of it six minutes ago."""
    return row(
        name, -SILENT_S, missing=True, agent=Agent(state=state, reason=reason), rates_from="heartbeat",  # type: ignore[arg-type]
        item={"health": "warning", "findings": FindingCounts(warning=1)},
    )  # fmt: skip


def unknown(name: str, state: str, reason: str, missing: bool = True) -> FleetRow:
    """Nothing was ever said of it."""
    return row(
        name, ports=(), rates_from=None, seen=None, missing=missing, boot_id=None,
        agent=Agent(state=state, reason=reason),  # type: ignore[arg-type]
        item={"health": "warning" if missing else "unknown", "ports_up": 0, "ports_expected": 0, "rate_gbps": None,
              "tx_gbps": None, "rx_gbps": None, "errors_per_minute": None, "cnp_per_second": None,
              "driver_version": None, "benchmark": None, "agent_version": None, "age_s": None},
    )  # fmt: skip


def fleet(rows: Iterable[FleetRow], sequence: int = 1, **changes: Any) -> Fleet:
    return Fleet({each.name: each for each in rows}, (), sequence, True, True)._replace(**changes)


def names(count: int) -> list[str]:
    return [f"gpu-{number:03d}" for number in range(1, count + 1)]


def healthy_fleet(second: float = 0.0, count: int = 20) -> Fleet:
    return fleet(row(name, second) for name in names(count))


def sick_fleet(second: float = 0.0, count: int = 128) -> Fleet:
    special = {
        "gpu-017": port_down("gpu-017", 3, second),
        "gpu-042": congested("gpu-042", second),
        "gpu-077": port_down("gpu-077", 5, second),
        "gpu-101": silent("gpu-101"),
        "gpu-102": unknown("gpu-102", "pending", "Unschedulable: 0/128 nodes are available: 1 Insufficient memory."),
    }
    return fleet((special.get(name) or row(name, second) for name in names(count)), int(second) + 1)


def bare_fleet() -> Fleet:
    """Agents on some nodes only."""
    rows = [row(name) for name in names(4)]
    words = "agent: ErrImagePull: failed to pull rdmatop:1.0: not found"
    rows += [
        unknown("gpu-005", "failing", words),
        unknown("gpu-006", "unwanted", "not selected by the DaemonSet's nodeSelector", missing=False),
        unknown("gpu-007", "missing", "the node is not Ready: Kubelet stopped posting node status."),
        silent("gpu-008", reason="agent: CrashLoopBackOff: back-off 5m0s; it last ended with 1: no /sys"),
    ]
    return fleet(rows)


def notice(source: str, state: str, message: str, hides: str) -> Notice:
    return Notice(source, state, message, hides, START - 30.0)  # type: ignore[arg-type]


AWAY = tuple(
    notice(source, "away", "https://10.0.0.1:6443: connection refused", "") for source in ("nodes", "rdmanodes", "pods")
)
FORBIDDEN = (notice("rdmanodes", "forbidden", 'rdmanodes is forbidden: User "eve" cannot list', "health is not known"),)


def run(number: int, verdict: str, gbps: float, second: float) -> BenchmarkStatus:
    return BenchmarkStatus(
        device=f"mlx5_{number}", port=1, verdict=verdict, bandwidth_gbps=gbps, expected_gbps=392.0, started=at(second)
    )


RUNS = {
    "gpu-017": (run(2, "fail", 223.4, -1800), run(0, "pass", 388.8, -1790)),
    "gpu-001": (run(0, "warn", 345.0, -90),),
}


def kube_event(node: str, reason: str, message: str, second: float) -> dict[str, Any]:
    return {"involvedObject": {"name": node}, "reason": reason, "message": message, "lastTimestamp": at(second)}


ANSWERS: dict[str, Any] = {
    "/api/v1/namespaces": [{"metadata": {"name": "default"}}, {"metadata": {"name": "ml"}}],
    "/api/v1/pods": [
        {"metadata": {"name": "train-0", "namespace": "ml"}, "spec": {"nodeName": "gpu-017"}},
        {"metadata": {"name": "train-1", "namespace": "ml"}, "spec": {"nodeName": "gpu-042"}},
    ],
    "/api/v1/namespaces/default/events": [
        kube_event("gpu-017", "LinkDown", "mlx5_3/1: down", -360),
        kube_event("gpu-042", "LinkFlapEnded", "mlx5_1/1: still", -60),
    ],
}


class ScriptedFleet:
    """Plays pictures; `node` gives scripted nodes; notes what it was asked."""

    def __init__(self, items: Iterable[Fleet | Outage] = (), label: str = "cluster prod-h100") -> None:
        self.label = label
        self.items = list(items)
        self.interval_s = 1.0
        self.asked: list[tuple[Any, ...]] = []
        self.watched: list[set[str]] = []
        self.nodes: dict[str, Scripted] = {}
        self.refused = ""
        self._queue: asyncio.Queue[Fleet | Outage] = asyncio.Queue()

    def feed(self, item: Fleet | Outage) -> None:
        self._queue.put_nowait(item)

    async def fleet(self) -> AsyncIterator[Fleet | Outage]:
        for item in self.items:
            yield item
        while True:
            yield await self._queue.get()

    def watch_rows(self, names: set[str]) -> None:
        self.watched.append(names)

    def node(self, name: str) -> Scripted:
        if name not in self.nodes:
            reading = faulty()
            told = msgspec.structs.replace(reading.node, node=name)
            self.nodes[name] = Scripted([msgspec.structs.replace(reading, node=told)], label=f"{self.label} · {name}")
        return self.nodes[name]

    async def contexts(self) -> tuple[str, ...]:
        return ("prod-h100", "prod-b200", "lab")

    def store(self) -> Any:
        objects = {name: SimpleNamespace(status=RdmaNodeStatus(benchmarks=runs)) for name, runs in RUNS.items()}
        return SimpleNamespace(rdmanodes=SimpleNamespace(objects=objects))

    @property
    def kube(self) -> Any:
        return self

    async def get(self, path: str, **query: str) -> bytes:
        self.asked.append(("get", path, query))
        if self.refused:
            raise UserError(self.refused)
        items = ANSWERS.get(path, [])
        name = query.get("fieldSelector", "").partition("metadata.name=")[2]
        return msgspec.json.encode({"items": [i for i in items if not name or i["metadata"]["name"] == name]})

    def set_interval(self, seconds: float) -> None:
        self.interval_s = seconds

    async def close(self) -> None:
        self.asked.append(("close",))
