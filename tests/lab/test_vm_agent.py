"""The agent on real devices, as users meet it: a process of its own, asked over its socket.

One agent for all tests, and the command line only where it is what is tested: on an emulated processor starting either
takes seconds.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.lab import devices

pytestmark = pytest.mark.vm
RDMATOP = str(Path(sys.executable).with_name("rdmatop"))
SAMPLES_S = 20
"""Longest time for a change to be seen: two samples of a second, a refresh on the kernel's word, and slowness."""


class Agent(NamedTuple):
    process: subprocess.Popen[bytes]
    socket: str
    log: Path

    def ask(self, *words: str) -> tuple[int, Any]:
        """A command's exit code and the JSON it printed."""
        done = subprocess.run(
            [RDMATOP, *words, "-o", "json", "--socket", self.socket], capture_output=True, text=True, timeout=120
        )
        assert "Traceback" not in done.stderr
        return done.returncode, json.loads(done.stdout or "null")

    def node(self) -> dict[str, Any]:
        """The latest snapshot."""
        connection = http.client.HTTPConnection("localhost", timeout=30)
        with socket.socket(socket.AF_UNIX) as connection.sock:
            connection.sock.connect(self.socket)
            connection.request("GET", "/v1/node")
            answer: dict[str, Any] = json.loads(connection.getresponse().read())
            return answer

    def port(self, device: str) -> dict[str, Any]:
        return next(port for port in self.node()["ports"] if port["device"] == device)

    def checks_of(self, device: str) -> set[str]:
        return {finding["check"] for finding in self.node()["findings"] if finding["device"] == device}


@pytest.fixture(scope="module")
def running(lab_devices: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    folder = tmp_path_factory.mktemp("agent")
    path, log = f"{folder}/agent.sock", folder / "log"
    command = [RDMATOP, "agent", "--socket", path, "--state-dir", f"{folder}/state"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        devices.until(lambda: process.poll() is not None or os.path.exists(path), "the agent's socket", 60)
        assert process.poll() is None, log.read_text()
        yield Agent(process, path, log)
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture
def agent(running: Agent, lab: None) -> Agent:
    return running


def test_ports_over_the_socket(agent: Agent) -> None:
    code, answer = agent.ask("get", "ports")
    assert (code, answer["kind"], answer["errors"]) == (0, "PortList", [])
    assert [(item["device"], item["state"], item["netdev"]) for item in answer["items"]] == [
        ("mlx5_0", "ACTIVE", "v0"),
        ("mlx5_1", "ACTIVE", "v1"),
    ]
    assert answer["items"][0]["gid"].endswith("ffff:0a08:0001")


def test_sysfs_and_verbs_agree(agent: Agent) -> None:
    def gids(*how: str) -> set[tuple[str, int, str, str]]:
        command = [RDMATOP, "get", "gids", "-o", "json", *how]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
        return {(i["device"], i["index"], i["gid"], i["type"]) for i in json.loads(done.stdout)["items"]}

    devices.until(lambda: agent.node()["devices"][0]["verbs"], "the verbs worker's answer", 90)
    by_verbs = gids("--socket", agent.socket)
    assert len(by_verbs) >= 4
    assert gids("--local") == by_verbs


def test_traffic_has_rates_and_an_owner(agent: Agent) -> None:
    with devices.traffic(90) as (server, client):
        devices.until(lambda: (agent.port("mlx5_0")["tx_gbps"] or 0) > 0.001, "a rate", SAMPLES_S)
        assert agent.port("mlx5_0")["rate_quality"] == "ok"
        devices.until(
            lambda: {server.pid, client.pid} <= {process["pid"] for process in agent.node()["processes"]},
            "both processes of ib_write_bw",
            60,
        )
        owners = agent.node()["processes"]
    mine = next(item for item in owners if item["pid"] == client.pid)
    assert (mine["device"], mine["command"]) == ("mlx5_0", "ib_write_bw")
    assert mine["qp_types"].get("RC", 0) >= 1


def test_a_netdev_that_is_down_is_found_and_forgotten(agent: Agent) -> None:
    devices.run("ip", "link", "set", "v0", "down")
    devices.until(lambda: agent.port("mlx5_0")["state"] == "DOWN", "the port is down", SAMPLES_S)
    down = {"link-down", "netdev-down", "link-not-active"}
    devices.until(lambda: down & agent.checks_of("mlx5_0"), "a finding", SAMPLES_S)
    devices.up()
    devices.until(lambda: agent.port("mlx5_0")["state"] == "ACTIVE", "the port is back", SAMPLES_S)


def test_an_unplugged_device_stays_in_sight_and_comes_back(agent: Agent) -> None:
    devices.remove("mlx5_1")
    devices.until(lambda: agent.port("mlx5_1")["gone_since"], "gone_since", SAMPLES_S)
    assert [port["device"] for port in agent.node()["ports"]] == ["mlx5_0", "mlx5_1"]
    devices.up()
    devices.until(lambda: agent.port("mlx5_1")["gone_since"] is None, "it is back", SAMPLES_S)
    assert agent.port("mlx5_1")["state"] == "ACTIVE"


def test_a_read_that_hangs_makes_one_device_stale_and_nothing_wait(
    agent: Agent, inject: Callable[[str, str, int], None]
) -> None:
    inject("mlx5_1", "hang", 1)
    devices.until(lambda: agent.port("mlx5_1")["stale_since"], "stale_since", SAMPLES_S)
    assert agent.port("mlx5_1")["rate_quality"] == "stale"
    assert agent.port("mlx5_0")["stale_since"] is None
    inject("mlx5_1", "hang", 0)
    devices.until(lambda: agent.port("mlx5_1")["stale_since"] is None, "it answers again", SAMPLES_S)


def test_a_loopback_asked_of_the_agent(agent: Agent) -> None:
    code, answer = agent.ask("bench", "loopback", "mlx5_0", "--size", "65536", "--duration", "1")
    (item,) = answer["items"]
    assert (item["state"], item["verified"], item["error"]) == ("done", True, None)
    assert item["bandwidth_gbps"] > 0
    assert item["counters"]["port_xmit_data" if devices.INJECT.exists() else "sent_pkts"] > 0
    assert code == (1 if item["verdict"] == "fail" else 0)
    assert item["reason"]


def test_it_ends_in_time_when_told(agent: Agent) -> None:
    agent.process.terminate()
    assert agent.process.wait(10) == 0
    assert not os.path.exists(agent.socket)
    assert "Traceback" not in agent.log.read_text()
