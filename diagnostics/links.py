"""What links and slots carry: rates as sysfs prints them, PCIe arithmetic, and what a benchmark should reach."""

from typing import Literal, NamedTuple

from diagnostics.cards import find_card
from diagnostics.model import BenchmarkVerdict

LANE_GBPS = {
    "SDR": 2.5,
    "DDR": 5.0,
    "QDR": 10.0,
    "FDR10": 10.0,
    "FDR": 14.0,
    "EDR": 25.0,
    "HDR": 50.0,
    "NDR": 100.0,
    "XDR": 200.0,
}
"""InfiniBand's name of a lane speed -> Gb/s a lane as sysfs counts it (kernel core/sysfs.c `rate_show`)."""

_DATA_SHARE = {"SDR": 0.8, "DDR": 0.8, "QDR": 0.8, "FDR": 54.54 / 56}
"""Of the printed rate, what 8b/10b (and FDR's 64b/66b at 14.0625 Gb/s) leaves for data; others print the data rate."""

PASS, NOTE, WARN = 0.95, 0.90, 0.80
"""Shares of the expectation: from PASS good, from NOTE good with a remark, from WARN slow, less is failed.

0.90 is ngc_multinode_perf's rule and at or below every published floor for NVIDIA and CPU hosts at large messages.
"""
BASELINE_SHARE = 0.95
"""Under this share of the node's own earlier result it is slower than it was (superbenchmark's rule)."""

JUDGED_BYTES = 64 * 1024
"""Smaller messages are bound by message rate and latency, not by the link: perftest's own default is the least."""
MESSAGES_PER_QP = 500_000
"""A second, that any host surely posts on one queue pair. At NDR one queue pair of 64 KiB looks slow on sound links
(perftest issue 318): it would need 763,000."""

Limit = Literal["link", "pcie", "host"]


class Rate(NamedTuple):
    """The rate of a port, of the sum of its lanes."""

    gbps: float
    lanes: int | None
    speed: str | None
    """`NDR`; None where an old kernel leaves it out: it says (4X) for SDR and for all it does not know."""


class Expectation(NamedTuple):
    """What a benchmark should reach; unpacks as `(gbps, limited_by)`."""

    gbps: float | None
    """None: no figure that the result could fairly be held against."""
    limited_by: Limit | None


_LONGEST_NUMBER = 12
"""Digits of a rate or speed; more is garbage, and 400 of them would be infinity."""


def _positive(text: str) -> float | None:
    """`2.5` -> 2.5; None for 0, for signs, exponents, nan and whatever else float() would take."""
    if len(text) > _LONGEST_NUMBER or not text.isascii() or not text.replace(".", "", 1).isdecimal():
        return None
    return float(text) or None


def parse_rate(text: str) -> Rate | None:
    """`200 Gb/sec (4X HDR)`, `10 Gb/sec (4X)`, `400 Gb/sec`; None for `0 Gb/sec` and for what is no rate."""
    number, unit, rest = text.strip().partition(" Gb/sec")
    gbps = _positive(number)
    if not unit or gbps is None:
        return None
    rest = rest.strip()
    if not rest:
        return Rate(gbps, None, None)
    if not (rest.startswith("(") and rest.endswith(")")):
        return None
    width, _, speed = rest[1:-1].partition("X")
    if not (width.isascii() and width.isdecimal()):
        return None
    return Rate(gbps, int(width) or None, speed.strip() or None)


def data_gbps(rate: Rate, link_layer: str | None = "InfiniBand") -> float:
    """What is left for packets after line encoding. Ethernet's speed is the data rate already, whatever its label."""
    share = _DATA_SHARE.get(rate.speed or "", 1.0) if link_layer == "InfiniBand" else 1.0
    return rate.gbps * share


def parse_pcie_speed(text: str) -> float | None:
    """`32.0 GT/s PCIe` or `16 GT/s` -> GT/s a lane; None for `Unknown`, `Unknown speed` and 0."""
    number, unit, _ = text.strip().partition("GT/s")
    return _positive(number.strip()) if unit else None


_PAYLOAD = 256
"""Bytes in a transaction packet: the least MaxPayload that servers set."""
_OVERHEAD = 24
"""Header, sequence number, CRC and framing of a transaction packet."""
_GEN6_OVERHEAD = 16
"""In a flit only the header: the flit's own CRC and FEC are in its encoding (236 of 256 bytes)."""


def pcie_limit_gbps(speed_gts: float | None, width: int | None) -> float | None:
    """Usable Gb/s one way of a slot: 115 for Gen3 x16 and Gen4 x8, 230 for Gen4 x16, 461 for Gen5 x16."""
    if not speed_gts or not width or speed_gts <= 0 or width <= 0:
        return None
    if speed_gts <= 5:
        encoding, overhead = 8 / 10, _OVERHEAD
    elif speed_gts < 64:
        encoding, overhead = 128 / 130, _OVERHEAD
    else:
        encoding, overhead = 236 / 256, _GEN6_OVERHEAD
    return speed_gts * width * encoding * _PAYLOAD / (_PAYLOAD + overhead)


def card_name(card: int | str | None, firmware: str | None = None) -> str | None:
    """`ConnectX-7` for `MT4129`, `0x1021` or 4129, of physical and virtual functions; None for cards not known."""
    found = find_card(card, firmware)
    return found.name if found else None


def card_max_gbps(card: int | str | None, ports: int = 1) -> float | None:
    """The most a port of this family does, by the card's number of ports; None where the id leaves it open.

    An upper bound: a 200G product of a 400G family has the same PCI id and can only be told by its PSID.
    """
    found = find_card(card)
    if found is None:
        return None
    return found.two_ports_gbps or found.port_gbps if ports > 1 else found.port_gbps


def traffic_ceiling_gbps(
    rate: Rate | float | None, pcie_gbps: float | None = None, link_layer: str | None = None
) -> float | None:
    """The most that a port's traffic counters can move at, one way, for `rates.rates`; None if the rate is unknown.

    On Ethernet two functions of one card talk inside it, past the wire and up to what PCIe carries.
    """
    gbps = rate.gbps if isinstance(rate, Rate) else rate
    if gbps is None:
        return None
    return max(gbps, pcie_gbps) if link_layer == "Ethernet" and pcie_gbps else gbps


def expected_benchmark(
    link_gbps: float | None,
    pcie_gbps: float | None,
    bidirectional: bool = False,
    size_bytes: int = 1 << 20,
    *,
    qps: int = 1,
    loopback: bool = True,
    software: bool = False,
) -> Expectation:
    """What large messages should reach: the lesser of the port's rate and the slot's limit, doubled both ways.

    No figure, and `host`, where not the link but posting bounds it: under 64 KiB, more messages a second than `qps`
    queue pairs surely post, and soft-RoCE, whose rate says nothing of a wire. In a loopback both directions share the
    port and the slot, so the sum is not doubled. Send and read move the same bytes as write over the same hops; a read
    keeps the link full at these sizes with the 16 requests in flight that every card has.
    """
    if link_gbps is None or link_gbps <= 0:
        return Expectation(None, None)
    directions = 2 if bidirectional and not loopback else 1
    limit: Limit = "link"
    each = link_gbps
    if pcie_gbps is not None and pcie_gbps < link_gbps:
        limit, each = "pcie", pcie_gbps
    messages_per_s = each * 1e9 / 8 / max(size_bytes, 1)
    if software or size_bytes < JUDGED_BYTES or messages_per_s > MESSAGES_PER_QP * qps:
        return Expectation(None, "host")
    return Expectation(each * directions, limit)


def benchmark_verdict(
    measured_gbps: float | None, expected_gbps: float | None, baseline_gbps: float | None = None
) -> BenchmarkVerdict:
    """pass, note, warn or fail by the share of the expectation; warn too where it is 5 % under the own baseline."""
    if measured_gbps is None or (not expected_gbps and not baseline_gbps):
        return "unknown"
    verdict: BenchmarkVerdict = "pass"
    if expected_gbps:
        share = measured_gbps / expected_gbps
        verdict = "pass" if share >= PASS else "note" if share >= NOTE else "warn" if share >= WARN else "fail"
    if baseline_gbps and measured_gbps < BASELINE_SHARE * baseline_gbps and verdict in ("pass", "note"):
        return "warn"
    return verdict
