"""`rdmatop completion SHELL`, and what a shell is told when it asks."""

from __future__ import annotations

import argparse
import os

from diagnostics.errors import EXIT_OK
from tui.commands import output
from tui.commands.parser import unknown
from tui.options import Options

SHELLS = ("bash", "zsh", "fish")

USAGE = "SHELL"
DESCRIPTION = "Prints what makes the shell complete commands, options, devices and counters."
EPILOG = """examples:
  eval "$(rdmatop completion bash)"                                      in ~/.bashrc
  eval "$(rdmatop completion zsh)"                                       in ~/.zshrc, after compinit
  rdmatop completion fish > ~/.config/fish/completions/rdmatop.fish

exit codes:
  0  printed
  2  no such shell
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", metavar="SHELL", help=", ".join(SHELLS)).completer = _words(SHELLS)  # type: ignore[attr-defined]


def run(found: argparse.Namespace, options: Options) -> int:  # noqa: ARG001  every command takes the options
    if found.shell not in SHELLS:
        raise unknown("shell", found.shell, SHELLS)
    from argcomplete.shell_integration import shellcode

    output.write(shellcode(["rdmatop", "kubectl-rdmatop"], shell=found.shell) + "\n")
    return EXIT_OK


def complete(parser: argparse.ArgumentParser) -> None:
    """Answers the shell and ends the process."""
    import argcomplete

    argcomplete.autocomplete(parser)


class _words:  # noqa: N801  used as a function
    """A completer of fixed words."""

    def __init__(self, words: tuple[str, ...]) -> None:
        self._words = words

    def __call__(self, **_: object) -> tuple[str, ...]:
        return self._words


def device_names(prefix: str, parsed_args: argparse.Namespace, **_: object) -> list[str]:
    """Devices and ports below the root that is asked, by two directory listings."""
    folder = os.path.join(getattr(parsed_args, "root", "/"), "sys/class/infiniband")
    names = []
    for device in _listed(folder):
        names.append(device)
        names += [f"{device}/{port}" for port in _listed(os.path.join(folder, device, "ports"))]
    return [name for name in names if name.startswith(prefix)]


def _listed(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []
