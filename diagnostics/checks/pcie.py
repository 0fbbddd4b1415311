"""Layer pcie: does the slot carry what the port can, and without errors?"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterator

from diagnostics.checks.base import Judgement, Raised, State, Threshold, Unjudged, check, fact, row_of
from diagnostics.checks.errors import OURS
from diagnostics.checks.expectations import RATE_SLACK
from diagnostics.checks.rules import Rule, counters_of, judge_port
from diagnostics.model import Device
from diagnostics.windows import HOUR

AER = "PCI Express Base Specification, Advanced Error Reporting"


@check(
    "pcie-slow",
    layer="pcie",
    title="PCIe carries less than it should",
    hint="reseat the card or riser; check the slot's generation and width and the BIOS's bifurcation; lspci -vv LnkSta",
    follows=("kernel-log",),
)
def pcie_slow(state: State) -> Judgement:
    """Meaning: the PCIe link of the card came up slower or narrower than both of its ends can, or than the slots of its
    peers, or the narrowest hop to the root carries less than the port. The job then runs at that rate. A Gen5 card in a
    Gen4 slot is no fault by itself.

    Evidence: speed and width now and at most (of both ends), the usable rate of the narrowest hop (lanes x GT/s x
    128/130, less packet overhead) and the rate of the fastest port.

    Next: reseat; another slot; BIOS.
    """
    devices = [
        device
        for device in state.snapshot.devices
        if device.gone_since is None and device.function not in ("vf", "sf", "virtual")
    ]
    known = [device for device in devices if device.pcie is not None]
    if not known:
        yield Unjudged(
            "unknown" if devices else "skip", "no PCIe link could be read" if devices else "there is no PCI device"
        )
        return
    for device in known:
        raised = _degraded(device) or _slower_than_peers(state, device, known) or _narrower_than_port(state, device)
        if raised is not None:
            yield raised


def _degraded(device: Device) -> Raised | None:
    pcie = device.pcie
    if pcie is None:
        return None
    what, evidence = [], []
    if pcie.width is not None and pcie.max_width is not None and pcie.width < pcie.max_width:
        what.append(f"x{pcie.width} of x{pcie.max_width}")
        evidence.append(
            fact(
                "current_link_width",
                float(pcie.width),
                "lanes",
                against=float(pcie.max_width),
                source="both ends of the link",
            )
        )
    if (
        pcie.speed_gts is not None
        and pcie.max_speed_gts is not None
        and pcie.speed_gts < pcie.max_speed_gts / RATE_SLACK
    ):
        what.append(f"{pcie.speed_gts:g} of {pcie.max_speed_gts:g} GT/s")
        evidence.append(
            fact(
                "current_link_speed", pcie.speed_gts, "GT/s", against=pcie.max_speed_gts, source="both ends of the link"
            )
        )
    if not what:
        return None
    return Raised(
        "warning",
        f"{device.device}: PCIe runs at {' and '.join(what)}{_usable(device)}",
        device.device,
        evidence=tuple(evidence),
    )


def _usable(device: Device) -> str:
    pcie = device.pcie
    if pcie is None or pcie.limit_gbps is None:
        return ""
    return f": {pcie.limit_gbps:.0f} Gb/s usable" + (f" at {pcie.narrowest}" if pcie.narrowest else "")


def _link_layer(state: State, device: Device) -> str | None:
    return next((port.link_layer for port in state.ports if port.device == device.device), None)


def _capacity(device: Device) -> float | None:
    pcie = device.pcie
    return pcie.speed_gts * pcie.width if pcie is not None and pcie.speed_gts and pcie.width else None


def _slower_than_peers(state: State, device: Device, known: list[Device]) -> Raised | None:
    """Cards of one kind; of cards of no known kind, those of one link layer."""
    own, kind = _capacity(device), (device.hca_type, _link_layer(state, device))
    peers = [
        found
        for other in known
        if other is not device and (other.hca_type, _link_layer(state, other)) == kind
        if (found := _capacity(other)) is not None
    ]
    if own is None or len(peers) < 2:
        return None
    usual, count = Tally(peers).most_common(1)[0]
    if count <= (len(peers) + 1) / 2 or usual <= own * RATE_SLACK or device.pcie is None:
        return None
    return Raised(
        "warning",
        f"{device.device}: PCIe runs at {device.pcie.speed_gts:g} GT/s x{device.pcie.width}, "
        f"slower than {count} of its {len(peers)} peers{_usable(device)}",
        device.device,
        evidence=(fact("speed x width", own, "GT/s", against=usual, source="peers on this node"),),
    )


def _narrower_than_port(state: State, device: Device) -> Raised | None:
    limit = device.pcie.limit_gbps if device.pcie is not None else None
    rates = [
        port.rate_gbps for port in state.ports
        if port.device == device.device and port.state == "ACTIVE" and port.rate_gbps is not None
    ]  # fmt: skip
    if limit is None or not rates or limit >= max(rates):
        return None
    where = f" at {device.pcie.narrowest}" if device.pcie is not None and device.pcie.narrowest else ""
    return Raised(
        "warning",
        f"{device.device}: the port runs at {max(rates):g} Gb/s, PCIe carries {limit:.0f} Gb/s{where}",
        device.device,
        evidence=(
            fact("usable PCIe rate", limit, "Gb/s", against=max(rates), source="lanes x GT/s x 128/130 x 256/280"),
        ),
    )


FATAL, NONFATAL, CORRECTABLE = "aer_dev_fatal", "aer_dev_nonfatal", "aer_dev_correctable"
TOTALS = {FATAL: "TOTAL_ERR_FATAL", NONFATAL: "TOTAL_ERR_NONFATAL", CORRECTABLE: "TOTAL_ERR_COR"}


def _both(name: str) -> tuple[str, ...]:
    return (f"{name}.{TOTALS[name]}",)


AER_RULES = (
    Rule(_both(FATAL), "fatal PCIe errors", "critical", "fatal"),
    Rule(_both(NONFATAL), "uncorrected PCIe errors", "warning", "nonfatal"),
    Rule(
        _both(CORRECTABLE),
        "corrected PCIe errors",
        "warning",
        "correctable_per_hour",
        why="the link works and is failing",
    ),
    Rule(_both(CORRECTABLE), "corrected PCIe errors", "info"),
)
SIGNAL_RULES = (
    Rule(("rx_pci_signal_integrity", "tx_pci_signal_integrity"), "PCIe signal errors", "warning", "signal_per_hour"),
    Rule(("rx_pci_signal_integrity", "tx_pci_signal_integrity"), "PCIe signal errors", "info"),
)


@check(
    "pcie-errors",
    layer="pcie",
    title="PCIe counts errors",
    hint="reseat the card or riser; another slot; update BIOS and firmware",
    thresholds=(
        Threshold("fatal", 0, "errors", HOUR, AER),
        Threshold("nonfatal", 0, "errors", HOUR, AER),
        Threshold("correctable_per_hour", 100, "errors", HOUR, OURS),
        Threshold("signal_per_hour", 10, "errors", HOUR, OURS),
    ),
    follows=("pcie-slow", "kernel-log"),
    counters=(*counters_of(AER_RULES), *counters_of(SIGNAL_RULES)),
    clear_s=60,
)
def pcie_errors(state: State) -> Judgement:
    """Meaning: the PCIe link of the card counts errors (AER). Corrected ones cost a replay each and show a link that
    gets worse; uncorrected ones lose transactions; fatal ones lose the device.

    Evidence: rises of the AER totals of the function and of the NIC's own signal counters, within an hour.

    Next: reseat; swap slots to see whether the errors move.
    """
    if state.windows is None:
        yield Unjudged("unknown", "one reading alone: counters are judged over time")
        return
    row = row_of("pcie-errors")
    yield from _aer(state)
    for port in state.ports:
        if (port.device, port.port) in state.memory.moved:
            raised = judge_port(state, row, SIGNAL_RULES, port.device, port.port)
            if raised is not None:
                yield raised
    places: list[tuple[str, int | None]] = [(device.device, None) for device in state.snapshot.devices] + [
        (port.device, port.port) for port in state.ports
    ]
    if not any(name in row.counters for place in places for name in state.memory.names(*place)):
        yield Unjudged("unknown", "no AER or PCIe counter could be read")


def _aer(state: State) -> Iterator[Raised]:
    row = row_of("pcie-errors")
    for device in state.snapshot.devices:
        if (device.device, None) in state.memory.moved:
            raised = judge_port(state, row, AER_RULES, device.device, None)
            if raised is not None:
                yield raised
