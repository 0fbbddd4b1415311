"""How to reach the API server: the account of the pod, or a kubeconfig file that holds a token or a certificate."""

from __future__ import annotations

import base64
import os
import ssl
import tempfile
from typing import Any, NamedTuple

from diagnostics.errors import UserError

ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
"""Where the kubelet puts a pod's token and the cluster's authority."""


class ApiConfig(NamedTuple):
    """An API server and the identity we have there."""

    server: str
    """`https://10.96.0.1:443`, without a slash at its end."""
    tls: ssl.SSLContext | None
    """None for plain HTTP, which only a test's proxy speaks."""
    token: str | None = None
    token_file: str | None = None
    """Read again for every request: the kubelet renews it."""

    def bearer(self) -> str | None:
        """The token as it is now; OSError where its file is gone."""
        if self.token_file is None:
            return self.token
        with open(self.token_file, encoding="ascii") as file:
            return file.read().strip()


def in_pod(environ: dict[str, str] | os._Environ[str] = os.environ, account: str = ACCOUNT) -> ApiConfig | None:
    """The pod's own account; None outside a pod, or in one that was given none."""
    host, port = environ.get("KUBERNETES_SERVICE_HOST"), environ.get("KUBERNETES_SERVICE_PORT")
    if not host or not port or not os.path.exists(f"{account}/token"):
        return None
    where = f"[{host}]" if ":" in host else host
    tls = ssl.create_default_context(cafile=f"{account}/ca.crt")
    return ApiConfig(f"https://{where}:{port}", tls, token_file=f"{account}/token")


def from_kubeconfig(path: str) -> ApiConfig:
    """The current context of a kubeconfig file (YAML or JSON).

    Raises UserError for a file that cannot be read, has no such context, or wants a log-in that an agent cannot do.
    """
    document = _load(path)
    try:
        context = _named(document, "contexts", document["current-context"])["context"]
        cluster = _named(document, "clusters", context["cluster"])["cluster"]
        user = _named(document, "users", context["user"])["user"]
        server = cluster["server"].rstrip("/")
    except (KeyError, TypeError, StopIteration) as error:
        raise UserError(f"{path}: not a whole kubeconfig: {error!r}", "kubectl config view --minify --raw") from None
    if "exec" in user or "auth-provider" in user:
        raise UserError(
            f"{path}: the agent cannot log in by a plugin", "give it a kubeconfig with a token, or run it in a pod"
        )
    folder = os.path.dirname(os.path.abspath(path))
    token_file = user.get("tokenFile")
    return ApiConfig(
        server,
        _tls(cluster, user, folder) if server.startswith("https:") else None,
        token=user.get("token"),
        token_file=os.path.join(folder, token_file) if token_file else None,
    )


def _load(path: str) -> Any:
    import yaml

    try:
        with open(path, encoding="utf-8") as file:
            return yaml.safe_load(file)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}", "name a kubeconfig file that the agent may read") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not YAML: {str(error).splitlines()[0]}") from None


def _named(document: Any, kind: str, name: str) -> Any:
    return next(item for item in document[kind] if item["name"] == name)


def _tls(cluster: dict[str, Any], user: dict[str, Any], folder: str) -> ssl.SSLContext:
    data = cluster.get("certificate-authority-data")
    file = cluster.get("certificate-authority")
    context = ssl.create_default_context(
        cafile=os.path.join(folder, file) if file else None,
        cadata=base64.b64decode(data).decode("ascii") if data else None,
    )
    if cluster.get("insecure-skip-tls-verify"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if user.get("client-certificate") or user.get("client-certificate-data"):
        _load_client_certificate(context, user, folder)
    return context


def _load_client_certificate(context: ssl.SSLContext, user: dict[str, Any], folder: str) -> None:
    """OpenSSL takes a certificate only from files; the data of a kubeconfig goes through ones that are gone at once."""
    if user.get("client-certificate"):
        context.load_cert_chain(*(os.path.join(folder, user[key]) for key in ("client-certificate", "client-key")))
        return
    with tempfile.TemporaryDirectory() as private:
        paths = []
        for key in ("client-certificate-data", "client-key-data"):
            paths.append(os.path.join(private, key))
            with open(paths[-1], "wb") as file:
                file.write(base64.b64decode(user[key]))
        context.load_cert_chain(*paths)
