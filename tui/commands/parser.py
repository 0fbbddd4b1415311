"""The parser of a command: plain messages, a hint at what was meant, examples and exit codes in every help."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from diagnostics.errors import UserError

GET_CODES = """exit codes:
  0  answered (errors beside the items are on stderr too)
  2  the command line is wrong
  3  nothing could be reached: no such device, name, agent, or no permission
"""


class Parser(argparse.ArgumentParser):
    """Raises what is wrong as a UserError, so that every message looks and ends alike."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,  # a script that abbreviates breaks when an option is added
            **settings,
        )

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{self.prog}: {message}", f"see: {self.prog} --help")


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant."""
    import difflib  # only where something was mistyped

    found = difflib.get_close_matches(word.lower(), list(known), 1, 0.6)
    return found[0] if found else None


def unknown(what: str, word: str, known: Iterable[str]) -> UserError:
    """`no kind prots`, and what there is; the probable one first."""
    choices = list(known)
    guess = nearest(word, choices)
    meant = f"did you mean {guess}? " if guess else ""
    return UserError(f"{what} {word!r}: there is none of that name", f"{meant}there are: {', '.join(choices)}")


# What the shell completes from


def complete_by(action: argparse.Action, candidates: Callable[..., Iterable[str]]) -> None:
    """Words for an argument, by argcomplete's convention: called with prefix and parsed_args when the shell asks."""
    action.completer = candidates  # type: ignore[attr-defined]


def device_names(parsed_args: argparse.Namespace, **_: object) -> list[str]:
    """Devices and ports below the root that is asked, by two directory listings."""
    folder = os.path.join(getattr(parsed_args, "root", "/"), "sys/class/infiniband")
    devices = _listed(folder)
    ports = [f"{device}/{port}" for device in devices for port in _listed(os.path.join(folder, device, "ports"))]
    return devices + ports


def _listed(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []
