"""A Python process of our own modules, which takes nothing from the folder that we were started in."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

FOLDER = "/"
"""`python -m` looks for modules in its working directory first: this one belongs to root. (`-P` is of Python 3.11.)"""


def command(module: str, *arguments: str) -> list[str]:
    """To be started in `FOLDER`, with `environment()`."""
    return [sys.executable, "-m", module, *arguments]


def environment(added: Mapping[str, str] | None = None) -> dict[str, str]:
    """Ours and what is added, with the folder of this package first: the child is found from any working directory."""
    env = dict(os.environ)
    ours = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    env["PYTHONPATH"] = os.pathsep.join(part for part in (ours, env.get("PYTHONPATH")) if part)
    env.update(added or {})
    return env
