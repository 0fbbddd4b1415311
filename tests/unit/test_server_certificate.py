"""The agent's certificate: made once, kept, known by its fingerprint, taken up when it changes."""

from __future__ import annotations

import hashlib
import logging
import os
import socket
import ssl
import stat
import threading

import pytest

from agent.server.certificate import ServerTls, fingerprint_of, make_pair, self_made
from diagnostics.errors import UserError


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext, host: str) -> tuple[bytes, str]:
    """The certificate a client gets, and the TLS version."""
    ours, theirs = socket.socketpair()
    ours.settimeout(5)
    theirs.settimeout(5)

    def serve() -> None:
        try:
            with server.wrap_socket(ours, server_side=True) as wrapped:
                wrapped.recv(1)
        except OSError:
            pass

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with client.wrap_socket(theirs, server_hostname=host) as wrapped:
            return wrapped.getpeercert(binary_form=True), wrapped.version()
    finally:
        theirs.close()
        thread.join(5)
        ours.close()


@pytest.mark.parametrize("host", ["node-7", "localhost", "127.0.0.1", socket.gethostname()])
def test_a_client_that_trusts_it_verifies_names_and_addresses_strictly(tmp_path, host):
    tls = ServerTls(None, None, str(tmp_path), "node-7")
    client = ssl.create_default_context(cafile=str(tmp_path / "tls.crt"))
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    der, version = shake_hands(tls.context, client, host)
    assert hashlib.sha256(der).hexdigest() == tls.fingerprint
    assert version in ("TLSv1.2", "TLSv1.3")


def test_another_name_is_not_verified(tmp_path):
    tls = ServerTls(None, None, str(tmp_path), "node-7")
    client = ssl.create_default_context(cafile=str(tmp_path / "tls.crt"))
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(tls.context, client, "node-8")


def test_nothing_older_than_tls_1_2(tmp_path):
    tls = ServerTls(None, None, None, "node-7")
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    client.set_ciphers("ALL:@SECLEVEL=0")
    client.minimum_version = client.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(OSError):
        shake_hands(tls.context, client, "node-7")


def test_it_is_kept_with_its_key_for_the_owner_alone(tmp_path):
    first = ServerTls(None, None, str(tmp_path / "state"), "node-7").fingerprint
    assert ServerTls(None, None, str(tmp_path / "state"), "node-7").fingerprint == first
    assert stat.S_IMODE(os.stat(tmp_path / "state/tls.key").st_mode) == 0o600
    assert sorted(os.listdir(tmp_path / "state")) == ["tls.crt", "tls.key"]
    assert ServerTls(None, None, None, "node-7").fingerprint != first


@pytest.mark.parametrize("damage", ["cut", "other key", "no key"])
def test_a_kept_pair_that_cannot_be_used_is_made_anew(tmp_path, damage):
    pair = self_made(str(tmp_path), "node-7")
    key = tmp_path / "tls.key"
    if damage == "cut":
        key.write_bytes(pair.key[:40])
    elif damage == "other key":
        key.write_bytes(make_pair("node-7").key)
    else:
        key.unlink()
    assert ServerTls(None, None, str(tmp_path), "node-7").fingerprint != fingerprint_of(pair.certificate)


def test_a_directory_that_cannot_be_written_costs_only_the_keeping(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    with caplog.at_level(logging.WARNING):
        assert len(ServerTls(None, None, str(tmp_path / "file"), "node-7").fingerprint) == 64
    assert "memory" in caplog.text


def _give(folder, pair) -> tuple[str, str]:
    (folder / "c").write_bytes(pair.certificate)
    (folder / "k").write_bytes(pair.key)
    return str(folder / "c"), str(folder / "k")


def test_a_given_pair_is_taken_up_when_it_changes_and_a_broken_one_is_not(tmp_path, caplog):
    first, second = make_pair("a"), make_pair("b")
    tls = ServerTls(*_give(tmp_path, first), None, "")
    assert tls.fingerprint == fingerprint_of(first.certificate)
    (tmp_path / "c").write_bytes(second.certificate)
    with caplog.at_level(logging.WARNING):
        tls.reload()
    assert tls.fingerprint == fingerprint_of(first.certificate)
    assert "the old one stays" in caplog.text
    (tmp_path / "k").write_bytes(second.key)
    tls.reload()
    assert tls.fingerprint == fingerprint_of(second.certificate)
    client = ssl.create_default_context(cafile=str(tmp_path / "c"))
    assert hashlib.sha256(shake_hands(tls.context, client, "b")[0]).hexdigest() == tls.fingerprint


def test_a_given_pair_that_cannot_be_used_is_refused(tmp_path):
    certificate, key = _give(tmp_path, make_pair("a"))
    with pytest.raises(UserError, match="none"):
        ServerTls(str(tmp_path / "none"), key, None, "")
    with pytest.raises(UserError, match="cannot use"):
        ServerTls(key, key, None, "")
    with pytest.raises(UserError, match="cannot use"):
        ServerTls(certificate, certificate, None, "")
