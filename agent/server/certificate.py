"""The agent's own TLS certificate: made once, kept in the state directory, known by its SHA-256."""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import logging
import os
import socket
import ssl
import tempfile
from typing import TYPE_CHECKING, NamedTuple

from diagnostics.errors import UserError

if TYPE_CHECKING:
    from cryptography import x509

log = logging.getLogger(__name__)

VALID_DAYS = 3650
"""A client pins the fingerprint, so that the certificate lasts as long as the state directory."""
RENEW_DAYS = 30
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
            fingerprint = fingerprint_of(file.read(1 << 20))
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
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        with open(os.path.join(state_dir, "tls.crt"), "rb") as file:
            certificate = file.read()
        with open(os.path.join(state_dir, "tls.key"), "rb") as file:
            key = file.read()
        parsed = x509.load_pem_x509_certificate(certificate)
        fits = load_pem_private_key(key, None).public_key() == parsed.public_key()
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        log.warning("the kept certificate in %s cannot be used, a new one is made: %s", state_dir, error)
        return None
    rest = parsed.not_valid_after_utc - datetime.datetime.now(datetime.timezone.utc)
    return Pair(certificate, key) if fits and rest.days > RENEW_DAYS else None


def make_pair(host: str) -> Pair:
    """A self-signed ECDSA P-256 certificate for `host`, this machine's names and its addresses."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host[:64])])
    start = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(hours=1)
    public = key.public_key()
    names: list[x509.GeneralName] = [x509.DNSName(entry) for entry in _host_names(host)]
    names += [x509.IPAddress(ipaddress.ip_address(address)) for address in _addresses()]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=VALID_DAYS))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
        .add_extension(_key_usage(), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return Pair(certificate.public_bytes(pem), plain)


def _key_usage() -> x509.KeyUsage:
    """It signs handshakes and itself, so that it can stand as its own `--ca-file`."""
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _host_names(host: str) -> list[str]:
    names = dict.fromkeys([host, socket.gethostname(), "localhost"])
    return [name for name in names if name.isascii() and 0 < len(name) < 254]


def _addresses() -> list[str]:
    """This machine's addresses, without link-local ones, which nobody can dial from elsewhere."""
    import psutil

    entries = [entry for interface in psutil.net_if_addrs().values() for entry in interface]
    inet = [entry for entry in entries if entry.family in (socket.AF_INET, socket.AF_INET6)]
    found = dict.fromkeys(["127.0.0.1", "::1", *(entry.address.partition("%")[0] for entry in inet)])
    return [address for address in found if not ipaddress.ip_address(address).is_link_local]


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
