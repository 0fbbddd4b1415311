"""The commands over a whole cluster, as a user runs them: a real API server, real agents, and each tree beside."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kube.conftest import ROOT, Cluster
from tests.kube.fleet_fixtures import COUNT, TREES
from tests.kube.real_agents import RealAgent, answer, rdmatop

RATES = ("tx_gbps", "rx_gbps", "rate_quality", "errors_per_minute", "cnp_per_second", "pause_per_second",
         "discards_per_second", "ecn_per_second", "per_second", "quality", "delta_1m", "age_s", "agent_version",
         "verbs", "since", "since_baseline", "findings", "gid_count", "pkeys")  # fmt: skip
"""What one quick reading leaves out: rates, what takes a history, and whole tables."""


OURS = ",".join(TREES)
"""Other tests of the folder leave pods of agents that nobody started."""


def ask(cluster: Cluster, *words: str, **options) -> subprocess.CompletedProcess[str]:
    return rdmatop(*words, "--kubeconfig", str(cluster.lab.kubeconfig), **options)


def plain(item: dict) -> dict:
    return {key: value for key, value in item.items() if key not in RATES and key != "node"}


@pytest.mark.parametrize("kind", ["devices", "ports", "gids", "counters"])
def test_a_cluster_answers_what_each_tree_answers(
    agents: dict[str, RealAgent],
    twenty: Cluster,
    kind: str,
) -> None:
    whole = answer(ask(twenty, "get", kind, "--node", OURS, "-o", "json"))
    assert whole["errors"] == []
    for name, agent in agents.items():
        alone = answer(rdmatop("get", kind, "--root", str(agent.tree), "-o", "json"))
        mine = [plain(item) for item in whole["items"] if item["node"] == name]
        assert mine == [plain(item) for item in alone["items"]], name
    assert {item["node"] for item in whole["items"]} <= set(TREES)


def test_all_nodes_are_listed_and_those_with_agents_are_as_they_say(
    agents: dict[str, RealAgent],
    twenty: Cluster,
) -> None:
    whole = answer(ask(twenty, "get", "nodes", "-o", "json"))
    rows = {item["node"]: item for item in whole["items"]}
    assert list(rows)[:COUNT] == [f"gpu-{number:04d}" for number in range(1, COUNT + 1)]
    for name, agent in agents.items():
        (alone,) = answer(rdmatop("get", "nodes", "--root", str(agent.tree), "-o", "json"))["items"]
        assert plain(rows[name]) == plain(alone)
        # Notes are of counters, which `get nodes` of a tree leaves unread.
        for severity in ("critical", "warning"):
            assert rows[name]["findings"][severity] == alone["findings"][severity]
        assert rows[name]["age_s"] < 5
    assert rows["gpu-0020"]["health"] == "unknown"


def test_names_labels_and_options_choose_nodes(agents: dict[str, RealAgent], twenty: Cluster) -> None:
    twenty.lab.kubectl("label", "node", "gpu-0011", "gpu-0012", "pool=a", "--overwrite")
    labelled = answer(ask(twenty, "get", "nodes", "-l", "pool=a", "-o", "json"))
    assert [item["node"] for item in labelled["items"]] == ["gpu-0011", "gpu-0012"]
    for words in (("gpu-0011/mlx5_0",), ("gpu-0011", "mlx5_0"), ("mlx5_0", "--node", "gpu-0011")):
        found = answer(ask(twenty, "get", "ports", *words, "-o", "json"))
        assert [(item["node"], item["device"]) for item in found["items"]] == [("gpu-0011", "mlx5_0")], words
    nobody = ask(twenty, "get", "nodes", "-l", "pool=none", "-o", "json")
    assert (answer(nobody)["items"], nobody.returncode) == ([], 0)
    names = ask(twenty, "get", "devices", "gpu-0011", "-o", "name").stdout.splitlines()
    assert names[0] == "gpu-0011/mlx5_0"
    table = ask(twenty, "get", "ports", "-l", "pool=a").stdout.splitlines()
    assert table[0].split()[:2] == ["NODE", "PORT"]


def test_a_node_that_is_not_there_is_out_of_reach(agents: dict[str, RealAgent], twenty: Cluster) -> None:
    assert ask(twenty, "get", "ports", "--node", "gpu-9999").returncode == 3
    assert ask(twenty, "check", "gpu-9999").returncode == 3


def test_check_judges_all_and_says_what_it_did_not_see(
    agents: dict[str, RealAgent],
    twenty: Cluster,
) -> None:
    done = ask(twenty, "check", "--node", OURS, "-o", "json")
    report = answer(done)
    assert (done.returncode, report["passed"], report["errors"]) == (0, True, [])
    assert report["health"] == {"gpu-0011": "healthy", "gpu-0012": "warning", "gpu-0013": "healthy"}
    statuses = {(each["node"], each["check"]): each for each in report["checks"]}
    assert statuses["gpu-0011", "agent-missing"]["status"] == "pass"
    assert statuses["gpu-0011", "rail-outlier"]["status"] == "skip"
    assert "fewer than 3 other nodes" in statuses["gpu-0011", "rail-outlier"]["reason"]
    assert ask(twenty, "check", *TREES, "--strict").returncode == 1
    assert ask(twenty, "check", "gpu-0011", "--strict").returncode == 0


def test_a_killed_agent_leaves_its_last_state_and_a_partial_answer(
    agents: dict[str, RealAgent],
    twenty: Cluster,
) -> None:
    agents["gpu-0013"].stop(signal.SIGKILL)
    try:
        nodes = answer(ask(twenty, "get", "nodes", "--node", OURS, "-o", "json"))
        (row,) = (item for item in nodes["items"] if item["node"] == "gpu-0013")
        assert (row["ports_up"], row["age_s"] > 0) == (3, True) or row["ports_expected"] > 0
        (error,) = nodes["errors"]
        assert error["source"] == "node/gpu-0013"
        assert "cannot reach it" in error["message"]
        done = ask(twenty, "check", *TREES, "-o", "json")
        report = answer(done)
        assert (done.returncode, report["passed"]) == (4, True)
        assert report["health"]["gpu-0013"] == "warning"
        assert [each["check"] for each in report["findings"] if each["node"] == "gpu-0013"] == ["agent-missing"]
        assert ask(twenty, "check", "gpu-0011").returncode == 0
    finally:
        agents["gpu-0013"].start()


def test_bench_on_a_node_is_the_operators(agents: dict[str, RealAgent], twenty: Cluster) -> None:
    nowhere = ask(twenty, "bench", "loopback", "-A")
    assert (nowhere.returncode, "--node NODE" in nowhere.stderr) == (2, True)
    done = ask(twenty, "bench", "loopback", "--node", "gpu-0011", "-o", "json", "--duration", "1s")
    # The agent took the request: what it has no verbs for is its own word.
    assert done.returncode == 3
    assert "gpu-0011" in done.stderr
    assert "verbs" in done.stderr


def test_a_cluster_without_rdmatop_or_out_of_reach_leaves_this_host(
    agents: dict[str, RealAgent],
    twenty: Cluster,
    tmp_path: Path,
) -> None:
    from tests.lab.kube.control_plane import kubeconfig

    nobody = tmp_path / "config"
    import json

    nobody.write_text(json.dumps(kubeconfig(str(twenty.lab.authority), "lab-admin", "https://10.98.0.1:1")))
    here = rdmatop("get", "nodes", "-o", "json", env={"KUBECONFIG": str(nobody)})
    assert (here.returncode, len(answer(here)["items"])) == (0, 1)
    assert "reading this host instead" in here.stderr
    named = rdmatop("get", "nodes", "--kubeconfig", str(nobody))
    assert (named.returncode, "does not answer" in named.stderr) == (3, True)
    quiet = rdmatop("get", "nodes", "--local", env={"KUBECONFIG": str(nobody)})
    assert "instead" not in quiet.stderr
    found = answer(rdmatop("get", "nodes", "-o", "json", env={"KUBECONFIG": str(twenty.lab.kubeconfig)}))
    assert len(found["items"]) >= COUNT


def test_watching_prints_an_envelope_a_line(agents: dict[str, RealAgent], twenty: Cluster) -> None:
    import json

    argv = [sys.executable, "-m", "tui.cli", "get", "ports", "gpu-0011", "-w", "-o", "json",
            "--kubeconfig", str(twenty.lab.kubeconfig)]  # fmt: skip
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        lines = [json.loads(process.stdout.readline()) for _ in range(3)]
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
    assert len({line["time"] for line in lines}) == 3
    assert all(item["node"] == "gpu-0011" and item["rate_quality"] == "ok" for item in lines[2]["items"])


def test_kubectl_finds_it_as_a_plugin(agents: dict[str, RealAgent], twenty: Cluster, tmp_path: Path) -> None:
    import os

    from tests.lab.kube import programs

    plugin = tmp_path / "kubectl-rdmatop"
    plugin.write_text(f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\n"
                      "from tui.cli import main\nsys.exit(main())\n")  # fmt: skip
    plugin.chmod(0o755)
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "KUBECONFIG": str(twenty.lab.kubeconfig)}
    argv = [programs.find("kubectl"), "rdmatop", "get", "devices", "-o", "json"]
    done = subprocess.run(argv, capture_output=True, text=True, env=env, timeout=60)
    direct = answer(ask(twenty, "get", "devices", "-o", "json"))
    assert answer(done)["items"] == direct["items"]
    check = subprocess.run([*argv[:2], "check", "--strict"], capture_output=True, text=True, env=env, timeout=60)
    assert check.returncode == 1, check.stderr
