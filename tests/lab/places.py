"""Where the lab keeps what it fetches and builds: outside the checkout, shared by all checkouts of a user."""

import hashlib
import os
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parents[1]
MODULE_SOURCES = HERE / "rxe_lab"


class Missing(Exception):
    """A part of the lab that is not on this machine: what, and how to get it."""


def lab_dir() -> Path:
    """`$RDMATOP_LAB`, else `${XDG_CACHE_HOME:-~/.cache}/rdmatop`."""
    if named := os.environ.get("RDMATOP_LAB"):
        return Path(named).resolve()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rdmatop"


def module_key() -> str:
    """Changes when the lab's kernel module does: a kernel folder is good only for the sources it was built from."""
    digest = hashlib.sha256()
    for source in sorted(MODULE_SOURCES.iterdir()):
        if source.suffix in (".c", ".py"):
            digest.update(source.name.encode() + b"\0" + source.read_bytes())
    return digest.hexdigest()[:12]


def kernels() -> list[Path]:
    """Installed kernel folders that fit this checkout, newest last: `kernel-6.1.0-56-amd64-<key>`, or `-stock`."""
    ready = []
    for ending in ("stock", module_key()):
        ready += [path for path in lab_dir().glob(f"kernel-*-{ending}") if (path / "ready").exists()]
    return sorted(ready, key=lambda path: (path / "ready").stat().st_mtime_ns)


def kernel_dir() -> Path:
    """The kernel folder to boot. Raises `Missing`."""
    found = kernels()
    if not found:
        raise Missing(f"no lab kernel under {lab_dir()}: `make lab` fetches it")
    return found[-1]


def is_mlx5_like(kernel: Path) -> bool:
    """Whether that kernel's soft-RoCE has the lab's additions: mlx5's counters, any link rate, injection."""
    return not kernel.name.endswith("-stock")
