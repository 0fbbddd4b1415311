"""A cluster as a source: its fleet as rows, and each node's own screens through the agent's pod.

`kubernetes` is imported when the cluster is first asked, in a thread: the first frame stands before.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from diagnostics.errors import Unreachable, UserError
from diagnostics.timing import now
from tui.options import Options
from tui.sources.base import Outage, Source

if TYPE_CHECKING:
    from diagnostics.cluster.agents import Agents
    from diagnostics.cluster.fleet import Fleet
    from diagnostics.cluster.fleet_store import FleetStore
    from diagnostics.cluster.kube import Kube
    from diagnostics.cluster.live import LiveRates
    from tui.operator_picture import OperatorPicture

AGAIN_S = (1.0, 15.0)
"""First and longest wait before a cluster that could not be opened is tried again."""


class ClusterSource:
    """One cluster under one identity. Another context is another ClusterSource."""

    def __init__(self, options: Options, selector: str | None = None) -> None:
        self._options = options
        self._selector = selector
        self.label = f"cluster {options.context}" if options.context else "cluster"
        """`cluster prod-h100` once the kubeconfig is read."""
        self.namespace: str | None = options.namespace
        """The context's own, unless `-n` names one."""
        self.interval_s = options.interval_s
        self._kube: Kube | None = None
        self._store: FleetStore | None = None
        self._agents: Agents | None = None
        self._live: LiveRates | None = None
        self._task: asyncio.Task[None] | None = None
        self._opening = asyncio.Lock()
        self._names: set[str] = set()

    # opening

    async def open(self) -> None:
        """Read the kubeconfig and begin to watch. Raises Unreachable or UserError; may be called again."""
        async with self._opening:
            if self._store is not None:
                return
            parts = await asyncio.to_thread(_import)
            kube = await parts.Kube.open(
                self._options.kubeconfig, self._options.context, timeout_s=self._options.request_timeout_s
            )
            self._kube = kube
            self.label = f"cluster {kube.label}"
            self.namespace = self._options.namespace or kube.namespace
            self._agents = parts.Agents(kube)
            self._store = parts.FleetStore(kube, selector=self._selector)
            self._live = parts.LiveRates(self._store, self._agents, self.interval_s)
            self._live.watch(self._names)
            self._task = asyncio.create_task(self._store.run(), name="fleet")

    @property
    def kube(self) -> Kube:
        """The connection, for what else is asked of this cluster. Raises Unreachable before `open`."""
        if self._kube is None:
            raise Unreachable(f"{self.label} is not open yet", "ask again in a second")
        return self._kube

    @property
    def agents(self) -> Agents:
        if self._agents is None:
            raise Unreachable(f"{self.label} is not open yet", "ask again in a second")
        return self._agents

    # the fleet

    async def fleet(self) -> AsyncIterator[Fleet | Outage]:
        """The newest picture each time there is one; an Outage while there is no way to the cluster at all."""
        wait, since = AGAIN_S[0], ""
        while True:
            try:
                await self.open()
                break
            except UserError as error:
                since = since or now()
                yield Outage(error.message, since, error.hint)
                await asyncio.sleep(wait * random.uniform(0.8, 1.2))  # noqa: S311 - jitter
                wait = min(2 * wait, AGAIN_S[1])
        assert self._store is not None
        async for fleet in self._store.fleets():
            yield fleet

    async def operator(self) -> AsyncIterator[OperatorPicture]:
        """The operator's stack each time something of it may have changed. Raises UserError."""
        await self.open()
        from diagnostics.cluster.kube import KubeAway
        from diagnostics.cluster.operator.reader import Reader
        from tui.operator_picture import picture

        reader = Reader(self.kube)
        try:
            async for verdict in reader.verdicts():
                yield picture(verdict, reader.judge.index)
        except KubeAway as error:
            raise Unreachable(str(error)) from error

    def watch_rows(self, names: set[str]) -> None:
        """The rows on the screen: live rates are asked of their agents alone."""
        self._names = set(names)
        if self._live is not None:
            self._live.watch(self._names)

    def node(self, name: str) -> Source:
        """One node's own screens; closing it closes nothing of the cluster."""
        from tui.sources.cluster_node import ClusterNode

        return ClusterNode(self, name, self._options)

    def set_interval(self, seconds: float) -> None:
        """Between two questions to a row's agent."""
        self.interval_s = seconds
        if self._live is not None:
            self._live.interval_s = seconds

    async def contexts(self) -> tuple[str, ...]:
        """The names that `--context` takes, the current one first."""
        parts = await asyncio.to_thread(_import)
        found: tuple[str, ...] = await asyncio.to_thread(parts.contexts, self._options.kubeconfig)
        return found

    def store(self) -> FleetStore:
        """What is kept of the cluster. Raises Unreachable before `open`."""
        if self._store is None:
            raise Unreachable(f"{self.label} is not open yet", "ask again in a second")
        return self._store

    async def close(self) -> None:
        if self._live is not None:
            await self._live.close()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._kube is not None:
            await self._kube.close()


def _import() -> Any:
    """What costs hundreds of milliseconds to import, as one namespace."""
    from types import SimpleNamespace

    from diagnostics.cluster.agents import Agents
    from diagnostics.cluster.fleet_store import FleetStore
    from diagnostics.cluster.kube import Kube
    from diagnostics.cluster.live import LiveRates
    from diagnostics.cluster.login import contexts

    return SimpleNamespace(Agents=Agents, FleetStore=FleetStore, Kube=Kube, LiveRates=LiveRates, contexts=contexts)
