"""The operator's stack for frames: the same simulated objects that the verdicts are tested with, some of them sick."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec

from diagnostics.cluster.operator.judge import Judge
from tests.frames.scripted import START, at
from tests.frames.scripted_fleet import ScriptedFleet
from tests.kube.operator_cases import simulated
from tests.kube.operator_cases.cases import crash
from tests.kube.operator_cases.stack import NAMESPACE, WAIT
from tui.operator_picture import OperatorPicture, picture

Kinds = dict[str, dict[str, dict[str, Any]]]


def stack(change: Callable[[Kinds], None] = lambda _kinds: None, nodes: int = 20) -> OperatorPicture:
    kinds = simulated.cluster(nodes)
    change(kinds)
    judge = Judge(simulated.objects(kinds))
    verdict = judge.judge(START)
    since = tuple(msgspec.structs.replace(each, since=at(-60)) for each in verdict.findings)
    return picture(verdict._replace(findings=since), judge.index)


def sick(kinds: Kinds) -> None:
    """The driver crash-loops on one node, whose device plugin waits for it; another node waits as well."""
    name = next(key for key in kinds["pods"] if "mofed" in key and "gpu-0003-" in key)
    words = "kernel headers for 5.15.0-139-generic not found"
    kinds["pods"][name]["status"].update(crash("mofed-container", words))
    daemonset = next(each for key, each in kinds["daemonsets"].items() if "mofed" in key)
    daemonset["status"].update(numberReady=daemonset["status"]["numberReady"] - 1)
    for node in ("gpu-0003", "gpu-0007"):
        kinds["nodes"][node]["metadata"]["labels"][WAIT] = "true"
        plugin = next(key for key in kinds["pods"] if "rdma-shared" in key and f"{node}-" in key)
        del kinds["pods"][plugin]
    plugins = next(each for key, each in kinds["daemonsets"].items() if "rdma-shared" in key)
    plugins["status"].update(dict.fromkeys(plugins["status"], len(kinds["nodes"]) - 2))


class ScriptedStack(ScriptedFleet):
    """A cluster with a stack: `pictures` are shown in turn, more by `tell`."""

    def __init__(self, *given: Any, pictures: tuple[OperatorPicture, ...] = ()) -> None:
        super().__init__(*given)
        self.told: asyncio.Queue[OperatorPicture] = asyncio.Queue()
        for each in pictures:
            self.told.put_nowait(each)

    async def operator(self) -> AsyncIterator[OperatorPicture]:
        while True:
            yield await self.told.get()

    async def get(self, path: str, **query: str) -> bytes:
        if path.endswith("/log"):
            self.asked.append(("get", path, query))
            return b"compiling\nkernel headers for 5.15.0-139-generic not found\n"
        if path.startswith(f"/apis/apps/v1/namespaces/{NAMESPACE}/daemonsets/"):
            return b'{"kind": "DaemonSet", "metadata": {"name": "mofed", "managedFields": []}, "spec": {"a": 1}}'
        return await super().get(path, **query)
