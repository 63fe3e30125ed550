"""A posted form, read within bounds (S41, S50).

A form is at most 256 KiB of `application/x-www-form-urlencoded`, read within a time; a POST that a browser
marks as coming from another site is refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from aiohttp import web

MAX_FORM: Final = 256 * 1024
_MAX_FIELDS: Final = 20
_FORM_TYPE: Final = "application/x-www-form-urlencoded"
_BODY_TIMEOUT: Final = 20.0
_PORTS: Final = {"http": 80, "https": 443}
_OWN_SITE: Final = frozenset({"same-origin", "none"})


class UnreadableFormError(Exception):
    """The body is not a form of ours: wrong type, too large, too slow or not UTF-8."""


class ForeignFormError(Exception):
    """A browser says that another site made this request."""


async def read_fields(request: web.Request, base_url: str) -> Mapping[str, str]:
    """The posted fields, the first of each name. Raises UnreadableFormError or ForeignFormError.

    `base_url` is the public address of the pages; a form comes from there or from the host it is posted to.
    """
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in _OWN_SITE:
        raise ForeignFormError
    if not _is_own_origin(request, base_url):
        raise ForeignFormError
    if request.content_type != _FORM_TYPE or (request.content_length or 0) > MAX_FORM:
        raise UnreadableFormError
    try:
        async with asyncio.timeout(_BODY_TIMEOUT):
            body = await request.content.read(MAX_FORM + 1)
            while len(body) <= MAX_FORM and not request.content.at_eof():
                body += await request.content.read(MAX_FORM + 1 - len(body))
        if len(body) > MAX_FORM:
            raise UnreadableFormError
        pairs = parse_qsl(
            body.decode("utf-8"), keep_blank_values=True, max_num_fields=_MAX_FIELDS, encoding="utf-8", errors="strict"
        )
    except (TimeoutError, ValueError, web.RequestPayloadError) as error:
        raise UnreadableFormError from error
    fields: dict[str, str] = {}
    for name, value in pairs:
        fields.setdefault(name, value)
    return fields


def _is_own_origin(request: web.Request, base_url: str) -> bool:
    origins = request.headers.getall("Origin", [])
    # curl and lynx send none. `null` is what browsers send from our own pages, whose Referrer-Policy is
    # no-referrer, and what Tor Browser sends from onion services. A stranger's page can have `null` too: then
    # Sec-Fetch-Site tells, and in browsers without it the signed token of a preview is still needed to send.
    if not origins or origins == ["null"]:
        return True
    if len(origins) > 1:
        return False
    origin = _host_and_port(origins[0])
    scheme = origins[0].partition(":")[0]
    # Behind a proxy that ends TLS, the scheme of the request is not the visitor's; the Origin's is.
    own = {_host_and_port(base_url), _host_and_port(f"{scheme}://{request.headers.get('Host', '')}")}
    return origin is not None and origin in own


def _host_and_port(url: str) -> tuple[str, int] | None:
    """The host and port of an http or https `url`, None for what is no such address."""
    try:
        parts = urlsplit(url)
        if parts.scheme not in _PORTS or not parts.hostname:
            return None
        return parts.hostname.removesuffix("."), parts.port or _PORTS[parts.scheme]
    except ValueError:
        return None
