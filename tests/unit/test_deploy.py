"""What is deployed: one source, nothing in it that is not explained, an image of what is needed to run."""

from __future__ import annotations

import io
import json
import re
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy import manifest
from deploy.image import build, oci, runtime_lock
from diagnostics.cluster.crd import definition
from diagnostics.version import VERSION
from tests.lab.kube import programs

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"


def objects(text: str) -> dict[tuple[str, str], Any]:
    return {(each["kind"], each["metadata"]["name"]): each for each in yaml.safe_load_all(text)}


def whole() -> dict[tuple[str, str], Any]:
    return objects((DEPLOY / "daemonset.yaml").read_text())


def pod_of(found: dict[tuple[str, str], Any]) -> Any:
    return found["DaemonSet", "rdmatop-agent"]["spec"]["template"]["spec"]


def kustomize(folder: str) -> dict[tuple[str, str], Any]:
    try:
        kubectl = programs.find("kubectl")
    except programs.MissingProgram as missing:
        pytest.skip(str(missing))
    done = subprocess.run([kubectl, "kustomize", str(DEPLOY / folder)], capture_output=True, text=True, check=True)
    return objects(done.stdout)


def test_the_one_file_is_made_of_the_parts() -> None:
    assert manifest.WHOLE.read_text() == manifest.joined(), "make manifest"


def test_the_one_file_is_what_kustomize_makes_of_the_base() -> None:
    assert whole() == kustomize("base")


def test_the_definition_is_made_of_the_types() -> None:
    assert whole()["CustomResourceDefinition", "rdmanodes.rdmatop.dev"] == definition()


def test_what_is_needed_comes_before_what_needs_it() -> None:
    kinds = [kind for kind, _ in whole()]
    assert kinds[0] == "Namespace"
    assert kinds[-1] == "DaemonSet"


def test_the_one_who_listens_is_not_privileged_and_the_privileged_one_has_no_token() -> None:
    pod = pod_of(whole())
    agent, verbs = pod["containers"]
    assert (agent["name"], verbs["name"]) == ("agent", "verbs")
    assert "privileged" not in agent["securityContext"]
    assert agent["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["SYSLOG"]}
    assert "ports" not in verbs
    assert pod["automountServiceAccountToken"] is False
    assert "account" not in {mount["name"] for mount in verbs["volumeMounts"]}
    assert {mount["name"] for each in pod["containers"] for mount in each["volumeMounts"]} == {
        volume["name"] for volume in pod["volumes"]
    }


def test_both_containers_run_the_image_that_is_built() -> None:
    images = {each["image"] for each in pod_of(whole())["containers"]}
    assert images == {build.image_name()}
    assert build.image_name().endswith(f":{VERSION}")
    assert build.image_name() in (DEPLOY / "image" / "Dockerfile").read_text()


def test_without_verbs_nothing_is_privileged() -> None:
    pod = pod_of(kustomize("without-verbs"))
    (agent,) = pod["containers"]
    assert {"name": "RDMATOP_VERBS", "value": "off"} in agent["env"]
    assert "privileged" not in json.dumps(pod)
    assert "infiniband" not in json.dumps(pod)


def test_with_a_resource_nothing_is_privileged() -> None:
    pod = pod_of(kustomize("rdma-resource"))
    _, verbs = pod["containers"]
    assert verbs["resources"]["limits"]["rdma/hca_shared_devices_a"] == 1
    assert verbs["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["IPC_LOCK"]}
    assert "privileged" not in json.dumps(pod)
    assert [mount["name"] for mount in verbs["volumeMounts"]] == ["run"]


LOCK = """\
# made by uv
aiohttp==3.0.0 \\
    --hash=sha256:aa
    # via
    #   kubectl-rdmatop (pyproject.toml)
    #   kubernetes
attrs==1.0.0 ; python_full_version < '3.11' \\
    --hash=sha256:bb
    # via aiohttp
pytest==9.0.0 \\
    --hash=sha256:cc
    # via kubectl-rdmatop (pyproject.toml:dev)
pluggy==1.0.0 \\
    --hash=sha256:dd
    # via pytest
setuptools==84.0.0 \\
    --hash=sha256:ee
"""


def test_the_image_has_what_runs_and_not_what_tests() -> None:
    kept = runtime_lock.runtime(LOCK)
    assert [each.name for each in kept] == ["aiohttp", "attrs", "setuptools"]
    assert kept[1].lines == ("attrs==1.0.0 ; python_full_version < '3.11' \\", "    --hash=sha256:bb")


def test_every_library_of_the_project_is_in_the_image() -> None:
    named = re.findall(r'(?m)^  "([a-z]+)[>=]', (ROOT / "pyproject.toml").read_text().partition("[project.scripts]")[0])
    kept = {each.name for each in runtime_lock.runtime((ROOT / "requirements.lock").read_text())}
    assert set(named) <= kept
    assert not kept & {"pytest", "ruff", "mypy", "hypothesis"}


def test_an_image_is_the_same_bytes_each_time(tmp_path: Path) -> None:
    (tmp_path / "program").write_bytes(b"#!/bin/true\n")
    (tmp_path / "program").chmod(0o755)
    oci.layer_of({"usr/bin/program": tmp_path / "program"}, tmp_path / "layer")
    for name in ("one", "two"):
        oci.write(oci.Image("example.org/a:1", entrypoint=["program"]), tmp_path / "layer", tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_an_image_says_what_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "program").write_bytes(b"x" * 5000)
    (tmp_path / "program").chmod(0o755)
    oci.layer_of({"usr/bin/program": tmp_path / "program"}, tmp_path / "layer")
    oci.write(oci.Image("example.org/a:1", entrypoint=["program"]), tmp_path / "layer", tmp_path / "image")
    with tarfile.open(tmp_path / "image") as archive:
        files = {member.name: read(archive, member) for member in archive}
    index = json.loads(files["index.json"])
    (listed,) = index["manifests"]
    assert listed["annotations"]["io.containerd.image.name"] == "example.org/a:1"
    found = json.loads(files[oci.blob_path(listed["digest"])])
    config = json.loads(files[oci.blob_path(found["config"]["digest"])])
    assert config["config"]["Entrypoint"] == ["program"]
    (layer,) = found["layers"]
    packed = files[oci.blob_path(layer["digest"])]
    assert len(packed) == layer["size"]
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as contents:
        assert [(member.name, oct(member.mode)) for member in contents] == [
            ("usr", "0o755"), ("usr/bin", "0o755"), ("usr/bin/program", "0o755"),
        ]  # fmt: skip


def read(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    assert file is not None
    return file.read()
