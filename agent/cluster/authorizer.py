"""Who may ask this agent what: the API server decides, by TokenReview and SubjectAccessReview.

A token is for us only with the audience `rdmatop`, so a stolen agent answer or another service's token opens nothing.
Answers, also refusals, are kept for a minute in a bounded cache. When the API server cannot be asked and nothing is
cached, nobody gets in.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, NamedTuple, TypeVar

import msgspec

from agent.cluster.api import ApiAway, ApiRefused, ApiServer

AUDIENCE = "rdmatop"
KEEP_S = 60.0
MOST_KEPT = 1024
LONGEST_TOKEN = 16 * 1024
ASKED_AT_ONCE = 4
"""Tokens under review; `ASKED_BURST` at most wait or are."""
ASKED_BURST, ASKED_A_SECOND = 40.0, 5.0
"""Reviews of what is not cached: a fleet's viewers need two each a minute, whoever tries tokens gets no further."""

Value = TypeVar("Value")


class Decision(NamedTuple):
    allowed: bool
    status: int
    """200, else what the client gets: 401 not known, 403 known and not allowed, 429 too many ask, 503 cannot be
    asked now."""
    user: str | None
    reason: str


class _User(msgspec.Struct):
    username: str = ""
    uid: str = ""
    groups: list[str] = []
    extra: dict[str, list[str]] = {}


class _TokenStatus(msgspec.Struct):
    authenticated: bool = False
    user: _User = msgspec.field(default_factory=_User)
    audiences: list[str] = []
    error: str = ""


class _TokenReview(msgspec.Struct):
    status: _TokenStatus


class _AccessStatus(msgspec.Struct):
    allowed: bool = False
    reason: str = ""


class _AccessReview(msgspec.Struct):
    status: _AccessStatus


class ClusterAuthorizer:
    """Asks the API server about a token, then about what its bearer wants to do."""

    def __init__(self, api: ApiServer, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._api = api
        self._clock = clock
        self._users: _Kept[_User] = _Kept(clock)
        self._decisions: _Kept[Decision] = _Kept(clock)
        self._left, self._filled = ASKED_BURST, clock()
        self._asking, self._turn = 0, asyncio.Semaphore(ASKED_AT_ONCE)

    async def decide(self, token: str, verb: str, path: str) -> Decision:
        """`verb` is the HTTP method in lower case, `path` a route of ours (`/v1/benchmarks`)."""
        if not token or len(token) > LONGEST_TOKEN:
            return Decision(False, 401, None, "no token, or one too long to be one")
        key = hashlib.sha256(token.encode()).digest()
        kept = self._decisions.get((key, verb, path))
        if kept is not None:
            return kept
        if not self._may_ask():
            return Decision(False, 429, None, "too many requests with tokens that are not known yet")
        self._asking += 1
        try:
            async with self._turn:
                user = await self._user(key, token)
                decision = await self._access(user, verb, path) if isinstance(user, _User) else user
        except ApiAway as error:
            return Decision(False, 503, None, f"the API server cannot be asked: {error}")
        except ApiRefused as error:
            return Decision(False, 503, None, f"the API server does not answer this agent: {error}")
        finally:
            self._asking -= 1
        self._decisions.put((key, verb, path), decision)
        return decision

    def _may_ask(self) -> bool:
        """A bucket of reviews that fills at `ASKED_A_SECOND`."""
        moment = self._clock()
        self._left = min(ASKED_BURST, self._left + (moment - self._filled) * ASKED_A_SECOND)
        self._filled = moment
        if self._left < 1 or self._asking >= ASKED_BURST:
            return False
        self._left -= 1
        return True

    async def _user(self, key: bytes, token: str) -> _User | Decision:
        kept = self._users.get(key)
        if kept is not None:
            return kept
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": [AUDIENCE]},
        }
        answer = await self._api.call("POST", "/apis/authentication.k8s.io/v1/tokenreviews", body)
        status = msgspec.json.decode(answer, type=_TokenReview).status
        # An authenticator that knows nothing of audiences answers none: such a token was never made for us.
        if not status.authenticated or AUDIENCE not in status.audiences:
            return Decision(False, 401, None, status.error or f"not a token for the audience {AUDIENCE}")
        self._users.put(key, status.user)
        return status.user

    async def _access(self, user: _User, verb: str, path: str) -> Decision:
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {
                "user": user.username,
                "uid": user.uid,
                "groups": user.groups,
                "extra": user.extra,
                "nonResourceAttributes": {"path": path, "verb": verb},
            },
        }
        answer = await self._api.call("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", body)
        status = msgspec.json.decode(answer, type=_AccessReview).status
        if status.allowed:
            return Decision(True, 200, user.username, status.reason)
        return Decision(False, 403, user.username, f"{user.username} may not {verb} {path}")


class _Kept(Generic[Value]):
    """Values that are good for `KEEP_S`; the least lately used go first."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._items: OrderedDict[Hashable, tuple[float, Value]] = OrderedDict()

    def get(self, key: Hashable) -> Value | None:
        item = self._items.get(key)
        if item is None or item[0] < self._clock():
            return None
        self._items.move_to_end(key)
        return item[1]

    def put(self, key: Hashable, value: Value) -> None:
        self._items[key] = (self._clock() + KEEP_S, value)
        self._items.move_to_end(key)
        while len(self._items) > MOST_KEPT:
            self._items.popitem(last=False)
