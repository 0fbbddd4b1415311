"""Keeps the fleet as the cluster is: what changed since the last picture is joined anew, and nothing else.

One picture is made however many changes came meanwhile: a thousand in a tenth of a second are one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, Literal

from diagnostics.cluster.fleet import STALE_S, Fleet, FleetRow, LiveState, Notice, epoch, row_of, same
from diagnostics.cluster.kube import Kube
from diagnostics.cluster.nodes import (
    AGENT,
    AGENT_LABEL,
    DAEMONSETS,
    NAMESPACE,
    NODES,
    PODS,
    DaemonSet,
    KubeNode,
    Pod,
    RdmaNode,
)
from diagnostics.cluster.presence import agent_of, newest
from diagnostics.cluster.rdmanode import PATH as RDMANODES
from diagnostics.cluster.reflector import Reflector
from diagnostics.natural import natural

COALESCE_S = 0.15
"""Between two pictures at least."""
AGES_S = 5.0
"""How often rows are looked through for one that has become old."""

HIDES = {
    "nodes": "nodes without an agent are not listed, nor why a node is not Ready",
    "rdmanodes": "health, ports and findings are known only of the nodes whose agents are asked",
    "pods": "no agent can be asked: rates are those of the last heartbeat, and why an agent is silent is not known",
    "daemonsets": "whether a node should have an agent is not known",
}
NO_LIVE = LiveState()


class FleetStore:
    """Four kinds of objects and the live answers, joined; `run` keeps them until it is cancelled."""

    def __init__(self, kube: Kube, *, selector: str | None = None, clock: Callable[[], float] = time.time) -> None:
        """`selector` are labels of Nodes, as `kubectl -l` takes them."""
        self._clock = clock
        labels = {"labelSelector": selector} if selector else {}
        self._selected = bool(selector)
        self.nodes = Reflector(kube, NODES, KubeNode, changed=self._touched, query=labels)
        self.rdmanodes = Reflector(kube, RDMANODES, RdmaNode, changed=self._touched)
        self.pods = Reflector(kube, PODS, Pod, changed=self._pod_changed, query={"labelSelector": AGENT_LABEL})
        self.daemonsets = Reflector(
            kube, DAEMONSETS, DaemonSet, changed=self._all_changed, query={"fieldSelector": f"metadata.name={AGENT}"}
        )
        self._reflectors: dict[str, Reflector[Any]] = {
            "nodes": self.nodes, "rdmanodes": self.rdmanodes, "pods": self.pods, "daemonsets": self.daemonsets,
        }  # fmt: skip
        self._live: dict[str, LiveState] = {}
        self._pods_of: dict[str, dict[str, Pod]] = {}
        self._node_of: dict[str, str] = {}
        self._heard: dict[str, tuple[str, float]] = {}
        """Node -> the time its RdmaNode says, and when that came, by our clock."""
        self._dirty: set[str] = set()
        self._all = True
        self._woken = asyncio.Event()
        self._rows: dict[str, FleetRow] = {}
        self._sequence = 0
        self._ages_due = 0.0

    # what changes

    def _touched(self, name: str) -> None:
        if not name:
            self._all = True
        self._dirty.add(name)
        self._woken.set()

    def _all_changed(self, _key: str) -> None:
        self._touched("")

    def _pod_changed(self, key: str) -> None:
        if not key:
            self._pods_of.clear()
            self._node_of.clear()
            for each, pod in self.pods.objects.items():
                self._place(each, pod)
            self._touched("")
            return
        before = self._node_of.pop(key, None)
        if before is not None:
            self._pods_of.get(before, {}).pop(key, None)
            self._touched(before)
        now = self.pods.objects.get(key)
        if now is not None:
            self._place(key, now)
            self._touched(now.node or "")

    def _place(self, key: str, pod: Pod) -> None:
        self._node_of[key] = pod.node
        self._pods_of.setdefault(pod.node, {})[key] = pod

    def set_live(self, name: str, state: LiveState) -> None:
        """What the agent of a node said, or why it says nothing."""
        self._live[name] = state
        self._touched(name)

    def live(self, name: str) -> LiveState:
        return self._live.get(name, NO_LIVE)

    def forget_problem(self, name: str) -> None:
        """A row that is not asked for any more has no problem with being asked."""
        state = self._live.get(name)
        if state is not None and state.problem is not None:
            self.set_live(name, state._replace(problem=None))

    def pod(self, name: str) -> Pod | None:
        """The agent's pod on a node."""
        return newest(list(self._pods_of.get(name, {}).values()))

    # the picture

    async def run(self) -> None:
        await asyncio.gather(*(each.run() for each in self._reflectors.values()))

    async def list_once(self) -> None:
        """Everything once, side by side; what may not be read or is not there is noted, away raises KubeAway."""
        await asyncio.gather(*(each.list_or_note() for each in self._reflectors.values()))

    async def fleets(self) -> AsyncIterator[Fleet]:
        """A picture at once, and one after each change."""
        yield self.build()
        while True:
            try:
                await asyncio.wait_for(self._woken.wait(), AGES_S)
            except asyncio.TimeoutError:
                if self._ages_due > self._clock() or not self._mark_aged():
                    continue
            yield self.build()
            await asyncio.sleep(COALESCE_S)

    def build(self) -> Fleet:
        """The picture now. Rows that nothing changed of are the objects they were."""
        self._woken.clear()
        if self._clock() >= self._ages_due:
            self._mark_aged()
        if self._all:
            self._rebuild_all()
        elif self._dirty:
            self._rebuild(self._dirty)
        self._dirty, self._all = set(), False
        self._sequence += 1
        states = {name: each.state for name, each in self._reflectors.items()}
        return Fleet(
            rows=self._rows,
            notices=self._notices(),
            sequence=self._sequence,
            complete=all(state != "waiting" for state in states.values()),
            installed=self._installed(),
        )

    def _rebuild_all(self) -> None:
        before = self._rows
        self._rows = {name: self._row(name, before.get(name)) for name in sorted(self._names(), key=natural)}

    def _rebuild(self, names: set[str]) -> None:
        rows = dict(self._rows)
        added = False
        for name in names:
            if not self._belongs(name):
                rows.pop(name, None)
                continue
            added = added or name not in rows
            rows[name] = self._row(name, rows.get(name))
        self._rows = {name: rows[name] for name in sorted(rows, key=natural)} if added else rows

    def _row(self, name: str, before: FleetRow | None) -> FleetRow:
        node, rdma = self.nodes.objects.get(name), self.rdmanodes.objects.get(name)
        daemonset = next(iter(self.daemonsets.objects.values()), None)
        agent = agent_of(
            node,
            self.pod(name),
            pods_state=self.pods.state,
            daemonset=daemonset,
            daemonset_state=self.daemonsets.state,
        )
        row = row_of(
            name,
            node=node,
            rdma=rdma,
            agent=agent,
            live=self._live.get(name, NO_LIVE),
            heard=self._hear(name, rdma),
            now=self._clock(),
            judge_age=self.rdmanodes.state == "current",
        )
        return before if before is not None and same(before, row) else row

    def _hear(self, name: str, rdma: RdmaNode | None) -> float | None:
        """When the RdmaNode was last written: seen arriving, that moment; found in a list, what it says itself.

        An agent whose clock is wrong by minutes would else look dead, or younger than it is.
        """
        if rdma is None or not rdma.status.time:
            self._heard.pop(name, None)
            return None
        told, at = self._heard.get(name, ("", 0.0))
        if told != rdma.status.time:
            arrived = bool(told) and not self._all
            at = self._clock() if arrived else min(self._clock(), epoch(rdma.status.time) or 0.0)
            self._heard[name] = (rdma.status.time, at)
        return at

    def _names(self) -> set[str]:
        names = {name for name, node in self.nodes.objects.items() if node.carries_agents}
        if self._selected:
            return names
        return names | set(self.rdmanodes.objects) | (self._pods_of.keys() - {""})

    def _belongs(self, name: str) -> bool:
        node = self.nodes.objects.get(name)
        if node is not None and node.carries_agents:
            return True
        return bool(name) and not self._selected and (name in self.rdmanodes.objects or bool(self._pods_of.get(name)))

    def _mark_aged(self) -> bool:
        """Rows that have become old since they were made."""
        now = self._clock()
        self._ages_due = now + AGES_S
        aged = {row.name for row in self._rows.values()
                if row.seen is not None and not row.missing and now - row.seen > STALE_S}  # fmt: skip
        self._dirty |= aged
        return bool(aged)

    def _installed(self) -> bool | None:
        """Whether there is anything of rdmatop; None while a list is awaited."""
        if self.rdmanodes.objects or self.pods.objects or self.daemonsets.objects:
            return True
        if any(each.state in ("waiting", "away", "forbidden") for each in (self.rdmanodes, self.pods)):
            return None
        # The kind is there: somebody applied the manifests, though no agent runs yet.
        return self.rdmanodes.state == "current"

    def _notices(self) -> tuple[Notice, ...]:
        now, monotonic = self._clock(), time.monotonic()
        return tuple(
            Notice(name, state, each.problem or _words(name, state), HIDES[name], now - (monotonic - each.since))
            for name, each in self._reflectors.items()
            if (state := _told(each.state)) is not None
        )


def _told(state: str) -> Literal["away", "absent", "forbidden"] | None:
    return state if state in ("away", "absent", "forbidden") else None  # type: ignore[return-value]


def _words(name: str, state: str) -> str:
    return f"{name} of namespace {NAMESPACE} are {state}" if name in ("pods", "daemonsets") else f"{name} are {state}"
