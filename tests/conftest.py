"""Fixtures that every folder of tests uses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.made_tree import MadeTree
from tests.shared import shared_path


@pytest.fixture(scope="session")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The captured sysfs trees, unpacked once a run: one folder each. Not to be written to."""
    packed = shared_path("data/sysfs/trees.tar.zst")
    folder = tmp_path_factory.mktemp("trees")
    subprocess.run(["tar", "--zstd", "-xf", packed, "-C", folder], check=True)
    return folder


@pytest.fixture
def made(tmp_path: Path) -> MadeTree:
    """An empty tree to be filled with devices."""
    return MadeTree(tmp_path / "node-a")
