"""Objects kept as a real API server has them, through everything that can happen to a watch."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from diagnostics.cluster import reflector
from diagnostics.cluster.kube import Kube, KubeRefused
from diagnostics.cluster.reflector import Meta, Reflector
from diagnostics.errors import Unreachable
from tests.kube.conftest import Cluster


class Thing(msgspec.Struct, frozen=True, kw_only=True):
    metadata: Meta


@contextlib.asynccontextmanager
async def kept(kube: Kube, path: str, **options) -> AsyncIterator[Reflector[Thing]]:
    one = Reflector(kube, path, Thing, **options)
    task = asyncio.create_task(one.run())
    try:
        assert await one.ready(20)
        yield one
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition, seconds: float = 20) -> None:
    end = asyncio.get_running_loop().time() + seconds
    while not condition():
        assert asyncio.get_running_loop().time() < end, "never became true"
        await asyncio.sleep(0.05)


@pytest.fixture
async def kube(cluster: Cluster):
    one = await Kube.open(str(cluster.lab.kubeconfig))
    yield one
    await one.close()


def configmap(name: str) -> dict:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}}


CONFIGMAPS = "/api/v1/namespaces/default/configmaps"


async def test_pages_are_put_together(cluster: Cluster, kube: Kube, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reflector, "PAGE", 2)
    async with kept(kube, "/api/v1/nodes") as nodes:
        assert {"gpu-0001", "gpu-0002", "gpu-0003", "gpu-0004"} <= set(nodes.objects)
        assert nodes.state == "current"


async def test_what_comes_changes_and_goes_is_followed(cluster: Cluster, kube: Kube) -> None:
    changed: list[str] = []
    async with kept(kube, CONFIGMAPS, changed=changed.append) as maps:
        await asyncio.to_thread(cluster.lab.apply, configmap("one"))
        await until(lambda: "default/one" in maps.objects)
        await asyncio.to_thread(cluster.lab.kubectl, "delete", "configmap", "one")
        await until(lambda: "default/one" not in maps.objects)
    assert changed.count("default/one") >= 2


async def test_a_compacted_history_is_listed_anew(cluster: Cluster, kube: Kube) -> None:
    one = Reflector(kube, CONFIGMAPS, Thing)
    await one.list_once()
    one._version = "1"  # long compacted away, or never kept: either way the server has no such history
    one.objects.clear()
    task = asyncio.create_task(one.run())
    try:
        await asyncio.to_thread(cluster.lab.apply, configmap("two"))
        await until(lambda: "default/two" in one.objects)
        assert one.state == "current"
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_the_servers_word_410_starts_a_new_list(kube: Kube) -> None:
    one = Reflector(kube, CONFIGMAPS, Thing)
    one._version = "7"
    with pytest.raises(KubeRefused) as refused:
        one._apply(reflector._Watched("ERROR", msgspec.Raw(b'{"code": 410, "message": "too old"}')))
    await one._refused(refused.value, 1.0)
    assert one._version == ""


async def test_the_server_away_leaves_the_picture_and_says_so(cluster: Cluster, kube: Kube) -> None:
    async with kept(kube, "/api/v1/nodes") as nodes:
        cluster.lab.kill("kube-apiserver")
        await until(lambda: nodes.state == "away")
        assert "gpu-0001" in nodes.objects
        assert nodes.problem
        cluster.lab.start("kube-apiserver")
        await asyncio.to_thread(cluster.lab.wait_ready)
        await until(lambda: nodes.state == "current", 60)
        assert "gpu-0001" in nodes.objects


async def test_a_kind_that_is_not_installed_is_absent(kube: Kube) -> None:
    async with kept(kube, "/apis/mellanox.com/v1alpha1/nicclusterpolicies") as policies:
        assert policies.state == "absent"
        assert policies.objects == {}


async def test_a_kind_we_may_not_read_is_said_to_be_so(cluster: Cluster, tmp_path: Path) -> None:
    token = cluster.lab.kubectl("create", "token", "rdmatop-viewer", "-n", "rdmatop").strip()
    kube = await Kube.open(str(cluster.kubeconfig(token, tmp_path / "viewer")))
    async with kept(kube, "/api/v1/secrets") as secrets:
        assert secrets.state == "forbidden"
        assert "rdmatop-viewer" in (secrets.problem or "")
    await kube.close()


async def test_an_object_of_a_strange_shape_does_not_hide_the_others(cluster: Cluster, kube: Kube) -> None:
    class Strict(msgspec.Struct, frozen=True, kw_only=True):
        metadata: Meta
        data: dict[str, int] = {}

    await asyncio.to_thread(cluster.lab.apply, configmap("fits"), {**configmap("odd"), "data": {"a": "text"}})
    one = Reflector(kube, CONFIGMAPS, Strict)
    await one.list_once()
    assert "default/fits" in one.objects
    assert "default/odd" not in one.objects
    assert one.unreadable >= 1


async def test_no_cluster_is_said_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unreachable, match="no usable kubeconfig"):
        await Kube.open(str(tmp_path / "missing"))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "missing"))
    monkeypatch.setattr("kubernetes.aio.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "missing"))
    with pytest.raises(Unreachable, match="no cluster"):
        await Kube.open()
