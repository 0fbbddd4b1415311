"""The command `rdmatop`: finds the command that is asked for, and turns every ending into its exit code.

Commands are rows; each has its module in `tui.commands`, imported when it is asked for and not before.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NamedTuple

from diagnostics.errors import EXIT_INTERRUPTED, EXIT_OK, EXIT_UNREACHABLE, UserError
from tui.commands import output
from tui.commands.parser import Parser, unknown
from tui.options import Options, add_common, options_of


class Command(NamedTuple):
    name: str
    summary: str
    common: bool = True
    """Whether it takes the options that say where to ask."""

    def module(self) -> Any:
        """Has the texts USAGE, DESCRIPTION and EPILOG, `add_arguments(parser)` and `run(found, options) -> int`."""
        return import_module(f"tui.commands.{self.name}")


COMMANDS = (
    Command("get", "list nodes, devices, ports, gids, counters, processes, benchmarks …"),
    Command("check", "is RDMA healthy here, and if not: what, since when, why, what next"),
    Command("explain", "what a check or counter means, and what to do next", common=False),
    Command("bench", "measure what the hardware delivers, and judge it"),
    Command("agent", "run the agent of this node", common=False),
    Command("schema", "the JSON Schema of what -o json prints", common=False),
    Command("completion", "make the shell complete commands and names", common=False),
    Command("version", "print the version", common=False),
)

NAMES = frozenset(command.name for command in COMMANDS)

EPILOG = """examples:
  rdmatop                                    the screens: this host, live
  rdmatop get ports                          states, rates and health of every port
  rdmatop get ports -o json --root DIR       a captured tree, as data
  rdmatop check                              verdicts, each with its evidence
  rdmatop bench loopback mlx5_0/1            measure one port against what its link should give
  rdmatop explain port_xmit_wait             what a counter means

exit codes:
  0 fine   1 a verdict failed   2 the command line is wrong
  3 nothing could be reached   4 a partial answer   130 interrupted
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command line; returns the exit code of the contract. Nothing here ends in a traceback."""
    prog = program()
    try:
        if "_ARGCOMPLETE" in os.environ:
            from tui.commands.completion import complete

            complete(whole_parser(prog, os.environ.get("COMP_LINE", "")))
        code = dispatch(prog, list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
    except UserError as error:
        output.say_error(error, prog)
        return error.code
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except output.ReaderLeft as left:
        _drop_stdout()
        return left.code
    except BrokenPipeError:
        _drop_stdout()
        return EXIT_OK
    except SystemExit as ending:
        return ending.code if isinstance(ending.code, int) else EXIT_OK
    except OSError as error:
        where = f" {error.filename}:" if error.filename else ""
        output.say_error(UserError(f"{prog}:{where} {error.strerror or error}"), prog)
        return EXIT_UNREACHABLE
    return code


def program() -> str:
    """How the user called it: `rdmatop`, or `kubectl rdmatop` for the plugin."""
    return "kubectl rdmatop" if os.path.basename(sys.argv[0]).startswith("kubectl-") else "rdmatop"


def dispatch(prog: str, words: list[str]) -> int:
    if words and words[0] in NAMES:  # the usual line, without the 2.4 ms of a parser that has nothing to find
        return run_command(prog, command_named(words[0]), words[1:], argparse.Namespace())
    found = top_parser(prog).parse_args(words)
    if found.command in (None, "help"):
        if found.command == "help" or found.help:
            return show_help(prog, found.rest)
        if found.version:
            return run_command(prog, command_named("version"), [], argparse.Namespace())
        return without_command(prog, found)
    command = command_named(found.command)
    rest, given = found.rest, argparse.Namespace(**{k: v for k, v in vars(found).items() if k not in TOP_ONLY})
    if found.help:
        rest = ["--help"]
    return run_command(prog, command, rest, given)


TOP_ONLY = ("command", "rest", "help", "version")


def top_parser(prog: str) -> Parser:
    """Finds the command's name; what follows it is for the command's own parser, the only one that is built."""
    listing = "\n".join(f"  {command.name:11} {command.summary}" for command in COMMANDS)
    parser = Parser(
        prog=prog,
        usage=f"{prog} [OPTIONS]\n       {prog} COMMAND [ARGUMENTS] [OPTIONS]\n       {prog} help COMMAND",
        description="Shows where RDMA is slow or broken on a node, why, and what to do next.\n"
        f"Without a command: the screens on a terminal, else the node in one line.\n\ncommands:\n{listing}",
        epilog=EPILOG.replace("rdmatop ", f"{prog} "),
        add_help=False,
    )
    parser.add_argument("command", nargs="?", help=argparse.SUPPRESS)
    parser.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    parser.add_argument("-h", "--help", action="store_true", help="this, or the help of a command")
    parser.add_argument("--version", action="store_true", help="print the version")
    parser.add_argument("--interval", metavar="TIME", default=argparse.SUPPRESS, help="between readings (default 1s)")
    add_common(parser)
    return parser


def command_named(name: str) -> Command:
    for command in COMMANDS:
        if command.name == name:
            return command
    raise unknown("command", name, [command.name for command in COMMANDS])


def command_parser(prog: str, command: Command, module: Any) -> Parser:
    parser = Parser(
        prog=f"{prog} {command.name}",
        usage=f"{prog} {command.name} {module.USAGE}",
        description=module.DESCRIPTION,
        epilog=module.EPILOG.replace("  rdmatop ", f"  {prog} "),
    )
    module.add_arguments(parser)
    if command.common:
        add_common(parser)
    return parser


def run_command(prog: str, command: Command, words: list[str], given: argparse.Namespace) -> int:
    """Runs a command; options that stood before its name are `given`."""
    module = command.module()
    # Intermixed: parse_args lets NAMEs end where an option stands, and refuses `get ports --root DIR mlx5_0`.
    found = command_parser(prog, command, module).parse_intermixed_args(joined(words), given)
    return int(module.run(found, options_of(found) if command.common else Options()))


def joined(words: list[str]) -> list[str]:
    """`--sort-by -tx` as one word, since argparse takes `-tx` for an option."""
    if "--sort-by" not in words[:-1]:
        return words
    at = words.index("--sort-by")
    return [*words[:at], f"--sort-by={words[at + 1]}", *words[at + 2 :]]


def without_command(prog: str, found: argparse.Namespace) -> int:
    """`rdmatop` alone: the screens on a terminal, else the node table once."""
    if sys.stdin.isatty() and sys.stdout.isatty():
        from tui.app import run

        return run(options_of(found))
    given = argparse.Namespace(**{k: v for k, v in vars(found).items() if k not in TOP_ONLY})
    return run_command(prog, command_named("get"), ["nodes"], given)


def show_help(prog: str, words: list[str]) -> int:
    if not words:
        output.write(top_parser(prog).format_help())
        return EXIT_OK
    command = command_named(words[0])
    return run_command(prog, command, [*words[1:], "--help"], argparse.Namespace())


def whole_parser(prog: str, line: str) -> Parser:
    """The tree that the shell completes from; a command that the line does not name has no leaves in it."""
    parser = Parser(prog=prog)
    add_common(parser)
    commands = parser.add_subparsers(dest="command")
    for command in COMMANDS:
        branch = commands.add_parser(command.name, help=command.summary)
        if command.name not in line:
            continue
        command.module().add_arguments(branch)
        if command.common:
            add_common(branch)
    return parser


def _drop_stdout() -> None:
    """The reader has left: what is still buffered goes nowhere, so that Python says nothing about it at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


if __name__ == "__main__":
    sys.exit(main())
