"""Layer link: ports that lost their link, once or again and again, seen between samples too."""

from __future__ import annotations

from collections.abc import Iterator

from diagnostics.checks.base import (
    Judgement,
    Raised,
    State,
    Threshold,
    Unjudged,
    check,
    label,
    row_of,
    span,
)
from diagnostics.checks.link import ROCE
from diagnostics.checks.memory import DAY_S, HOUR_S
from diagnostics.model import Evidence, Port

GPUD = "leptonai/gpud"


@check(
    "link-flap",
    layer="link",
    title="The link goes up and down",
    hint="replace the cable or module, then the switch port; acknowledge the finding when it is done",
    thresholds=(
        Threshold(
            "losses",
            3,
            "losses",
            HOUR_S,
            f"{GPUD}: 3 returns; azurehpc-health-checks: 5 in 24 h",
            "https://github.com/leptonai/gpud",
        ),
    ),
    sticky=True,
)
def link_flap(state: State) -> Judgement:
    """Meaning: the link was lost several times within an hour. Each loss breaks the connections on it, and training
    jobs with them. It is critical while it goes on, a warning afterwards, and stays to be seen for 24 h or until
    somebody acknowledges it.

    Evidence: losses seen in the state, by `link_downed` and `link_down_events_phy`, and by `carrier_changes` of the
    netdev: so that a flap between two samples is not missed. InfiniBand and RoCE are judged alike.

    Next: cable, module, switch port; the switch's log.
    """
    yield from _only_over_time(state)
    limit = state.threshold(row_of("link-flap"), "losses")
    window = limit.window_s or HOUR_S
    for port in state.ports:
        memory = state.memory.port(port)
        if memory is None or state.expectation(port).expected == "spare":
            continue
        recent = state.memory.recent_losses(port, state.now, window)
        if not has_flapped(memory.losses, limit.value, window):
            continue
        going_on = recent >= limit.value
        count = recent if going_on else len(memory.losses)
        yield Raised(
            "critical" if going_on else "warning",
            f"{label(port.device, port.port)} lost its link {count} times in {span(window if going_on else DAY_S)}"
            + ("" if going_on else "; it is steady now"),
            port.device,
            port.port,
            (
                Evidence(
                    name="losses of the link",
                    value=float(count),
                    unit="",
                    window_s=window if going_on else DAY_S,
                    threshold=limit.value,
                    source=limit.publisher,
                ),
            ),
            unread=_unread_links(state, port),
        )


def has_flapped(losses: list[float], most: float, window_s: float) -> bool:
    """Whether so many losses ever lay within one window; `losses` are the times of the last 24 h, in order."""
    count = max(int(most), 1)
    return any(later - earlier <= window_s for earlier, later in zip(losses, losses[count - 1 :], strict=False))


@check(
    "link-drop",
    layer="link",
    title="The link was lost and came back",
    hint="once may be a reboot of the switch; watch it, and look at the cable if it comes again; acknowledge to clear",
    thresholds=(
        Threshold("losses", 1, "losses", DAY_S, "NVSentinel: any rise of link_downed is fatal; rdmatop warns"),
    ),
    follows=("link-flap",),
    sticky=True,
)
def link_drop(state: State) -> Judgement:
    """Meaning: the link was lost and is back. Connections on it broke. It stays to be seen for 24 h or until somebody
    acknowledges it; with three losses in an hour it becomes link-flap.

    Evidence: the state of the port, `link_downed`, `link_down_events_phy` and `carrier_changes`; a loss between two
    samples is caught by the counters. Losses of a port that was never up do not count.

    Next: the switch's log at that time; errors of the link since.
    """
    yield from _only_over_time(state)
    limit, flap = state.threshold(row_of("link-drop"), "losses"), state.threshold(row_of("link-flap"), "losses")
    for port in state.ports:
        memory = state.memory.port(port)
        if memory is None or state.expectation(port).expected == "spare":
            continue
        if has_flapped(memory.losses, flap.value, flap.window_s or HOUR_S):
            continue
        losses = state.memory.recent_losses(port, state.now, DAY_S)
        came_back = losses if port.state == "ACTIVE" else losses - 1
        if came_back < limit.value:
            continue
        ago = max(state.now - memory.losses[-1], 0.0)
        when = "just now" if ago < 2 else f"{span(ago)} ago"
        times = "once" if losses == 1 else f"{losses} times"
        yield Raised(
            "warning",
            f"{label(port.device, port.port)} lost its link {times} within 24 h, last {when}",
            port.device,
            port.port,
            (
                Evidence(
                    name="losses of the link",
                    value=float(losses),
                    unit="",
                    window_s=DAY_S,
                    threshold=limit.value,
                    source=limit.publisher,
                ),
            ),
            unread=_unread_links(state, port),
        )


def _only_over_time(state: State) -> Iterator[Unjudged]:
    if not state.ports:
        yield Unjudged("skip", "there is no port")
    elif state.memory.samples < 2:
        yield Unjudged("unknown", "one reading alone: losses are seen between readings")


def _unread_links(state: State, port: Port) -> tuple[str, ...]:
    said = [] if port.carrier_changes is not None or port.link_layer != ROCE else ["carrier_changes"]
    counter = state.counter(port.device, port.port, "link_downed")
    if counter is None or counter.value is None:
        said.append("link_downed")
    elif (port.device, port.port, "link_downed") in state.memory.clamped:
        said.append(f"link_downed (clamped at {counter.value})")
    return tuple(said)
