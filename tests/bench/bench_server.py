"""What the agent costs: 8 HCAs of 60 counters at 1 s in CPU and memory, and a cached GET /v1/node in CPU.

The tree lies in memory and its counters move once a second. Budgets: 1 % of a core, 64 MiB, 0.2 ms a request.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.bench.ratio import Ratio, at_most

HCAS, PER_FOLDER = 8, 30
SECONDS = 20.0
TURNS, REQUESTS = 7, 1000
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_FACTS = {
    "fw_ver": "28.39.1002",
    "hca_type": "MT4129",
    "board_id": "MT_0000000838",
    "node_type": "1: CA",
    "node_desc": "gpu-1 HCA",
    "ports/1/state": "4: ACTIVE",
    "ports/1/phys_state": "5: LinkUp",
    "ports/1/rate": "400 Gb/sec (4X NDR)",
    "ports/1/link_layer": "InfiniBand",
    "ports/1/lid": "0x1a",
    "ports/1/sm_lid": "0x1",
    "ports/1/lid_mask_count": "0",
    "ports/1/cap_mask": "0xa741e848",
    "ports/1/gids/0": "fe80:0000:0000:0000:b83f:d203:0092:dd30",
    "ports/1/pkeys/0": "0xffff",
}
_NAMED = ("port_xmit_data", "port_rcv_data", "port_xmit_packets", "port_rcv_packets", "symbol_error", "link_downed")


def run() -> list[Ratio]:
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
        counters = make_tree(folder)
        cpu, memory = steady_cost(folder, counters)
        request_ms, body_bytes = request_cost(folder)
    what = "8 HCAs x 60 counters"
    return [
        at_most(f"agent at 1 s, {what}", cpu, 1.0, "% of a core"),
        at_most(f"agent resident, {what}", memory, 64.0, "MiB"),
        at_most(f"GET /v1/node, {what}, {body_bytes // 1024} KiB", request_ms, 0.2, "ms CPU"),
    ]


def make_tree(folder: str) -> list[str]:
    """A node of `HCAS` devices; the paths of all its counters."""
    counters = []
    for number in range(HCAS):
        device = f"{folder}/sys/class/infiniband/mlx5_{number}"
        facts = {**_FACTS, "node_guid": f"b83f:d203:0092:dd{number:02x}", "sys_image_guid": "b83f:d203:0092:dd00"}
        for name in ("counters", "hw_counters"):
            extra = _NAMED if name == "counters" else ()
            names = [*extra, *(f"{name}_{index}" for index in range(PER_FOLDER - len(extra)))]
            facts |= {f"ports/1/{name}/{counter}": "0" for counter in names}
        for name, text in facts.items():
            path = f"{device}/{name}"
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="ascii") as file:
                file.write(text + "\n")
            if "counters/" in name:
                counters.append(path)
    return counters


@contextmanager
def agent(root: str, interval: str) -> Iterator[tuple[int, str]]:
    """A running agent, warm: its pid and socket."""
    path = os.path.join(root, "agent.sock")
    code = (
        "import sys; from agent.config import AgentOptions; from agent.main import run_agent;"
        " sys.exit(run_agent(AgentOptions(root=sys.argv[1], socket=sys.argv[2], interval=float(sys.argv[3]))))"
    )
    command = [sys.executable, "-c", code, root, path, interval]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            time.sleep(0.1)
            if os.path.exists(path):
                break
        time.sleep(2.0)
        yield process.pid, path
    finally:
        process.terminate()
        process.wait(5)


def steady_cost(root: str, counters: list[str]) -> tuple[float, float]:
    """Percent of a core over `SECONDS`, and MiB resident at their end, while every counter moves."""
    with agent(root, "1") as (pid, _):
        began, used = time.monotonic(), cpu_s(pid)
        step = 0
        while time.monotonic() - began < SECONDS:
            step += 1
            for path in counters:
                with open(path, "w", encoding="ascii") as file:
                    file.write(f"{step * 123457}\n")
            time.sleep(max(0.0, began + step - time.monotonic()))
        return (cpu_s(pid) - used) / (time.monotonic() - began) * 100, resident_mib(pid)


def request_cost(root: str) -> tuple[float, int]:
    """Milliseconds of the agent's CPU for a GET /v1/node on a kept connection, and the body's bytes.

    The best of `TURNS`: neighbours on the same core only ever add.
    """
    with agent(root, "60") as (pid, path), socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        length = ask(client)
        turns = []
        for _ in range(TURNS):
            used = cpu_s(pid)
            for _ in range(REQUESTS):
                ask(client)
            turns.append((cpu_s(pid) - used) / REQUESTS * 1000)
        return min(turns), length


def ask(client: socket.socket) -> int:
    """The length of the body, read whole."""
    client.sendall(b"GET /v1/node HTTP/1.1\r\nHost: agent\r\n\r\n")
    received = client.recv(1 << 20)
    while b"\r\n\r\n" not in received:
        received += client.recv(1 << 20)
    head, _, body = received.partition(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    missing = length - len(body)
    while missing > 0:
        missing -= len(client.recv(1 << 20))
    return length


def cpu_s(pid: int) -> float:
    """utime + stime of /proc/PID/stat (proc(5)), all threads."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


def resident_mib(pid: int) -> float:
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        line = next(line for line in file if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024
