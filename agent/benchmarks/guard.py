"""Keeps benchmarks off ports that carry somebody's traffic."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from agent.benchmarks.request import Target
from diagnostics.errors import UserError
from diagnostics.model import NodeSnapshot, Port

BUSY_SHARE = 0.05
"""Of the port's rate. Below it are heartbeats and storage metadata; a training step is far above."""
READING_GAP_S = 1.0
"""Between the two readings that a rate needs."""


def share(port: Port) -> float | None:
    """The busier direction's part of the port's rate; None while it is unknown."""
    known = [rate for rate in (port.tx_gbps, port.rx_gbps) if rate is not None]
    if not known or not port.rate_gbps:
        return None
    return max(known) / port.rate_gbps


def find(snapshot: NodeSnapshot, target: Target) -> Port | None:
    """The port in a newer reading."""
    for port in snapshot.ports:
        if (port.device, port.port) == (target.port.device, target.port.port):
            return port if port.gone_since is None else None
    return None


async def require_idle(targets: Sequence[Target], read: Callable[[], Awaitable[NodeSnapshot]]) -> None:
    """Raises UserError when one of the ports carries traffic. Takes two readings of its own, a second apart.

    A port whose counters give no rate cannot be judged and is let through.
    """
    active = [target for target in targets if target.port.state == "ACTIVE"]
    if not active:
        return
    await read()
    await asyncio.sleep(READING_GAP_S)
    snapshot = await read()
    for target in active:
        port = find(snapshot, target)
        used = share(port) if port is not None else None
        if used is not None and used > BUSY_SHARE:
            raise UserError(
                f"{target.where} carries traffic: {100 * used:.0f} % of its rate",
                "a benchmark would disturb it and be disturbed; wait, or use --force",
            )
