"""`rdmatop version`."""

from __future__ import annotations

import argparse
import sys

from diagnostics.errors import EXIT_OK
from diagnostics.model import SCHEMA
from diagnostics.report import as_json
from diagnostics.version import VERSION
from tui.commands import output
from tui.options import Options

USAGE = "[-o text|json]"
DESCRIPTION = "Prints the version of rdmatop, of its data and of the Python it runs on."
EPILOG = """examples:
  rdmatop version
  rdmatop version -o json

exit codes:
  0  always
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--output", dest="format", choices=("text", "json"), default="text", help="how")


def run(found: argparse.Namespace, options: Options) -> int:  # noqa: ARG001  every command takes the options
    python = ".".join(str(part) for part in sys.version_info[:3])
    if found.format == "json":
        output.write(as_json({"version": VERSION, "schema": SCHEMA, "python": python}))
    else:
        output.write(f"rdmatop {VERSION} ({SCHEMA}, Python {python})\n")
    return EXIT_OK
