"""The agent's own TLS certificate: made once, kept in the state directory, known by its SHA-256."""

from __future__ import annotations

import hashlib
import logging
import os
import ssl
import subprocess
import tempfile
import time
from typing import NamedTuple

from agent import child
from agent.server.self_signed import SPLIT, VALID_DAYS
from diagnostics.errors import UserError

log = logging.getLogger(__name__)

RENEW_DAYS = 30
"""Before its end a kept certificate is replaced."""
MAKE_S = 30.0
MAX_PEM = 1 << 20
_END = b"-----END CERTIFICATE-----"


class Pair(NamedTuple):
    """PEM: the chain, leaf first, and its private key."""

    certificate: bytes
    key: bytes


class ServerTls:
    """The context for new connections, and the fingerprint of what they get."""

    def __init__(self, certificate_file: str | None, key_file: str | None, state_dir: str | None, host: str) -> None:
        """Own files when given, else a self-made pair; raises UserError when they cannot be used."""
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.context.options |= ssl.OP_NO_RENEGOTIATION
        self.context.set_alpn_protocols(["http/1.1"])
        self.fingerprint = ""
        self._files = (certificate_file, key_file) if certificate_file and key_file else None
        self._seen = self._stamp()
        if self._files:
            try:
                self._load(*self._files)
            except (OSError, ssl.SSLError, ValueError) as error:
                hint = "--tls-cert and --tls-key take PEM files that belong together"
                raise UserError(f"cannot use the certificate {certificate_file}: {error}", hint) from None
        else:
            self._load_pair(self_made(state_dir, host))

    def reload(self) -> None:
        """Takes up given files that changed; a pair that cannot be used leaves the old one in place."""
        stamp = self._stamp()
        if self._files is None or stamp == self._seen:
            return
        self._seen = stamp
        try:
            self._load(*self._files)
            log.info("took up the changed certificate, sha256 %s", self.fingerprint)
        except (OSError, ssl.SSLError, ValueError) as error:
            log.warning("the changed certificate %s cannot be used, the old one stays: %s", self._files[0], error)

    def _load(self, certificate_file: str, key_file: str) -> None:
        with open(certificate_file, "rb") as file:
            fingerprint = fingerprint_of(file.read(MAX_PEM))
        probe = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)  # a half-written pair must not spoil the one in use
        probe.load_cert_chain(certificate_file, key_file, password=_no_password)
        self.context.load_cert_chain(certificate_file, key_file, password=_no_password)
        self.fingerprint = fingerprint

    def _load_pair(self, pair: Pair) -> None:
        """`ssl` reads files alone: they exist, for us alone, for as long as that takes."""
        with tempfile.TemporaryDirectory(prefix="rdmatop-") as folder:
            paths = os.path.join(folder, "tls.crt"), os.path.join(folder, "tls.key")
            for path, content in zip(paths, pair, strict=True):
                _write(path, content)
            self._load(*paths)

    def _stamp(self) -> tuple[int, ...]:
        facts: list[int] = []
        for path in self._files or ():
            try:
                found = os.stat(path)
                facts += [found.st_mtime_ns, found.st_size, found.st_ino]
            except OSError:
                facts.append(-1)
        return tuple(facts)


def fingerprint_of(pem: bytes) -> str:
    """SHA-256 of the first certificate's DER, lower-case hex; raises ValueError where there is none."""
    end = pem.find(_END)
    start = pem.find(b"-----BEGIN CERTIFICATE-----")
    if not 0 <= start < end:
        raise ValueError("there is no certificate in it")
    der = ssl.PEM_cert_to_DER_cert(pem[start : end + len(_END)].decode("ascii"))
    return hashlib.sha256(der).hexdigest()


def self_made(state_dir: str | None, host: str) -> Pair:
    """The kept pair, or a new one, kept where the directory lets us."""
    if state_dir is None:
        return make_pair(host)
    kept = _kept(state_dir)
    if kept is not None:
        return kept
    pair = make_pair(host)
    try:
        os.makedirs(state_dir, 0o700, exist_ok=True)
        _write(os.path.join(state_dir, "tls.key"), pair.key)
        _write(os.path.join(state_dir, "tls.crt"), pair.certificate)
    except OSError as error:
        log.warning("the certificate lives in memory alone: cannot write to %s: %s", state_dir, error.strerror)
    return pair


def _kept(state_dir: str) -> Pair | None:
    """The pair in `state_dir`, unless it is missing, damaged or about to end."""
    paths = os.path.join(state_dir, "tls.crt"), os.path.join(state_dir, "tls.key")
    try:
        with open(paths[0], "rb") as certificate, open(paths[1], "rb") as key:
            pair = Pair(certificate.read(MAX_PEM), key.read(MAX_PEM))
            age_s = time.time() - os.fstat(certificate.fileno()).st_mtime  # written once, when it was made
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(*paths, password=_no_password)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        log.warning("the kept certificate in %s cannot be used, a new one is made: %s", state_dir, error)
        return None
    return pair if age_s < (VALID_DAYS - RENEW_DAYS) * 86400 else None


def make_pair(host: str) -> Pair:
    """A new one, made by a process of its own: `cryptography` would cost the agent 8 MiB for good."""
    try:
        made = subprocess.run(  # noqa: S603 - our own module
            child.command("agent.server.self_signed", host), cwd=child.FOLDER, env=child.environment(),
            capture_output=True, check=True, timeout=MAKE_S, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        told = getattr(error, "stderr", b"") or str(error).encode()
        last = told.decode("utf-8", "replace").strip().splitlines()[-1]
        raise UserError(f"cannot make a certificate: {last}", "give one: --tls-cert and --tls-key") from None
    certificate, key = made.stdout.split(SPLIT)
    return Pair(certificate, key)


def _write(path: str, content: bytes) -> None:
    """Whole or not at all, readable by the owner alone."""
    fresh = f"{path}.{os.getpid()}"
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:
        file.write(content)
    os.replace(fresh, path)


def _no_password() -> str:
    """OpenSSL would ask the terminal for one."""
    return ""
