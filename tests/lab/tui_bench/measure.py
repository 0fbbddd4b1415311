"""python3 -m tests.lab.tui_bench.measure PLAN: measure programs in turns and print a JSON line for each window.

PLAN is a JSON file: `{"programs": {NAME: [ARG…]}, "turns": 3, "window_s": 20, "scenes": [[DEVICES, TRAFFIC], …]}`.
Turns, because a busy host moves CPU by a factor; all in one boot, because only then do figures compare.
"""

import contextlib
import json
import sys
from pathlib import Path
from typing import Any

from tests.lab import devices
from tests.lab.tui_bench.processes import cpu_seconds, status_sum, tree
from tests.lab.tui_bench.terminal import Terminal

COLUMNS, ROWS = 80, 24
WARM_S = 5.0
"""After the first data, and before the window: start-up is a figure of its own."""
DATA_LIMIT_S = 60.0


def window(argv: list[str], seconds: float) -> dict[str, Any]:
    """Processor time of the whole tree in a window of steady running, and what it wrote to the terminal."""
    run = Terminal(argv, COLUMNS, ROWS, expect="mlx5_0")
    run.watch_until_data(DATA_LIMIT_S)
    start_cpu_s = cpu_seconds(tree(run.pid))
    run.watch(WARM_S)
    cpu_s, written = cpu_seconds(tree(run.pid)), run.written_bytes
    is_alive = run.watch(seconds)
    pids = tree(run.pid)
    figures = {
        "cpu_percent": 100 * (cpu_seconds(pids) - cpu_s) / seconds,
        "bytes_per_s": (run.written_bytes - written) / seconds,
        "first_frame_s": run.first_frame_s,
        "first_data_s": run.first_data_s,
        "start_cpu_s": start_cpu_s,
        "memory_kib": status_sum(pids, "VmHWM"),
        "threads": status_sum(pids, "Threads"),
        "alive": is_alive,
    }
    return figures | {"ended_by": run.stop("q")}


def main(plan_file: str) -> int:
    plan = json.loads(Path(plan_file).read_text())
    for count, with_traffic in plan["scenes"]:
        devices.up(count)
        for turn in range(plan["turns"]):
            for name, argv in plan["programs"].items():
                # on processor 1, so that its softirqs are not charged to the program on the other
                load = devices.traffic(600, cpu=1) if with_traffic else contextlib.nullcontext()
                with load:
                    figures = window(argv, plan["window_s"])
                about = {"program": name, "devices": count, "traffic": with_traffic, "turn": turn}
                print(json.dumps(about | figures), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
