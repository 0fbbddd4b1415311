"""Loopback RDMA write against ib_write_bw, in turns on one soft-RoCE device within one boot of the lab's machine.

`python -m tests.bench.bench_loopback` is what runs inside; it prints its figures as one line of JSON.
"""

import json
import os
import subprocess
import sys

from agent.verbs.binding import load
from agent.verbs.protocol import Job
from agent.verbs.runner import run as run_job
from tests.bench import perftest
from tests.bench.ratio import CannotMeasure, Ratio, at_least
from tests.lab import devices
from tests.lab.places import PROJECT, Missing

TURNS = 5
SIZES = {64: (60_000, 1.0), 4096: (16_000, 1.0), 65536: (1_200, 0.97), 1 << 20: (120, 0.97)}
"""Bytes -> messages a turn (about 1.5 s each on an emulated processor) and the least ratio of messages a second."""
NAMES = {64: "64 B", 4096: "4 KiB", 65536: "64 KiB", 1 << 20: "1 MiB"}
DEVICE, LIMIT_S = "mlx5_0", 600


def run() -> list[Ratio]:
    if os.environ.get("RUN_IN_VM"):
        return rows(measure())
    command = [
        str(PROJECT / "tests/lab/run-in-vm"),
        "--timeout",
        str(LIMIT_S),
        "--",
        sys.executable,
        "-m",
        "tests.bench.bench_loopback",
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=PROJECT, timeout=LIMIT_S + 150)
    except (Missing, OSError, subprocess.TimeoutExpired) as failed:
        raise CannotMeasure(f"the lab's virtual machine: {failed}") from failed
    if done.returncode:
        raise CannotMeasure(f"in the lab's virtual machine: {done.stderr.strip()[-300:]}")
    return rows({int(size): turns for size, turns in json.loads(done.stdout.strip().splitlines()[-1]).items()})


def rows(measured: dict[int, list[list[float]]]) -> list[Ratio]:
    """`at_least` a hair above 1.0 where a tie does not do."""
    made = []
    for size, turns in measured.items():
        ours, peer = (perftest.median([turn[side] for turn in turns]) for side in (0, 1))
        what = f"loopback write {NAMES[size]}, soft-RoCE, against ib_write_bw -t 128 -Q 64, median of {len(turns)}"
        made.append(at_least(what, ours, peer, "messages/s", SIZES[size][1]))
    return made


def measure() -> dict[int, list[list[float]]]:
    """Messages a second of ours and of the peer, a pair each turn; who begins alternates."""
    devices.up()
    verbs = load()
    found: dict[int, list[list[float]]] = {}
    for size, (messages, _) in SIZES.items():
        found[size] = []
        for turn in range(TURNS):
            if turn % 2:
                peer, own = theirs(size, messages), ours(verbs, size, messages)
            else:
                own, peer = ours(verbs, size, messages), theirs(size, messages)
            found[size].append([own, peer])
            print(f"{size} B: {own:.1f} against {peer:.1f}", file=sys.stderr, flush=True)
    return found


def ours(verbs, size: int, messages: int) -> float:  # type: ignore[no-untyped-def]
    """A child as the worker's, so that nothing of one turn is left in the next."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        job = Job(id="turn", device=DEVICE, size_bytes=size, qps=1, chain=128, iterations=messages, gid_index=1)
        result = run_job(verbs, job, lambda _: None, lambda: False)
        os.write(writer, json.dumps([result.messages_per_s, result.verified, result.error]).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as file:
        rate, verified, error = json.loads(file.read())
    os.waitpid(pid, 0)
    if not verified:
        raise CannotMeasure(f"our loopback: {error}")
    return float(rate)


def theirs(size: int, messages: int) -> float:
    figures = perftest.pair(
        "ib_write_bw", ["-d", DEVICE, "-x", "1", "-s", str(size), "-n", str(messages), "-t", "128", "-Q", "64"]
    )
    # the rate is printed in millions with six digits, the bandwidth in MiB/s with two: the finer of the two
    return figures[4] * 1e6 if size < 65536 else figures[3] * (1 << 20) / size


if __name__ == "__main__":
    try:
        print(json.dumps(measure()))
    except CannotMeasure as failed:
        sys.exit(str(failed))
