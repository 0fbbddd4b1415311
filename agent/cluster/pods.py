"""Names for the pods of this node: a cgroup gives a uid and a container id, the API server what they are called."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import msgspec

from agent.cluster.api import ApiAway, ApiRefused, ApiServer
from agent.readers.processes import PodName

RENEW_S = 30.0
"""A pod that starts is nameless for so long at most."""

log = logging.getLogger(__name__)


class _ContainerStatus(msgspec.Struct):
    name: str
    containerID: str = ""  # noqa: N815 - Kubernetes' own name


class _PodStatus(msgspec.Struct):
    containerStatuses: list[_ContainerStatus] = []  # noqa: N815
    initContainerStatuses: list[_ContainerStatus] = []  # noqa: N815


class _Metadata(msgspec.Struct):
    uid: str
    name: str
    namespace: str = "default"
    annotations: dict[str, str] = {}


class _Pod(msgspec.Struct):
    metadata: _Metadata
    status: _PodStatus = msgspec.field(default_factory=_PodStatus)


class _Page(msgspec.Struct):
    items: list[_Pod]
    metadata: dict[str, Any] = {}


class PodNames:
    """What the pods of one node are called; `resolve` is called from the sampler's thread."""

    def __init__(self, api: ApiServer, node: str) -> None:
        self._api = api
        self._node = node
        self._pods: dict[str, _Pod] = {}
        self.problem: str | None = None

    def resolve(self, pod_uid: str, container_id: str | None) -> PodName | None:
        """None for a pod that the API server has not told of yet."""
        pod = self._pods.get(pod_uid)
        if pod is None:
            return None
        status = pod.status
        containers = (*status.containerStatuses, *status.initContainerStatuses)
        named = (each.name for each in containers if container_id and each.containerID.endswith(container_id))
        return PodName(pod.metadata.namespace, pod.metadata.name, next(named, None))

    async def run(self) -> None:
        """Keep the names fresh until cancelled."""
        while True:
            await self.renew()
            await asyncio.sleep(RENEW_S)

    async def renew(self) -> None:
        """One list of this node's pods; on failure the old names stay."""
        query = {"fieldSelector": f"spec.nodeName={self._node}", "resourceVersion": "0"}
        try:
            page = msgspec.json.decode(await self._api.call("GET", "/api/v1/pods", query=query), type=_Page)
        except (ApiAway, ApiRefused, msgspec.MsgspecError) as error:
            if self.problem is None:
                log.warning("pods have no names: %s", error)
            self.problem = str(error)
            return
        self.problem = None
        # A static pod's cgroup has the hash of its manifest for a uid.
        hashes = {each.metadata.annotations.get("kubernetes.io/config.hash", ""): each for each in page.items}
        self._pods = {**hashes, **{each.metadata.uid: each for each in page.items}}
