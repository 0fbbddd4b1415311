"""Layer congestion, as the receiver sees it: packets that switches marked, and packets out of order."""

from __future__ import annotations

from collections.abc import Iterator

from diagnostics.checks.base import Check, Judgement, Raised, State, Threshold, check, label, number, row_of, span
from diagnostics.checks.errors import OURS
from diagnostics.checks.rules import SHORTEST_AVERAGE_S, added_up, evidence_of, not_judged, stay, targets, unread
from diagnostics.model import Severity
from diagnostics.windows import MINUTE

ECN_COUNTERS = ("np_ecn_marked_roce_packets", "np_cnp_sent", "rp_cnp_handled", "rp_cnp_ignored")


@check(
    "ecn-marked",
    layer="congestion",
    title="Switches mark packets: congestion control is at work",
    hint="nothing while rates are good; else compare rails and the switch's ECN thresholds",
    thresholds=(
        Threshold("noted", 10, "packets", MINUTE, OURS),
        Threshold("marked_share", 0.05, "of packets received", MINUTE, OURS),
        Threshold("marked", 1000, "packets", MINUTE, OURS + ": below it a share is noise"),
        Threshold("ignored", 0, "CNPs", MINUTE, "NVIDIA mlx5 counter guide: stays 0 while congestion control is on"),
    ),
    follows=("congestion-fabric", "congestion-host"),
    counters=ECN_COUNTERS,
    clear_s=60,
)
def ecn_marked(state: State) -> Judgement:
    """Meaning: a switch marks packets (ECN) where its queue grows; the receiver counts them and sends CNPs; the sender
    slows down. That is congestion control doing its work, so it is a note. It is a warning when a large share is
    marked, or when CNPs arrive and are ignored: then this port is not told to slow down.

    Evidence: marked packets and CNPs over 1 min, and their share of the packets received.

    Next: many-to-one traffic is the usual reason; look for the receiver that all send to.
    """
    row = row_of("ecn-marked")
    blocked = not_judged(state, row)
    if blocked is not None:
        yield blocked
        return
    for device, port in targets(state):
        yield from _marked(state, row, device, port)


def _marked(state: State, row: Check, device: str, port: int) -> Iterator[Raised]:
    total, seconds, parts = added_up(state, ECN_COUNTERS, device, port, MINUTE)
    noted, share, least, ignored = (
        state.threshold(row, name) for name in ("noted", "marked_share", "marked", "ignored")
    )
    rose = dict(parts)
    lost = rose.get("rp_cnp_ignored", 0.0)
    if total <= noted.value and lost <= ignored.value:
        return
    received = state.delta(device, port, "port_rcv_packets", MINUTE)
    marked = rose.get("np_ecn_marked_roce_packets", 0.0)
    part = marked / received.value if received is not None and received.value else 0.0
    facts = ", ".join(f"{name} {number(value)}" for name, value in parts)
    severity: Severity = "warning" if lost > ignored.value or (part > share.value and marked > least.value) else "info"
    why = (
        "CNPs are ignored: congestion control is off here"
        if lost > ignored.value
        else (f"{part:.1%} of the packets received were marked" if part > 0 else "congestion control is at work")
    )
    yield Raised(
        severity,
        f"{label(device, port)}: {why}: {facts} in {span(seconds)}",
        device,
        port,
        evidence_of(parts, seconds, share),
        unread=unread(state, row, device, port),
    )


@check(
    "out-of-sequence",
    layer="congestion",
    title="Packets arrive out of order",
    hint="with adaptive routing some are expected; else packets are lost on the way: see the switch's drops",
    thresholds=(
        Threshold("share", 0.001, "of packets received", MINUTE, OURS),
        Threshold("per_second", 100, "packets/s", MINUTE, OURS),
    ),
    follows=("link-errors", "symbol-errors", "congestion-host", "congestion-fabric"),
    counters=("out_of_sequence", "out_of_seq_request"),
    clear_s=60,
)
def out_of_sequence(state: State) -> Judgement:
    """Meaning: packets were lost or overtook each other on the way here. With adaptive routing or multiplane some are
    normal; without it each is a loss somewhere in the fabric.

    Evidence: their rise over 1 min and their share of the packets received. Nobody publishes an absolute figure.

    Next: compare with the sender's retransmissions and the drops of the switches between.
    """
    row = row_of("out-of-sequence")
    blocked = not_judged(state, row)
    if blocked is not None:
        yield blocked
        return
    share, rate = state.threshold(row, "share"), state.threshold(row, "per_second")
    for device, port in targets(state):
        total, seconds, parts = added_up(state, row.counters, device, port, MINUTE)
        if total <= 0:
            continue
        received = state.delta(device, port, "port_rcv_packets", MINUTE)
        part = total / received.value if received is not None and received.value else None
        factor = stay(state, row, device, port)
        per_s = total / max(seconds, SHORTEST_AVERAGE_S)
        many = per_s > rate.value * factor and (part is None or part > share.value * factor)
        of = f", {part:.2%} of those received" if part is not None else ""
        yield Raised(
            "warning" if many else "info",
            f"{label(device, port)}: {number(total)} packets out of sequence in {span(seconds)}{of}",
            device,
            port,
            evidence_of(parts, seconds, share),
            unread=unread(state, row, device, port),
        )
