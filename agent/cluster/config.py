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
    """The pod's own account; None outside a pod, or in one that was given none. Raises UserError for a bad one."""
    host, port = environ.get("KUBERNETES_SERVICE_HOST"), environ.get("KUBERNETES_SERVICE_PORT")
    if not host or not port or not os.path.exists(f"{account}/token"):
        return None
    where = f"[{host}]" if ":" in host else host
    try:
        tls = ssl.create_default_context(cafile=f"{account}/ca.crt")
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        hint = "the kubelet mounts it with the account: look at the pod's volumes and at ConfigMap kube-root-ca.crt"
        raise UserError(f"{account}/ca.crt: no certificate authority: {error}", hint) from None
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
        _checked_tls(path, cluster, user, folder) if server.startswith("https:") else None,
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


def _checked_tls(path: str, cluster: dict[str, Any], user: dict[str, Any], folder: str) -> ssl.SSLContext:
    try:
        return _tls(cluster, user, folder)
    except (OSError, ValueError, KeyError, TypeError) as error:  # ssl.SSLError is an OSError
        why = f"{error.strerror}: {error.filename}" if isinstance(error, OSError) and error.filename else repr(error)
        hint = "see its certificate-authority, client-certificate and client-key: kubectl config view --minify --raw"
        raise UserError(f"{path}: a certificate or key cannot be used: {why}", hint) from None


def _tls(cluster: dict[str, Any], user: dict[str, Any], folder: str) -> ssl.SSLContext:
    data = cluster.get("certificate-authority-data")
    file = cluster.get("certificate-authority")
    context = ssl.create_default_context(
        cafile=os.path.join(folder, file) if file else None,
        cadata=_decoded(data).decode("ascii") if data else None,
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
                file.write(_decoded(user[key]))
        context.load_cert_chain(*paths)


def _decoded(data: str) -> bytes:
    """Base64 that may be folded; ValueError for what is none, which must not become an empty authority."""
    return base64.b64decode("".join(data.split()), validate=True)
