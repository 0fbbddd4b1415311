"""What the screens ask of a cluster when a person wants it: names for completion, a pod's node, events, results."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

import msgspec

from diagnostics.errors import Unreachable, UserError
from diagnostics.model import Event

if TYPE_CHECKING:
    from diagnostics.cluster.operator.pods import PodCard
    from diagnostics.cluster.rdmanode import BenchmarkStatus
    from tui.sources.cluster import ClusterSource

MOST = 2000
"""Pods and events that are asked for: a completion needs no more, and 2,000 pods are 16 MiB already."""
AGENT = "rdmatop-agent"
"""The `source` of the agents' Kubernetes Events (agent/publisher.py)."""
ENDED = "Ended"


class _Meta(msgspec.Struct, frozen=True):
    name: str = ""
    namespace: str = ""


class _Spec(msgspec.Struct, frozen=True, rename="camel"):
    node_name: str = ""


class _Object(msgspec.Struct, frozen=True):
    metadata: _Meta
    spec: _Spec = _Spec()


class _Objects(msgspec.Struct, frozen=True):
    items: tuple[_Object, ...] = ()


class _Involved(msgspec.Struct, frozen=True):
    name: str = ""


class _KubeEvent(msgspec.Struct, frozen=True, rename="camel"):
    involved_object: _Involved = _Involved()
    reason: str = ""
    message: str = ""
    last_timestamp: str | None = None


class _KubeEvents(msgspec.Struct, frozen=True):
    items: tuple[_KubeEvent, ...] = ()


class NodeRun(NamedTuple):
    """A benchmark as a node's last state has it."""

    node: str
    run: BenchmarkStatus


async def namespaces(source: ClusterSource) -> tuple[str, ...]:
    """Raises UserError where they may not be listed."""
    return tuple(each.metadata.name for each in await _objects(source, "/api/v1/namespaces"))


async def pods(source: ClusterSource, namespace: str | None) -> dict[str, str]:
    """`namespace/pod` -> node, of pods that run."""
    found = await _objects(source, _pods_path(namespace), fieldSelector="status.phase=Running", limit=str(MOST))
    return {f"{each.metadata.namespace}/{each.metadata.name}": each.spec.node_name for each in found}


async def node_of_pod(source: ClusterSource, name: str, namespace: str | None) -> tuple[str, str]:
    """(pod as NAMESPACE/NAME, node). Raises UserError where there is none, or several."""
    space, slash, pod = name.partition("/")
    if slash:
        namespace = space
    else:
        pod = name
    found = await _objects(source, _pods_path(namespace), fieldSelector=f"metadata.name={pod}")
    named = {f"{each.metadata.namespace}/{each.metadata.name}": each.spec.node_name for each in found}
    if not named:
        raise UserError(f"no pod {name}" + (f" in namespace {namespace}" if namespace and not slash else ""))
    if len(named) > 1:
        raise UserError(f"pod {name}: which one? {', '.join(list(named)[:4])}")
    full, node = named.popitem()
    if not node:
        raise UserError(f"pod {full} is not on any node yet")
    return full, node


async def node_events(source: ClusterSource) -> tuple[Event, ...]:
    """What the agents told Kubernetes of their nodes in the last hour (the API server's --event-ttl), newest first."""
    content = await _get(source, "/api/v1/namespaces/default/events", fieldSelector=f"source={AGENT}", limit=str(MOST))
    items = msgspec.json.decode(content, type=_KubeEvents).items
    return tuple(sorted(map(_event, items), key=lambda event: event.time, reverse=True))


async def objects_yaml(source: ClusterSource, places: list[tuple[str, str, str]]) -> str:
    """(kind, namespace, name) of workloads -> their YAML, without what only the API server needs."""
    import yaml

    out = []
    for kind, namespace, name in places:
        path = f"/apis/apps/v1/namespaces/{namespace}/{kind.lower()}s/{name}"
        found = msgspec.json.decode(await _get(source, path), type=dict)
        found.get("metadata", {}).pop("managedFields", None)
        out.append(yaml.safe_dump(found, sort_keys=False, width=1000))
    if not out:
        raise UserError("no object of it is in the cluster")
    return "---\n".join(out)


async def pod_log(source: ClusterSource, card: PodCard | None, lines: int) -> str:
    """The last lines of a pod's container: of its last run where it runs no more."""
    if card is None:
        raise UserError("no pod of it is in the cluster")
    path = f"/api/v1/namespaces/{card.namespace}/pods/{card.name}/log"
    query = {"tailLines": str(lines), **({"container": card.container} if card.container else {})}
    if card.restarts:
        try:
            text = await _get(source, path, previous="true", **query)
        except UserError:  # it has been made anew since
            text = await _get(source, path, **query)
    else:
        text = await _get(source, path, **query)
    head = f"{card.namespace}/{card.name} {card.container}".rstrip()
    return f"{head}\n\n{text.decode('utf-8', 'replace') or '(it has written nothing)'}"


def last_runs(source: ClusterSource) -> tuple[NodeRun, ...]:
    """The benchmarks in the nodes' last states, as they came."""
    try:
        objects = source.store().rdmanodes.objects
    except Unreachable:
        return ()
    return tuple(NodeRun(name, run) for name, each in objects.items() for run in each.status.benchmarks)


def _event(item: _KubeEvent) -> Event:
    ended = item.reason.endswith(ENDED)
    words = item.reason.removesuffix(ENDED)
    check = "".join(f"-{ch.lower()}" if ch.isupper() else ch for ch in words).lstrip("-")
    return Event(
        node=item.involved_object.name, time=item.last_timestamp or "", check=check, device=None, port=None,
        kind="ended" if ended else "started", message=item.message,
    )  # fmt: skip


def _pods_path(namespace: str | None) -> str:
    return f"/api/v1/namespaces/{quote(namespace, safe='')}/pods" if namespace else "/api/v1/pods"


async def _objects(source: ClusterSource, path: str, **query: str) -> tuple[_Object, ...]:
    return msgspec.json.decode(await _get(source, path, **query), type=_Objects).items


async def _get(source: ClusterSource, path: str, **query: str) -> bytes:
    from diagnostics.cluster.kube import KubeAway, KubeRefused

    try:
        return await source.kube.get(path, **query)
    except KubeRefused as error:
        raise UserError(error.message or f"{path}: refused") from error
    except KubeAway as error:
        raise Unreachable(str(error)) from error
