"""Who may ask over TCP: bearer tokens of a file, compared in constant time and kept only as digests."""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import stat
import time
from typing import Literal, NamedTuple, Protocol

from diagnostics.errors import UserError

log = logging.getLogger(__name__)

Role = Literal["viewer", "operator"]
ROLES: tuple[Role, ...] = ("viewer", "operator")
MAX_TOKENS = 1000
MAX_TOKEN = 4096
MAX_FILE_BYTES = 1 << 20
LOOK_S = 1.0
"""How often the file is looked at, when somebody asks."""
SHORT = 16
"""Fewer characters can be guessed; they work, with a warning."""


class Grant(NamedTuple):
    """What a token allows."""

    name: str
    role: Role


class Authorizer(Protocol):
    """Says who a token is; None for nobody."""

    async def grant(self, token: str, method: str, path: str) -> Grant | None: ...


class TokensFile:
    """`TOKEN [NAME] [viewer|operator]` a line, `#` for comments; a change of the file counts within a second."""

    def __init__(self, path: str) -> None:
        """Raises UserError when the file cannot be read or holds no token."""
        self.path = path
        self._grants: list[tuple[bytes, Grant]] = []
        self._looked = time.monotonic()
        self._seen = self._stamp()
        try:
            self._grants = self._read()
        except OSError as error:
            raise UserError(f"cannot read the tokens in {path}: {error.strerror}", "see --tokens-file") from None
        if not self._grants:
            raise UserError(f"{path} holds no token", "write a line: TOKEN [NAME] [viewer|operator]")

    async def grant(self, token: str, method: str, path: str) -> Grant | None:  # noqa: ARG002 - a file knows no routes
        self._look()
        presented, found = _digest(token.encode("utf-8", "surrogateescape")), None
        for digest, grant in self._grants:
            if hmac.compare_digest(digest, presented):
                found = grant
        return found

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._looked < LOOK_S:
            return
        self._looked = now
        stamp = self._stamp()
        if stamp == self._seen:
            return
        self._seen = stamp
        try:
            self._grants = self._read()
            log.info("read %d tokens from %s", len(self._grants), self.path)
        except OSError as error:
            self._grants = []  # a file taken away takes its tokens with it
            log.warning("no token is valid: cannot read %s: %s", self.path, error.strerror)

    def _stamp(self) -> tuple[int, ...] | None:
        try:
            facts = os.stat(self.path)
        except OSError:
            return None
        return facts.st_mtime_ns, facts.st_ctime_ns, facts.st_size, facts.st_ino

    def _read(self) -> list[tuple[bytes, Grant]]:
        with open(self.path, "rb", opener=_open_at_once) as file:
            mode = os.fstat(file.fileno()).st_mode
            if stat.S_ISREG(mode) and mode & 0o077:
                log.warning("%s can be read by others than its owner: chmod 600 %s", self.path, self.path)
            return parse_tokens(file.read(MAX_FILE_BYTES), self.path)


def parse_tokens(text: bytes, path: str) -> list[tuple[bytes, Grant]]:
    """Digest and grant of each line; a wrong line is named by its number alone, never by its content."""
    grants: list[tuple[bytes, Grant]] = []
    for number, line in enumerate(text.splitlines(), 1):
        token, *rest = line.split() or [b"#"]
        if token.startswith(b"#"):
            continue
        grant = _grant_of([word.decode("utf-8", "replace") for word in rest], f"line {number}")
        if grant is None or len(token) > MAX_TOKEN or len(grants) >= MAX_TOKENS:
            log.warning("%s:%d is not TOKEN [NAME] [viewer|operator]; it is left out", path, number)
            continue
        if len(token) < SHORT:
            log.warning("%s:%d: a token of fewer than %d characters can be guessed", path, number, SHORT)
        grants.append((_digest(token), grant))
    return grants


def _grant_of(words: list[str], fallback: str) -> Grant | None:
    """`[]`, `[name]`, `[role]` or `[name, role]`."""
    role: Role = "viewer"
    if words and words[-1] in ROLES:
        role = "operator" if words.pop() == "operator" else "viewer"
    return Grant(words[0] if words else fallback, role) if len(words) < 2 else None


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()


def _open_at_once(path: str, flags: int) -> int:
    """A FIFO in the file's place must not hold the agent."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
