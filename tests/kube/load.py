"""Clusters of thousands of nodes: Nodes, agents' pods and RdmaNodes written by as many agents as there are nodes.

No controller runs: nobody else writes to what is measured.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from diagnostics.cluster.rdmanode import API_VERSION, PATH, status_of
from diagnostics.model import Device
from diagnostics.timing import rfc3339
from tests.kube.conftest import BASE, enter, enter_descriptor
from tests.kube.made import a_port, a_snapshot
from tests.lab.kube.control_plane import TOKEN, ControlPlane

AT_ONCE = 24


class Quiet(ControlPlane):
    """etcd and the API server alone."""

    controllers = ()


@contextlib.contextmanager
def quiet_cluster(folder: Path) -> Iterator[ControlPlane]:
    """A cluster of its own; this process is in its namespace meanwhile."""
    plane = Quiet(f"rdmatop-load-{os.getpid()}", folder)
    outside = os.open("/proc/self/ns/net", os.O_RDONLY)
    try:
        plane.up()
        enter(f"/run/netns/{plane.name}")
        for name in ("namespace", "crd", "rbac"):
            plane.kubectl("apply", "-f", str(BASE / f"{name}.yaml"))
        plane.kubectl("wait", "--for=condition=Established", "crd/rdmanodes.rdmatop.dev", "--timeout=30s")
        yield plane
    finally:
        enter_descriptor(outside)
        os.close(outside)
        plane.down()


def name_of(number: int) -> str:
    return f"gpu-{number:05d}"


def status(number: int, at: float, tx_gbps: float = 100.0) -> dict[str, Any]:
    """The status of a node with eight NDR ports, as its agent would write it."""
    name = name_of(number)
    ports = tuple(a_port(name, f"mlx5_{device}", tx_gbps=tx_gbps) for device in range(8))
    snapshot = msgspec.structs.replace(
        a_snapshot(name, health="healthy", tx_gbps=8 * tx_gbps), time=rfc3339(at), ports=ports,
        devices=tuple(_device(name, f"mlx5_{device}") for device in range(8)),
    )  # fmt: skip
    return msgspec.to_builtins(status_of(snapshot))


def _device(node: str, name: str) -> Device:
    return Device(
        node=node, device=name, driver="mlx5_core", node_guid=None, sys_image_guid=None, card="ConnectX-7",
        hca_type="MT4129", board_id="MT_0000000838", firmware="28.39.2048", function="pf", pci_address="0000:1a:00.0",
        numa_node=0, pcie=None, ports=1,
    )  # fmt: skip


class Writer:
    """Writes as an administrator, many at once."""

    def __init__(self, plane: ControlPlane) -> None:
        self._server = plane.server
        self._room = asyncio.Semaphore(AT_ONCE)
        self.writes = 0

    async def __aenter__(self) -> Writer:  # noqa: PYI034 - Self came with Python 3.11
        trust = ssl.create_default_context()
        trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
        self._client = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=trust, limit=AT_ONCE), headers={"Authorization": f"Bearer {TOKEN}"}
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def send(self, method: str, path: str, body: Any, kind: str = "application/json") -> None:
        async with (
            self._room,
            self._client.request(
                method, self._server + path, data=json.dumps(body), headers={"Content-Type": kind}
            ) as answer,
        ):
            assert answer.status < 300, await answer.text()
            await answer.read()
            self.writes += 1

    async def fill(self, first: int, last: int, *, pods: bool = True) -> None:
        """Nodes `first` to `last`, each with its RdmaNode, and the pod of its agent."""
        at = time.time()
        await asyncio.gather(*(self._node(number, at, pods) for number in range(first, last + 1)))

    async def _node(self, number: int, at: float, pods: bool) -> None:
        name = name_of(number)
        await self.send("POST", "/api/v1/nodes", {
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {"kubernetes.io/os": "linux"}},
            "status": {"conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady", "message": ""}]},
        })  # fmt: skip
        await self.send("POST", PATH, {"apiVersion": API_VERSION, "kind": "RdmaNode", "metadata": {"name": name}})
        await self.heartbeat(number, at)
        if pods:
            await self._pod(name, number)

    async def _pod(self, name: str, number: int) -> None:
        labels = {"app.kubernetes.io/name": "rdmatop-agent"}
        pod = f"rdmatop-agent-{name}"
        await self.send("POST", "/api/v1/namespaces/rdmatop/pods", {
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": pod, "namespace": "rdmatop", "labels": labels},
            "spec": {"nodeName": name, "serviceAccountName": "rdmatop-agent", "automountServiceAccountToken": False,
                     "containers": [{"name": "agent", "image": "x"}]},
        })  # fmt: skip
        address = f"10.98.{128 + number // 250}.{number % 250 + 1}"
        await self.send("PATCH", f"/api/v1/namespaces/rdmatop/pods/{pod}/status", {
            "status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}],
                       "conditions": [{"type": "Ready", "status": "True"}]},
        }, "application/merge-patch+json")  # fmt: skip

    async def heartbeat(self, number: int, at: float, tx_gbps: float = 100.0) -> None:
        await self.send("PATCH", f"{PATH}/{name_of(number)}/status", {"status": status(number, at, tx_gbps)},
                        "application/merge-patch+json")  # fmt: skip


@contextlib.asynccontextmanager
async def beating(writer: Writer, count: int, a_second: float) -> AsyncIterator[None]:
    """Heartbeats at a rate, node after node: a minute each is count / 60 a second."""

    async def beat() -> None:
        number = 0
        while True:
            number = number % count + 1
            await asyncio.gather(
                writer.heartbeat(number, time.time(), float(number % 400)), asyncio.sleep(1 / a_second)
            )

    task = asyncio.create_task(beat())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
