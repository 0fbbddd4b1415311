"""Asking the agents, through the API server's pod proxy, with a token that the API server makes for it.

The proxy takes `Authorization` for itself, so the agent's token travels in `X-Rdmatop-Token`. It is one of the account
`rdmatop-viewer`, or of `rdmatop-operator` for what changes something; whoever may make such a token may do what it
allows, which is how a cluster says who may look and who may act.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Literal, NamedTuple

import msgspec

from diagnostics.cluster.kube import Kube, KubeAway, KubeRefused
from diagnostics.cluster.nodes import AGENT_PORT, NAMESPACE, PODS, Pod

AUDIENCE = "rdmatop"
ACCOUNTS = {"view": "rdmatop-viewer", "act": "rdmatop-operator"}
TOKEN_S = 600
"""The shortest life that the API server gives a token."""
RENEW_BEFORE_S = 120.0
AT_ONCE = 8
"""Requests under way: the proxy holds a connection to the node's agent for each."""

Right = Literal["view", "act"]
Why = Literal["forbidden", "unreachable", "refused", "away"]


class AgentUnanswered(Exception):
    """An agent did not answer, or said no."""

    def __init__(self, why: Why, message: str, hint: str = "", status: int = 0) -> None:
        super().__init__(message)
        self.why = why
        """`forbidden`: our own rights do not reach so far; `unreachable`: the API server could not reach the agent;
        `refused`: the agent's own no; `away`: the API server does not answer."""
        self.message = message
        self.hint = hint
        self.status = status


class _TokenStatus(msgspec.Struct, rename="camel"):
    token: str
    expiration_timestamp: str = ""


class _TokenRequest(msgspec.Struct):
    status: _TokenStatus


class _Said(msgspec.Struct):
    message: str = ""
    hint: str | None = None
    code: str = ""


class _AgentSaid(msgspec.Struct):
    error: _Said


class _Token(NamedTuple):
    text: str
    until: float
    """Monotonic: when it is renewed."""


class Tokens:
    """Tokens of the two accounts, made when they are needed and anew before they end."""

    def __init__(self, kube: Kube, clock: Callable[[], float] = time.monotonic) -> None:
        self._kube = kube
        self._clock = clock
        self._tokens: dict[Right, _Token] = {}
        self._locks: dict[Right, asyncio.Lock] = {"view": asyncio.Lock(), "act": asyncio.Lock()}

    async def get(self, right: Right) -> str:
        """Raises KubeAway or KubeRefused."""
        async with self._locks[right]:
            kept = self._tokens.get(right)
            if kept is not None and self._clock() < kept.until:
                return kept.text
            path = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{ACCOUNTS[right]}/token"
            body = {
                "apiVersion": "authentication.k8s.io/v1",
                "kind": "TokenRequest",
                "spec": {"audiences": [AUDIENCE], "expirationSeconds": TOKEN_S},
            }
            answer = msgspec.json.decode(await self._kube.call("POST", path, body), type=_TokenRequest)
            # By our own clock: theirs may differ by minutes.
            self._tokens[right] = _Token(answer.status.token, self._clock() + TOKEN_S - RENEW_BEFORE_S)
            return answer.status.token

    def drop(self, right: Right, token: str) -> None:
        """An agent does not take it: the next `get` makes another, unless somebody did so already."""
        kept = self._tokens.get(right)
        if kept is not None and kept.text == token:
            del self._tokens[right]


class Agents:
    """One connection to all agents of a cluster."""

    def __init__(self, kube: Kube, *, at_once: int = AT_ONCE, tokens: Tokens | None = None) -> None:
        self._kube = kube
        self.tokens = tokens or Tokens(kube)
        self._room = asyncio.Semaphore(at_once)

    async def call(
        self,
        pod: Pod,
        method: str,
        route: str,
        body: object = None,
        *,
        right: Right = "view",
        timeout_s: float = 10.0,
    ) -> bytes:
        """One request to the agent of a pod and its whole answer; raises AgentUnanswered."""
        async with self._room:
            for last in (False, True):
                token = await self._token(right)
                try:
                    return await self._kube.call(
                        method, _path(pod, route), body, headers={"X-Rdmatop-Token": token}, timeout_s=timeout_s
                    )
                except KubeRefused as error:
                    if self._again(error, right, token, last):
                        continue
                    raise unanswered(error, pod) from error
                except KubeAway as error:
                    raise AgentUnanswered("away", str(error), "is the API server there?") from error
            raise AssertionError("the second try has raised or returned")

    async def lines(self, pod: Pod, route: str, *, right: Right = "view") -> AsyncIterator[bytes]:
        """The lines of a stream of the agent of a pod; raises AgentUnanswered."""
        for last in (False, True):
            token = await self._token(right)
            try:
                async for line in self._kube.lines(_path(pod, route), headers={"X-Rdmatop-Token": token}):
                    yield line
                return
            except KubeRefused as error:
                if self._again(error, right, token, last):
                    continue
                raise unanswered(error, pod) from error
            except KubeAway as error:
                raise AgentUnanswered("away", str(error), "is the API server there?") from error

    def _again(self, error: KubeRefused, right: Right, token: str, last: bool) -> bool:
        """Whether another token may help: this one has ended, or its account was made anew."""
        if last or error.status != 401 or _said(error) is None:
            return False
        self.tokens.drop(right, token)
        return True

    async def _token(self, right: Right) -> str:
        try:
            return await self.tokens.get(right)
        except KubeAway as error:
            raise AgentUnanswered("away", str(error), "is the API server there?") from error
        except KubeRefused as error:
            account = ACCOUNTS[right]
            if error.absent:
                raise AgentUnanswered(
                    "forbidden",
                    f"there is no account {account} in namespace {NAMESPACE}",
                    "apply deploy/daemonset.yaml",
                    error.status,
                ) from error
            raise AgentUnanswered(
                "forbidden" if error.forbidden else "away",
                f"no token of {account}: {error}",
                f"ask for the right to create serviceaccounts/token of {account} in namespace {NAMESPACE}",
                error.status,
            ) from error


def unanswered(error: KubeRefused, pod: Pod) -> AgentUnanswered:
    """Who said no: the agent, the API server for our rights, or the proxy for want of a way."""
    said = _said(error)
    if said is not None:
        return AgentUnanswered("refused", said.message, said.hint or "", error.status)
    if error.forbidden:
        return AgentUnanswered(
            "forbidden",
            str(error),
            f"ask for the right to get and create pods/proxy in namespace {NAMESPACE}",
            error.status,
        )
    if error.absent:
        return AgentUnanswered("unreachable", f"pod {pod.metadata.name} is gone", "", error.status)
    if error.status == 429:
        return AgentUnanswered("away", f"the API server has too much to do: {error}", "", error.status)
    return AgentUnanswered(
        "unreachable",
        f"the API server cannot reach it: {_plain(str(error))}",
        f"kubectl get pods -n {NAMESPACE} -o wide; its log says how it is",
        error.status,
    )


def _said(error: KubeRefused) -> _Said | None:
    """The agent's own words; None where the API server speaks."""
    try:
        return msgspec.json.decode(error.body, type=_AgentSaid).error
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _plain(message: str) -> str:
    return message.removeprefix("error trying to reach service: ")


def _path(pod: Pod, route: str) -> str:
    return f"{PODS}/https:{pod.metadata.name}:{AGENT_PORT}/proxy{route}"
