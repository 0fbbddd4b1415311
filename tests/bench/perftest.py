"""Runs perftest's programs as the peer: a server and a client of one machine, and what they print as numbers."""

import os
import shutil
import statistics
import subprocess
import time
from collections.abc import Mapping

from tests.bench.ratio import CannotMeasure
from tests.lab.places import PROJECT

LIMIT_S = 120
TRIES = 4
_ports = iter(range(18800, 19800))
"""Each pair of processes gets its own TCP port: the last one's may still be closing."""


def pair(program: str, arguments: list[str], env: Mapping[str, str] | None = None) -> list[float]:
    """The client's figures, in the order of its columns. Raises CannotMeasure.

    perftest sometimes prints a rate of 0.00 for a run that went well; it then gets another one.
    """
    for _ in range(TRIES):
        figures = _once(program, arguments, env)
        if figures[-1] > 0:
            return figures
    raise CannotMeasure(f"{program} printed no rate in {TRIES} runs")


def _once(program: str, arguments: list[str], env: Mapping[str, str] | None) -> list[float]:
    path = shutil.which(program)
    if path is None:
        raise CannotMeasure(f"{program} is not installed: `make lab` brings perftest")
    port = next(_ports)
    command = [path, *arguments, "-F", "-p", str(port)]
    whole = {**os.environ, **(env or {})}
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=whole)
    try:
        _until_listening(port, server)
        done = subprocess.run(
            [*command, "127.0.0.1"], capture_output=True, text=True, timeout=LIMIT_S, env=whole, check=False
        )
        server.wait(timeout=LIMIT_S)
    except subprocess.TimeoutExpired as late:
        raise CannotMeasure(f"{program} did not end in {LIMIT_S} s") from late
    finally:
        server.kill()
        server.wait()
    return _figures(program, done)


def _figures(program: str, done: "subprocess.CompletedProcess[str]") -> list[float]:
    for line in done.stdout.splitlines():
        words = line.split()
        if len(words) >= 5 and all(word.replace(".", "", 1).isdigit() for word in words):
            return [float(word) for word in words]
    raise CannotMeasure(f"{program} printed no figures: {(done.stderr or done.stdout).strip()[-200:]}")


def _until_listening(port: int, server: "subprocess.Popen[bytes]") -> None:
    """State 0A, LISTEN, in /proc/net/tcp; a connection would be taken for the client's."""
    end = time.monotonic() + 20
    while time.monotonic() < end and server.poll() is None:
        for table in ("/proc/net/tcp", "/proc/net/tcp6"):
            with open(table) as file:
                rows = [line.split() for line in file][1:]
            if any(row[1].endswith(f":{port:04X}") and row[3] == "0A" for row in rows):
                return
        time.sleep(0.02)
    raise CannotMeasure("perftest's server does not listen")


def with_path(env: Mapping[str, str]) -> dict[str, str]:
    """Our environment with these in it; this checkout is found from any folder."""
    return {**os.environ, **env, "PYTHONPATH": str(PROJECT)}


def median(values: list[float]) -> float:
    return statistics.median(values)
