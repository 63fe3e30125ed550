"""`/notice`: anybody may say that something here is unlawful; `/notice/{secret}`: acknowledgement and decision.

No account and no proof: what, why, a name and an address to be reached at, and good faith (DSA, article 16). GET asks,
POST acts. The author is shown the secret link once; nothing is mailed, so the form mails nobody in another's name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from aiohttp import web

from relay.log import Log
from web.notices import Notice, NoticeStore
from web.parts import Parts
from web.pile import RETRY_AFTER
from web.plain_text import clean_line, clean_message, paragraphs
from web.requests import language_of, read_fields

_LONGEST: Final = {"item": 4000, "grounds": 4000, "name": 200, "mail": 254}
_MAIL: Final = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")
_log = Log("front")


class NoticePages:
    """The handlers."""

    def __init__(self, parts: Parts, notices: NoticeStore) -> None:
        self._parts = parts
        self._notices = notices

    async def ask(self, request: web.Request) -> web.StreamResponse:
        """GET /notice: the form."""
        return self._parts.renderer.public_page("notice_form.html", request, _form_values({}, ()))

    async def file(self, request: web.Request) -> web.StreamResponse:
        """POST /notice: keep it, and lead to its page; action=translate: the form in this language, as it was typed."""
        fields = await read_fields(request, self._parts.options.base_url)
        if fields.get("action") == "translate":
            return self._form(request, fields, ())
        previews = self._parts.previews
        if previews is not None and previews.take(self._parts.client(request).network) is not None:
            return self._form(request, fields, ("often",), HTTPStatus.TOO_MANY_REQUESTS)
        notice = _read(fields)
        problems = _problems(notice, fields)
        if problems:
            return self._form(request, fields, problems, HTTPStatus.UNPROCESSABLE_ENTITY)
        limits = self._parts.limits
        if limits is not None and await limits.take_notice(self._parts.client(request).network) is not None:
            return self._form(request, fields, ("often",), HTTPStatus.TOO_MANY_REQUESTS)
        language = language_of(request)
        receipt = await self._notices.file(notice, language.value, self._parts.network(request))
        if receipt is None:
            _log.warning("notices-full", remedy="decide about notices at the desk, or raise web.most_waiting")
            response = self._form(request, fields, ("full",), HTTPStatus.SERVICE_UNAVAILABLE)
            response.headers["Retry-After"] = str(RETRY_AFTER)
            return response
        _log.warning("notice-filed", case=receipt.id, remedy="leak letters notices")
        return self._parts.renderer.redirect(f"/{language.value}/notice/{receipt.secret}")

    async def show(self, request: web.Request) -> web.StreamResponse:
        """GET /notice/SECRET: what was notified, and what was decided."""
        case = await self._notices.find(request.match_info["secret"])
        language = language_of(request, case.language if case is not None else "")
        if case is None:
            return self._parts.renderer.notice("not_found", language, HTTPStatus.NOT_FOUND)
        words = self._parts.renderer.words(language)
        values = {
            "case": case,
            "at": words.moment(case.at),
            "decided": words.moment(case.decided) if case.decided else "",
            "outcome": case.outcome.value if case.outcome else "",
            "reason": paragraphs(case.reason),
            "item": paragraphs(case.notice.item),
            "grounds": paragraphs(case.notice.grounds),
            "other": f"/{language.other.value}/notice/{request.match_info['secret']}",
            "link": f"{self._parts.options.base_url}/notice/{request.match_info['secret']}",
        }
        return self._parts.renderer.page("notice_case.html", language, values)

    def _form(
        self, request: web.Request, fields: Mapping[str, str], problems: tuple[str, ...], status: int = HTTPStatus.OK
    ) -> web.Response:
        values = _form_values(fields, problems)
        return self._parts.renderer.page("notice_form.html", language_of(request), values, status=status)


def _form_values(fields: Mapping[str, str], problems: tuple[str, ...]) -> dict[str, object]:
    typed = {name: fields.get(name, "") for name in (*_LONGEST, "children", "faith")}
    return {"typed": typed, "problems": problems}


def notice_routes(pages: NoticePages, prefix: str) -> list[web.RouteDef]:
    """The routes below `prefix`."""
    return [
        web.get(f"{prefix}/notice", pages.ask),
        web.post(f"{prefix}/notice", pages.file),
        web.get(f"{prefix}/notice/{{secret}}", pages.show),
    ]


def _read(fields: Mapping[str, str]) -> Notice:
    return Notice(
        item=clean_message(fields.get("item", "")[: _LONGEST["item"]]).strip(),
        grounds=clean_message(fields.get("grounds", "")[: _LONGEST["grounds"]]).strip(),
        name=_line(fields, "name"),
        mail=_line(fields, "mail"),
        about_children=fields.get("children") == "on",
    )


def _line(fields: Mapping[str, str], name: str) -> str:
    """One line without controls: a NUL in it could be kept in no database."""
    return clean_line(clean_message(fields.get(name, "")[: _LONGEST[name]]).replace("\n", " "), _LONGEST[name]).strip()


def _problems(notice: Notice, fields: Mapping[str, str]) -> tuple[str, ...]:
    """What is missing, by field."""
    problems = [name for name, value in (("item", notice.item), ("grounds", notice.grounds)) if not value]
    if not notice.about_children:
        problems += [] if notice.name else ["name"]
    if (notice.mail or not notice.about_children) and not _MAIL.fullmatch(notice.mail):
        problems.append("mail")
    if fields.get("faith") != "on":
        problems.append("faith")
    return tuple(problems)
