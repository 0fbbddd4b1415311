"""Asks a cluster once: its lists, then all agents side by side, as many at once as the API server's proxy bears."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any, Literal, NamedTuple, TypeVar

import msgspec

from diagnostics.cluster.agents import Agents, AgentUnanswered
from diagnostics.cluster.fleet import Fleet, FleetRow, Live, LiveState
from diagnostics.cluster.fleet_store import FleetStore
from diagnostics.cluster.kube import Kube, KubeAway
from diagnostics.cluster.last_state import last_snapshot
from diagnostics.errors import Unreachable, UserError
from diagnostics.model import Benchmark, BenchmarkRequest, Event, NodeSnapshot, Problem
from diagnostics.timing import now
from tui.options import Options
from tui.sources.once import Ran, Wanted
from tui.sources.once_agent import AgentOnce, _Items

AT_ONCE = 16
IMPLICIT_S = 3.0
"""A cluster that nobody asked for by name has so long to answer before this host is read."""
LISTS_S = 15.0
"""While watching, the lists are read anew after so long: pods and nodes come and go more slowly than rates."""
APPLY = "install it: kubectl apply -f deploy/daemonset.yaml; or read this host: --local"

T = TypeVar("T")


class Reading(NamedTuple):
    """What all the agents that were asked have answered."""

    snapshots: tuple[NodeSnapshot, ...]
    errors: tuple[Problem, ...]
    """Of nodes that did not answer, and of what may not be read."""
    silent: tuple[FleetRow, ...]
    """Nodes that should have answered and did not: what is known of them is their last state."""


class Items(NamedTuple):
    """Items of many nodes, the nodes in natural order."""

    items: tuple[Any, ...]
    errors: tuple[Problem, ...]


class ClusterOnce:
    """One cluster, asked without keeping anything but its lists."""

    many: Literal[True] = True

    def __init__(self, options: Options, *, implicit: bool = False) -> None:
        """`implicit`: nobody named the cluster, so it has little time. Raises Unreachable where it cannot be asked."""
        timeout_s = min(options.request_timeout_s, IMPLICIT_S) if implicit else options.request_timeout_s
        self._options = options
        self._timeout_s = options.request_timeout_s
        self._loop = asyncio.new_event_loop()
        self._nodes = tuple(dict.fromkeys(part for part in (options.node or "").split(",") if part))
        self.label = "cluster"
        self._kube: Kube | None = None
        try:
            self._run(self._open(timeout_s))
        except BaseException:
            self.close()
            raise

    async def _open(self, timeout_s: float) -> None:
        options = self._options
        self._kube = await Kube.open(options.kubeconfig, options.context, timeout_s=timeout_s)
        self.label = f"cluster {self._kube.label}"
        self._agents = Agents(self._kube, at_once=AT_ONCE)
        self._store = FleetStore(self._kube, selector=options.selector)
        await self._list(timeout_s)
        fleet = self._store.build()
        if fleet.installed is False:
            raise Unreachable(f"{self.label} has no rdmatop", APPLY)
        refused = [notice for notice in fleet.notices if notice.state == "forbidden"]
        if not fleet.rows and refused:
            raise Unreachable(f"{self.label}: {refused[0].message}", "ask for its viewer role: deploy/base/rbac.yaml")

    async def _list(self, timeout_s: float) -> None:
        try:
            await asyncio.wait_for(self._store.list_once(), timeout_s)
        except (KubeAway, asyncio.TimeoutError) as error:
            why = str(error) or f"no answer within {timeout_s:g} s"
            raise Unreachable(
                f"{self.label} does not answer: {why}", "kubectl version; or read this host: --local"
            ) from error
        self._listed = time.monotonic()

    # what commands ask

    def choose(self, names: Sequence[str]) -> None:
        """Only these nodes from now on, beside those of `--node`."""
        self._nodes = tuple(dict.fromkeys((*self._nodes, *names)))

    def names(self) -> frozenset[str]:
        """All nodes of the cluster (with `-l`: of those that it chooses)."""
        return frozenset(self._store.build().rows)

    def read(self, wanted: Wanted) -> Reading:
        """/v1/node of every agent."""
        return self._run(self._read(wanted))

    def node_items(self) -> Items:
        """Items of NodeList: what the agents say now, else their last word, with its age."""
        return self._run(self._node_items())

    def events(self) -> Items:
        return self._run(self._lists("/v1/events", Event))

    def benchmarks(self) -> Items:
        return self._run(self._lists("/v1/benchmarks", Benchmark))

    def run_benchmarks(self, requests: tuple[BenchmarkRequest, ...], changed: Callable[[Benchmark], None]) -> Ran:
        """On the one node that `--node` names, with the operator's right."""
        rows = self._rows()
        if len(self._nodes) != 1:
            raise UserError("bench loopback: on which node?", "name one: rdmatop bench loopback --node NODE")
        self._need(rows)
        return _NodeOnce(self, rows[0].name).run_benchmarks(requests, changed)

    def last_state(self, row: FleetRow) -> NodeSnapshot:
        """What its agent said last, of a node that does not answer."""
        from diagnostics.checks import REGISTRY

        rdma = self._store.rdmanodes.objects.get(row.name)
        return last_snapshot(
            row, rdma.status if rdma is not None else None, {check.id: check.layer for check in REGISTRY.values()}
        )

    def call(self, name: str, method: str, route: str, body: bytes | None, *, timeout_s: float | None = None) -> bytes:
        """One request to one node's agent; what is no GET goes with the operator's right. Raises UserError."""
        return self._run(self._call(name, method, route, body, timeout_s))

    def close(self) -> None:
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        if self._kube is not None:
            self._loop.run_until_complete(self._kube.close())
            self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    # asking

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(work)

    def again(self, ask: Callable[[], T], interval_s: float) -> Iterator[T]:
        """The same question each interval, over lists that are kept fresh."""
        while True:
            began = time.monotonic()
            yield ask()
            time.sleep(max(0.0, began + interval_s - time.monotonic()))
            if time.monotonic() - self._listed > LISTS_S:
                self._run(self._list(self._timeout_s))

    def _rows(self) -> list[FleetRow]:
        rows = self._store.build().rows
        for name in self._nodes:
            if name not in rows:
                raise Unreachable(
                    f"{self.label} has no node {name}", f"there are: {', '.join(list(rows)[:8]) or 'none'}"
                )
        return [row for name, row in rows.items() if not self._nodes or name in self._nodes]

    async def _ask(self, rows: list[FleetRow], route: str) -> dict[str, bytes | AgentUnanswered]:
        """Node -> its agent's answer, or why there is none; nodes where no agent is wanted are left out."""

        async def one(row: FleetRow) -> bytes | AgentUnanswered:
            pod = self._store.pod(row.name)
            if pod is None or not pod.status.pod_ip:
                return AgentUnanswered("unreachable", row.agent.reason or "it has no agent")
            try:
                return await self._agents.call(pod, "GET", route, timeout_s=self._timeout_s)
            except AgentUnanswered as error:
                return error

        asked = [row for row in rows if row.agent.state != "unwanted" or row.name in self._nodes]
        answers = await asyncio.gather(*map(one, asked))
        return dict(zip((row.name for row in asked), answers, strict=True))

    async def _read(self, wanted: Wanted) -> Reading:
        rows = self._rows()
        self._need(rows)
        answers = await self._ask(rows, f"/v1/node?counters={wanted.counters}")
        decode = msgspec.json.Decoder(NodeSnapshot).decode
        snapshots = []
        for name, answer in answers.items():
            if isinstance(answer, bytes):
                try:
                    snapshots.append(decode(answer))
                except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                    answers[name] = AgentUnanswered("refused", f"its agent answers in another language: {error}")
        silent = tuple(row for row in rows if isinstance(answers.get(row.name), AgentUnanswered))
        return Reading(tuple(snapshots), self._problems(answers), silent)

    async def _node_items(self) -> Items:
        rows = self._rows()
        answers = await self._ask(rows, "/v1/summary")
        decode = msgspec.json.Decoder(Live).decode
        for name, answer in answers.items():
            if isinstance(answer, bytes):
                try:
                    self._store.set_live(name, LiveState(decode(answer), time.time(), None))
                except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                    answers[name] = AgentUnanswered("refused", f"its agent answers in another language: {error}")
        fleet: Fleet = self._store.build()
        at = time.time()
        items = (msgspec.structs.replace(row.item, age_s=_rounded(row.age_s(at))) for row in
                 (fleet.rows[row.name] for row in rows))  # fmt: skip
        return Items(tuple(items), self._problems(answers))

    async def _lists(self, route: str, kind: type[Any]) -> Items:
        rows = self._rows()
        self._need(rows)
        answers = await self._ask(rows, route)
        items: list[Any] = []
        for answer in answers.values():
            if isinstance(answer, bytes):
                listed = msgspec.json.decode(answer, type=_Items).items
                items += (msgspec.json.decode(each, type=kind) for each in listed)
        return Items(tuple(items), self._problems(answers))

    async def _call(
        self, name: str, method: str, route: str, body: bytes | None, timeout_s: float | None = None
    ) -> bytes:
        pod = self._store.pod(name)
        if pod is None or not pod.status.pod_ip:
            why = self._store.build().rows[name].agent.reason or "it has no agent"
            raise Unreachable(f"{name}: {why}", "kubectl get pods -n rdmatop -o wide")
        plain = None if body is None else msgspec.json.decode(body)
        try:
            return await self._agents.call(
                pod,
                method,
                route,
                plain,
                right="view" if method == "GET" else "act",
                timeout_s=timeout_s or self._timeout_s,
            )
        except AgentUnanswered as error:
            if error.status in (400, 409, 413, 422):
                raise UserError(f"{name}: {error.message}", error.hint) from error
            raise Unreachable(f"{name}: {error.message}", error.hint) from error

    def _need(self, rows: list[FleetRow]) -> None:
        """Something must be there to be asked."""
        if not rows:
            chosen = f" with the labels {self._options.selector}" if self._options.selector else ""
            raise Unreachable(f"{self.label} has no node{chosen}", "kubectl get nodes --show-labels")
        if all(row.agent.state == "unwanted" for row in rows):
            raise Unreachable(f"{self.label}: no agent runs on these nodes: {rows[0].agent.reason}", APPLY)

    def _problems(self, answers: dict[str, bytes | AgentUnanswered]) -> tuple[Problem, ...]:
        failed = {name: answer for name, answer in answers.items() if isinstance(answer, AgentUnanswered)}
        whys = {(error.why, error.message) for error in failed.values()}
        told: list[Problem] = []
        if len(failed) > 1 and len(whys) == 1 and next(iter(failed.values())).why in ("forbidden", "away"):
            error = next(iter(failed.values()))  # our own rights, or the API server: no fault of each node
            told.append(Problem(source="agents", message=error.message, hint=error.hint or None))
        else:
            told += (
                Problem(source=f"node/{name}", message=error.message, hint=error.hint or None)
                for name, error in failed.items()
            )
        for notice in self._store.build().notices:
            if notice.source != "daemonsets":
                told.append(Problem(source=notice.source, message=notice.message, hint=f"hidden: {notice.hides}"))
        return tuple(told)


class _NodeOnce(AgentOnce):
    """One node's agent, asked as if it were asked directly."""

    def __init__(self, cluster: ClusterOnce, name: str) -> None:
        super().__init__(Options(), path="")
        self._cluster, self._name = cluster, name
        self.label = f"{cluster.label} · {name}"

    def _call(self, method: str, route: str, body: bytes | None = None, *, timeout_s: float | None = None) -> bytes:
        return self._cluster.call(self._name, method, route, body, timeout_s=timeout_s)


def _rounded(age_s: float | None) -> float | None:
    return None if age_s is None else round(age_s, 1)


def time_of(snapshots: Sequence[NodeSnapshot]) -> str:
    """The newest reading's time, as the envelope's own."""
    return max((snapshot.time for snapshot in snapshots), default=now())
