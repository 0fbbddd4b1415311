"""Which source the screens look at: the contract's order, as for the one-shot commands."""

from __future__ import annotations

from typing import Any

from tui.options import DEFAULT_SOCKET, Options
from tui.sources.once import Where


def choose(options: Options, place: Where) -> Any:
    """A node's Source, or a ClusterSource. Raises UserError or Unreachable for options that cannot be asked."""
    if place in ("cluster", "perhaps"):
        from tui.sources.cluster import ClusterSource

        return ClusterSource(options, selector=options.selector)
    if place in ("agent", "socket"):
        from tui.sources.agent import Agent

        path = options.socket if place == "agent" else DEFAULT_SOCKET
        return Agent(options, None if options.agent is not None else path)
    from tui.sources.local import Local

    return Local(options)
