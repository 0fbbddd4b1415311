"""What one reading must not cost: `rdmatop get ports -o json` imports nothing heavy."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("textual", "kubernetes", "aiohttp", "asyncio", "pyverbs", "psutil", "yaml", "json", "logging", "subprocess",
         "concurrent", "dataclasses", "http", "ssl", "socket", "argcomplete", "difflib", "cryptography")  # fmt: skip
PROGRAM = f"""
import sys
before = set(sys.modules)
from tui.cli import main
code = main(sys.argv[1:])
found = sorted({{name.split(".")[0] for name in set(sys.modules) - before}} & set({HEAVY!r}))
print(code, *found, file=sys.stderr)
"""


@pytest.mark.parametrize("kind", ["ports", "devices", "counters"])
def test_one_reading_imports_nothing_heavy(trees: Path, kind: str) -> None:
    words = ["get", kind, "-o", "json", "--root", str(trees / "gpud-h100-ndr")]
    done = subprocess.run([sys.executable, "-c", PROGRAM, *words], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stderr.strip() == "0"
