"""Where the programs of a Kubernetes cluster are: $RDMATOP_KUBE, else PATH, else the cache that `build-kube` fills."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


class MissingProgram(Exception):
    """A program of the cluster is nowhere, and how to get it."""


def cache() -> Path:
    """Where `build-kube` puts what it builds, once a machine."""
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "rdmatop" / "kube" / "bin"


def folder() -> Path:
    """Where the programs of a node are, all in one folder; raises MissingProgram."""
    return Path(find("kubelet")).parent


def find(name: str) -> str:
    """The path of a program or of the files that go with it; raises MissingProgram."""
    given = os.environ.get("RDMATOP_KUBE")
    for folder in [Path(given)] if given else [cache()]:
        if (folder / name).exists():
            return str(folder / name)
    on_path = shutil.which(name)
    if on_path:
        return on_path
    raise MissingProgram(f"no {name} in $RDMATOP_KUBE, {cache()} or PATH: run tests/lab/kube/build-kube")
