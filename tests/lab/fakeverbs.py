"""Builds fakeverbs.so: RDMA devices inside one process, for tests and benchmarks that need no kernel (fakeverbs.c)."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.lab.places import HERE, Missing, lab_dir

SOURCE = HERE / "fakeverbs.c"


def library() -> Path:
    """The compiled library, made once for each version of its source. Raises `Missing`."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise Missing("no C compiler for tests/lab/fakeverbs.c: `make lab` installs gcc")
    if not Path("/usr/include/infiniband/verbs.h").exists():
        raise Missing("no infiniband/verbs.h for tests/lab/fakeverbs.c: install libibverbs-dev")
    built = lab_dir() / f"fakeverbs-{hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:12]}.so"
    if built.exists():
        return built
    built.parent.mkdir(parents=True, exist_ok=True)
    handle, unfinished = tempfile.mkstemp(dir=built.parent, suffix=".so")
    os.close(handle)
    command = [compiler, "-O2", "-Wall", "-shared", "-fPIC", "-o", unfinished, str(SOURCE)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        os.unlink(unfinished)
        raise Missing(f"tests/lab/fakeverbs.c does not compile: {done.stderr.strip()[-300:]}")
    os.replace(unfinished, built)
    return built


def environment(**settings: object) -> dict[str, str]:
    """What a process needs to see fake devices: `environment(DEVS="mlx5_0", FAULT="wc:100:12")`. Raises `Missing`."""
    return {"LD_PRELOAD": str(library()), **{f"FAKE_{name}": str(value) for name, value in settings.items()}}
