"""Tokens of a file: who they are, what they may, and that a change of the file counts."""

from __future__ import annotations

import logging
import os

import pytest

from agent.server import tokens
from agent.server.tokens import TokensFile, parse_tokens
from diagnostics.errors import UserError

LONG = "a-token-that-nobody-guesses"


@pytest.mark.parametrize(
    ("line", "grant"),
    [
        (LONG, ("line 1", "viewer")),
        (f"{LONG} grafana", ("grafana", "viewer")),
        (f"{LONG} operator", ("line 1", "operator")),
        (f"  {LONG}\tanna   operator  ", ("anna", "operator")),
        (f"{LONG} anna viewer", ("anna", "viewer")),
    ],
)
def test_a_line(line, grant):
    assert [tuple(found) for _, found in parse_tokens(line.encode(), "f")] == [grant]


def test_what_is_no_line_is_left_out_and_named_by_number_alone(caplog):
    text = f"# comment\n\n{LONG} a b c\n{LONG}x anna\n{LONG}y anna admin operator\n".encode()
    with caplog.at_level(logging.WARNING):
        assert [found.name for _, found in parse_tokens(text, "tokens")] == ["anna"]
    assert "tokens:3" in caplog.text
    assert "tokens:5" in caplog.text
    assert LONG not in caplog.text


async def test_a_changed_file_counts_and_a_missing_one_lets_nobody_in(tmp_path, monkeypatch):
    monkeypatch.setattr(tokens, "LOOK_S", 0.0)
    path = tmp_path / "tokens"
    path.write_text(f"{LONG} anna operator\n")
    path.chmod(0o600)
    file = TokensFile(str(path))
    assert await file.grant(LONG, "GET", "/v1/node") == ("anna", "operator")
    for wrong in (LONG[:-1], LONG + "x", "", "ä", "\udcff"):
        assert await file.grant(wrong, "GET", "/v1/node") is None
    path.write_text("another-token-of-this-file bob\n")
    assert await file.grant(LONG, "GET", "/v1/node") is None
    assert await file.grant("another-token-of-this-file", "GET", "/v1/node") == ("bob", "viewer")
    path.unlink()
    assert await file.grant("another-token-of-this-file", "GET", "/v1/node") is None


def test_only_digests_are_kept(tmp_path):
    path = tmp_path / "tokens"
    path.write_text(LONG)
    assert LONG not in repr(vars(TokensFile(str(path))))


def test_a_file_that_lets_nobody_in_is_refused(tmp_path, caplog):
    with pytest.raises(UserError, match="cannot read"):
        TokensFile(str(tmp_path / "none"))
    empty = tmp_path / "empty"
    empty.write_text("# nobody\n")
    with pytest.raises(UserError, match="no token"):
        TokensFile(str(empty))
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(UserError, match="no token"):
        TokensFile(str(tmp_path / "fifo"))


def test_a_file_that_others_can_read_is_told(tmp_path, caplog):
    path = tmp_path / "tokens"
    path.write_text(LONG)
    path.chmod(0o640)
    with caplog.at_level(logging.WARNING):
        TokensFile(str(path))
    assert "chmod 600" in caplog.text
