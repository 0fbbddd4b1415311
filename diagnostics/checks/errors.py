"""Layer errors: what the wire, the transport and the queue pairs lost or refused."""

from __future__ import annotations

from collections.abc import Iterator

from diagnostics.checks.base import Judgement, Raised, State, Threshold, Unjudged, check, fact, label, row_of, span
from diagnostics.checks.rules import Rule, counters_of, judge_rules, targets, unread
from diagnostics.model import Evidence
from diagnostics.windows import HOUR, MINUTE

NVSENTINEL = "NVSentinel NIC health monitor"
NVSENTINEL_LINK = "https://github.com/NVIDIA/NVSentinel/blob/main/docs/nic-health-monitor.md"
IB_DIAGS = "infiniband-diags error_thresholds, a lifetime figure there"
UFM = "UFM default event thresholds"
OURS = "rdmatop's judgement; nobody publishes a figure"

CABLE = "reseat or replace the cable or module; compare both ends with mlxlink -d DEVICE -c -m"

WIRE = (
    Rule(
        ("module_high_temp", "module_bad_shorted", "module_bus_stuck"),
        "module alarms",
        "warning",
        "module_alarms",
        why="the cable or optical module itself complains",
    ),
    Rule(
        ("rx_icrc_encapsulated",),
        "packets with a bad ICRC",
        "warning",
        "bad_icrc",
        why="corrupted on the way through the fabric",
    ),
    Rule(
        ("link_error_recovery",),
        "link recoveries",
        "warning",
        "recoveries_per_min",
        why="the link retrains without going down",
    ),
    Rule(("port_rcv_errors",), "packets received with an error", "warning", "receive_errors_per_s", "rate"),
    Rule(("port_rcv_errors",), "packets received with an error", "warning", "receive_errors_per_hour"),
    Rule(
        ("rx_pcs_symbol_err_phy", "rx_symbol_err_phy", "rx_crc_errors_phy"),
        "errors that FEC did not correct",
        "warning",
        "phy_errors_per_min",
    ),
    Rule(
        ("port_rcv_remote_physical_errors",),
        "packets marked bad upstream",
        "warning",
        "remote_errors_per_hour",
        why="the faulty link is another one, towards the sender",
    ),
    Rule(("link_error_recovery",), "link recoveries", "info"),
    Rule(("port_rcv_errors",), "packets received with an error", "info"),
    Rule(("port_rcv_remote_physical_errors",), "packets marked bad upstream", "info"),
    Rule(
        ("rx_pcs_symbol_err_phy", "rx_symbol_err_phy", "rx_crc_errors_phy"), "errors that FEC did not correct", "info"
    ),
)

BER = ("rx_corrected_bits_phy", "rx_bits_phy")


@check(
    "link-errors",
    layer="errors",
    title="The wire corrupts packets",
    hint=CABLE,
    thresholds=(
        Threshold("module_alarms", 0, "events", HOUR, OURS),
        Threshold("bad_icrc", 0, "packets", MINUTE, "NVIDIA mlx5 counter guide: stays 0"),
        Threshold("recoveries_per_min", 5, "events", MINUTE, NVSENTINEL, NVSENTINEL_LINK),
        Threshold("receive_errors_per_s", 10, "packets/s", MINUTE, NVSENTINEL, NVSENTINEL_LINK),
        Threshold("receive_errors_per_hour", 100, "packets", HOUR, OURS + f"; {IB_DIAGS}: 10"),
        Threshold("phy_errors_per_min", 10, "errors", MINUTE, OURS),
        Threshold("remote_errors_per_hour", 100, "packets", HOUR, IB_DIAGS),
        Threshold("raw_bit_error_ratio", 1e-7, "", MINUTE, "OCI health checks: raw BER tolerated on RoCE"),
    ),
    follows=("link-flap", "link-down", "kernel-log"),
    counters=(*counters_of(WIRE), *BER),
    clear_s=60,
)
def link_errors(state: State) -> Judgement:
    """Meaning: packets arrive damaged, or the link has to retrain. Each damaged packet is sent again, so the job slows
    down long before the link fails. `port_rcv_remote_physical_errors` were marked bad by a switch: the bad link is
    another one on the way.

    Evidence: rises of the receive-error counters, link recoveries, symbol and CRC errors of the PHY, ICRC errors of
    RoCE, alarms of the module, and the share of bits that FEC had to correct.

    Next: look at the cable and module of both ends; move the cable to see whether the errors move with it.
    """
    yield from judge_rules(state, "link-errors", WIRE)
    if state.windows is not None:
        yield from _bit_errors(state)


def _bit_errors(state: State) -> Iterator[Raised]:
    row = row_of("link-errors")
    limit = state.threshold(row, "raw_bit_error_ratio")
    for device, port in targets(state):
        corrected, bits = (state.delta(device, port, name, limit.window_s or MINUTE) for name in BER)
        if corrected is None or bits is None or corrected.value is None or not bits.value:
            continue
        ratio = corrected.value / bits.value
        if ratio > limit.value:
            yield Raised(
                "warning",
                f"{label(device, port)}: one bit in {1 / ratio:,.0f} needed correction over {span(bits.seconds)}, "
                f"a raw bit error ratio of {ratio:.1e}; threshold {limit.value:.0e}",
                device,
                port,
                (
                    Evidence(
                        name="rx_corrected_bits_phy / rx_bits_phy",
                        value=ratio,
                        unit="",
                        window_s=bits.seconds,
                        threshold=limit.value,
                        source=limit.publisher,
                    ),
                ),
                unread=unread(state, row, device, port),
                key="ber",
            )


SYMBOL = (
    Rule(("symbol_error",), "symbol errors", "critical", "per_second", "rate"),
    Rule(("symbol_error",), "symbol errors", "warning", "per_hour"),
    Rule(("symbol_error",), "symbol errors", "warning", "per_minute"),
    Rule(("symbol_error",), "symbol errors", "info"),
)


@check(
    "symbol-errors",
    layer="errors",
    title="Symbols arrive damaged after all correction",
    hint=CABLE,
    thresholds=(
        Threshold("per_hour", 120, "errors", HOUR, NVSENTINEL + ": fatal", NVSENTINEL_LINK),
        Threshold("per_minute", 10, "errors", MINUTE, OURS + f"; {IB_DIAGS}: 10"),
        Threshold(
            "per_second",
            10,
            "errors/s",
            MINUTE,
            NVSENTINEL + ": non-fatal there, though 300 times its hourly figure",
            NVSENTINEL_LINK,
        ),
    ),
    follows=("link-flap", "link-down", "kernel-log"),
    counters=("symbol_error",),
    clear_s=60,
)
def symbol_errors(state: State) -> Judgement:
    """Meaning: from EDR on, `symbol_error` counts what is left after FEC and all other correction of the PHY, so each
    one may be a lost packet. (NVSentinel calls it pre-FEC; UFM and ibdiagnet do not.) The counter has 16 bits and
    sticks at 65,535: see counter-clamped.

    Evidence: its rise within a minute and an hour. NVSentinel publishes 120 an hour as fatal and 10 a second as
    non-fatal, which contradict each other; here the hourly figure is a warning, 10 a second is critical.

    Next: cable, module, then switch port; `mlxlink -c` on both ends shows the bit error ratios.
    """
    yield from judge_rules(state, "symbol-errors", SYMBOL)


INTEGRITY = (
    Rule(
        ("local_link_integrity_errors",),
        "local link integrity errors",
        "warning",
        "integrity",
        why="the PHY counted more errors than its limit",
    ),
    Rule(
        ("excessive_buffer_overrun_errors",),
        "buffer overrun periods",
        "warning",
        "overrun",
        why="the port was flooded past its credits",
    ),
)


@check(
    "integrity-errors",
    layer="errors",
    title="The port's own error limits were passed",
    hint=CABLE,
    thresholds=(
        Threshold("integrity", 0, "events", HOUR, NVSENTINEL + ": fatal", NVSENTINEL_LINK),
        Threshold("overrun", 0, "events", HOUR, NVSENTINEL + ": fatal", NVSENTINEL_LINK),
    ),
    follows=("link-flap", "symbol-errors", "link-errors"),
    counters=counters_of(INTEGRITY),
    clear_s=60,
)
def integrity_errors(state: State) -> Judgement:
    """Meaning: `local_link_integrity_errors` rises when the errors of the PHY pass the port's own limit,
    `excessive_buffer_overrun_errors` when packets came without credit for several flow-control periods. Both have
    only 4 bits and stick at 15 (UFM's threshold of 100 can never be reached in this file).

    Evidence: any rise within the hour. NVSentinel calls it fatal; the link still works, so it is a warning here.

    Next: cable and module; for overruns also the firmware of both ends.
    """
    yield from judge_rules(state, "integrity-errors", INTEGRITY)


DISCARDS = (
    Rule(("port_xmit_discards", "tx_discards_phy"), "packets dropped on sending", "warning", "discards_per_s", "rate"),
    Rule(("port_xmit_discards", "tx_discards_phy"), "packets dropped on sending", "warning", "discards"),
    Rule(
        ("port_xmit_constraint_errors", "port_rcv_constraint_errors"),
        "packets refused by partition or raw filter",
        "warning",
        "constraint",
        why="a P_Key or filter setting",
    ),
    Rule(("VL15_dropped",), "management packets dropped", "warning", "vl15"),
    Rule(("port_xmit_discards", "tx_discards_phy"), "packets dropped on sending", "info"),
    Rule(
        ("port_xmit_constraint_errors", "port_rcv_constraint_errors"),
        "packets refused by partition or raw filter",
        "info",
    ),
    Rule(("VL15_dropped",), "management packets dropped", "info"),
)


@check(
    "discards",
    layer="errors",
    title="Packets are dropped at the port",
    hint="see link and congestion findings of this port; for constraint errors the P_Keys of both ends",
    thresholds=(
        Threshold("discards_per_s", 100, "packets/s", MINUTE, NVSENTINEL, NVSENTINEL_LINK),
        Threshold("discards", 200, "packets", 300, UFM + ", id 116, Minor"),
        Threshold("constraint", 200, "packets", 300, UFM + ", ids 117 and 118, Minor"),
        Threshold("vl15", 50, "packets", 300, UFM + ", id 121, Minor"),
    ),
    follows=("link-down", "link-flap", "link-drop", "congestion-fabric", "xmit-wait"),
    counters=counters_of(DISCARDS),
    clear_s=60,
)
def discards(state: State) -> Judgement:
    """Meaning: the port dropped packets on sending (the link was down, or the packet waited too long), refused them by
    partition, or had no buffer for management packets.

    Evidence: rises within a minute and within five. `port_rcv_switch_relay_errors` is left out: it is normal for some
    multicast. What is dropped on receiving is judged by congestion-host.

    Next: while the link goes up and down, drops follow from that.
    """
    yield from judge_rules(state, "discards", DISCARDS)


@check(
    "counter-clamped",
    layer="errors",
    title="A counter stands at its maximum and is blind",
    hint="nothing is wrong by that alone; only a reset (perfquery -R, by the fabric's owner) makes it count again",
)
def counter_clamped(state: State) -> Judgement:
    """Meaning: the classic InfiniBand counters do not wrap: at 15, 255, 65,535 or 4,294,967,295 they stop. From then on
    every monitor that looks at differences reads 0, for ever. rdmatop says so, judges nothing by such a counter, and
    names it as unread in each finding that would have used it. It never resets one: that would destroy evidence that
    other tools use.

    Evidence: the value, which is all that the width (IBTA PortCounters) holds.

    Next: ask whoever runs the fabric to reset it once, when nobody measures.
    """
    if not state.snapshot.counters:
        yield Unjudged("unknown", "no counter could be read")
        return
    by_port: dict[tuple[str, int | None], list[str]] = {}
    for device, port, name in state.memory.clamped:
        by_port.setdefault((device, port), []).append(name)
    for (device, port), names in by_port.items():
        raised = _clamped(state, device, port, names)
        if raised is not None:
            yield raised


def _clamped(state: State, device: str, port: int | None, names: list[str]) -> Raised | None:
    """None where none of them can be read now: the device may be away for a moment."""
    parts, evidence = [], []
    for name in names:
        counter = state.counter(device, port, name)
        value = counter.value if counter is not None else None
        if value is None:
            continue
        parts.append(f"{name} at {value:,}")
        evidence.append(fact(name, float(value), against=float(value), source="IBTA PortCounters: sticks at all ones"))
    if not parts:
        return None
    verb = "is" if len(parts) == 1 else "are"
    return Raised(
        "info",
        f"{label(device, port)}: {', '.join(parts)} {verb} at the maximum: blind, whatever happens",
        device,
        port,
        tuple(evidence),
    )
