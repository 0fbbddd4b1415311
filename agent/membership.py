"""The agent as a member of a cluster: asks it who may ask, names its pods, and publishes the node."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Sequence

from agent.cluster.api import ApiServer
from agent.cluster.authorizer import ClusterAuthorizer
from agent.cluster.config import ApiConfig, from_kubeconfig, in_pod
from agent.cluster.grants import ClusterGrants
from agent.cluster.pods import PodNames
from agent.config import AgentOptions
from agent.monitor import Monitor
from agent.publisher import Publisher
from agent.server.tokens import Authorizer
from diagnostics.errors import UserError
from diagnostics.model import Event

log = logging.getLogger(__name__)


class Membership:
    """Everything that goes to the API server, under one identity."""

    def __init__(self, config: ApiConfig, node: str, *, publish: bool) -> None:
        self._api = ApiServer(config)
        self._reviews = ApiServer(config)
        """A pool of its own: whoever tries tokens cannot hold up what the node says of itself."""
        self._publisher = Publisher(self._api, node) if publish else None
        self.pods = PodNames(self._api, node)
        self._tasks: list[asyncio.Task[None]] = []

    def authorizer(self, tokens: Authorizer | None) -> Authorizer:
        """The tokens file first, where there is one, then the cluster."""
        return ClusterGrants(ClusterAuthorizer(self._reviews), tokens)

    def start(self, monitor: Monitor) -> None:
        self._tasks.append(asyncio.create_task(self.pods.run(), name="pods"))
        if self._publisher is not None:
            self._tasks.append(asyncio.create_task(self._publisher.run(monitor.subscribe()), name="publisher"))

    def tell(self, events: Sequence[Event]) -> None:
        """Transitions become Kubernetes Events."""
        if self._publisher is not None and events:
            self._publisher.tell(list(events))

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._api.close()
        await self._reviews.close()


def find_cluster(options: AgentOptions) -> ApiConfig | None:
    """The kubeconfig's cluster, else the pod's own; raises UserError when there is none and one is asked for."""
    config = from_kubeconfig(options.kubeconfig) if options.kubeconfig else in_pod(os.environ)
    if config is None and options.publish == "on":
        raise UserError("--publish on, and there is no cluster to publish to", "run it in a pod, or give --kubeconfig")
    if config is not None:
        log.info("the cluster is %s", config.server)
    return config
