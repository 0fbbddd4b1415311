"""deploy/daemonset.yaml, complete in itself, from the parts in deploy/base: one source, comments kept.

`python -m deploy.manifest` writes it (`make manifest`); `--check` only compares.
"""

from __future__ import annotations

import sys
from pathlib import Path

import yaml

HERE = Path(__file__).resolve().parent
BASE = HERE / "base"
WHOLE = HERE / "daemonset.yaml"
HEAD = """\
# rdmatop in one file:  kubectl apply -f deploy/daemonset.yaml
# Made from deploy/base by `make manifest`: change it there.
"""


def joined() -> str:
    """The parts in the order of the kustomization, each a document or several."""
    names: list[str] = yaml.safe_load((BASE / "kustomization.yaml").read_text())["resources"]
    return HEAD + "".join(f"---\n{(BASE / name).read_text()}" for name in names)


def main() -> int:
    if "--check" in sys.argv[1:]:
        return int(WHOLE.read_text() != joined())
    WHOLE.write_text(joined())
    return 0


if __name__ == "__main__":
    sys.exit(main())
