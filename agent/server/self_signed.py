"""Makes a self-signed certificate and its key, in a process of its own, and writes both to stdout.

`python -m agent.server.self_signed HOST`; the agent imports only the constants of this file.
"""

from __future__ import annotations

import datetime
import ipaddress
import socket
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography import x509

SPLIT = b"--and--\n"
"""Between the certificate and the key on stdout."""
VALID_DAYS = 3650
"""A client pins the fingerprint, so that the certificate lasts as long as the state directory."""


def make(host: str) -> tuple[bytes, bytes]:
    """PEM of a self-signed ECDSA P-256 certificate and its key, for `host`, this machine's names and its addresses."""
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
    return certificate.public_bytes(pem), plain


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


if __name__ == "__main__":
    sys.stdout.buffer.write(SPLIT.join(make(sys.argv[1])))
