"""What a cluster costs a client: lists of thousands into our structs, against the typed client; a fleet joined anew.

No API server: bytes as it sends them, so that only our side is measured. tests/kube/test_scale.py has the rest.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from typing import Any

import msgspec

from diagnostics.cluster.fleet_store import FleetStore
from diagnostics.cluster.nodes import KubeNode, Pod, RdmaNode
from diagnostics.cluster.rdmanode import RdmaNodeStatus
from diagnostics.cluster.reflector import Meta, Pages
from diagnostics.timing import rfc3339
from tests.bench.ratio import CannotMeasure, Ratio, at_most, median

PODS = 5000
LIST_MS, LIST_MIB = 60.0, 15.0
ROWS = 20
JOIN_MS = 5.0
"""Twenty changed rows among five thousand into a picture: a thirtieth of the time between two pictures."""


def run() -> list[Ratio]:
    ours = _alone("ours")
    try:
        typed = _alone("typed")
    except subprocess.CalledProcessError as error:
        raise CannotMeasure(f"the typed client does not run: {error.stderr[-200:]!r}") from error
    few, many = _joining(100), _joining(PODS)
    return [
        at_most("list of 5,000 pods into our structs", ours["ms"], LIST_MS, "ms CPU"),
        at_most("its memory", ours["mib"], LIST_MIB, "MiB"),
        at_most("the same against the typed client", ours["ms"], typed["ms"], "ms CPU", 0.05),
        at_most("its memory against the typed client", ours["mib"], typed["mib"], "MiB", 0.1),
        at_most("20 rows of 5,000 changed, joined", many, JOIN_MS, "ms CPU"),
        at_most("fleet of 5,000 against 100, per picture", many, few, "ms CPU", 3.0),
    ]


def _alone(which: str) -> dict[str, float]:
    """In a process of its own: memory is what it grew by."""
    argv = [sys.executable, "-m", "tests.bench.bench_cluster", which]
    done = subprocess.run(argv, input=page(500), capture_output=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def page(count: int) -> bytes:
    """Pods as the API server lists them, with what we do not read: managed fields, volumes, probes."""
    return msgspec.json.encode(
        {
            "kind": "PodList",
            "apiVersion": "v1",
            "metadata": {"resourceVersion": "1"},
            "items": [*map(_pod, range(count))],
        }
    )


def _pod(number: int) -> dict[str, Any]:
    name = f"rdmatop-agent-{number:05d}"
    fields: dict[str, Any] = {f"f:field{each}": {"f:inner": {}, "f:other": {".": {}}} for each in range(40)}
    container = {
        "name": "agent", "image": "ghcr.io/rdmatop/rdmatop:0.1.0", "args": ["agent", "--listen=:9879"],
        "env": [{"name": f"VARIABLE_{each}", "value": "x" * 40} for each in range(20)],
        "volumeMounts": [{"name": f"volume-{each}", "mountPath": f"/var/lib/{each}"} for each in range(8)],
        "livenessProbe": {"httpGet": {"path": "/healthz", "port": 9879, "scheme": "HTTPS"}, "periodSeconds": 20},
    }  # fmt: skip
    return {
        "metadata": {
            "name": name, "namespace": "rdmatop", "uid": f"00000000-0000-0000-0000-{number:012d}",
            "resourceVersion": str(number), "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {"app.kubernetes.io/name": "rdmatop-agent", "controller-revision-hash": "5d8c"},
            "managedFields": [{"manager": "kubelet", "operation": "Update", "apiVersion": "v1", "time":
                               "2026-01-01T00:00:00Z", "fieldsType": "FieldsV1", "fieldsV1": fields}] * 2,
        },
        "spec": {
            "nodeName": f"gpu-{number:05d}", "containers": [container] * 2, "serviceAccountName": "rdmatop-agent",
            "volumes": [{"name": f"volume-{each}", "hostPath": {"path": f"/var/lib/{each}"}} for each in range(8)],
            "tolerations": [{"operator": "Exists"}],
        },
        "status": {
            "phase": "Running", "podIP": f"10.0.{number // 250}.{number % 250}", "hostIP": "10.0.0.1",
            "conditions": [{"type": kind, "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
                           for kind in ("Initialized", "Ready", "ContainersReady", "PodScheduled")],
            "containerStatuses": [{"name": "agent", "ready": True, "restartCount": 0, "image": "x", "imageID": "y",
                                   "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}, "lastState": {}}],
        },
    }  # fmt: skip


def _ours(pages: list[bytes]) -> Any:
    """As the reflector does it."""
    read = Pages(Pod).read
    return [pod for text in pages for pod in read(text).items]


def _typed(pages: list[bytes]) -> Any:
    from kubernetes.aio.client import ApiClient, Configuration

    client = ApiClient.__new__(ApiClient)
    client.configuration = Configuration()
    return [
        client._ApiClient__deserialize(each, "V1Pod")  # type: ignore[attr-defined]
        for text in pages
        for each in json.loads(text)["items"]
    ]


def _measured(which: str) -> dict[str, float]:
    pages = [sys.stdin.buffer.read()] * (PODS // 500)
    if which == "typed":
        from kubernetes.aio import client  # noqa: F401 - its import is not what is measured
    work = _ours if which == "ours" else _typed
    work([b'{"items": [], "metadata": {}}'])
    before = _resident_mib()
    began = time.process_time()
    kept = work(pages)
    took = [time.process_time() - began]
    grown = _resident_mib() - before
    assert len(kept) == PODS
    for _ in range(9 if which == "ours" else 0):
        began = time.process_time()
        work(pages)
        took.append(time.process_time() - began)
    # The best turn: a busy machine only adds to it.
    return {"ms": 1000 * min(took), "mib": grown}


def _resident_mib() -> float:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / (1 << 20)


def _joining(count: int) -> float:
    """CPU of a picture after twenty of `count` nodes have written, ms."""
    store = FleetStore(None)  # type: ignore[arg-type]
    now = time.time()
    for number in range(count):
        name = f"gpu-{number:05d}"
        store.nodes.objects[name] = KubeNode(metadata=Meta(name=name))
        store.rdmanodes.objects[name] = _written(name, now)
    for each in (store.nodes, store.rdmanodes, store.pods, store.daemonsets):
        each.state = "current"
    store.build()
    took = []
    for turn in range(21):
        for number in range(ROWS):
            name = f"gpu-{number:05d}"
            store.rdmanodes.objects[name] = _written(name, now + turn)
            store._touched(name)
        began = time.process_time()
        store.build()
        took.append(1000 * (time.process_time() - began))
    return median(took)


def _written(name: str, at: float) -> RdmaNode:
    return RdmaNode(metadata=Meta(name=name), status=RdmaNodeStatus(time=rfc3339(at), health="healthy"))


if __name__ == "__main__":
    print(json.dumps(_measured(sys.argv[1])))
