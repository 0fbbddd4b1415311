"""One-shot sources: what a command asks, answered without an event loop.

The order is the contract's: this host or a captured tree where `--local` or `--root` says so, an agent that was named,
a cluster that was named, the agent that runs here, the cluster of a kubeconfig or of the pod's account, and this host
read once by itself.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from diagnostics.columns import place
from diagnostics.errors import Unreachable, UserError
from diagnostics.model import Benchmark, BenchmarkRequest, Event, NodeSnapshot, Problem
from tui.options import DEFAULT_SOCKET, Options

if TYPE_CHECKING:
    from tui.sources.once_cluster import ClusterOnce


Where = Literal["here", "agent", "socket", "cluster", "perhaps"]
"""`socket`: the agent that runs here; `perhaps`: the cluster of a kubeconfig that was not asked for by name."""
ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount/token"


class Wanted(NamedTuple):
    """What a command needs of a reading; less of it costs less."""

    counters: Literal["all", "none"] = "none"
    inventory: bool = True
    """Host, processes, whole GID tables and P_Keys; without, devices, ports and counters alone."""
    verdict: bool = True
    """Health, expectations and findings."""


class Ran(NamedTuple):
    """What came of benchmarks."""

    items: tuple[Benchmark, ...]
    errors: tuple[Problem, ...] = ()
    """Requests that could not be started, where others could."""
    interrupted: bool = False


class Once(Protocol):
    many: Literal[False]
    """Whether it is a cluster."""
    label: str
    """Whom it asks: `this host`, `capture DIR`, `agent URL`."""

    def snapshot(self, wanted: Wanted) -> NodeSnapshot:
        """One reading. Raises Unreachable where nobody answers."""

    def watch(self, wanted: Wanted, interval_s: float) -> Iterator[NodeSnapshot]:
        """A reading each interval, the first at once; ends only by an error."""

    def events(self) -> tuple[Event, ...]:
        """What began and ended, oldest first. Raises Unreachable where nobody keeps them."""

    def benchmarks(self) -> tuple[Benchmark, ...]:
        """All that are kept, newest first. Raises Unreachable where nobody keeps them."""

    def run_benchmarks(self, requests: tuple[BenchmarkRequest, ...], changed: Callable[[Benchmark], None]) -> Ran:
        """Runs them one after the other and tells each change; an interrupt cancels, and returns what was measured.

        Raises UserError (bad request) or Unreachable (no device, no permission) where nothing could be started.
        """

    def close(self) -> None: ...


def problems(refused: Iterable[tuple[BenchmarkRequest, UserError]]) -> tuple[Problem, ...]:
    """Requests that were refused, as the envelope tells of them."""
    return tuple(
        Problem(
            source="benchmarks" if request.device is None else f"benchmarks/{place(request)}",
            message=error.message,
            hint=error.hint or None,
        )
        for request, error in refused
    )


def where(options: Options) -> Where:
    """Whom a command asks, by the contract's order."""
    if options.local:
        return "here"
    if options.agent is not None or options.socket is not None:
        return "agent"
    if options.wants_cluster is not None:
        return "cluster"
    if _can_open(DEFAULT_SOCKET):
        return "socket"
    return "perhaps" if has_cluster() else "here"


def open_once(options: Options) -> Once:
    """The one node that the options name: this host, or an agent. Raises UserError or Unreachable.

    Where a cluster might be asked and was not named, it is this host.
    """
    place = where(options)
    if place == "cluster":
        raise Unreachable(
            f"{options.wants_cluster}: this is asked of one node", "ask its agent: --agent URL, --socket PATH"
        )
    if place == "agent":
        return _agent(options, options.socket)
    return _agent(options, DEFAULT_SOCKET) if place == "socket" else _local(options)


def open_any(options: Options, say: Callable[[str], None]) -> Once | ClusterOnce:
    """One node or a cluster, as the options name it. Raises UserError or Unreachable.

    A cluster that nobody named and that cannot be asked is told of by `say`, and this host is read in its place.
    """
    place = where(options)
    if place not in ("cluster", "perhaps"):
        return open_once(options)
    from tui.sources.once_cluster import ClusterOnce  # kubernetes and aiohttp, half a second

    try:
        return ClusterOnce(options, implicit=place == "perhaps")
    except Unreachable as error:
        if place == "cluster":
            raise
        say(f"{error.message}: reading this host instead (--local says so from the start)")
        return _local(options)


def has_cluster() -> bool:
    """Whether there is a kubeconfig, or the account of a pod: nothing is read, nobody asked."""
    named = os.environ.get("KUBECONFIG")
    paths = named.split(":") if named else [os.path.expanduser("~/.kube/config")]
    if any(path and os.path.exists(path) for path in paths):
        return True
    return bool(os.environ.get("KUBERNETES_SERVICE_HOST")) and os.path.exists(ACCOUNT)


def needs_cluster(what: str) -> Unreachable:
    return Unreachable(
        f"{what} needs a cluster, and none is asked here",
        "name one: --kubeconfig FILE or --context NAME",
    )


def _local(options: Options) -> Once:
    from tui.sources.once_local import LocalOnce

    return LocalOnce(options)


def _agent(options: Options, path: str | None) -> Once:
    from tui.sources.once_agent import AgentOnce  # http.client and what it brings, 15 ms: not for a local reading

    return AgentOnce(options, None if options.agent is not None else path)


def _can_open(path: str) -> bool:
    """Whether an agent answers there; a socket left behind by a killed one, or another user's, does not count."""
    if not os.path.exists(path):
        return False
    import socket

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(path)
        except OSError:
            return False
        return True
