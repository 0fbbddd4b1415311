"""After all else in this folder: the rights that agents have are those that they used, by the API server's log."""

from __future__ import annotations

import json
from typing import Any

import yaml

from tests.kube_nodes.conftest import MANIFEST, NAMES, Agents, until

AGENT = "system:serviceaccount:rdmatop:rdmatop-agent"
Use = tuple[str, str, str]
"""(group, resource with its sub-resource, verb)."""


def granted() -> set[Use]:
    documents = yaml.safe_load_all(MANIFEST.read_text())
    role = next(
        each for each in documents if each["kind"] == "ClusterRole" and each["metadata"]["name"] == "rdmatop-agent"
    )
    return {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def log_of(agents: Agents) -> list[dict[str, Any]]:
    lines = (agents.lab.state / "audit.log").read_text().splitlines()
    events = (json.loads(line) for line in lines if line.endswith("}"))
    return [each for each in events if each["user"]["username"] == AGENT and "objectRef" in each]


def used(event: dict[str, Any]) -> Use:
    what = event["objectRef"]
    resource = what["resource"] + (f"/{what['subresource']}" if "subresource" in what else "")
    return what.get("apiGroup", ""), resource, event["verb"]


def ask_through_the_proxy(agents: Agents, node: str, account: str, path: str) -> str:
    """As the screens do: the pod proxy takes Authorization away, so the token for the agent stands beside it."""
    token = agents.lab.kubectl("create", "token", account, "-n", "rdmatop", "--audience=rdmatop").strip()
    url = f"{agents.lab.server}/api/v1/namespaces/rdmatop/pods/https:{agents.pod(node)}:9879/proxy{path}"
    heads = ("-H", "Authorization: Bearer lab-admin", "-H", f"X-Rdmatop-Token: {token}")
    return agents.lab.run("curl", "-sk", "--max-time", "60", *heads, url)


def test_a_viewer_asks_an_agent_through_the_pod_proxy(agents: Agents) -> None:
    for node in NAMES:
        summary = json.loads(ask_through_the_proxy(agents, node, "rdmatop-viewer", "/v1/summary"))
        assert summary["node"]["node"] == node if "node" in summary else node in json.dumps(summary)


def test_nobody_is_let_in_without_a_token(agents: Agents) -> None:
    url = f"https://{agents.lab.node(1).address}:9879/v1/node"
    answer = agents.lab.run("curl", "-sk", "--max-time", "60", "-w", "%{http_code}", "-o", "/dev/null", url)
    assert answer == "401"


def test_each_right_was_used_and_no_other_was_asked_for(agents: Agents) -> None:
    def everything() -> set[Use] | None:
        uses = {used(each) for each in log_of(agents) if each["responseStatus"]["code"] < 400}
        return uses if granted() - NOT_ALONE <= uses else None

    uses = until(everything, f"uses of {granted() - {used(each) for each in log_of(agents)}}", 30)
    assert uses <= granted()
    refused = {used(each) for each in log_of(agents) if each["responseStatus"]["code"] == 403}
    assert not refused


NOT_ALONE = {("rdmatop.dev", "rdmanodes", "create")}
"""Server-side apply creates by PATCH: the API server checks both verbs, and logs the one."""


def test_the_privileged_container_has_no_token(agents: Agents) -> None:
    done = agents.run_in("rdmatop", agents.pod("node1"), "verbs", "ls", "/var/run/secrets/kubernetes.io", check=False)
    assert done.returncode != 0
