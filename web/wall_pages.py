"""`/wall` and `/wall/{id}`: letters that their writers offered and a person approved, without names, for everybody."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Final

from aiohttp import web

from web.catalogue import Language
from web.parts import Parts
from web.plain_text import paragraphs
from web.requests import language_of
from web.sharing import share_links
from web.wall import Post

_MOST_PAGES: Final = 10_000
_ID: Final = re.compile(r"[0-9a-z]{1,32}")


class WallPages:
    """The handlers of the wall."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def page(self, request: web.Request) -> web.StreamResponse:
        """GET /wall?page=N: ten posts in the page's language, the latest first."""
        language, asked = language_of(request), request.query.get("page", "1")
        number = int(asked) if asked.isascii() and asked.isdecimal() and len(asked) < 6 else 0
        if not self._parts.options.wall or not 1 <= number <= _MOST_PAGES:
            return self._missing(request)
        found = await self._parts.wall.page(language.value, number)
        if number > found.pages:
            return self._missing(request)
        values = {
            "posts": [(post, paragraphs(post.shown)) for post in found.posts],
            "number": number,
            "pages": found.pages,
            "span": self._parts.renderer.words(language).about(self._parts.options.wall_delay),
        }
        return self._public(request, "wall.html", values)

    async def post(self, request: web.Request) -> web.StreamResponse:
        """GET /wall/ID: one post, at an address that stays."""
        asked = request.match_info["id"]
        known = self._parts.options.wall and _ID.fullmatch(asked)
        post = await self._parts.wall.find(asked) if known else None
        if post is None:
            return self._missing(request)
        return self._public(request, "post.html", self._values(request, post))

    def _values(self, request: web.Request, post: Post) -> dict[str, object]:
        language = language_of(request)
        address = f"{self._parts.options.base_url}/{language.value}/wall/{post.id}"
        return {
            "post": post,
            "body": paragraphs(post.shown),
            "address": address,
            "shares": share_links(address, self._parts.renderer.words(language)),
        }

    def _public(self, request: web.Request, template: str, values: dict[str, object]) -> web.Response:
        indexed = self._parts.options.wall_indexed
        return self._parts.renderer.public_page(template, request, {**values, "indexed": indexed}, indexed=indexed)

    def _missing(self, request: web.Request) -> web.Response:
        return self._parts.renderer.notice("not_found", language_of(request), HTTPStatus.NOT_FOUND)


def wall_routes(wall: WallPages) -> list[web.RouteDef]:
    """The wall, with and without a language before it."""
    prefixes = ("", *(f"/{language.value}" for language in Language))
    lists = [web.get(f"{prefix}/wall", wall.page) for prefix in prefixes]
    return lists + [web.get(f"{prefix}/wall/{{id}}", wall.post) for prefix in prefixes]
