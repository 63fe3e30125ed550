"""The headers that every page carries (S42): browsers hold it to its promise, no script and nothing from elsewhere.

`Cross-Origin-*` and `Referrer-Policy` keep a secret link, or what a page shows, from leaking to another site.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from aiohttp import web

_YEAR: Final = 365 * 24 * 3600

HTTPS_ONLY: Final = {"Strict-Transport-Security": f"max-age={_YEAR}"}
UNSEARCHED: Final = {"X-Robots-Tag": "noindex, nofollow"}
UNSTORED: Final = {"Cache-Control": "no-store"}


def safe_headers(*more: str) -> dict[str, str]:
    """The headers of a page with a style sheet, pictures and forms of its own site; `more` is allowed besides."""
    policy = ("default-src 'none'", "style-src 'self'", "img-src 'self'", *more, "form-action 'self'")
    return {
        "Content-Security-Policy": "; ".join((*policy, "frame-ancestors 'none'", "base-uri 'none'")),
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
    }


def kept_for_good(by: str) -> dict[str, str]:
    """For a file whose path changes with its content; `by` is "public" or "private" (RFC 8246)."""
    return {"Cache-Control": f"{by}, max-age={_YEAR}, immutable"}


def see_other(location: str, headers: Mapping[str, str]) -> web.Response:
    """303 to a path of ours, to be asked with GET (RFC 9110 §15.4.4)."""
    return web.Response(status=HTTPStatus.SEE_OTHER, headers={**headers, **UNSTORED, "Location": location})
