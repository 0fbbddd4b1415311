"""One-shot sources: what a command asks, answered without an event loop.

The order is the contract's: this host or a captured tree where `--local` or `--root` says so, an agent that was named,
the agent that runs here, and this host read once by itself.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Literal, NamedTuple, Protocol

from diagnostics.columns import place
from diagnostics.errors import Unreachable, UserError
from diagnostics.model import Benchmark, BenchmarkRequest, Event, NodeSnapshot, Problem
from tui.options import DEFAULT_SOCKET, Options


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


def open_once(options: Options) -> Once:
    """The source that the options name, by the contract's order. Raises UserError or Unreachable."""
    if options.local:
        return _local(options)
    if options.agent is not None or options.socket is not None:
        return _agent(options, options.socket)
    if options.wants_cluster is not None:
        raise needs_cluster(options.wants_cluster)
    if _can_open(DEFAULT_SOCKET):
        return _agent(options, DEFAULT_SOCKET)
    return _local(options)


def needs_cluster(what: str) -> Unreachable:
    return Unreachable(
        f"{what} needs a cluster, and this version of rdmatop does not ask clusters yet",
        "leave it out to read this host, or ask one node's agent: --agent https://HOST:9879",
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
