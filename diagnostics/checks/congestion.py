"""Layer congestion: what holds a port back, and whether the fabric or this host is the cause.

The directions decide: pause received means that the other end told us to wait (fabric); pause sent, drops on receiving
and PCIe stalls mean that this host does not take packets fast enough. Carrying the full rate is no finding.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from diagnostics.checks.base import (
    Check,
    Judgement,
    Raised,
    State,
    Threshold,
    check,
    label,
    number,
    row_of,
    span,
)
from diagnostics.checks.errors import OURS
from diagnostics.checks.rules import (
    SHORTEST_AVERAGE_S,
    Rule,
    added_up,
    counters_of,
    evidence_of,
    judge_port,
    not_judged,
    stay,
    targets,
    unread,
)
from diagnostics.model import Evidence
from diagnostics.windows import MINUTE, Delta

KERNEL = "Linux mlx5 counters.rst"

PRIORITIES = range(8)
RX_PAUSE = (*(f"rx_prio{n}_pause" for n in PRIORITIES), "rx_global_pause")
TX_PAUSE = (*(f"tx_prio{n}_pause" for n in PRIORITIES), "tx_global_pause")
RX_PAUSED_US = (*(f"rx_prio{n}_pause_duration" for n in PRIORITIES), "rx_global_pause_duration")
TX_PAUSED_US = (*(f"tx_prio{n}_pause_duration" for n in PRIORITIES), "tx_global_pause_duration")
RX_DROPS = (
    "rx_discards_phy",
    *(f"rx_prio{n}_{kind}" for n in PRIORITIES for kind in ("discards", "buf_discard", "cong_discard")),
)
PCI_STALLS = ("outbound_pci_stalled_rd_events", "outbound_pci_stalled_wr_events")

US_PER_S = 1e6


class Pauses(NamedTuple):
    """Pause frames of one direction over the window."""

    frames_per_s: float
    share: float
    """Of the time, 0 to 1, that the sender stood still; 0 where durations are not counted."""
    seconds: float
    parts: list[tuple[str, float]]
    shown_per_s: float
    """Over the time really covered; what is judged is spread over ten seconds at least."""


def _pauses(state: State, device: str, port: int, frames: tuple[str, ...], durations: tuple[str, ...]) -> Pauses:
    count, covered, parts = added_up(state, frames, device, port, MINUTE)
    paused_us, paused_covered, more = added_up(state, durations, device, port, MINUTE)
    base, paused_base = max(covered, SHORTEST_AVERAGE_S), max(paused_covered, SHORTEST_AVERAGE_S)
    seconds = max(covered, paused_covered)
    shown = count / covered if covered > 0 else 0.0
    return Pauses(count / base, paused_us / US_PER_S / paused_base, seconds, parts + more, shown)


FABRIC_COUNTERS = (*RX_PAUSE, *RX_PAUSED_US, *TX_PAUSE, "rp_cnp_handled")


@check(
    "congestion-fabric",
    layer="congestion",
    title="The fabric holds this port back",
    hint="look at the switch: which port of it is congested or slow, and its ECN and PFC settings",
    thresholds=(
        Threshold("pauses_per_s", 100, "frames/s", MINUTE, OURS),
        Threshold("paused_share", 0.01, "of the time", MINUTE, OURS),
    ),
    counters=FABRIC_COUNTERS,
    clear_s=60,
)
def congestion_fabric(state: State) -> Judgement:
    """Meaning: the switch sends pause frames (PFC or global) to this port: something behind it, often one slow
    receiver, cannot take what is sent. This host is not the cause, unless it pauses the fabric too (congestion-host).

    Evidence: pause frames received and their duration over 1 min; CNPs handled beside it. Nobody publishes a figure;
    some pauses are normal on a lossless network.

    Next: the switch's counters, and congestion-host findings on the nodes that this one sends to.
    """
    row = row_of("congestion-fabric")
    blocked = not_judged(state, row)
    if blocked is not None:
        yield blocked
        return
    for device, port in targets(state):
        yield from _paused_by_fabric(state, row, device, port)


def _paused_by_fabric(state: State, row: Check, device: str, port: int) -> Iterator[Raised]:
    received = _pauses(state, device, port, RX_PAUSE, RX_PAUSED_US)
    if not received.parts:
        return
    limit, share = state.threshold(row, "pauses_per_s"), state.threshold(row, "paused_share")
    factor = stay(state, row, device, port)
    broken = received.frames_per_s > limit.value * factor or received.share > share.value * factor
    sent = _pauses(state, device, port, TX_PAUSE, ())
    handled, _, cnps = added_up(state, ("rp_cnp_handled",), device, port, MINUTE)
    held = f" for {received.share:.1%} of the time" if received.share > 0 else ""
    rate = f"{number(received.shown_per_s)} pauses received/s{held}"
    told = f", {number(handled / (received.seconds or 1.0))} CNP handled/s" if handled else ""
    own = (
        f"pauses sent {number(sent.shown_per_s)}/s: this host pauses too, see congestion-host"
        if sent.frames_per_s > 0
        else "pauses sent 0: not this host"
    )
    yield Raised(
        "warning" if broken else "info",
        f"{label(device, port)}: the fabric holds this port back: {rate}{told} over {span(received.seconds)}; {own}",
        device,
        port,
        evidence_of(received.parts + cnps + sent.parts, received.seconds, limit),
        unread=unread(state, row, device, port),
        causes=("congestion-host",) if sent.frames_per_s > received.frames_per_s else None,
    )


HOST_RULES = (
    Rule(
        ("tx_pause_storm_error_events",),
        "pause storms that the NIC had to stop",
        "critical",
        "storms",
        why="this host stood still and stopped the fabric",
    ),
    Rule(("tx_pause_storm_warning_events",), "long pauses by this host", "warning", "storms"),
    Rule(
        RX_DROPS,
        "packets dropped on receiving",
        "warning",
        "drops_per_s",
        "rate",
        why="no buffer: this host takes them too slowly",
    ),
    Rule(("outbound_pci_buffer_overflow",), "packets dropped because PCIe was full", "warning", "pci_overflow"),
    Rule(PCI_STALLS, "seconds in which PCIe stalled for over 30 %", "warning", "pci_stalls"),
    Rule(RX_DROPS, "packets dropped on receiving", "info"),
)


@check(
    "congestion-host",
    layer="congestion",
    title="This host holds the fabric back",
    hint="look at PCIe (pcie-slow, pcie-errors), NUMA placement, CPU load and memory; not at the switch",
    thresholds=(
        Threshold("pauses_per_s", 100, "frames/s", MINUTE, OURS),
        Threshold("paused_share", 0.01, "of the time", MINUTE, OURS),
        Threshold("storms", 0, "events", MINUTE, KERNEL + ": the NIC stops a pause storm"),
        Threshold("drops_per_s", 1, "packets/s", MINUTE, OURS + "; 0 on a lossless priority"),
        Threshold("pci_overflow", 0, "packets", MINUTE, KERNEL),
        Threshold("pci_stalls", 5, "s", MINUTE, KERNEL + ": its event is a second with over 30 % stalled"),
    ),
    follows=("pcie-slow", "pcie-errors"),
    counters=(*TX_PAUSE, *TX_PAUSED_US, *counters_of(HOST_RULES)),
    clear_s=60,
)
def congestion_host(state: State) -> Judgement:
    """Meaning: packets arrive faster than this host takes them. The NIC sends pause frames, which stop the switch and
    then everybody who shares its buffers; or it drops. The usual causes are a PCIe link that is too narrow or stalls,
    memory far from the NIC, and an overloaded CPU.

    Evidence: pause frames sent and their duration, drops on receiving, PCIe stalls and overflows, over 1 min.

    Next: PCIe findings of the same device come first; then NUMA and CPU.
    """
    row = row_of("congestion-host")
    blocked = not_judged(state, row)
    if blocked is not None:
        yield blocked
        return
    for device, port in targets(state):
        yield from _held_back_by_host(state, row, device, port)


def _held_back_by_host(state: State, row: Check, device: str, port: int) -> Iterator[Raised]:
    sent = _pauses(state, device, port, TX_PAUSE, TX_PAUSED_US)
    by_rule = judge_port(state, row, HOST_RULES, device, port)
    if not sent.parts:
        if by_rule is not None:
            yield by_rule
        return
    limit, share = state.threshold(row, "pauses_per_s"), state.threshold(row, "paused_share")
    factor = stay(state, row, device, port)
    broken = sent.frames_per_s > limit.value * factor or sent.share > share.value * factor
    held = f" for {sent.share:.1%} of the time" if sent.share > 0 else ""
    worse = by_rule.severity if by_rule is not None else "info"
    also = "; " + by_rule.message.partition(": ")[2] if by_rule is not None else ""
    yield Raised(
        "critical" if worse == "critical" else "warning" if broken or worse == "warning" else "info",
        f"{label(device, port)}: this host holds the fabric back: {number(sent.shown_per_s)} pauses sent/s{held} "
        f"over {span(sent.seconds)}{also}",
        device,
        port,
        evidence_of(sent.parts, sent.seconds, limit) + (by_rule.evidence if by_rule is not None else ()),
        unread=unread(state, row, device, port),
    )


@check(
    "xmit-wait",
    layer="congestion",
    title="The port waits for credits to send",
    hint="look at what this port sends to: a slow receiver or an oversubscribed link further on",
    thresholds=(
        Threshold("over_peers", 10, "times the peers' median", MINUTE, OURS),
        Threshold("per_word", 1, "ticks a word sent", MINUTE, OURS),
        Threshold("least_words_per_s", 250_000, "words/s", MINUTE, OURS + ": below 1 MB/s sent a ratio is noise"),
    ),
    follows=("link-slow", "congestion-fabric"),
    counters=("port_xmit_wait",),
    clear_s=60,
)
def xmit_wait(state: State) -> Judgement:
    """Meaning: InfiniBand has no pause frames; a port without credits waits, and counts it in ticks of the card's own
    clock. So no absolute figure means anything; the ratio to the data sent, and to the same ratio of the node's other
    ports, does. (infiniband-diags' example of 1,000 is crossed at once by any busy link.)

    Evidence: ticks waited for each 4-octet word sent, over 1 min, against the median of the other ports. Waiting on
    all ports alike is a note, on one of them a warning.

    Next: the fabric's map: which switch port on the way is oversubscribed or slow.
    """
    row = row_of("xmit-wait")
    blocked = not_judged(state, row)
    if blocked is not None:
        yield blocked
        return
    from statistics import median  # 1 ms, for whoever has two readings

    limit, over, least = (state.threshold(row, name) for name in ("per_word", "over_peers", "least_words_per_s"))
    ratios = {target: found for target in targets(state) if (found := _wait_ratio(state, least, *target)) is not None}
    for (device, port), (ratio, waited) in ratios.items():
        others = [value for target, (value, _) in ratios.items() if target != (device, port)]
        usual = median(others) if len(others) >= 2 else None
        factor = stay(state, row, device, port)
        if ratio <= limit.value * factor:
            continue
        alone = usual is not None and ratio > over.value * usual
        beside = f", its peers {usual:.2g}" if usual is not None else ""
        yield Raised(
            "warning" if alone else "info",
            f"{label(device, port)}: waited {ratio:.3g} ticks for each word sent over {span(waited.seconds)}{beside}",
            device,
            port,
            (
                Evidence(
                    name="port_xmit_wait / port_xmit_data",
                    value=ratio,
                    unit="ticks/word",
                    window_s=waited.seconds,
                    threshold=limit.value,
                    source=limit.publisher,
                ),
            ),
            unread=unread(state, row, device, port),
        )


def _wait_ratio(state: State, least: Threshold, device: str, port: int) -> tuple[float, Delta] | None:
    waited = state.delta(device, port, "port_xmit_wait", MINUTE)
    sent = state.delta(device, port, "port_xmit_data", MINUTE)
    if waited is None or sent is None or waited.value is None or sent.value is None or sent.seconds <= 0:
        return None
    words = sent.value / 4
    if words / sent.seconds < least.value:
        return None
    return waited.value / words, waited
