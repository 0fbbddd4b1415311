"""The one place where pyverbs is imported, and where it is said why it cannot be.

pyverbs comes from the distribution and must be of one release with libibverbs and of one version with this Python, so
"not installed" is only the first of the ways to be without it.
"""

from __future__ import annotations

import glob
import importlib
import importlib.util
import os
import sys
from typing import Any, NamedTuple

DISTRIBUTION_PATHS = ("/usr/lib/python3/dist-packages", "/usr/lib64/python3/site-packages")
INSTALL = "install the distribution's python3-pyverbs and make the environment with --system-site-packages"


class VerbsUnavailable(Exception):
    """No verbs in this process: why, and what to do."""

    def __init__(self, reason: str, hint: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint


class Binding(NamedTuple):
    """The modules of pyverbs that are used, and the constants under the name that this release gives them."""

    enums: Any
    device: Any
    addr: Any
    pd: Any
    mr: Any
    cq: Any
    qp: Any
    wr: Any
    error: type[Exception]
    """PyverbsError: base of all that pyverbs raises."""
    path: str


def load() -> Binding:
    """pyverbs, ready to use. Raises VerbsUnavailable."""
    try:
        names = ("device", "addr", "pd", "mr", "cq", "qp", "wr")
        parts = {name: importlib.import_module(f"pyverbs.{name}") for name in names}
        errors = importlib.import_module("pyverbs.pyverbs_error")
        enums = _enums()
    except Exception as failed:
        raise _unavailable(failed) from failed
    path = os.path.dirname(parts["device"].__file__ or "")
    return Binding(enums=enums, error=errors.PyverbsError, path=path, **parts)


def _enums() -> Any:
    """rdma-core 59 took pyverbs.enums away in favour of pyverbs.libibverbs_enums."""
    try:
        return importlib.import_module("pyverbs.enums")
    except ImportError:
        return importlib.import_module("pyverbs.libibverbs_enums")


def _unavailable(failed: Exception) -> VerbsUnavailable:
    text = str(failed)
    if "IBVERBS_" in text or "undefined symbol" in text:
        return VerbsUnavailable(
            f"pyverbs and libibverbs are of different releases ({text})",
            "take both from the distribution, or both from one rdma-core build",
        )
    if "libibverbs" in text or "librdmacm" in text:
        return VerbsUnavailable(f"libibverbs is not installed ({text})", "install libibverbs1 and ibverbs-providers")
    folder = _folder()
    if folder is None:
        return _not_seen()
    built_for = _built_for(folder)
    here = f"cpython-{sys.version_info.major}{sys.version_info.minor}"
    if built_for and here not in built_for:
        return VerbsUnavailable(
            f"pyverbs at {folder} is built for {', '.join(sorted(built_for))}, this is {here}",
            "make the environment with the distribution's own python3",
        )
    return VerbsUnavailable(f"pyverbs at {folder} cannot be imported: {type(failed).__name__}: {text}", INSTALL)


def _folder() -> str | None:
    try:
        spec = importlib.util.find_spec("pyverbs")
    except (ImportError, ValueError):
        return None
    return next(iter(spec.submodule_search_locations or ()), None) if spec else None


def _not_seen() -> VerbsUnavailable:
    for path in DISTRIBUTION_PATHS:
        if os.path.isdir(f"{path}/pyverbs"):
            return VerbsUnavailable(
                f"pyverbs is at {path}, which this Python ({sys.prefix}) does not look at",
                "make the environment with --system-site-packages",
            )
    return VerbsUnavailable("pyverbs is not installed", INSTALL)


def _built_for(folder: str) -> set[str]:
    """`{"cpython-311"}`, by the names of the extension files."""
    files = glob.glob(f"{glob.escape(folder)}/device.*.so")
    return {os.path.basename(file).split(".")[1].rsplit("-", 3)[0].split("-x86")[0] for file in files}
