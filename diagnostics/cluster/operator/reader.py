"""Reads what a verdict on the stack needs, with a viewer's rights; each kind may be absent, forbidden or away.

Pods and events are read only in the namespaces that the stack's workloads are in: a cluster may have fifty thousand
pods that have nothing to do with it. What the stack fails to give to other pods is asked for by the events' reason.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from diagnostics.cluster.kube import Kube, KubeAway, KubeRefused
from diagnostics.cluster.operator.inventory import component_of
from diagnostics.cluster.operator.judge import Judge, Verdict
from diagnostics.cluster.operator.kinds import KIND, KINDS, ClusterObjects, Unseen
from diagnostics.cluster.operator.objects import Crd, Workload
from diagnostics.cluster.operator.pods import FAILED
from diagnostics.cluster.operator.rules_policy import POLICY_CRD
from diagnostics.cluster.reflector import Reflector

NAMESPACED = ("pods", "events", "revisions")
"""Read a namespace at a time, where the stack is."""
ONCE = ("crds",)
"""Too large and too still to be watched."""
SANDBOX = {"fieldSelector": "reason=FailedCreatePodSandBox"}
METADATA_ONLY = {"Accept": "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"}
COALESCE_S = 0.2
AGES_S = 10.0
"""Verdicts change by the clock alone: what starts becomes slow."""
LOGS = 8
"""Failing pods whose last lines are read."""
LOG_LINES = "20"


class Reader:
    """Keeps ClusterObjects as the cluster has them: `read_once` for a command, `verdicts` for a screen."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self.objects = ClusterObjects()
        self.judge = Judge(self.objects)
        self._reflectors: dict[tuple[str, str], Reflector[Any]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._woken = asyncio.Event()
        self._watching = False

    # What is asked

    def _path(self, kind: str, namespace: str) -> str:
        path = KIND[kind].path
        if namespace in ("", "*"):
            return path
        head, _, plural = path.rpartition("/")
        return f"{head}/namespaces/{namespace}/{plural}"

    def _reflector(self, kind: str, namespace: str = "") -> Reflector[Any]:
        """The one for a kind; `*` is the second look at events, those of other pods' sandboxes."""
        if (kind, namespace) not in self._reflectors:
            row = KIND[kind]
            query = SANDBOX if namespace == "*" else dict(row.query)
            self._reflectors[kind, namespace] = Reflector(
                self._kube, self._path(kind, namespace), row.type, query=query,
                changed=lambda key: self._changed(kind, namespace, key),
            )  # fmt: skip
        return self._reflectors[kind, namespace]

    def _first(self) -> list[Reflector[Any]]:
        kinds = [row.name for row in KINDS if row.name not in (*NAMESPACED, *ONCE)]
        return [*(self._reflector(kind) for kind in kinds), self._reflector("events", "*")]

    def _second(self) -> list[Reflector[Any]]:
        return [self._reflector(kind, namespace) for namespace in sorted(self._namespaces()) for kind in NAMESPACED]

    def _namespaces(self) -> set[str]:
        found = set()
        for kind, word in (("daemonsets", "DaemonSet"), ("deployments", "Deployment")):
            workloads: dict[str, Workload] = self._reflector(kind).objects
            found |= {each.metadata.namespace for each in workloads.values() if component_of(word, each) is not None}
        return found

    # Once

    async def read_once(self) -> Verdict:
        """Every list once; raises KubeAway where nobody answers."""
        await asyncio.gather(*(each.list_or_note() for each in self._first()), self._read_crds())
        await asyncio.gather(*(each.list_or_note() for each in self._second()))
        self._rebuild()
        if await self._read_logs():
            self._rebuild()
        return self.judge.judge(time.time())

    async def _read_crds(self) -> None:
        """Names and annotations of all, and the schema of the policy's own."""
        try:
            text = await self._kube.call("GET", KIND["crds"].path, headers=METADATA_ONLY)
            found = {each.metadata.name: each for each in msgspec.json.decode(text, type=_Crds).items}
            if POLICY_CRD in found:
                whole = await self._kube.get(f"{KIND['crds'].path}/{POLICY_CRD}")
                found[POLICY_CRD] = msgspec.json.decode(whole, type=Crd)
        except KubeRefused as error:
            self.objects.unseen["crds"] = Unseen("forbidden" if error.forbidden else "away", error.message)
        except msgspec.MsgspecError as error:
            self.objects.unseen["crds"] = Unseen("away", str(error))
        else:
            self.objects.unseen.pop("crds", None)
            self.objects.kinds["crds"] = found

    async def _read_logs(self) -> bool:
        """The last lines of some pods that fail, for their own words; no right to logs costs only the words."""
        failing = [
            card for pods in self.judge.index.pods.values() for card in pods.bad.values()
            if card.phase in FAILED and card.phase != "image" and card.container
        ][:LOGS]  # fmt: skip
        await asyncio.gather(*(self._read_log(each.namespace, each.name, each.container) for each in failing))
        return bool(self.objects.logs)

    async def _read_log(self, namespace: str, pod: str, container: str) -> None:
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}/log"
        with contextlib.suppress(KubeAway, KubeRefused):
            text = await self._kube.get(path, container=container, previous="true", tailLines=LOG_LINES)
            self.objects.logs[f"{namespace}/{pod}"] = text.decode("utf-8", "replace")

    def _rebuild(self) -> None:
        """Everything anew from what the reflectors hold."""
        for row in KINDS:
            if row.name not in ONCE:
                self.objects.kinds[row.name] = self._merged(row.name)
                self._note(row.name)
        self.judge.rebuild()

    def _merged(self, kind: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for (name, _), each in self._reflectors.items():
            if name == kind:
                found.update(each.objects)
        return found

    def _note(self, kind: str) -> None:
        """A kind that may be read nowhere is hidden; one of its namespaces is enough to hide what is there."""
        self.objects.unseen.pop(kind, None)
        if kind in NAMESPACED and self._reflector("daemonsets").state != "current":
            self.objects.unseen[kind] = Unseen("waiting", "not asked: where the stack is, is not known")
        for (name, namespace), each in self._reflectors.items():
            if name == kind and namespace != "*" and each.state != "current":
                self.objects.unseen[kind] = Unseen(each.state, each.problem or "not asked yet")
            elif name == kind and each.unreadable:
                self.objects.unseen[kind] = Unseen("away", f"{each.unreadable} of a shape that is not known")

    # Again and again

    async def verdicts(self) -> AsyncIterator[Verdict]:
        """The newest verdict each time something of it may have changed; ends when it is closed."""
        self._watching = True
        try:
            for each in self._first():
                self._start(each)
            with contextlib.suppress(KubeAway):
                await self._read_crds()
            await asyncio.gather(*(each.ready(5.0) for each in self._first()))
            while True:
                for each in self._second():
                    self._start(each)
                self._woken.clear()
                yield self.judge.judge(time.time())
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._woken.wait(), AGES_S)
                await asyncio.sleep(COALESCE_S)
        finally:
            await self.close()

    def _start(self, each: Reflector[Any]) -> None:
        if not any(task.get_name() == str(id(each)) for task in self._tasks):
            self._tasks.add(asyncio.create_task(each.run(), name=str(id(each))))

    def _changed(self, kind: str, namespace: str, key: str) -> None:
        if not self._watching:
            return
        if key:
            self.judge.apply(kind, key, self._reflectors[kind, namespace].objects.get(key))
        else:
            self._rebuild()
        self._woken.set()

    async def close(self) -> None:
        self._watching = False
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()


class _Crds(msgspec.Struct):
    items: list[Crd]
