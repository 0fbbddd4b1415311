"""What `rdmatop agent` can be told: one row an option, by a flag or by its environment variable."""

from __future__ import annotations

import math
import socket
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec

from diagnostics.errors import UserError

if TYPE_CHECKING:
    import argparse

DEFAULT_SOCKET = "/run/rdmatop/agent.sock"
DEFAULT_STATE_DIR = "/var/lib/rdmatop"
MIN_INTERVAL_S = 0.2
MAX_INTERVAL_S = 60.0
_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off"}


class Address(NamedTuple):
    """Where TCP is listened on; an empty host is every address of this machine."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class AgentOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The agent's options after flags, environment and defaults were put together."""

    root: str = "/"
    node_name: str | None = None
    interval: float = 1.0
    """Seconds."""
    socket: str = DEFAULT_SOCKET
    listen: Address | None = None
    tls: bool = True
    tls_cert: str | None = None
    tls_key: str | None = None
    tokens_file: str | None = None
    state_dir: str | None = None
    """None: the default directory, where it can be written and `/` is what is read."""
    kubeconfig: str | None = None
    publish: Literal["on", "off", "auto"] = "auto"
    verbs: str = "child"
    """`child`, `off`, or the path of a verbs worker's socket."""
    anonymous_metrics: bool = False
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["text", "json"] = "text"

    @classmethod
    def from_args(cls, args: argparse.Namespace, environ: Mapping[str, str]) -> AgentOptions:
        """A flag wins over its variable, a variable over the default; raises UserError that names the culprit."""
        values: dict[str, Any] = {}
        for option in OPTIONS:
            given, origin = getattr(args, option.field, None), option.flag
            for variable in option.variables:
                if given in (None, False) and environ.get(variable):
                    given, origin = environ[variable], variable
            if given in (None, False):
                continue
            try:
                values[option.field] = option.parse(given) if isinstance(given, str) else given
            except ValueError as error:
                raise UserError(f"{origin}: {error}", option.help) from None
        options = cls(**values)
        options.check()
        return options

    def check(self) -> None:
        """What no single option shows: raises UserError where they do not fit together."""
        if (self.tls_cert is None) != (self.tls_key is None):
            raise UserError("--tls-cert and --tls-key go together", "give both files, or neither")
        if not MIN_INTERVAL_S <= self.interval <= MAX_INTERVAL_S:
            raise UserError(f"--interval: {self.interval:g} s is out of reach", "0.2 to 60 seconds")


def parse_listen(text: str) -> Address | None:
    """`10.0.0.7:9879`, `[::1]:9879`, `:9879` (every address) or `off`."""
    if text == "off":
        return None
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"'{text}' is not ADDR:PORT")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if ":" in bare and bare is host:
        raise ValueError(f"'{text}': an IPv6 address stands in brackets")
    if bare and not _is_address(bare):
        raise ValueError(f"'{bare}' is not an IP address of this machine")
    return Address(bare, int(port))


def _is_address(text: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, text)
        except OSError:
            continue
        return True
    return text == "localhost"


def _seconds(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"'{text}' is not a number of seconds")
    return value


def _switch(text: str) -> bool:
    if text.lower() not in _TRUE | _FALSE:
        raise ValueError(f"'{text}' is neither on nor off")
    return text.lower() in _TRUE


def _one_of(*words: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(f"'{text}' is not one of {', '.join(words)}")
        return text

    return parse


class Option(NamedTuple):
    """A row of the agent's options."""

    flag: str
    metavar: str | None
    """None for a flag without a value."""
    parse: Callable[[str], Any]
    help: str
    also: tuple[str, ...] = ()
    """Further environment variables that are read, after the option's own."""

    @property
    def field(self) -> str:
        return self.flag[2:].replace("-", "_")

    @property
    def variables(self) -> tuple[str, ...]:
        return (f"RDMATOP_{self.field.upper()}", *self.also)


OPTIONS = (
    Option("--root", "DIR", str, "read below DIR, a captured tree, in place of this machine"),
    Option("--node-name", "NAME", str, "the node's name; the host's own unless given", ("NODE_NAME",)),
    Option("--interval", "S", _seconds, "seconds between samples, 0.2 to 60 (1)"),
    Option("--socket", "PATH", str, f"Unix socket to answer on ({DEFAULT_SOCKET})"),
    Option("--listen", "ADDR:PORT|off", parse_listen, "TCP address to answer on, as :9879 or [::1]:9879 (off)"),
    Option("--tls", "on|off", _switch, "TLS on TCP, with a certificate of the agent's own unless one is given (on)"),
    Option("--tls-cert", "FILE", str, "certificate chain in PEM; read again when it changes"),
    Option("--tls-key", "FILE", str, "the certificate's private key in PEM"),
    Option("--tokens-file", "FILE", str, "who may ask over TCP: a line each, TOKEN [NAME] [viewer|operator]"),
    Option("--state-dir", "DIR", str, f"what is kept over restarts ({DEFAULT_STATE_DIR})"),
    Option("--kubeconfig", "FILE", str, "the cluster to publish to, outside a pod"),
    Option("--publish", "on|off|auto", _one_of("on", "off", "auto"), "publish the node's state to the cluster (auto)"),
    Option("--verbs", "child|off|SOCKET", str, "run the verbs worker, do without, or use the one on SOCKET (child)"),
    Option("--anonymous-metrics", None, _switch, "answer /metrics over TCP without a token"),
    Option("--log-level", "L", _one_of("debug", "info", "warning", "error"), "debug, info, warning or error (info)"),
    Option("--log-format", "text|json", _one_of("text", "json"), "how a line of log looks (text)"),
)


def add_agent_arguments(parser: argparse.ArgumentParser) -> None:
    """Gives `parser` every option of the agent, unset unless typed, so that the environment can speak."""
    for option in OPTIONS:
        text = f"{option.help} [{option.variables[0]}]"
        if option.metavar is None:
            parser.add_argument(option.flag, action="store_true", default=None, help=text)
        else:
            parser.add_argument(option.flag, metavar=option.metavar, default=None, help=text)
