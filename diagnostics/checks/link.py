"""Layer link: is every port that should be up really up, at its full rate, steadily, and set up to be used?"""

from __future__ import annotations

from collections.abc import Iterator

from diagnostics.checks.base import (
    Judgement,
    Raised,
    State,
    Unjudged,
    check,
    fact,
    label,
    number,
)
from diagnostics.checks.expectations import RATE_SLACK
from diagnostics.model import Port, Severity

ROCE = "Ethernet"
STATE_SOURCE = "InfiniBand Architecture Specification, PortInfo"

PHYSICAL = {
    "Polling": "no partner: cable, module or switch port",
    "Disabled": "the port is disabled",
    "Sleep": "the port sleeps",
    "PortConfigurationTraining": "the link trains and does not come up: cable or module",
    "LinkErrorRecovery": "the link recovers from errors and does not come up: cable or module",
}


def _peers_up(state: State, port: Port) -> str:
    """` (its 7 peers are up at 400 Gb/s)`, where there are such."""
    device = state.devices.get(port.device)
    peers = [
        other
        for other in state.ports
        if other is not port
        and other.link_layer == port.link_layer
        and (device is None or (peer := state.devices.get(other.device)) is None or peer.hca_type == device.hca_type)
    ]
    up = [other for other in peers if other.state == "ACTIVE"]
    if len(up) < 2:
        return ""
    rates = {other.rate_gbps for other in up if other.rate_gbps is not None}
    at = f" at {number(rates.pop())} Gb/s" if len(rates) == 1 else ""
    return (
        f"; {len(up)} of {len(peers)} peers are up{at}" if len(up) < len(peers) else f"; its {len(up)} peers are up{at}"
    )


@check(
    "link-down",
    layer="link",
    title="A port that should be up is down",
    hint="check cable, module and switch port; move the cable to a port that works",
    follows=("kernel-log",),
)
def link_down(state: State) -> Judgement:
    """Meaning: the port has no link, or its netdev is switched off. Whether that is wrong depends on what is expected:
    the manifest, whether it was up before, an address on its netdev, and its peers on this node decide, in this order.
    A spare, unprovisioned or management port, or a virtual function of another pod, raises nothing.

    Evidence: `state` and `phys_state` of the port, and what made us expect it. Polling means that nobody answers at the
    other end; Disabled that somebody switched it off.

    Next: cable, module, switch port. A manifest can say `expected: spare`.
    """
    judged = [port for port in state.ports if port.state is not None]
    if not state.ports or not judged:
        yield Unjudged(
            "unknown" if state.ports else "skip", "no port's state can be read" if state.ports else "there is no port"
        )
        return
    for port in judged:
        if port.state == "ACTIVE" or (port.phys_state == "LinkUp" and port.state in ("INIT", "ARMED", "ACTIVE_DEFER")):
            continue
        yield from _down(state, port)


def _down(state: State, port: Port) -> Iterator[Raised]:
    expectation = state.expectation(port)
    if expectation.expected == "spare":
        return
    nothing_up = not any(other.state == "ACTIVE" for other in state.ports)
    enabled = port.phys_state not in ("Disabled", "Sleep") and port.phys_state is not None
    severity: Severity = "critical" if expectation.expected == "up" else "warning" if nothing_up and enabled else "info"
    name = label(port.device, port.port)
    off = port.netdev_admin_up is False
    if off:
        why = f"its netdev {port.netdev} is switched off"
    elif port.link_layer == ROCE and port.netdev and port.netdev_admin_up:
        why = f"no carrier on {port.netdev}: cable, module or switch port"
    elif port.link_layer == ROCE and port.netdev:
        why = f"its netdev {port.netdev} has no carrier, or is switched off"
    else:
        why = PHYSICAL.get(port.phys_state or "", "no link")
    shown = f"{port.state}/{port.phys_state}" if port.phys_state else port.state
    told_below = expectation.expected == "unknown" or expectation.why.endswith("peers are up")
    because = "" if told_below else f"; expected up: {expectation.why}"
    also = "; no port of this node is up" if nothing_up and len(state.ports) > 1 else _peers_up(state, port)
    yield Raised(
        severity,
        f"{name} is down ({shown}): {why}{because}{also}"
        if severity != "info"
        else f"{name} is down ({shown}): {why}; {expectation.why}",
        port.device,
        port.port,
        (fact(f"state {shown}", None, source=STATE_SOURCE),),
        causes=("netdev-down",) if off else None,
        hint="ip link set " + port.netdev + " up, if it is meant to be used" if off and port.netdev else None,
    )


@check(
    "link-not-active",
    layer="link",
    title="The link is there, but the port was never set up",
    hint="see whether a subnet manager runs (sminfo, opensm or UFM) and reaches this port; its partition and its log",
)
def link_not_active(state: State) -> Judgement:
    """Meaning: the cable has a link (LinkUp), but the port is INIT or ARMED: on InfiniBand a subnet manager has to make
    it ACTIVE, and none has. All ports of a fabric at once: no subnet manager runs. One port: it is refused or isolated.

    Evidence: `state`, `phys_state`, `sm_lid`.

    Next: sminfo; the subnet manager's log for this port's GUID.
    """
    if not any(port.link_layer != ROCE for port in state.ports):
        yield Unjudged("skip", "there is no InfiniBand port")
        return
    for port in state.ports:
        if port.state not in ("INIT", "ARMED") or port.phys_state not in ("LinkUp", None):
            continue
        expectation = state.expectation(port)
        if expectation.expected == "spare":
            continue
        if port.sm_lid:
            manager = f"the subnet manager at LID {port.sm_lid} has not activated it"
        else:
            manager = "no subnet manager has set it up" + ("" if port.sm_lid == 0 else "; its LID could not be read")
        yield Raised(
            "critical" if expectation.expected == "up" else "info",
            f"{label(port.device, port.port)} has a link but is {port.state}: {manager}",
            port.device,
            port.port,
            (
                fact(f"state {port.state}/{port.phys_state}", None, source=STATE_SOURCE),
                fact("sm_lid", _as_float(port.sm_lid)),
            ),
        )


def _as_float(value: int | None) -> float | None:
    return float(value) if value is not None else None


@check(
    "link-slow",
    layer="link",
    title="A port runs below the rate it should have",
    hint="reseat or replace the cable; compare the speeds that both ends allow (mlxlink -d DEVICE)",
)
def link_slow(state: State) -> Judgement:
    """Meaning: the link came up with fewer lanes or a slower lane speed than it should: a bad cable or module, or a
    switch port set to less. Everything that uses this port runs at that rate, and a job at that of its slowest port.

    Evidence: the rate against the manifest, against what the port itself ran at before (until somebody acknowledges
    the change), against peers of the same kind on this node, against what the port's own netdev says, and against the
    card's maximum. A card's product ID covers slower products and older switches are a choice, so the card alone makes
    a note only, unless its PSID names one product.

    Next: mlxlink on both ends; another cable.
    """
    known = [port for port in state.ports if port.state == "ACTIVE" and port.rate_gbps is not None]
    if not known:
        yield Unjudged(
            "unknown" if state.ports else "skip", "no active port says its rate" if state.ports else "there is no port"
        )
        return
    for port in known:
        expectation = state.expectation(port)
        wanted, rate = expectation.rate_gbps, port.rate_gbps
        if wanted is None or rate is None or rate * RATE_SLACK >= wanted:
            continue
        made_of = f" ({port.lanes}X {port.speed})" if port.lanes and port.speed else ""
        yield Raised(
            "warning" if expectation.rate_sure else "info",
            f"{label(port.device, port.port)} runs at {rate:g} Gb/s{made_of} of {wanted:g}: {expectation.rate_why}",
            port.device,
            port.port,
            (fact("rate", rate, "Gb/s", against=wanted, source=expectation.rate_why),),
        )
