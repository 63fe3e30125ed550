"""`/notice`: anybody may say that something here is unlawful; `/notice/{secret}`: acknowledgement and decision.

No account and no proof: what, why, a name and an address to be reached at, and good faith (DSA, article 16). GET asks,
POST acts. The author is shown the secret link once; nothing is mailed, so the form mails nobody in another's name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from aiohttp import web

from relay.log import Log
from web.notices import Notice, NoticeStore
from web.parts import Parts
from web.pile import RETRY_AFTER
from web.plain_text import clean_line, clean_message, paragraphs, shows_something
from web.requests import language_of, read_fields

_LONGEST: Final = {"item": 40_000, "grounds": 10_000, "name": 200, "mail": 254}
"""Characters. A whole mail with its headers is asked for: a letter of ours has at most fifteen thousand."""
_LONG: Final = ("item", "grounds")
_MAIL: Final = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")
_log = Log("front")


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a field, or, under no field's name, with the moment: a text `notice.problem_<reason>`."""

    reason: str
    excess: int = 0
    """Characters that are too many."""


_NONE: Final[Mapping[str, Fault]] = {}
_OFTEN: Final = {"": Fault("often")}


class NoticePages:
    """The handlers."""

    def __init__(self, parts: Parts, notices: NoticeStore) -> None:
        self._parts = parts
        self._notices = notices

    async def ask(self, request: web.Request) -> web.StreamResponse:
        """GET /notice: the form."""
        return self._parts.renderer.public_page("notice_form.html", request, _form_values({}, _NONE))

    async def file(self, request: web.Request) -> web.StreamResponse:
        """POST /notice: keep it, and lead to its page; action=translate: the form in this language, as it was typed."""
        fields = await read_fields(request, self._parts.options.base_url)
        if fields.get("action") == "translate":
            return self._form(request, fields, _NONE)
        previews = self._parts.previews
        if previews is not None and previews.take(self._parts.client(request).network) is not None:
            return self._form(request, fields, _OFTEN, HTTPStatus.TOO_MANY_REQUESTS)
        notice = _read(fields)
        problems = _problems(notice, fields)
        if problems:
            return self._form(request, fields, problems, HTTPStatus.UNPROCESSABLE_ENTITY)
        limits = self._parts.limits
        if limits is not None and await limits.take_notice(self._parts.client(request).network) is not None:
            return self._form(request, fields, _OFTEN, HTTPStatus.TOO_MANY_REQUESTS)
        language = language_of(request)
        receipt = await self._notices.file(notice, language.value, self._parts.network(request))
        if receipt is None:
            _log.warning("notices-full", remedy="decide about notices at the desk, or raise web.most_waiting")
            response = self._form(request, fields, {"": Fault("full")}, HTTPStatus.SERVICE_UNAVAILABLE)
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
        self,
        request: web.Request,
        fields: Mapping[str, str],
        problems: Mapping[str, Fault],
        status: int = HTTPStatus.OK,
    ) -> web.Response:
        values = _form_values(fields, problems)
        return self._parts.renderer.page("notice_form.html", language_of(request), values, status=status)


def _form_values(fields: Mapping[str, str], problems: Mapping[str, Fault]) -> dict[str, object]:
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
    """The notice in `fields`; of what is too long, the beginning."""
    return Notice(
        item=clean_message(_text(fields, "item")[: _LONGEST["item"]]).strip(),
        grounds=clean_message(_text(fields, "grounds")[: _LONGEST["grounds"]]).strip(),
        name=_line(fields, "name"),
        mail=_line(fields, "mail"),
        about_children=fields.get("children") == "on",
    )


def _text(fields: Mapping[str, str], name: str) -> str:
    """As it was typed: a browser sends two characters for each end of a line."""
    return fields.get(name, "").replace("\r\n", "\n")


def _line(fields: Mapping[str, str], name: str) -> str:
    """One line without controls: a NUL in it could be kept in no database."""
    return clean_line(clean_message(fields.get(name, "")[: _LONGEST[name]]).replace("\n", " "), _LONGEST[name]).strip()


def _problems(notice: Notice, fields: Mapping[str, str]) -> dict[str, Fault]:
    """What is missing or too long, by field."""
    problems = {}
    for name in _LONG:
        excess = len(_text(fields, name)) - _LONGEST[name]
        if excess > 0:
            problems[name] = Fault(f"{name}_long", excess)
        elif not shows_something(getattr(notice, name)):
            problems[name] = Fault(name)
    if not notice.about_children and not shows_something(notice.name):
        problems["name"] = Fault("name")
    if (notice.mail or not notice.about_children) and not _MAIL.fullmatch(notice.mail):
        problems["mail"] = Fault("mail")
    if fields.get("faith") != "on":
        problems["faith"] = Fault("faith")
    return problems
