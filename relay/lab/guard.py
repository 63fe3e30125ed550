"""What stands before every page and endpoint of the lab's inbox: the Host header, the sender of a change, the CSP.

The inbox shows hostile mail on loopback: a foreign page must neither reach it by DNS rebinding (S40) nor post
into it, and nothing a mail holds may run or load anything (S42).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection

from aiohttp import web
from aiohttp.typedefs import Middleware

PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; frame-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
MAIL_POLICY = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; base-uri 'none'; "
    "frame-ancestors 'self'"
)
"""For the HTML of a mail: no script, no form, no remote content, an origin of its own."""
_SAFE_METHODS = frozenset({"GET", "HEAD"})

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def guard(hosts: Collection[str]) -> Middleware:
    """The middleware; `hosts` are the values of the Host header that are served, in lower case."""
    allowed = hosts

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        if (request.headers.get("Host") or "").lower() not in allowed:
            raise web.HTTPMisdirectedRequest(text="This host name is not served here.\n")
        if request.method not in _SAFE_METHODS and not _is_ours(request, allowed):
            raise web.HTTPForbidden(text="Changes are taken from this site's own pages and from programs only.\n")
        try:
            response = await handler(request)
        except web.HTTPException as refusal:
            _harden(refusal)
            raise
        _harden(response)
        return response

    return guarded


def _is_ours(request: web.Request, allowed: Collection[str]) -> bool:
    """Programs send neither header; browsers send both with every change (and `Origin: null` counts as foreign)."""
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = request.headers.get("Origin")
    return origin is None or origin.lower().removeprefix("http://") in allowed


def _harden(response: web.StreamResponse) -> None:
    response.headers.setdefault("Content-Security-Policy", PAGE_POLICY)
    response.headers["X-Content-Type-Options"] = "nosniff"
    # Not no-referrer: with that, browsers send `Origin: null` from our own pages too.
    response.headers["Referrer-Policy"] = "same-origin"
    response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
    response.headers.setdefault("Cache-Control", "no-store")
