"""Whom a command asks: the contract's order, without asking anybody."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.shared import ROOT
from tui.options import Options
from tui.sources import once
from tui.sources.once import where


@pytest.fixture
def around(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Sets what there is: an agent's socket here, a kubeconfig, a pod's account."""

    def put(*, socket: bool = False, kubeconfig: bool = False, pod: bool = False) -> None:
        monkeypatch.setattr(once, "_can_open", lambda _: socket)
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.delenv("KUBECONFIG", raising=False)
        monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
        if kubeconfig:
            (tmp_path / "config").touch()
            monkeypatch.setenv("KUBECONFIG", f"/nonexistent:{tmp_path}/config")
        if pod:
            (tmp_path / "token").touch()
            monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
            monkeypatch.setattr(once, "ACCOUNT", str(tmp_path / "token"))

    return put


ALL = {"socket": True, "kubeconfig": True, "pod": True}


@pytest.mark.parametrize(
    ("options", "there", "asked"),
    [
        (Options(local=True, kubeconfig="x"), ALL, "here"),
        (Options(agent="https://x", kubeconfig="x"), ALL, "agent"),
        (Options(socket="/x"), ALL, "agent"),
        (Options(kubeconfig="x"), ALL, "cluster"),
        (Options(context="x"), {}, "cluster"),
        (Options(all_namespaces=True), ALL, "cluster"),
        (Options(node="n1"), ALL, "cluster"),
        (Options(selector="a=b"), ALL, "cluster"),
        (Options(), ALL, "socket"),  # as `kubectl exec` finds it in an agent's pod
        (Options(), {"kubeconfig": True}, "perhaps"),
        (Options(), {"pod": True}, "perhaps"),
        (Options(), {}, "here"),
    ],
)
def test_the_contracts_order(around, options: Options, there: dict[str, bool], asked: str) -> None:
    around(**there)
    assert where(options) == asked


def test_a_cluster_source_imports_no_client_before_it_is_opened() -> None:
    code = (
        "import sys; from tui.options import Options; from tui.sources.cluster import ClusterSource;"
        "ClusterSource(Options(context='x')).watch_rows({'a'});"
        "print(sorted({'kubernetes', 'aiohttp', 'textual'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
