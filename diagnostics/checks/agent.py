"""Layer agent: is what we show fresh, and will it outlive a restart?"""

from __future__ import annotations

from diagnostics.checks.base import Judgement, Raised, State, Threshold, Unjudged, check, fact, row_of, span
from diagnostics.checks.errors import OURS


@check(
    "device-stale",
    layer="agent",
    title="A read of a device hangs",
    hint="dmesg for command timeouts of that function; the firmware may have to be reset (devlink dev reload)",
    follows=("kernel-log",),
)
def device_stale(state: State) -> Judgement:
    """Meaning: the kernel does not answer a read of this device within its deadline: usually a firmware command that
    hangs, for up to 60 s. What is shown of the device is from before; the other devices are read as ever.

    Evidence: since when the read hangs.

    Next: dmesg; firmware and driver of that card.
    """
    if not state.snapshot.devices:
        yield Unjudged("skip", "there is no device")
    for device in state.snapshot.devices:
        if device.stale_since is not None and device.gone_since is None:
            yield Raised(
                "warning",
                f"{device.device}: a read hangs since {device.stale_since[11:19]}; what is shown of it is from before",
                device.device,
                evidence=(fact(f"stale since {device.stale_since}", None),),
            )


@check(
    "store-degraded",
    layer="agent",
    title="The agent cannot write its state directory",
    hint="see the state directory's file system: space, rights, read-only mount; the agent tries again by itself",
)
def store_degraded(state: State) -> Judgement:
    """Meaning: events, acknowledgements, baselines and results are kept in memory only and are lost with a restart.
    Sampling goes on.

    Evidence: the error of the last write.

    Next: df and ls -ld on the state directory.
    """
    if "store" not in state.capabilities and state.store_problem is None:
        yield Unjudged("skip", "no agent with a state directory was asked")
    elif state.store_problem is not None:
        yield Raised(
            "warning",
            f"the state directory cannot be used: {state.store_problem}; events are kept in memory only",
            evidence=(fact("store", None, source=state.store_problem),),
        )


@check(
    "agent-missing",
    layer="agent",
    title="The node's agent is silent",
    hint="kubectl get pods -n rdmatop -o wide; its log says why it does not run",
    thresholds=(Threshold("age", 180, "s", None, OURS + ": three heartbeats of 60 s"),),
)
def agent_missing(state: State) -> Judgement:
    """Meaning: the node has no agent, or it has not said anything for three heartbeats: what is shown is its last word.

    Evidence: the age of the last report.

    Next: the agent's pod on that node.
    """
    if "cluster" not in state.capabilities:
        yield Unjudged("skip", "judged where a cluster is asked: this node was read directly")
        return
    limit = state.threshold(row_of("agent-missing"), "age")
    age = state.snapshot.node.age_s
    if age is None or age > limit.value:
        yield Raised(
            "warning",
            "no agent has ever reported from this node" if age is None else f"the agent's last word is {span(age)} old",
            evidence=(fact("age of the report", age, "s", against=limit.value, source=limit.publisher),),
        )
