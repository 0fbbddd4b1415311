"""docs/checks.md says what the checks do: it is made from them."""

from __future__ import annotations

import subprocess
import sys

from diagnostics.checks import REGISTRY
from diagnostics.checks.docs import markdown
from tests.shared import ROOT


def test_docs_are_those_of_the_registry() -> None:
    assert (ROOT / "docs/checks.md").read_text() == markdown(), (
        "run: python -m diagnostics.checks.docs > docs/checks.md"
    )


def test_module_prints_the_file() -> None:
    made = subprocess.run(
        [sys.executable, "-m", "diagnostics.checks.docs"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert made.stdout == markdown()


def test_docs_name_every_check_and_threshold() -> None:
    text = markdown()
    for check in REGISTRY.values():
        assert f"### {check.id}\n" in text
        assert all(f"- {each.name}: " in text for each in check.thresholds)
