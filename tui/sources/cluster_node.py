"""One node of a cluster as a source: its agent's stream through the pod proxy, its last state while that is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import TracebackType
from typing import TYPE_CHECKING, Any

import msgspec

from diagnostics.errors import Unreachable, UserError
from diagnostics.model import NodeSnapshot
from tui.options import Options
from tui.sources.agent import Agent
from tui.sources.base import Outage

if TYPE_CHECKING:
    from diagnostics.cluster.nodes import Pod
    from tui.sources.cluster import ClusterSource


class ClusterNode(Agent):
    """An agent that is reached by another way: everything else is as with an agent that is asked directly."""

    def __init__(self, cluster: ClusterSource, name: str, options: Options) -> None:
        super().__init__(options._replace(agent=None, token_file=None), path="")
        self._cluster = cluster
        self.name = name
        self.label = f"{cluster.label} · {name}"

    async def snapshots(self) -> AsyncIterator[NodeSnapshot | Outage]:
        """The agent's readings; before an outage, where nothing came yet, the node's last state."""
        silent = True
        async for item in super().snapshots():
            if isinstance(item, Outage) and silent:
                last = self._last_state()
                if last is not None:
                    yield last
            silent = False
            yield item

    def _last_state(self) -> NodeSnapshot | None:
        from diagnostics.checks import REGISTRY
        from diagnostics.cluster.last_state import last_snapshot

        try:
            store = self._cluster.store()
        except Unreachable:
            return None
        row, rdma = store.build().rows.get(self.name), store.rdmanodes.objects.get(self.name)
        if row is None or rdma is None or not rdma.status.time:
            return None
        return last_snapshot(row, rdma.status, {check.id: check.layer for check in REGISTRY.values()})

    async def pod(self) -> Pod:
        """The agent's pod now: another one after each restart. Raises Unreachable with the pod's own words."""
        await self._cluster.open()
        store = self._cluster.store()
        pod = store.pod(self.name)
        if pod is not None and pod.status.phase == "Running" and pod.status.pod_ip:
            return pod
        row = store.build().rows.get(self.name)
        if row is None:
            raise Unreachable(f"{self.label}: there is no such node", "rdmatop get nodes")
        why = row.agent.reason or "its agent does not run"
        raise Unreachable(f"{self.label}: {why}", "kubectl get pods -n rdmatop -o wide")

    def _open(self, method: str, route: str, silence_s: float, body: bytes | None = None) -> Any:
        return _Proxied(self, self._cluster, method, route, silence_s, body)

    async def close(self) -> None:
        """The cluster's connection is not ours to close."""


class _Proxied:
    """One request through the proxy, in the shape that an aiohttp answer has for those who read it."""

    def __init__(
        self, node: ClusterNode, cluster: ClusterSource, method: str, route: str, silence_s: float, body: bytes | None
    ) -> None:
        self._node, self._cluster = node, cluster
        self._method, self._route, self._silence_s, self._body = method, route, silence_s, body
        self._lines: Any = None
        self._content = b""

    @property
    def content(self) -> _Proxied:
        return self

    async def __aenter__(self) -> _Proxied:  # noqa: PYI034 - Self came with Python 3.11
        from diagnostics.cluster.agents import AgentUnanswered

        pod = await self._node.pod()
        agents = self._cluster.agents
        if self._route.startswith("/v1/stream"):
            self._lines = agents.lines(pod, self._route)
            return self
        right: Any = "view" if self._method == "GET" else "act"
        body = None if self._body is None else msgspec.json.decode(self._body)
        try:
            self._content = await agents.call(
                pod, self._method, self._route, body, right=right, timeout_s=self._silence_s
            )
        except AgentUnanswered as error:
            raise refusal(self._node.label, error) from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lines is not None:
            await self._lines.aclose()

    async def read(self, _most: int = -1) -> bytes:
        return self._content

    async def readline(self) -> bytes:
        """The next line with its newline; b"" at the end. Raises UserError."""
        from diagnostics.cluster.agents import AgentUnanswered

        try:
            line: bytes = await asyncio.wait_for(_next(self._lines), self._silence_s)
        except AgentUnanswered as error:
            raise refusal(self._node.label, error) from error
        return line


async def _next(lines: Any) -> bytes:
    try:
        line: bytes = await lines.__anext__()
    except StopAsyncIteration:
        return b""
    return line


def refusal(label: str, error: Any) -> UserError:
    """Why an agent did not answer, as commands and screens tell it."""
    if error.status in (400, 409, 413, 422):
        return UserError(f"{label}: {error.message}", error.hint)
    return Unreachable(f"{label}: {error.message}", error.hint)
