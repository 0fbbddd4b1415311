"""The operator's stack, asked once: what `get components` and the operator layer of `check` show."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diagnostics.model import Component, Finding, Problem

if TYPE_CHECKING:
    from diagnostics.cluster.kube import Kube


async def components(kube: Kube) -> tuple[tuple[Component, ...], tuple[Finding, ...], tuple[Problem, ...]]:
    """Components, findings (cause before consequence) and the kinds that could not be read; raises KubeAway."""
    from diagnostics.cluster.operator.reader import Reader

    verdict = await Reader(kube).read_once()
    return verdict.components, verdict.findings, verdict.problems
