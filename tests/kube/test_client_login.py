"""Every kind of kubeconfig, against a real API server."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from diagnostics.cluster.kube import Kube, KubeAway, KubeRefused
from diagnostics.cluster.login import contexts
from diagnostics.errors import Unreachable
from tests.kube.conftest import Cluster
from tests.kube.proxies import ConnectProxy


def config(cluster: Cluster, user: dict[str, Any], name: str = "lab", **more: Any) -> dict[str, Any]:
    server = {"server": cluster.lab.server, "certificate-authority": str(cluster.lab.authority), **more}
    return {
        "apiVersion": "v1", "kind": "Config", "current-context": name,
        "clusters": [{"name": name, "cluster": {key: value for key, value in server.items() if value is not None}}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": f"ns-{name}"}}],
    }  # fmt: skip


def written(path: Path, document: Any) -> str:
    path.write_text(json.dumps(document))
    return str(path)


async def names(kubeconfig: str | None, context: str | None = None) -> list[str]:
    kube = await Kube.open(kubeconfig, context)
    try:
        found = json.loads(await kube.get("/api/v1/nodes"))
        return [item["metadata"]["name"] for item in found["items"]]
    finally:
        await kube.close()


def plugin(path: Path, log: Path, token_file: Path, expires: str | None = None) -> dict[str, Any]:
    """A script that gives what stands in a file, and counts how often it was asked."""
    script = f"""#!{sys.executable}
import json, pathlib
with open({str(log)!r}, "a") as log: log.write("asked\\n")
token = pathlib.Path({str(token_file)!r}).read_text()
status = {{"token": token}}
if {expires!r}: status["expirationTimestamp"] = {expires!r}
print(json.dumps({{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}}))
"""
    path.write_text(script)
    path.chmod(0o755)
    return {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(path), "args": [],
                     "interactiveMode": "Never"}}  # fmt: skip


async def test_an_exec_plugin_is_asked_and_asked_again_when_its_token_is_refused(
    cluster: Cluster, tmp_path: Path
) -> None:
    log, token = tmp_path / "log", tmp_path / "token"
    token.write_text("lab-admin")
    path = written(tmp_path / "config", config(cluster, plugin(tmp_path / "login", log, token)))
    kube = await Kube.open(path)
    await kube.get("/api/v1/nodes")
    assert log.read_text().count("asked") == 1
    kube._client.configuration.api_key["BearerToken"] = "Bearer a-token-that-has-ended"
    await kube.get("/api/v1/nodes")
    assert log.read_text().count("asked") == 2
    token.write_text("wrong")
    kube._client.configuration.api_key["BearerToken"] = "Bearer a-token-that-has-ended"
    with pytest.raises(KubeRefused) as refused:
        await kube.get("/api/v1/nodes")
    assert refused.value.status == 401
    await kube.close()


async def test_a_plugin_that_is_not_there_is_said(cluster: Cluster, tmp_path: Path) -> None:
    user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "/nonexistent/login", "args": []}}
    with pytest.raises(Unreachable, match="/nonexistent/login"):
        await Kube.open(written(tmp_path / "config", config(cluster, user)))


async def test_a_token_file_is_read_again(cluster: Cluster, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("an-old-one")
    kube = await Kube.open(written(tmp_path / "config", config(cluster, {"tokenFile": str(token)})))
    with pytest.raises(KubeRefused):
        await kube.get("/api/v1/nodes")
    token.write_text("lab-admin")
    assert b"gpu-0001" in await kube.get("/api/v1/nodes")
    await kube.close()


def make_certificate(folder: Path, authority: Path) -> None:
    """me.crt and me.key of an administrator."""
    for argv in (
        ["genrsa", "-out", "me.key", "2048"],
        ["req", "-new", "-key", "me.key", "-subj", "/O=system:masters/CN=somebody", "-out", "me.csr"],
        ["x509", "-req", "-in", "me.csr", "-CA", str(authority / "ca.crt"), "-CAkey", str(authority / "sa.key"),
         "-CAcreateserial", "-CAserial", "serial", "-days", "1", "-out", "me.crt"],
    ):  # fmt: skip
        subprocess.run(["openssl", *argv], cwd=folder, check=True, capture_output=True)


@pytest.mark.parametrize("form", ["files", "data"])
async def test_a_client_certificate(cluster: Cluster, tmp_path: Path, form: str) -> None:
    make_certificate(tmp_path, cluster.lab.state)
    if form == "files":  # relative to the kubeconfig's own folder
        user = {"client-certificate": "me.crt", "client-key": "me.key"}
    else:
        user = {
            "client-certificate-data": base64.b64encode((tmp_path / "me.crt").read_bytes()).decode(),
            "client-key-data": base64.b64encode((tmp_path / "me.key").read_bytes()).decode(),
        }
    assert "gpu-0001" in await names(written(tmp_path / "config", config(cluster, user)))


async def test_a_proxy_of_the_cluster_is_gone_through(cluster: Cluster, tmp_path: Path) -> None:
    async with ConnectProxy().running() as proxy:
        more = {"proxy-url": f"http://127.0.0.1:{proxy.port}"}
        path = written(tmp_path / "config", config(cluster, {"token": "lab-admin"}, **more))
        assert "gpu-0001" in await names(path)
        assert proxy.tunnels == ["CONNECT 10.98.0.1:6443"]


async def test_trust_is_asked_for_unless_it_is_waived(cluster: Cluster, tmp_path: Path) -> None:
    stranger = config(cluster, {"token": "lab-admin"}, **{"certificate-authority": None})
    with pytest.raises(KubeAway, match=r"(?i)certificate"):
        await names(written(tmp_path / "a", stranger))
    waived = config(
        cluster, {"token": "lab-admin"}, **{"certificate-authority": None, "insecure-skip-tls-verify": True}
    )
    assert "gpu-0001" in await names(written(tmp_path / "b", waived))
    data = base64.b64encode(cluster.lab.authority.read_bytes()).decode()
    inside = {"certificate-authority": None, "certificate-authority-data": data}
    assert "gpu-0001" in await names(written(tmp_path / "c", config(cluster, {"token": "lab-admin"}, **inside)))


async def test_of_several_files_the_first_context_counts_and_all_can_be_named(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = written(tmp_path / "good", config(cluster, {"token": "lab-admin"}, "good"))
    other = written(tmp_path / "other", config(cluster, {"token": "nobody"}, "other"))
    empty = tmp_path / "empty"
    empty.touch()
    monkeypatch.setenv("KUBECONFIG", f"{empty}:{good}:{tmp_path}/missing:{other}")
    kube = await Kube.open()
    assert (kube.label, kube.namespace) == ("good", "ns-good")
    await kube.close()
    assert "gpu-0001" in await names(None)
    with pytest.raises(KubeRefused):
        await names(None, "other")
    assert contexts() == ("good", "other")
    with pytest.raises(Unreachable, match="nobody"):
        await Kube.open(None, "nobody")


@pytest.mark.parametrize("text", ["", "[1, 2]", "{", "a: b", '{"current-context": "x", "contexts": null}', "\x00"])
async def test_a_file_that_is_no_kubeconfig_is_said(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(Unreachable, match="no usable kubeconfig"):
        await Kube.open(str(path))


async def test_a_server_that_does_not_answer_costs_no_more_than_was_given(cluster: Cluster, tmp_path: Path) -> None:
    document = config(cluster, {"token": "lab-admin"})
    document["clusters"][0]["cluster"]["server"] = "https://203.0.113.1:6443"  # nobody's, for documentation
    kube = await Kube.open(written(tmp_path / "config", document), timeout_s=0.5)
    began = time.monotonic()
    with pytest.raises(KubeAway):
        await kube.get("/version")
    assert time.monotonic() - began < 2
    await kube.close()
