"""Who calls: the proof of a bearer key, and what may be asked from this machine without one.

`X-Forwarded-For` and its kin are never believed here, so no forged header changes whom a limit counts (S50);
their presence only takes away what loopback is trusted with, and so does a Host that is not loopback's: a page in
a browser on this machine reaches the port under a name of its own (DNS rebinding), never under ours.
"""

from __future__ import annotations

import math
import re
from http import HTTPStatus
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from relay.account.credential import is_loopback
from relay.account.identity import Access, Accounts, Identity
from relay.account.throttle import Throttle
from relay.api.problem import Problem
from relay.clock import Clock
from relay.peers import client_block

BAD_KEYS: Final = 20
BAD_KEYS_SECONDS: Final = 60.0
_MAX_KEY: Final = 256
_FORWARDING: Final = (
    "Forwarded",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Forwarded-Port",
    "X-Real-IP",
    "Via",
)
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9.\-]{1,255})(?::[0-9]{1,5})?")
_UNKNOWN_PEER: Final = "0.0.0.0"  # noqa: S104 - stands for "from elsewhere", nothing listens on it


def peer_of(request: web.Request) -> str:
    """The address at the other end of the connection, never what a header claims."""
    return (request.remote or _UNKNOWN_PEER).partition("%")[0]


def is_direct_loopback(request: web.Request) -> bool:
    """Whether this machine itself asks, and not a proxy on it for somebody else, nor a page in a browser."""
    forwarded = any(name in request.headers for name in _FORWARDING)
    return is_loopback(peer_of(request)) and not forwarded and _names_loopback(request.headers.getall("Host", []))


def _names_loopback(hosts: list[str]) -> bool:
    """Whether there is one Host, and it is an address literal of loopback or a name below "localhost", with or without
    port: no such name leads elsewhere (RFC 6761, section 6.3).
    """
    match = _HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
    if match is None:
        return False
    return f".{match[1].lower()}".endswith(".localhost") or is_loopback(match[1].strip("[]"))


@web.middleware
async def loopback_only(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Whatever does not come from this machine itself gets 403 and nothing else: for pages of operators."""
    if not is_direct_loopback(request):
        return web.Response(status=HTTPStatus.FORBIDDEN, text="This page answers on its own machine only.\n")
    return await handler(request)


class Guard:
    """Proves bearer keys (RFC 6750) and slows down whoever shows wrong ones."""

    def __init__(self, accounts: Accounts, clock: Clock) -> None:
        self._accounts = accounts
        self._bad_keys = Throttle(clock, BAD_KEYS, BAD_KEYS_SECONDS)

    async def identify(self, request: web.Request, access: Access = Access.TENANT) -> Identity | Problem:
        """The caller with a key of `access`, or why it is not known. Raises SpoolUnavailableError."""
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        key = key.strip()
        if scheme.lower() != "bearer" or not key:
            return _unknown("This needs a key: Authorization: Bearer KEY.", 'Bearer realm="leak"')
        return await self.prove(request, key, access)

    async def prove(self, request: web.Request, key: str, access: Access = Access.TENANT) -> Identity | Problem:
        """The caller with this key, wherever in the request it stood. Raises SpoolUnavailableError."""
        peer = peer_of(request)
        if is_loopback(peer) and not is_direct_loopback(request):
            peer = _UNKNOWN_PEER
        identity = await self._accounts.by_key(key, peer, access) if len(key) <= _MAX_KEY else None
        return identity if identity is not None else self._wrong_key(request)

    def _wrong_key(self, request: web.Request) -> Problem:
        """Asked after the look-up: a right key is never refused for the wrong ones of a neighbour."""
        subject = client_block(peer_of(request))
        wait = self._bad_keys.wait(subject)
        if wait:
            return Problem(HTTPStatus.TOO_MANY_REQUESTS, "Too many wrong keys.", retry_after=math.ceil(wait))
        self._bad_keys.count(subject)
        return _unknown("The key is not valid.", 'Bearer realm="leak", error="invalid_token"')


def _unknown(detail: str, challenge: str) -> Problem:
    return Problem(HTTPStatus.UNAUTHORIZED, detail, headers={"WWW-Authenticate": challenge})
