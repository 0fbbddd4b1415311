"""Golden files: what each captured tree gives, item by item. `python -m tests.golden.made --update` writes them anew;
read the difference against the tree's own README before it is accepted."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec

from agent.sampler import Sampler
from diagnostics.model import NodeSnapshot
from tests.shared import shared_folder

FOLDER = Path(__file__).parent
KINDS = ("devices", "ports", "gids", "counters", "unread", "errors")
SNAPSHOTS = {"derived-cx5-cx6-roce-rnr": ("before", "after")}
"""Trees that hold more than one root."""


def roots(trees: Path) -> dict[str, Path]:
    """Name of a golden file -> root of the tree."""
    found = {}
    for tree in sorted(path for path in trees.iterdir() if path.is_dir()):
        for part in SNAPSHOTS.get(tree.name, ("",)):
            found["-".join(filter(None, (tree.name, part)))] = tree / part
    return found


def read_once(root: Path) -> NodeSnapshot:
    """A single reading, as the one-shot commands make it."""
    sampler = Sampler(str(root), "tree")
    try:
        sampler.refresh()
        sampler.tick()
        return sampler.snapshot()
    finally:
        sampler.close()


def golden(root: Path) -> bytes:
    """The items of every kind, one a line, without times, and without the meanings, which are the catalogue's."""
    snapshot = read_once(root)
    lines = []
    for kind in KINDS:
        for item in getattr(snapshot, kind):
            plain = msgspec.to_builtins(item)
            for name in ("meaning", "since", "node"):
                plain.pop(name, None)
            lines.append(f"{kind} {msgspec.json.encode(plain).decode()}")
    return ("\n".join(lines) + "\n").encode()


def main() -> int:
    shared = shared_folder()
    if shared is None or sys.argv[1:] != ["--update"]:
        print("usage: python -m tests.golden.made --update   (needs the shared captures)")
        return 2
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["tar", "--zstd", "-xf", shared / "data/sysfs/trees.tar.zst", "-C", folder], check=True)
        for name, root in roots(Path(folder)).items():
            (FOLDER / f"{name}.jsonl").write_bytes(golden(root))
    return 0


if __name__ == "__main__":
    sys.exit(main())
