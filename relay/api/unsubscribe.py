"""`/u/{token}`: the page behind a List-Unsubscribe link. GET asks, POST acts at once (RFC 8058 §3.2, §5; N04, N05).

No script, no cookie, no redirect, no second step, and no address: a link scanner that opens it changes nothing, and
a forwarded mail tells nobody who was written to.
"""

from __future__ import annotations

import base64
import hashlib
from http import HTTPStatus
from typing import Final, Protocol

from aiohttp import web

from relay.api.operation import Operation
from relay.api.problem import Problem
from relay.client.contract import Followed
from relay.pages.language import french_spaces, preferred

_STYLE: Final = (
    "body{font:1.125rem/1.6 system-ui,sans-serif;max-width:34rem;margin:3rem auto;padding:0 1rem;color:#1b1b1b;"
    "background:#fff}h1{font-size:1.5rem}button{font:inherit;padding:.6rem 1.4rem;border:2px solid #1b1b1b;"
    "border-radius:.4rem;background:#1b1b1b;color:#fff;cursor:pointer}button:focus-visible{outline:3px solid #0b57d0;"
    "outline-offset:2px}a{color:inherit}@media(prefers-color-scheme:dark){body{color:#eee;background:#151515}"
    "button{background:#eee;color:#151515;border-color:#eee}}"
)
_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_HASH}'; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Server": "leak",
    "Vary": "Accept-Language",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
}

_NAMES: Final = {"en": "English", "fr": "Français"}
_WORDS: Final = {
    "en": {
        "ask": ("Stop these mails?", "You will get no more mail of this kind from this sender.", "Unsubscribe"),
        "done": ("You are unsubscribed", "You will get no more mail of this kind from this sender.", ""),
        "unknown": ("This link is not valid", "It may be incomplete or too old. Use the link of a newer mail.", ""),
        "too-many": (
            "Not done yet",
            "Too many links were followed from your network today. This one stays good: press again in an hour.",
            "Try again",
        ),
        "busy": (
            "Not done yet",
            "Too many links were followed at once. This one stays good: press again in an hour.",
            "Try again",
        ),
    },
    "fr": {
        "ask": (
            "Ne plus recevoir ces messages ?",
            "Vous ne recevrez plus de messages de ce type de cet expéditeur.",
            "Me désabonner",
        ),
        "done": ("C’est fait", "Vous ne recevrez plus de messages de ce type de cet expéditeur.", ""),
        "unknown": (
            "Ce lien n’est pas valable",
            "Il est peut-être incomplet ou trop ancien. Prenez celui d’un message plus récent.",
            "",
        ),
        "too-many": (
            "Ce n’est pas encore fait",
            "Trop de liens ont été suivis depuis votre réseau. Celui-ci reste valable : réessayez dans une heure.",
            "Réessayer",
        ),
        "busy": (
            "Ce n’est pas encore fait",
            "Trop de liens ont été suivis à la fois. Celui-ci reste valable : réessayez dans une heure.",
            "Réessayer",
        ),
    },
}
_STATUS: Final = {
    Followed.UNKNOWN: HTTPStatus.NOT_FOUND,
    Followed.TOO_MANY: HTTPStatus.TOO_MANY_REQUESTS,
    Followed.BUSY: HTTPStatus.SERVICE_UNAVAILABLE,
}
_LATER: Final = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
_RETRY_AFTER: Final = 3600
"""Seconds; a relay that was away for so long has somebody at work on it."""


class OptOuts(Protocol):
    """Implemented by `relay.engine.unsubscribe.OptOuts`."""

    def names_somebody(self, text: str) -> bool:
        """See `Links.names_somebody`."""
        ...

    async def by_link(self, text: str) -> bool:
        """Take the holder of a token off its stream; False if it is no good one. Raises SpoolUnavailableError."""
        ...


class Links(Protocol):
    """Who knows links: this relay, or one on another machine."""

    def names_somebody(self, text: str) -> bool:
        """Whether it may be worth asking; asks no database."""
        ...

    async def follow(self, text: str, request: web.Request) -> Followed:
        """Take the holder of a token off its stream. Raises SpoolUnavailableError."""
        ...


class OwnLinks:
    """`Links` of this relay itself."""

    def __init__(self, opt_outs: OptOuts) -> None:
        self._opt_outs = opt_outs

    def names_somebody(self, text: str) -> bool:
        """See `Links.names_somebody`."""
        return self._opt_outs.names_somebody(text)

    async def follow(self, text: str, _: web.Request) -> Followed:
        """See `Links.follow`."""
        return Followed.DONE if await self._opt_outs.by_link(text) else Followed.UNKNOWN


class Unsubscribe:
    """The two operations behind a link."""

    def __init__(self, links: Links) -> None:
        self._links = links

    def operations(self) -> tuple[Operation, ...]:
        """What this part adds to the API."""
        path, problems = "/u/{token}", (404, 429, 503)
        return (
            Operation("askUnsubscribe", "GET", path, "Ask before unsubscribing.", "text/html", problems, open=self.ask),
            Operation("unsubscribe", "POST", path, "Unsubscribe at once.", "text/html", problems, open=self.act),
        )

    async def ask(self, request: web.Request) -> web.Response | Problem:
        """The question; nothing is changed by looking at it."""
        good = self._links.names_somebody(request.match_info["token"])
        return _page(request, "ask") if good else _page(request, "unknown", HTTPStatus.NOT_FOUND)

    async def act(self, request: web.Request) -> web.Response | Problem:
        """Unsubscribe, whatever the body says: RFC 8058's, the page's own form, or nothing."""
        followed = await self._links.follow(request.match_info["token"], request)
        page = _page(request, followed.value, _STATUS.get(followed, HTTPStatus.OK))
        if page.status in _LATER:
            page.headers["Retry-After"] = str(_RETRY_AFTER)
        return page


def _page(request: web.Request, kind: str, status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    asked = request.query.get("language", "")
    accepted = request.headers.get("Accept-Language", "")
    language = asked if asked in _WORDS else preferred(accepted, _WORDS, "en")
    other = "fr" if language == "en" else "en"
    typeset = french_spaces if language == "fr" else str
    title, text, button = map(typeset, _WORDS[language][kind])
    # The form posts to the address of the page itself, so the token need not be written anywhere.
    form = f'<form method="post"><button>{button}</button></form>' if button else ""
    page = (
        f'<!doctype html><html lang="{language}"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><style>{_STYLE}</style></head>'
        f"<body><main><h1>{title}</h1><p>{text}</p>{form}"
        f'<p><a href="?language={other}" lang="{other}" hreflang="{other}">{_NAMES[other]}</a></p></main></body></html>'
    )
    return web.Response(
        status=status, text=page, content_type="text/html", headers={**_HEADERS, "Content-Language": language}
    )
