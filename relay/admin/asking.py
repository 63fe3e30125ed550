"""What a page is asked for, from the query of its address: short text without what no database takes."""

from __future__ import annotations

from aiohttp import web

from relay.wording import CONTROL

_LONGEST = 320
"""An address is no longer (RFC 5321 §4.5.3.1)."""


def asked(request: web.Request, name: str) -> str:
    """A field of the query, trimmed and without control characters; "" where it is absent or too long to be meant."""
    text = CONTROL.sub("", request.query.get(name, "")).strip()
    return text if len(text) <= _LONGEST else ""
