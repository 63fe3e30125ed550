"""The inbox's pages: what arrived, and each mail with text, HTML, header, source, transcript, verdict, and a reply.

Plain HTML without scripts; the HTML of a mail is cleaned and shown in a sandboxed frame with a policy of its
own, so that nothing in it runs, submits, or fetches (S42).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import jinja2
from aiohttp import web

from relay.lab.behaviour import MAGIC
from relay.lab.cleaning import clean
from relay.lab.comparison import compare
from relay.lab.correspondents import Correspondents
from relay.lab.directory import HostEntry
from relay.lab.examiner import Examiner
from relay.lab.guard import MAIL_POLICY
from relay.lab.inbox import Inbox
from relay.lab.mailbox import Arrival
from relay.lab.reading import decoded, header_fields, read
from relay.units import format_size

PER_PAGE: Final = 50
MAX_SHOWN: Final = 500_000
MAX_REPLY: Final = 100_000
MAX_FIELDS: Final = 500
_OTHERS: Final = 30
"""So many of the latest mails are offered to compare with."""
_HERE = Path(__file__).parent
_TABS = (
    ("text", "Text"),
    ("html", "HTML"),
    ("headers", "Header"),
    ("raw", "Source"),
    ("transcript", "Transcript"),
    ("authentication", "Authentication"),
)


@dataclass(frozen=True, slots=True)
class Facts:
    """What the pages say about the lab itself."""

    hosts: Sequence[HostEntry]
    smtp_port: int
    dns: str
    ca_file: str


class InboxPages:
    """The pages over one inbox."""

    def __init__(self, inbox: Inbox, examiner: Examiner, facts: Facts, correspondents: Correspondents) -> None:
        self._inbox = inbox
        self._examiner = examiner
        self._facts = facts
        self._correspondents = correspondents
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(_HERE / "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters |= {"moment": _moment, "size": format_size, "clock": _clock}
        self._style = (_HERE / "static" / "lab.css").read_text("utf-8")

    def routes(self) -> list[web.RouteDef]:
        """What to add to the application."""
        return [
            web.get("/", self._list),
            web.get("/hosts", self._hosts),
            web.post("/clear", self._clear),
            web.get("/message/{id}", self._open),
            web.get("/message/{id}/frame", self._frame),
            web.get("/message/{id}/{tab}", self._message),
            web.post("/message/{id}/reply", self._reply),
            web.get("/lab.css", self._stylesheet),
            web.get("/favicon.ico", self._no_icon),
        ]

    async def _list(self, request: web.Request) -> web.Response:
        query = request.query.get("query", "").strip()[:200]
        page = request.query.get("page", "1")
        number = max(1, int(page)) if page.isascii() and page.isdecimal() and len(page) < 6 else 1
        start = (number - 1) * PER_PAGE
        if query:
            found = self._inbox.search(query)
            matching, shown = len(found), found[start : start + PER_PAGE]
        else:
            matching = len(self._inbox)
            shown = list(islice(self._inbox.newest_first(), start, start + PER_PAGE))
        live = request.query.get("live") == "1"
        response = self._page(
            "list.html", arrivals=shown, query=query, matching=matching, page=number, live=live,
            last=max(1, -(-matching // PER_PAGE)), dropped=self._inbox.dropped, total=len(self._inbox),
        )  # fmt: skip
        if live:
            response.headers["Refresh"] = "5"
        return response

    async def _hosts(self, _: web.Request) -> web.Response:
        return self._page("hosts.html", magic=MAGIC)

    async def _clear(self, _: web.Request) -> web.Response:
        self._inbox.clear()
        raise web.HTTPSeeOther("/")

    async def _open(self, request: web.Request) -> web.Response:
        arrival = self._wanted(request)
        reading = await asyncio.to_thread(read, arrival.posting.content)
        tab = "html" if reading.html else "text"
        raise web.HTTPSeeOther(f"/message/{arrival.id}/{tab}")

    async def _message(self, request: web.Request) -> web.Response:
        arrival = self._wanted(request)
        tab = request.match_info["tab"]
        if tab not in dict(_TABS):
            raise web.HTTPNotFound(text="There is no such page.\n")
        arrival.read = True
        content = arrival.posting.content
        reading = await asyncio.to_thread(read, content)
        details: dict[str, Any] = {}
        if tab == "headers":
            details = await self._headers(arrival, request.query.get("with", ""))
        elif tab == "raw":
            details["source"] = content[:MAX_SHOWN].decode("utf-8", "replace").replace("\r\n", "\n")
            details["cut"] = len(content) > MAX_SHOWN
        verdict = await self._examiner.verdict(arrival)
        return self._page(
            "message.html", arrival=arrival, reading=reading, verdict=verdict, tab=tab, tabs=_TABS,
            max_shown=MAX_SHOWN, replied=request.query.get("replied", "")[:320], **details,
        )  # fmt: skip

    async def _reply(self, request: web.Request) -> web.Response:
        """POST text=…: its recipient answers, as from their own mail program."""
        arrival = self._wanted(request)
        text = str((await request.post()).get("text", "")).strip()[:MAX_REPLY]
        to = self._correspondents.reply(arrival.posting, text) if text else ""
        raise web.HTTPSeeOther(f"/message/{arrival.id}/text?{urlencode({'replied': to})}#reply")

    async def _headers(self, arrival: Arrival, beside: str) -> dict[str, Any]:
        """The fields of a mail, beside those of another if there is one of the id `beside`."""
        others = [one for one in islice(self._inbox.newest_first(), _OTHERS) if one.id != arrival.id]
        other = self._inbox.get(beside) if beside else None
        fields = _fields(arrival)
        rows = None if other is None else await asyncio.to_thread(compare, fields, _fields(other))
        return {"fields": fields, "others": others, "beside": other, "rows": rows}

    async def _frame(self, request: web.Request) -> web.Response:
        reading = await asyncio.to_thread(read, self._wanted(request).posting.content)
        page = self._templates.get_template("frame.html").render(body=await asyncio.to_thread(clean, reading.html))
        return web.Response(text=page, content_type="text/html", headers={"Content-Security-Policy": MAIL_POLICY})

    async def _stylesheet(self, _: web.Request) -> web.Response:
        return web.Response(text=self._style, content_type="text/css", headers={"Cache-Control": "max-age=60"})

    async def _no_icon(self, _: web.Request) -> web.Response:
        return web.Response(status=204)

    def _page(self, template: str, **values: Any) -> web.Response:
        page = self._templates.get_template(template).render(facts=self._facts, **values)
        return web.Response(text=page.encode("utf-8", "replace").decode(), content_type="text/html")

    def _wanted(self, request: web.Request) -> Arrival:
        arrival = self._inbox.get(request.match_info["id"])
        if arrival is None:
            raise web.HTTPNotFound(text="This mail is no longer here.\n")
        return arrival


def _fields(arrival: Arrival) -> list[tuple[str, str]]:
    return [(name, decoded(value)) for name, value in header_fields(arrival.posting.content)][:MAX_FIELDS]


def _moment(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%S UTC")


def _clock(at: datetime) -> str:
    return at.strftime("%H:%M:%S")
