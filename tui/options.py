"""The options every command shares: where to ask, as whom, and how long to wait."""

from __future__ import annotations

import argparse
import os
from typing import NamedTuple

from diagnostics.errors import UserError

DEFAULT_SOCKET = "/run/rdmatop/agent.sock"
AGENT_PORT = 9879
SHORTEST_INTERVAL_S, LONGEST_INTERVAL_S = 0.2, 60.0
"""The agent's fast loop keeps within these; a shorter one would measure itself."""


class Options(NamedTuple):
    """What was asked for on the command line, defaults filled in."""

    root: str = "/"
    local: bool = False
    """Read here, now: also true where `--root` was given."""
    agent: str | None = None
    """`https://HOST:9879`."""
    token_file: str | None = None
    ca_file: str | None = None
    fingerprint: str | None = None
    """SHA-256 of the agent's certificate, 64 hex digits in lower case."""
    insecure: bool = False
    socket: str | None = None
    """From `--socket`, else RDMATOP_SOCKET."""
    node_name: str | None = None
    kubeconfig: str | None = None
    context: str | None = None
    request_timeout_s: float = 10.0
    namespace: str | None = None
    all_namespaces: bool = False
    interval_s: float = 1.0
    node: str | None = None
    """Names of nodes, with commas between them."""
    selector: str | None = None
    """Labels of nodes, as `kubectl -l` takes them."""

    @property
    def wants_cluster(self) -> str | None:
        """The option that only a cluster can answer, as it was typed; None without one."""
        if self.local:
            return None
        asked = (
            ("--kubeconfig", self.kubeconfig), ("--context", self.context), ("-A", self.all_namespaces),
            ("--node", self.node), ("-l", self.selector),
        )  # fmt: skip
        return next((flag for flag, value in asked if value), None)


class Option(NamedTuple):
    """One shared option: a row, from which the parsers and the completion are made."""

    flags: tuple[str, ...]
    help: str
    metavar: str | None = None
    """None for a switch."""


COMMON = (
    Option(("--root",), "read the captured tree DIR, and nothing else", "DIR"),
    Option(("--local",), "read this host now, whatever agent or cluster there is"),
    Option(("--node-name",), "call the node NAME (default: the host's name, or the tree's)", "NAME"),
    Option(("--agent",), f"ask the agent at URL, https://HOST:{AGENT_PORT}", "URL"),
    Option(("--token-file",), "FILE holds the token to show to the agent", "FILE"),
    Option(("--ca-file",), "trust the certificates in FILE", "FILE"),
    Option(("--fingerprint",), "trust the one certificate with this SHA-256", "SHA256"),
    Option(("--insecure",), "trust any certificate: for trying things out"),
    Option(("--socket",), f"ask the agent on this Unix socket (RDMATOP_SOCKET; default {DEFAULT_SOCKET})", "PATH"),
    Option(("--kubeconfig",), "ask the cluster of this file", "FILE"),
    Option(("--context",), "ask the cluster of this context", "NAME"),
    Option(("--node",), "only these nodes of the cluster: a name, or several with commas", "NAME"),
    Option(("-l", "--selector"), "only the cluster's nodes with these labels", "LABELS"),
    Option(("--request-timeout",), "give up after this long: 10, 10s, 1m (default 10s)", "TIME"),
    Option(("-n", "--namespace"), "only what belongs to pods of this namespace", "NAMESPACE"),
    Option(("-A", "--all-namespaces"), "all namespaces of the cluster"),
)


def add_common(parser: argparse.ArgumentParser) -> None:
    """Adds the shared options; an absent one leaves no trace, so that they may stand before or after the command."""
    group = parser.add_argument_group("where to ask")
    for option in COMMON:
        if option.metavar is None:
            group.add_argument(*option.flags, action="store_true", default=argparse.SUPPRESS, help=option.help)
        else:
            group.add_argument(*option.flags, metavar=option.metavar, default=argparse.SUPPRESS, help=option.help)


def options_of(found: argparse.Namespace) -> Options:
    """The shared options of a parsed command line. Raises UserError for a value that cannot be meant."""
    given = vars(found)
    socket = given.get("socket") or os.environ.get("RDMATOP_SOCKET") or None
    fingerprint = given.get("fingerprint")
    return Options(
        root=given.get("root") or "/",
        local=bool(given.get("local")) or given.get("root") is not None,
        agent=given.get("agent"),
        token_file=given.get("token_file"),
        ca_file=given.get("ca_file"),
        fingerprint=None if fingerprint is None else _fingerprint(fingerprint),
        insecure=bool(given.get("insecure")),
        socket=socket,
        node_name=given.get("node_name"),
        kubeconfig=given.get("kubeconfig"),
        context=given.get("context"),
        request_timeout_s=seconds(given.get("request_timeout"), "--request-timeout", 10.0),
        namespace=given.get("namespace"),
        all_namespaces=bool(given.get("all_namespaces")),
        interval_s=interval(given.get("interval")),
        node=given.get("node"),
        selector=given.get("selector"),
    )


def seconds(text: str | None, flag: str, default: float) -> float:
    """`10`, `10s`, `500ms`, `1m` -> seconds, as kubectl writes them."""
    if text is None:
        return default
    for suffix, factor in (("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0), ("", 1.0)):
        if text.endswith(suffix):
            try:
                value = float(text[: len(text) - len(suffix)]) * factor
            except ValueError:
                break
            if 0 < value < float("inf"):
                return value
            break
    raise UserError(f"{flag} {text}: not a time", "write seconds, or a number with ms, s, m or h: 10, 500ms, 1m")


def interval(text: str | None) -> float:
    """The time between two readings, s; 1 unless given."""
    value = seconds(text, "--interval", 1.0)
    if not SHORTEST_INTERVAL_S <= value <= LONGEST_INTERVAL_S:
        raise UserError(
            f"--interval {text}: too {'short' if value < 1 else 'long'}",
            f"choose between {SHORTEST_INTERVAL_S} and {LONGEST_INTERVAL_S:.0f} seconds",
        )
    return value


def _fingerprint(text: str) -> str:
    digits = text.lower().removeprefix("sha256:").replace(":", "").strip()
    if len(digits) != 64 or set(digits) - set("0123456789abcdef"):
        raise UserError(
            f"--fingerprint {text}: not a SHA-256",
            "it has 64 hexadecimal digits, with or without colons; the agent prints its own when it starts",
        )
    return digits
