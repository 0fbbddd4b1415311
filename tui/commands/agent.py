"""`rdmatop agent`: the agent's own options and its main loop."""

from __future__ import annotations

import argparse
import os

from agent.config import AgentOptions, add_agent_arguments
from tui.options import Options

USAGE = "[OPTIONS]"
DESCRIPTION = "Runs the agent: samples this node and answers on a Unix socket, and on the network where asked to."
EPILOG = """examples:
  rdmatop agent                                             on the default Unix socket alone
  rdmatop agent --socket /tmp/a.sock --interval 0.5         twice a second
  rdmatop agent --listen :9879 --tokens-file tokens         on the network: TLS, and a token each

exit codes:
  0    ended by SIGTERM or SIGINT
  2    the command line is wrong, or it would listen without any authorization to ask
  3    the socket, port or root cannot be used
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_agent_arguments(parser)


def run(found: argparse.Namespace, options: Options) -> int:  # noqa: ARG001  the agent has options of its own
    chosen = AgentOptions.from_args(found, os.environ)
    from agent.main import run_agent  # aiohttp, 150 ms: not for a wrong option or a completion

    return run_agent(chosen)
