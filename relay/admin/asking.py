"""What a page is asked for: short text without what no database takes."""

from __future__ import annotations

from aiohttp import web

from relay.mail.address import AddressError, parse_domain
from relay.wording import CONTROL

_LONGEST = 320
"""An address is no longer (RFC 5321 §4.5.3.1)."""


def asked(request: web.Request, name: str) -> str:
    """A field of the query, trimmed; "" where it is absent or too long to be meant."""
    return trimmed(request.query.get(name, ""))


def trimmed(text: str, longest: int = _LONGEST) -> str:
    """`text` without control characters and changes of direction; "" if it is too long to be meant."""
    found = CONTROL.sub("", text).strip()
    return found if len(found) <= longest else ""


def domain_of(text: str) -> str:
    """A domain as the queue knows it, a lower-case A-label without a last dot; "" for what is none.

    An address literal is given back as it was typed.
    """
    name = trimmed(text).removesuffix(".")
    if name.startswith("["):
        return name
    try:
        return parse_domain(name, require_fqdn=False)
    except AddressError:
        return ""
