"""Which source the screens look at: the contract's order, as for the one-shot commands."""

from __future__ import annotations

from tui.options import DEFAULT_SOCKET, Options
from tui.sources.base import Source
from tui.sources.once import _can_open as can_open
from tui.sources.once import needs_cluster


def choose(options: Options) -> Source:
    """Raises UserError or Unreachable where the options name something that cannot be asked."""
    if not options.local:
        if options.agent is not None or options.socket is not None:
            return _agent(options, options.socket)
        if options.wants_cluster is not None:
            raise needs_cluster(options.wants_cluster)
        if can_open(DEFAULT_SOCKET):
            return _agent(options, DEFAULT_SOCKET)
    from tui.sources.local import Local

    return Local(options)


def _agent(options: Options, path: str | None) -> Source:
    from tui.sources.agent import Agent

    return Agent(options, None if options.agent is not None else path)
