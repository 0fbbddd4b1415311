"""What a verdict on the operator's stack costs: 1,000 nodes with nine components each, cold and a changed pod."""

from __future__ import annotations

import statistics
import time

from diagnostics.cluster.operator.judge import Judge
from tests.bench.ratio import Ratio, at_most
from tests.kube.operator_cases import simulated, stack

NODES = 1000
COLD_S, CHANGE_MS = 0.5, 5.0


def run() -> list[Ratio]:
    kinds = simulated.cluster(NODES)
    objects = simulated.objects(kinds)
    began = time.process_time()
    judge = Judge(objects)
    judge.judge(simulated.NOW)
    cold = time.process_time() - began
    key = f"{stack.NAMESPACE}/{stack.DRIVER_DS}-gpu-0003-0"
    sick = simulated.decoded("pods", {**kinds["pods"][key], "status": {"phase": "Failed", "reason": "Evicted"}})[1]
    well, spent = objects.of("pods")[key], []
    for turn in range(40):
        began = time.process_time()
        judge.apply("pods", key, well if turn % 2 else sick)
        judge.judge(simulated.NOW)
        spent.append((time.process_time() - began) * 1e3)
    return [
        at_most("operator verdict, 1,000 nodes, cold", cold, COLD_S, "s"),
        at_most("operator verdict, one pod changed", statistics.median(spent), CHANGE_MS, "ms"),
    ]
