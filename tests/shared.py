"""Where the shared captures are: beside the checkout, or where RDMATOP_SHARED says. Tests without them skip."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def shared_folder() -> Path | None:
    """The folder of captures, or None where there is none."""
    given = os.environ.get("RDMATOP_SHARED")
    places = [Path(given)] if given else [ROOT.parent / "shared"]
    return next((place for place in places if (place / "data").is_dir()), None)


def shared_path(name: str) -> Path:
    """A file of the shared captures (`data/sysfs/trees.tar.zst`); skips the test where it is missing."""
    folder = shared_folder()
    if folder is None or not (folder / name).exists():
        pytest.skip(f"no shared captures here ({name}): set RDMATOP_SHARED")
    return folder / name
