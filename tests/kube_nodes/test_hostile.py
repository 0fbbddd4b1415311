"""The memory limit of the agent's container, while strangers do their worst at its port."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time

from tests.kube_nodes.conftest import Agents
from tests.lab.kube.namespace import inside

LIMIT_BYTES = 256 * 1024 * 1024
CONNECTIONS = 300
"""An emulated processor does a few TLS handshakes a second; the thousands are for tests/unit and tests/lab."""
LASTS_S = 20.0


def test_memory_stays_below_the_limit_and_sampling_goes_on(agents: Agents) -> None:
    address = agents.lab.node(2).address
    before = agents.ask("node2", "get", "nodes")["time"]
    restarts = started(agents)
    held: list[socket.socket] = []
    try:
        with inside(agents.lab.name):
            held += [one for one in (connected(address) for _ in range(CONNECTIONS)) if one is not None]
            talkers = [threading.Thread(target=talk, args=(address, agents.lab.name)) for _ in range(4)]
            for talker in talkers:
                talker.start()
        assert agents.ask("node2", "get", "nodes")["time"] > before, "it samples meanwhile"
        for talker in talkers:
            talker.join()
    finally:
        for one in held:
            one.close()
    peak = int(agents.run("node2", "cat", "/sys/fs/cgroup/memory.peak").stdout)
    assert peak < LIMIT_BYTES
    assert started(agents) == restarts
    assert agents.is_ready(agents.pod("node2"))


def started(agents: Agents) -> int:
    statuses = agents.get("pod", "-n", "rdmatop", agents.pod("node2"))["status"]["containerStatuses"]
    return sum(int(each["restartCount"]) for each in statuses)


def connected(address: str) -> socket.socket | None:
    """Open, and silent; the agent may turn it away."""
    with contextlib.suppress(OSError):
        return socket.create_connection((address, 9879), 2)
    return None


def talk(address: str, namespace: str) -> None:
    """Heads without an end, bodies of 10 MB, paths with tricks; one after the other."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    end = time.monotonic() + LASTS_S
    says = (
        b"GET /v1/node HTTP/1.1\r\n" + b"X-A: " + b"a" * 64 * 1024,
        b"POST /v1/benchmarks HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n" + b"{" * 1_000_000,
        b"GET //v1/%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\0" * 100_000,
    )
    with inside(namespace):
        while time.monotonic() < end:
            for say in says:
                with (
                    contextlib.suppress(OSError),
                    socket.create_connection((address, 9879), 5) as plain,
                    context.wrap_socket(plain) as stream,
                ):
                    stream.sendall(say)
                    stream.recv(1000)
