"""A source that plays snapshots from a script: what tests and the benchmark of the screens look at."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

import msgspec

from diagnostics.model import (
    Benchmark,
    BenchmarkRequest,
    Counter,
    Device,
    Evidence,
    Finding,
    FindingCounts,
    Gid,
    Host,
    Latency,
    Node,
    NodeSnapshot,
    Pcie,
    PciFunction,
    Port,
    Process,
    Series,
    Severity,
    Unread,
)
from diagnostics.timing import rfc3339
from tui.sources.base import Outage

START = 1790596800.0  # 2026-09-28 12:00:00 UTC


def at(seconds: float) -> str:
    return rfc3339(START + seconds)


def device(name: str = "mlx5_0", **changes: Any) -> Device:
    number = "".join(c for c in name if c.isdigit())[-1:] or "0"
    base = Device(
        node="gpu-017",
        device=name,
        driver="mlx5_core",
        node_guid=f"b83f:d203:0092:dd{number}0",
        sys_image_guid=f"b83f:d203:0092:dd{number}0",
        card="ConnectX-7",
        hca_type="MT4129",
        board_id="MT_0000000838",
        firmware="28.39.2048",
        function="pf",
        pci_address=f"0000:{number}b:00.0",
        numa_node=0,
        pcie=Pcie(
            speed_gts=32.0,
            width=16,
            max_speed_gts=32.0,
            max_width=16,
            limit_gbps=461.0,
            narrowest=f"0000:{number}7:01.0",
        ),
        ports=1,
    )
    return msgspec.structs.replace(base, **changes)


def port(name: str = "mlx5_0", number: int = 1, **changes: Any) -> Port:
    digit = "".join(c for c in name if c.isdigit())[-1:] or "0"
    base = Port(
        node="gpu-017",
        device=name,
        port=number,
        link_layer="Ethernet",
        state="ACTIVE",
        phys_state="LinkUp",
        rate_gbps=400.0,
        lanes=4,
        speed="NDR",
        lid=0,
        sm_lid=0,
        mtu_bytes=4096,
        netdev=f"ens{digit}f0",
        netdev_state="up",
        gid=f"10.0.1.1{digit}",
        gid_index=3,
        max_rate_gbps=400.0,
        expected="up",
        health="healthy",
        tx_gbps=372.0,
        rx_gbps=370.0,
        rate_quality="ok",
        errors_per_minute=0.0,
        cnp_per_second=0.0,
        pause_per_second=0.0,
        discards_per_second=0.0,
        ecn_per_second=0.0,
    )
    return msgspec.structs.replace(base, **changes)


def down(name: str = "mlx5_3", **changes: Any) -> Port:
    facts: dict[str, Any] = {
        "state": "DOWN",
        "phys_state": "Disabled",
        "health": "failed",
        "tx_gbps": None,
        "rx_gbps": None,
        "rate_quality": "unknown",
        "errors_per_minute": None,
        "cnp_per_second": None,
        "pause_per_second": None,
        "discards_per_second": None,
        "ecn_per_second": None,
        "netdev_state": "down",
    }
    return port(name, **{**facts, **changes})


def counter(name: str, cls: str, value: int | None, per_second: float | None = 0.0, **changes: Any) -> Counter:
    base = Counter(
        node="gpu-017",
        device="mlx5_1",
        port=1,
        name=name,
        source="hw_counters",
        value=value,
        unit="",
        class_=cls,  # type: ignore[arg-type]
        per_second=per_second,
        quality="ok",
        meaning=None,
        delta_1m=None if per_second is None else per_second * 60,
    )
    return msgspec.structs.replace(base, **changes)


def finding(check: str, severity: Severity, message: str, **changes: Any) -> Finding:
    base = Finding(
        id=f"{check}/{changes.get('device', '')}",
        node="gpu-017",
        device=None,
        port=None,
        component=None,
        check=check,
        layer="link",
        severity=severity,
        message=message,
        evidence=(),
        since=at(-360),
        hint=None,
        follows=None,
        acknowledged=False,
        unread=(),
    )
    return msgspec.structs.replace(base, **changes)


def benchmark(number: int, **changes: Any) -> Benchmark:
    base = Benchmark(
        id=f"b{number}",
        kind="loopback",
        state="done",
        verdict="pass",
        reason=None,
        node="gpu-017",
        device="mlx5_0",
        port=1,
        peer_node=None,
        peer_device=None,
        peer_port=None,
        operation="write",
        size_bytes=1 << 20,
        qps=2,
        chain=128,
        duration_s=5.0,
        bandwidth_gbps=388.8,
        messages_per_s=46349.0,
        latency_us=Latency(min=1.9, p50=2.1, p99=2.6, max=9.4),
        expected_gbps=392.0,
        limited_by="link",
        verified=True,
        counters={},
        cpu_percent=8.0,
        memory="host memory, NUMA 0",
        started=at(-60.0 * number),
        error=None,
    )
    return msgspec.structs.replace(base, **changes)


def snapshot(second: float = 0.0, **changes: Any) -> NodeSnapshot:
    """A healthy host with eight ports, `second` seconds after the start."""
    base = NodeSnapshot(
        node=Node(
            node="gpu-017",
            health="healthy",
            ports_up=8,
            ports_expected=8,
            rate_gbps=3200.0,
            tx_gbps=2976.0,
            rx_gbps=2960.0,
            errors_per_minute=0.0,
            cnp_per_second=0.0,
            driver_version="24.10",
            kernel="5.15.0",
            findings=FindingCounts(),
            benchmark=None,
            agent_version=None,
            age_s=0.0,
        ),
        time=at(second),
        sequence=int(second) + 1,
        boot_id="b",
        interval_s=1.0,
        host=Host(),
        devices=tuple(device(f"mlx5_{n}") for n in range(8)),
        ports=tuple(port(f"mlx5_{n}") for n in range(8)),
        gids=(),
        counters=(),
        processes=(),
        findings=(),
        benchmarks=(),
        unread=(),
        errors=(),
    )
    return msgspec.structs.replace(base, **changes)


COUNTERS = (
    counter("rx_prio3_pause", "congestion", 8_812_331, 3912.0, source="ethtool"),
    counter("rp_cnp_handled", "congestion", 1_902_118, 812.0),
    counter("np_ecn_marked_roce_packets", "congestion", 12_004),
    counter("roce_adp_retrans", "error", 48_331, 2.0),
    counter("rx_symbol_err_phy", "error", 0, source="ethtool"),
    counter("link_downed", "error", 255, None, quality="clamped", since=at(-3600)),
    counter("rx_discards_phy", "error", None, None, quality="unknown", unread="EPERM"),
    counter("port_xmit_data", "traffic", 93_000_000_000, 18.5e9, unit="B"),
    counter("port_rcv_data", "traffic", 92_000_000_000, 18.9e9, unit="B"),
    counter("lifespan_of_it", "info", 12, None, quality="first"),
)

FINDINGS = (
    finding(
        "transport-retries",
        "warning",
        "124 retransmissions/min, follows from the above",
        device="mlx5_1",
        port=1,
        layer="errors",
        follows="congestion-fabric/mlx5_1",
    ),
    finding(
        "congestion-fabric",
        "warning",
        "the fabric holds this port back: 3,850 PFC pauses received/s, 812 CNP handled/s over 1 min; PFC sent 0: "
        "not this host.",
        device="mlx5_1",
        port=1,
        layer="congestion",
        hint="look at the switch's egress queues",
        evidence=(
            Evidence(name="rx_prio3_pause", value=3850.0, unit="/s", window_s=60.0, threshold=100.0, source="NVIDIA"),
        ),
    ),
    finding(
        "link-down",
        "critical",
        "down since 11:58:04 (6 min), no carrier on ens3f0; its 7 peers are up at 400 Gb/s: cable, module or switch "
        "port.",
        device="mlx5_3",
        port=1,
    ),
)

PROCESSES = (
    Process(
        node="gpu-017",
        pid=41233,
        command="python3",
        user="root",
        device="mlx5_1",
        port=1,
        qps=512,
        qp_types={"RC": 510, "UD": 2},
        namespace="ml",
        pod="train-0",
        container="worker",
    ),
    Process(
        node="gpu-017",
        pid=None,
        command=None,
        user=None,
        device="mlx5_1",
        port=1,
        qps=64,
        qp_types={"RC": 64},
        namespace=None,
        pod=None,
        container=None,
    ),
)


def faulty(second: float = 0.0, **changes: Any) -> NodeSnapshot:
    """The host of the mock-ups: one port down, one held back by the fabric, a spare bond."""
    ports = [port(f"mlx5_{n}") for n in range(8)]
    ports[1] = port(
        "mlx5_1",
        health="warning",
        tx_gbps=148.2,
        rx_gbps=151.0,
        errors_per_minute=124.0,
        cnp_per_second=812.0,
        pause_per_second=3912.0,
    )
    ports[3] = down("mlx5_3")
    bond = port(
        "mlx5_bond0", rate_gbps=100.0, expected="spare", tx_gbps=0.0, rx_gbps=0.0, health="unknown", state="DOWN"
    )
    given: dict[str, Any] = {
        "ports": (*ports, bond),
        "devices": (*(device(f"mlx5_{n}") for n in range(8)), device("mlx5_bond0", card="ConnectX-6 Dx")),
        "findings": FINDINGS,
        "counters": COUNTERS,
        "processes": PROCESSES,
    }
    return snapshot(second, **{**given, **changes})


def no_device() -> NodeSnapshot:
    function = PciFunction(
        address="0000:3b:00.0",
        vendor="0x15b3",
        device_id="0x1021",
        card="ConnectX-7",
        driver=None,
        function="pf",
        rdma=None,
    )
    return snapshot(0, devices=(), ports=(), host=Host(pci_functions=(function,)))


BENCHMARKS = (
    benchmark(
        0,
        device="mlx5_1",
        state="running",
        verdict="unknown",
        bandwidth_gbps=None,
        latency_us=None,
        progress=0.62,
        messages_per_s=None,
        verified=None,
        counters=None,
        cpu_percent=None,
        expected_gbps=None,
        limited_by=None,
    ),
    benchmark(
        33,
        device="mlx5_2",
        bandwidth_gbps=223.4,
        verdict="fail",
        limited_by="pcie",
        reason="PCIe runs at x8 of x16 at 0000:37:01.0: 230 Gb/s usable",
    ),
    benchmark(34),
    benchmark(
        60,
        device="mlx5_3",
        state="failed",
        verdict="fail",
        bandwidth_gbps=None,
        latency_us=None,
        messages_per_s=None,
        verified=None,
        counters=None,
        cpu_percent=None,
        expected_gbps=None,
        limited_by=None,
        reason="mlx5_3/1 is down: DOWN, Disabled",
    ),
    benchmark(1500, device="mlx5_2", bandwidth_gbps=389.0),
)


class Scripted:
    """Plays `items` in order, each when `step` is called, or one each `every_s`; notes what it was asked."""

    def __init__(
        self, items: Iterable[NodeSnapshot | Outage] = (), every_s: float | None = None, label: str = "this host"
    ) -> None:
        self.label = label
        self.items = list(items)
        self.every_s = every_s
        self.asked: list[tuple[Any, ...]] = []
        self.rows: tuple[Benchmark, ...] = BENCHMARKS
        self.series: list[Series] = []
        self._queue: asyncio.Queue[NodeSnapshot | Outage] = asyncio.Queue()

    def feed(self, item: NodeSnapshot | Outage) -> None:
        self._queue.put_nowait(item)

    async def snapshots(self) -> AsyncIterator[NodeSnapshot | Outage]:
        for item in self.items:
            yield item
            if self.every_s is not None:
                await asyncio.sleep(self.every_s)
        while True:
            yield await self._queue.get()

    def focus(self, device: str | None, port: int | None) -> None:
        self.asked.append(("focus", device, port))

    async def history(self, device: str, port: int | None, names: tuple[str, ...], seconds: int) -> list[Series]:
        return self.series

    async def benchmarks(self) -> tuple[Benchmark, ...]:
        return self.rows

    async def start_benchmark(self, request: BenchmarkRequest) -> tuple[Benchmark, ...]:
        self.asked.append(("start", request))
        return self.rows[:1]

    async def cancel_benchmark(self, benchmark: str) -> None:
        self.asked.append(("cancel", benchmark))

    def set_interval(self, seconds: float) -> None:
        self.asked.append(("interval", seconds))

    async def close(self) -> None:
        self.asked.append(("close",))


__all__ = ["Gid", "Unread"]
