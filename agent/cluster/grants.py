"""The cluster as the one who says who may ask the agent: the gate's `Authorizer`, over token and access reviews."""

from __future__ import annotations

from agent.cluster.authorizer import ClusterAuthorizer
from agent.server.errors import Refused
from agent.server.tokens import Authorizer, Grant

READING = ("GET", "HEAD")


class ClusterGrants:
    """A token is first looked up in the tokens file, where there is one, then asked of the API server."""

    def __init__(self, authorizer: ClusterAuthorizer, tokens: Authorizer | None = None) -> None:
        self._authorizer = authorizer
        self._tokens = tokens

    async def grant(self, token: str, method: str, path: str) -> Grant | None:
        """None for a token of nobody; raises Refused for somebody who may not, or when nobody can be asked."""
        if self._tokens is not None:
            known = await self._tokens.grant(token, method, path)
            if known is not None:
                return known
        decision = await self._authorizer.decide(token, "get" if method in READING else method.lower(), path)
        if decision.allowed:
            # Whoever may do this very thing has the role that it needs: the API server decides by verb and path.
            return Grant(decision.user or "unnamed", "viewer" if method in READING else "operator")
        if decision.status == 401:
            return None
        if decision.status == 403:
            raise Refused(403, "forbidden", decision.reason, "ask for a role with this non-resource URL and verb")
        if decision.status == 429:
            raise Refused(429, "too-many", decision.reason, "ask again in a second", Retry_After="1")
        raise Refused(503, "cannot-ask", decision.reason, "the agent lets nobody in until the API server answers")
