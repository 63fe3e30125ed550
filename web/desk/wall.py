"""The wall's queue on the desk: an offered letter, and a copy without names that a moderator mends and publishes."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from aiohttp import web

from relay.log import Log
from web.catalogue import Language
from web.deciding import MAX_SHOWN, UndecidedError
from web.desk.frame import DeskParts, Frame, Place, read_decision
from web.judgement import marked_paragraphs
from web.plain_text import paragraphs
from web.redaction import without_names
from web.wall import OfferedPost

_LATEST: Final = 20

_log = Log("desk")


class WallDesk:
    """The handlers of offered letters, and of what is on the wall."""

    def __init__(self, parts: DeskParts, frame: Frame) -> None:
        self._parts = parts
        self._frame = frame

    async def queue(self, request: web.Request) -> web.StreamResponse:
        """GET /desk/wall: what is offered, and the latest posts."""
        return await self._queue(request)

    async def show(self, request: web.Request) -> web.StreamResponse:
        """GET /desk/post/ID: the letter, and what the wall would show."""
        post = await self._parts.deciding.wall.find_offered(request.match_info["id"])
        return self._gone() if post is None else await self._post(request, post, {})

    async def decide(self, request: web.Request) -> web.StreamResponse:
        """POST action=publish or decline; then the next one."""
        fields, voice = await read_decision(request)
        deciding = self._parts.deciding
        post = await deciding.wall.find_offered(request.match_info["id"])
        if post is None:
            return self._gone()
        try:
            match fields.get("action"):
                case "publish":
                    published = await deciding.publish(post.letter_id, fields.get("shown", ""), voice)
                    done = "published" if published else "gone"
                case "decline":
                    done = "declined" if await deciding.decline(post.letter_id, voice) else "gone"
                case _:
                    return await self._post(request, post, {})
        except UndecidedError as error:
            return await self._post(request, post, fields, str(error))
        _log.info("post-decided", letter=post.letter_id, decision=done, by=voice.actor)
        rest = await deciding.wall.offered(1)
        return self._parts.renderer.redirect(f"/desk/{f'post/{rest[0].letter_id}' if rest else 'wall'}?done={done}")

    async def take_down(self, request: web.Request) -> web.StreamResponse:
        """POST /desk/wall letter=ID: off the wall."""
        fields, voice = await read_decision(request)
        letter_id = fields.get("letter", "")
        try:
            taken = await self._parts.deciding.take_down(letter_id, voice)
        except UndecidedError:
            return await self._queue(request, letter_id)
        _log.info("post-taken-down", letter=letter_id, by=voice.actor)
        return self._parts.renderer.redirect(f"/desk/wall?done={'taken-down' if taken else 'gone'}")

    async def _queue(self, request: web.Request, problem: str = "") -> web.Response:
        wall = self._parts.deciding.wall
        shown = [post for language in Language for post in (await wall.page(language.value, 1)).posts]
        latest = sorted(shown, key=lambda post: post.published, reverse=True)[:_LATEST]
        values = {
            "rows": await wall.offered(),
            "latest": [(post, paragraphs(post.shown)) for post in latest],
            "problem": problem,
        }
        status = HTTPStatus.UNPROCESSABLE_ENTITY if problem else HTTPStatus.OK
        return await self._frame.page(request, "wall.html", Place.WALL, values, status)

    async def _post(
        self, request: web.Request, post: OfferedPost, typed: Mapping[str, str], problem: str = ""
    ) -> web.Response:
        values = {
            "post": post,
            "body": marked_paragraphs(post.words, self._parts.judge.rule_on_words(post.words)),
            "shown": typed.get("shown", without_names(post.words))[:MAX_SHOWN],
            "reason": typed.get("reason", ""),
            "problem": problem,
        }
        status = HTTPStatus.UNPROCESSABLE_ENTITY if problem else HTTPStatus.OK
        return await self._frame.page(request, "post.html", Place.WALL, values, status)

    def _gone(self) -> web.Response:
        return self._parts.renderer.redirect("/desk/wall?done=gone")
