"""What judging costs a sample: all checks on 8 HCAs x 60 counters, on a quiet node, on a busy one and on a sick one.

The history is the agent's own, filled with ten minutes; the peer is the budget of 2 ms CPU.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from diagnostics.checks.engine import Judge
from diagnostics.counters import CATALOGUE, spec_of
from diagnostics.model import Counter, NodeSnapshot
from diagnostics.windows import Delta
from tests.bench.ratio import Ratio, at_most
from tests.unit.made_node import device, gid, roce, snapshot

BUDGET_MS = 2.0
HCAS, COUNTERS = 8, 60
SAMPLES = 300

NAMES = [spec.name for spec in CATALOGUE if spec.source == "counters"][:21]
MLX5 = [spec.name for spec in CATALOGUE if spec.source == "hw_counters" and "mlx5" in spec.origin][:29]
ETHTOOL = ["rx_prio3_pause", "tx_prio3_pause", "rx_prio3_pause_duration", "tx_prio3_pause_duration", "rx_discards_phy",
           "outbound_pci_stalled_rd_events", "rx_pcs_symbol_err_phy", "rx_corrected_bits_phy", "rx_bits_phy",
           "link_down_events_phy"]  # fmt: skip
TRAFFIC = frozenset({"port_xmit_data", "port_rcv_data", "port_xmit_packets", "port_rcv_packets", "rx_bits_phy"})
CONGESTION = TRAFFIC | {
    "rp_cnp_handled",
    "np_cnp_sent",
    "np_ecn_marked_roce_packets",
    "port_xmit_wait",
    "rx_prio3_pause",
}


class Windows:
    """Answers as quickly as a history in memory can: a dictionary."""

    def __init__(self, rises: dict[tuple[str, int | None, str], Delta]) -> None:
        self._rises = rises

    def delta(self, device: str, port: int | None, name: str, window_s: float) -> Delta | None:
        return self._rises.get((device, port, name))


def counters_of(name: str, value: int, moving: frozenset[str] | None) -> list[Counter]:
    made = []
    for source, names in (("counters", NAMES), ("hw_counters", MLX5), ("ethtool", ETHTOOL)):
        for each in names:
            spec = spec_of(each, source)
            count = 7 + (value if moving is None or each in moving else 0)
            made.append(Counter(node="n", device=name, port=1, name=each, source=source, value=count, unit=spec.unit,  # type: ignore[arg-type]
                                class_=spec.cls, per_second=1.0, quality="ok", meaning=spec.meaning))  # fmt: skip
    return made


def node(value: int, moving: frozenset[str], sick: int) -> NodeSnapshot:
    """`sick` HCAs have every counter rising, the others those that are `moving`."""
    names = [f"mlx5_{number}" for number in range(HCAS)]
    counters = [
        each
        for number, name in enumerate(names)
        for each in counters_of(name, value, None if number < sick else moving)
    ]
    return snapshot([roce(name) for name in names], [device(name) for name in names], counters,
                    gids=tuple(gid(name) for name in names))  # fmt: skip


def cpu_ms(moving: frozenset[str], sick: int) -> float:
    """CPU of a step, the mean of a turn; the least of three turns."""
    nodes = [node(value, moving, sick) for value in range(2)]
    rises = {(each.device, each.port, each.name): Delta(5000.0, 60.0, "ok") for each in nodes[0].counters}
    windows, least = Windows(rises), float("inf")
    for _ in range(3):
        judge = Judge()
        step = _stepper(judge, nodes, windows)
        for second in range(5):
            step(second)
        start = time.process_time()
        for second in range(5, 5 + SAMPLES):
            step(second)
        least = min(least, time.process_time() - start)
    return least / SAMPLES * 1e3


def _stepper(judge: Judge, nodes: list[NodeSnapshot], windows: Windows) -> Callable[[int], object]:
    """Every second another snapshot, as the sampler makes them: no object is the same as before."""
    copies = [
        msgspec.structs.replace(each, counters=tuple(msgspec.structs.replace(c) for c in each.counters))
        for each in nodes
    ]
    return lambda second: judge.step(copies[second % 2], windows, float(second), float(second))


def run() -> list[Ratio]:
    cases = {
        "quiet": (frozenset[str](), 0),
        "busy and congested": (CONGESTION, 0),
        "one HCA with every counter rising": (CONGESTION, 1),
    }
    return [
        at_most(f"all checks of {HCAS} HCAs x {COUNTERS} counters, {case}", cpu_ms(*how), BUDGET_MS, "ms CPU")
        for case, how in cases.items()
    ]
