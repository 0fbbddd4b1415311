"""What a port carries and suffers, from whichever counters its driver has. Other names are one more row."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from agent.readers.counters import Group, Reading
from diagnostics.counters import CounterSpec
from diagnostics.model import Quality

BITS = 8e-9
"""Gb/s of one byte a second."""

CARRIED: tuple[tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]], ...] = (
    (("counters",), ("port_xmit_data",), ("port_rcv_data",)),
    (("hw_counters", "netlink"), ("tx_bytes",), ("rx_bytes",)),  # EFA, bnxt_re, erdma
    (
        ("hw_counters", "netlink"),
        ("tx_rdma_ucast_bytes", "tx_rdma_mcast_bytes"),
        ("rx_rdma_ucast_bytes", "rx_rdma_mcast_bytes"),
    ),  # ionic
    (("netlink",), ("rdma_tx_bytes",), ("rdma_rx_bytes",)),  # mlx5, where switched on
    (
        ("ethtool",),
        ("tx_vport_rdma_unicast_bytes", "tx_vport_rdma_multicast_bytes"),
        ("rx_vport_rdma_unicast_bytes", "rx_vport_rdma_multicast_bytes"),
    ),
)
"""(sources, names of what is sent, of what is received), the first that gives a value is taken. Ethernet's own bytes
(`tx_bytes` of ethtool) are never RDMA's."""

WORST: dict[Quality, int] = {"ok": 0, "wrapped": 1, "first": 2, "reset": 3, "clamped": 4, "stale": 5, "unknown": 6}


def is_pause(name: str) -> bool:
    """Frames of PFC (`rx_prio3_pause`) and global pause, both ways; their durations are other counters."""
    return name.startswith(("rx_prio", "tx_prio", "rx_global", "tx_global")) and name.endswith("_pause")


SUMS: dict[str, Callable[[str], bool]] = {
    "cnp_per_second": frozenset(("rp_cnp_handled", "np_cnp_sent")).__contains__,
    "ecn_per_second": frozenset(("np_ecn_marked_roce_packets",)).__contains__,
    "pause_per_second": is_pause,
    "discards_per_second": frozenset(("rx_discards_phy", "tx_discards_phy", "port_xmit_discards")).__contains__,
}
"""Field of a Port -> the counters it adds up."""


class Plan(NamedTuple):
    """Where the counters of interest stand in a group's layout."""

    specs: tuple[CounterSpec, ...]
    carried: tuple[tuple[int, tuple[int, ...], tuple[int, ...]], ...]
    """(rank in CARRIED, places of what is sent, of what is received)."""
    sums: tuple[tuple[str, tuple[int, ...]], ...]
    errors: dict[str, int]
    """Name -> place of the counters of class error."""


class Traffic(NamedTuple):
    tx_gbps: float | None = None
    rx_gbps: float | None = None
    quality: Quality = "unknown"
    sums: dict[str, float | None] = {}  # noqa: RUF012 - never written to


_plans: dict[int, Plan] = {}
_MOST_PLANS = 4096


def plan_of(source: str, specs: tuple[CounterSpec, ...]) -> Plan:
    """Made once a layout. The plan holds the tuple, so that its id stays its own."""
    plan = _plans.get(id(specs))
    if plan is None or plan.specs is not specs:
        if len(_plans) >= _MOST_PLANS:
            _plans.clear()
        plan = _plans[id(specs)] = _make_plan(source, specs)
    return plan


def _make_plan(source: str, specs: tuple[CounterSpec, ...]) -> Plan:
    places = {spec.name: place for place, spec in enumerate(specs)}
    carried = []
    for rank, (sources, sent, received) in enumerate(CARRIED):
        if source in sources and sent[0] in places and received[0] in places:
            carried.append((rank, _places(sent, places), _places(received, places)))
    sums = [(field, tuple(place for name, place in places.items() if wanted(name))) for field, wanted in SUMS.items()]
    return Plan(
        specs,
        tuple(carried),
        tuple((field, found) for field, found in sums if found),
        {spec.name: place for place, spec in enumerate(specs) if spec.cls == "error"},
    )


def _places(names: Iterable[str], places: dict[str, int]) -> tuple[int, ...]:
    return tuple(places[name] for name in names if name in places)


def traffic_of(groups: Iterable[Group]) -> Traffic:
    """Of one port's groups, from their last readings."""
    best: tuple[int, Reading, tuple[int, ...], tuple[int, ...]] | None = None
    sums: dict[str, float | None] = {}
    for group in groups:
        reading = group.reading
        if reading is None:
            continue
        plan = plan_of(group.source, reading.block.specs)
        for rank, sent, received in plan.carried:
            values = reading.block.values
            if (best is None or rank < best[0]) and values[sent[0]] is not None and values[received[0]] is not None:
                best = (rank, reading, sent, received)
        for field, places in plan.sums:
            found = _sum(reading.rates.per_second, places)
            if found is not None:
                sums[field] = (sums.get(field) or 0.0) + found
    if best is None:
        return Traffic(sums=sums)
    _, reading, sent, received = best
    quality = max((reading.rates.quality[place] for place in (*sent, *received)), key=WORST.__getitem__)
    return Traffic(_gbps(reading.rates.per_second, sent), _gbps(reading.rates.per_second, received), quality, sums)


def _gbps(rates: list[float | None], places: tuple[int, ...]) -> float | None:
    total = _sum(rates, places)
    return None if total is None else round(total * BITS, 6)


def _sum(rates: list[float | None], places: tuple[int, ...]) -> float | None:
    known = [rate for place in places if (rate := rates[place]) is not None]
    return sum(known) if known else None
