"""Who we are in a cluster: a context of the kubeconfig files, or the account of the pod we run in.

`kubernetes.aio` reads the files (exec plugins, certificates, token files, proxies); two of its habits are not
kubectl's and are mended here: of several files the first current-context counts, and an empty file is no fault.
"""

from __future__ import annotations

import logging
import os
from typing import Any

import yaml
from kubernetes.aio import client
from kubernetes.aio import config as _config

from diagnostics.errors import Unreachable

config: Any = _config
"""Without annotations, as the library has it."""

FAULTS = (_config.ConfigException, OSError, TypeError, KeyError, ValueError, AttributeError, yaml.YAMLError)
"""What the library raises for files that are missing, empty, not YAML, or lack a part; and for plugins that fail."""


class Login:
    """One identity; `configuration()` reads it anew each time."""

    def __init__(self, kubeconfig: str | None, context: str | None) -> None:
        self._kubeconfig = kubeconfig
        self._context = context
        self.label = context or ""
        self.namespace = "default"

    async def configuration(self) -> Any:
        """What an ApiClient is made of. Raises Unreachable where there is no such identity, with the reason."""
        made = client.Configuration()
        paths = files(self._kubeconfig)
        if not paths:
            if self._kubeconfig is not None or self._context is not None:
                raise Unreachable(
                    f"no usable kubeconfig: nothing at {self._kubeconfig or default_path()}",
                    "name one that exists: --kubeconfig FILE",
                )
            return self._in_pod(made)
        merged = ":".join(paths)
        try:
            context = self._context or current_context(paths)
            with _Said() as said:
                loader = await config.load_kube_config(merged, context, client_configuration=made, persist_config=False)
            # The library goes on as nobody where a plugin fails, and tells its log alone.
            if "exec" in loader._user and not (made.api_key or made.cert_file):
                command = loader._user["exec"]["command"]
                raise ValueError(f"the plugin {command} gave no credentials: {said.text or 'nothing was said'}")
            chosen = next(each for each in config.list_kube_config_contexts(merged)[0] if each["name"] == context)
        except FAULTS as error:
            raise Unreachable(f"no usable kubeconfig: {_words(error)}", "kubectl config get-contexts") from None
        except StopIteration:
            raise Unreachable(f"no usable kubeconfig: no context {context}", "kubectl config get-contexts") from None
        self.label = chosen["name"]
        self.namespace = chosen["context"].get("namespace") or "default"
        return made

    def _in_pod(self, made: Any) -> Any:
        try:
            config.load_incluster_config(client_configuration=made)
        except _config.ConfigException:
            raise Unreachable(
                f"no cluster: no kubeconfig at {default_path()}, and this is no pod with an account",
                "set KUBECONFIG, or run with --local for this host",
            ) from None
        self.label = "in-cluster"
        return made


class _Said(logging.Handler):
    """What the library tells its log while it reads: our words, not lines across the screen."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.text = ""
        self._log = logging.getLogger("kubernetes.aio.config.kube_config")

    def emit(self, record: logging.LogRecord) -> None:
        self.text = self.text or record.getMessage()

    def __enter__(self) -> _Said:  # noqa: PYI034 - Self came with Python 3.11
        self._log.addHandler(self)
        self._propagates, self._log.propagate = self._log.propagate, False
        return self

    def __exit__(self, *_: object) -> None:
        self._log.removeHandler(self)
        self._log.propagate = self._propagates


def default_path() -> str:
    """As kubectl has it: several files with colons between them, or the one in the home directory."""
    return os.environ.get("KUBECONFIG") or os.path.expanduser("~/.kube/config")


def files(kubeconfig: str | None) -> list[str]:
    """The files that exist and are not empty; one that was named must only exist."""
    if kubeconfig is not None:
        return [kubeconfig] if os.path.exists(kubeconfig) else []
    paths = [os.path.expanduser(path) for path in default_path().split(":") if path]
    return [path for path in paths if os.path.exists(path) and os.path.getsize(path)]


def current_context(paths: list[str]) -> str | None:
    """The first file that names one decides."""
    for path in paths:
        with open(path, encoding="utf-8") as file:
            found = yaml.safe_load(file) or {}
        if found.get("current-context"):
            return str(found["current-context"])
    return None


def contexts(kubeconfig: str | None = None) -> tuple[str, ...]:
    """The names of all contexts, the current one first. Raises Unreachable where there is no kubeconfig."""
    paths = files(kubeconfig)
    try:
        found = config.list_kube_config_contexts(":".join(paths))[0] if paths else []
        current = current_context(paths)
    except FAULTS as error:
        raise Unreachable(f"no usable kubeconfig: {_words(error)}", "kubectl config get-contexts") from None
    return tuple(sorted((str(each["name"]) for each in found), key=lambda name: (name != current, name)))


def _words(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
