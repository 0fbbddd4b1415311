"""The verdict on the stack as a pure function: grouping, linking, unknown kinds, and change by change."""

from __future__ import annotations

from diagnostics.cluster.operator.judge import Judge, judge_components
from diagnostics.cluster.operator.kinds import Unseen
from tests.kube.operator_cases import simulated, stack

DRIVER_KEY = f"{stack.NAMESPACE}/{stack.DRIVER_DS}"


def crashed(kinds: dict, *nodes: str, message: str = "Module ib_core is in use") -> None:
    last = {"exitCode": 1, "reason": "Error", "message": message}
    for name in nodes:
        kinds["pods"][f"{DRIVER_KEY}-{name}-0"]["status"] = {
            "phase": "Running",
            "containerStatuses": [
                {
                    "name": "mofed-container",
                    "restartCount": 4,
                    "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                    "lastState": {"terminated": last},
                }
            ],
        }


def test_a_healthy_cluster_says_nothing() -> None:
    seen = judge_components(simulated.objects(simulated.cluster()), simulated.NOW)
    assert seen.findings == ()
    assert seen.problems == ()
    assert {each.verdict for each in seen.components} == {"ok", "absent"}


def test_pods_that_ail_from_the_same_are_one_finding() -> None:
    kinds = simulated.cluster()
    crashed(kinds, "gpu-0002", "gpu-0005", message="Module ib_core is in use by 3")
    crashed(kinds, "gpu-0007", message="no space left on device")
    found = judge_components(simulated.objects(kinds), simulated.NOW).findings
    assert {each.nodes for each in found} == {("gpu-0002", "gpu-0005"), ("gpu-0007",)}
    assert [each.check for each in found] == ["component-failed"] * 2


def test_an_object_that_changes_back_leaves_nothing() -> None:
    kinds = simulated.cluster()
    objects = simulated.objects(kinds)
    well = dict(objects.of("pods"))
    judge = Judge(objects)
    crashed(kinds, "gpu-0003")
    key, sick = simulated.decoded("pods", kinds["pods"][f"{DRIVER_KEY}-gpu-0003-0"])
    judge.apply("pods", key, sick)
    first = judge.judge(simulated.NOW).findings
    assert [each.nodes for each in first] == [("gpu-0003",)]
    assert judge.judge(simulated.NOW + 60).findings[0].since == first[0].since
    judge.apply("pods", key, well[key])
    assert judge.judge(simulated.NOW).findings == ()


def test_pods_that_may_not_be_read_leave_the_verdict_unknown_and_say_so() -> None:
    objects = simulated.objects({**simulated.cluster(), "pods": {}})
    objects.unseen["pods"] = Unseen("forbidden", "pods is forbidden")
    seen = judge_components(objects, simulated.NOW)
    states = {each.component: each for each in seen.components}
    assert states["state-OFED"].verdict == "unknown"
    assert "forbidden" in (states["state-OFED"].message or "")
    assert [each.source for each in seen.problems] == ["pods"]
    assert seen.findings == ()


def test_what_stands_alone_is_unmanaged_and_no_finding() -> None:
    kinds = simulated.cluster()
    kinds["policies"].clear()
    for each in (*kinds["daemonsets"].values(), *kinds["deployments"].values()):
        each["metadata"]["labels"].pop("nvidia.network-operator.state", None)
    seen = judge_components(simulated.objects(kinds), simulated.NOW)
    assert seen.findings == ()
    assert {each.verdict for each in seen.components if each.component == "state-multus-cni"} == {"unmanaged"}


def test_an_operator_ahead_of_its_components_is_drift() -> None:
    kinds = simulated.cluster()
    operator = kinds["deployments"][f"{stack.NAMESPACE}/network-operator"]
    operator["metadata"]["labels"]["helm.sh/chart"] = "network-operator-26.10.0"
    found = judge_components(simulated.objects(kinds), simulated.NOW).findings
    assert {each.check for each in found} == {"version-drift"}
    assert "26.10.0" in found[0].message
