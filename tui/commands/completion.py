"""`rdmatop completion SHELL`, and what a shell is told when it asks."""

from __future__ import annotations

import argparse

from diagnostics.errors import EXIT_OK
from tui.commands import output
from tui.commands.parser import complete_by, unknown
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
    complete_by(parser.add_argument("shell", metavar="SHELL", help=", ".join(SHELLS)), lambda **_: SHELLS)


def run(found: argparse.Namespace, options: Options) -> int:  # noqa: ARG001  every command takes the options
    if found.shell not in SHELLS:
        raise unknown("shell", found.shell, SHELLS)
    from argcomplete.shell_integration import shellcode

    output.write(shellcode(["rdmatop", "kubectl-rdmatop"], shell=found.shell) + "\n")
    return EXIT_OK


def complete(parser: argparse.ArgumentParser) -> None:
    """Answers the shell and ends the process."""
    import argcomplete

    argcomplete.autocomplete(parser, always_complete_options=False)
