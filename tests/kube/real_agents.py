"""Agents as they would run in pods: their own process and token, reading a captured tree, on the pod's own address."""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.kube.conftest import Cluster

ROOT = Path(__file__).resolve().parents[2]

READY_S = 30.0


class RealAgent:
    """`rdmatop agent` for one node of the lab."""

    def __init__(self, cluster: Cluster, node: str, tree: Path, folder: Path, *options: str) -> None:
        self.cluster, self.node, self.tree = cluster, node, tree
        self.folder = folder / node
        self.folder.mkdir(parents=True, exist_ok=True)
        self.options = options
        self.pod = cluster.agent_pod(node)
        self.address = self._address()
        self.process: subprocess.Popen[bytes] | None = None

    def _address(self) -> str:
        end = time.monotonic() + READY_S
        while time.monotonic() < end:
            pod = self.cluster.get("pod", self.pod, "-n", "rdmatop")
            if pod["status"].get("podIP") and pod["status"].get("phase") == "Running":
                return pod["status"]["podIP"]
            time.sleep(0.1)
        raise AssertionError(f"{self.pod} got no address")

    def start(self) -> RealAgent:
        config = self.cluster.kubeconfig(self.cluster.pod_token(self.pod), self.folder / "kubeconfig")
        argv = [
            sys.executable, "-m", "tui.cli", "agent", "--root", str(self.tree), "--node-name", self.node,
            "--listen", f"{self.address}:9879", "--socket", str(self.folder / "agent.sock"),
            "--state-dir", str(self.folder / "state"), "--kubeconfig", str(config), "--publish", "on",
            "--verbs", "off", *self.options,
        ]  # fmt: skip
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(argv, stdout=log, stderr=log, cwd=ROOT)
        self._wait()
        return self

    def _wait(self) -> None:
        trust = ssl.create_default_context()
        trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
        end = time.monotonic() + READY_S
        while time.monotonic() < end:
            assert self.process is not None and self.process.poll() is None, (self.folder / "log").read_text()
            try:
                urllib.request.urlopen(f"https://{self.address}:9879/readyz", context=trust, timeout=2)
                return
            except OSError:
                time.sleep(0.1)
        raise AssertionError((self.folder / "log").read_text())

    def stop(self, how: int = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(10)
            self.process = None


def rdmatop(*argv: str, env: dict[str, str] | None = None, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """The command as a user runs it, inside the lab's network namespace."""
    around = {key: value for key, value in os.environ.items() if not key.startswith(("RDMATOP_", "KUBE"))}
    around["HOME"] = "/nonexistent"
    return subprocess.run(
        [sys.executable, "-m", "tui.cli", *argv], capture_output=True, text=True, cwd=ROOT, timeout=timeout,
        env={**around, **(env or {})},
    )  # fmt: skip


def answer(done: subprocess.CompletedProcess[str]) -> dict:
    """What `-o json` printed."""
    assert done.stdout, done.stderr
    found: dict = json.loads(done.stdout)
    return found
