"""What the software itself costs, on a device that costs nothing (tests/lab/fakeverbs.c), against perftest.

`python -m tests.bench.bench_nocost cost|latency` is our side, run with the library preloaded.
"""

import json
import subprocess
import sys
import tempfile

from agent.verbs.bandwidth import pump
from agent.verbs.binding import load
from agent.verbs.latency import measure
from agent.verbs.loop import Loop
from agent.verbs.protocol import Job
from agent.verbs.watch import Watch
from tests.bench import perftest
from tests.bench.ratio import CannotMeasure, Ratio, at_most
from tests.lab import fakeverbs
from tests.lab.places import Missing

SIZE, MESSAGES, ROUND_TRIPS, TURNS = 64, 2_000_000, 100_000, 5
COST_LIMIT, LATENCY_LIMIT_US = 1.4, 0.3


def run() -> list[Ratio]:
    try:
        free = fakeverbs.environment(COPY=0)
        with tempfile.TemporaryDirectory(prefix="rdmatop-fakeverbs-") as folder:
            return [cost(free), latency(fakeverbs.environment(), fakeverbs.environment(SHARED=folder))]
    except Missing as missing:
        raise CannotMeasure(str(missing)) from missing


def cost(env: dict[str, str]) -> Ratio:
    """Nanoseconds a message, in turns."""
    peer, own = [], []
    for _ in range(TURNS):
        arguments = ["-s", str(SIZE), "-n", str(MESSAGES), "-t", "128", "-Q", "64"]
        peer.append(1e3 / perftest.pair("ib_write_bw", arguments, env)[4])
        own.append(ours("cost", env))
    what = "loopback write, no-cost device, 64 B, chains of 128: a message, against ib_write_bw -t 128 -Q 64"
    return at_most(what, perftest.median(own), perftest.median(peer), "ns", COST_LIMIT)


def latency(env: dict[str, str], shared: dict[str, str]) -> Ratio:
    """Typical one-way time of both; what ours adds is held against the budget. perftest's two processes reach each
    other's memory through files in memory, ours are both ends in one."""
    peer, own = [], []
    for _ in range(TURNS):
        peer.append(perftest.pair("ib_write_lat", ["-s", str(SIZE), "-n", str(ROUND_TRIPS)], shared)[4])
        own.append(ours("latency", env))
    ib_write_lat, rdmatop = perftest.median(peer), perftest.median(own)
    what = f"latency added at 64 B, no-cost device (ours {rdmatop:.2f}, ib_write_lat {ib_write_lat:.2f} us)"
    return at_most(what, rdmatop - ib_write_lat, LATENCY_LIMIT_US, "us")


def ours(which: str, env: dict[str, str]) -> float:
    """One run in a process of its own, as the worker does it."""
    command = [sys.executable, "-m", "tests.bench.bench_nocost", which]
    done = subprocess.run(command, capture_output=True, text=True, env=perftest.with_path(env), timeout=120)
    if done.returncode:
        raise CannotMeasure(f"our side failed: {done.stderr.strip()[-300:]}")
    return float(json.loads(done.stdout))


def _quiet() -> Watch:
    return Watch(20, lambda: False, lambda *_: None, lambda: None)


def _cost_ns() -> float:
    """The loop alone: nothing can be verified on a device that moves no bytes."""
    loop = Loop(load(), Job(id="cost", device="mlx5_0", size_bytes=SIZE, chain=128, qps=1))
    done = pump(loop, _quiet(), None, MESSAGES // loop.chain)
    return done.elapsed_ns / (done.chains * loop.chain)


def _latency_us() -> float:
    loop = Loop(load(), Job(id="latency", device="mlx5_0", size_bytes=SIZE, latency=True))
    summary = measure(loop, _quiet(), None, ROUND_TRIPS).summary_us()
    assert summary is not None
    return summary[1]


if __name__ == "__main__":
    print(json.dumps({"cost": _cost_ns, "latency": _latency_us}[sys.argv[1]]()))
