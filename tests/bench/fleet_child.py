"""`python -m tests.bench.fleet_child NODES all|designed`: the screens over a scripted cluster that never stands still.

`designed` is what the agents of a cluster send: each node a heartbeat a minute, the rows on the screen once a second.
With `all`, every node changes a few times a second.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator

import msgspec

from diagnostics.cluster.fleet import Fleet, FleetRow
from tests.frames.scripted_fleet import ScriptedFleet, fleet, row
from tui.screens.session import Session
from tui.theme import Theme
from tui.widgets.shell import run_shell

STEP_S = 0.25
HEARTBEAT_S = 60.0


class Busy(ScriptedFleet):
    def __init__(self, count: int, every: bool) -> None:
        super().__init__()
        self.every = every
        self.seen: set[str] = set()
        self.rows = {f"node-{number:04d}": row(f"node-{number:04d}") for number in range(count)}

    def watch_rows(self, names: set[str]) -> None:
        self.seen = names

    async def fleet(self) -> AsyncIterator[Fleet]:
        names, sequence, place = list(self.rows), 0, 0.0
        yield fleet(self.rows.values())
        while True:
            await asyncio.sleep(STEP_S)
            sequence += 1
            beats = len(names) * STEP_S / HEARTBEAT_S
            due = names[int(place) : int(place + beats)]
            place = (place + beats) % len(names)
            live = [name for number, name in enumerate(sorted(self.seen)) if number % 4 == sequence % 4]
            rows = dict(self.rows)
            for name in names if self.every else [*due, *live]:
                rows[name] = another(rows[name], sequence)
            self.rows = rows
            yield Fleet(rows, (), sequence, True, True)


def another(before: FleetRow, sequence: int) -> FleetRow:
    """The same node a moment later."""
    traffic = float((sequence * 37 + len(before.name)) % 3000)
    item = msgspec.structs.replace(before.item, tx_gbps=traffic, rx_gbps=traffic + 1)
    return msgspec.structs.replace(before, item=item, seen=time.time())


def main() -> int:
    source = Busy(int(sys.argv[1]), sys.argv[2] == "all")
    return run_shell(Session(source, Theme()))


if __name__ == "__main__":
    sys.exit(main())
