"""The inbox's API: the part of Mailpit's that test helpers use, in Mailpit's shapes, and what only the lab knows.

Mailpit's: `/api/v1/messages`, `/api/v1/search`, `/api/v1/message/{ID}` with `/headers`, `/raw` and
`/part/{PartID}`; the ID may be "latest". The lab's own: `/verdict`, `/transcript`, `/api/v1/hosts`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime
from itertools import islice
from typing import Any, Final
from urllib.parse import quote

from aiohttp import web

from relay.lab.directory import HostEntry
from relay.lab.examiner import Examiner
from relay.lab.inbox import Inbox
from relay.lab.mailbox import Arrival
from relay.lab.reading import Attachment, Mailbox, Reading, decoded, first_field, header_fields, read

DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 2000
_SAFE_TYPES = frozenset({"text/plain", "image/png", "image/jpeg", "image/gif", "image/webp", "application/pdf"})


class InboxApi:
    """The endpoints over one inbox."""

    def __init__(self, inbox: Inbox, examiner: Examiner, hosts: Sequence[HostEntry]) -> None:
        self._inbox = inbox
        self._examiner = examiner
        self._hosts = hosts

    def routes(self) -> list[web.RouteDef]:
        """What to add to the application."""
        one = "/api/v1/message/{id}"
        return [
            web.get("/api/v1/messages", self._list),
            web.delete("/api/v1/messages", self._delete),
            web.get("/api/v1/search", self._search),
            web.get(one, self._message),
            web.get(f"{one}/headers", self._headers),
            web.get(f"{one}/raw", self._raw),
            web.get(f"{one}/part/{{part}}", self._part),
            web.get(f"{one}/verdict", self._verdict),
            web.get(f"{one}/transcript", self._transcript),
            web.get("/api/v1/hosts", self._list_hosts),
        ]

    async def _list(self, request: web.Request) -> web.Response:
        start, limit = _window(request)
        chosen = list(islice(self._inbox.newest_first(), start, start + limit))
        return web.json_response(self._page(chosen, start, len(self._inbox), self._inbox.unread))

    async def _search(self, request: web.Request) -> web.Response:
        query = request.query.get("query", "").strip()
        if not query:
            raise web.HTTPBadRequest(text="Error: no search query")
        start, limit = _window(request)
        found = self._inbox.search(query)
        unread = sum(not arrival.read for arrival in found)
        return web.json_response(self._page(found[start : start + limit], start, len(found), unread))

    def _page(self, chosen: Sequence[Arrival], start: int, matching: int, unread: int) -> dict[str, Any]:
        return {
            "total": len(self._inbox),
            "unread": self._inbox.unread,
            "count": len(chosen),
            "messages_count": matching,
            "messages_unread": unread,
            "start": start,
            "tags": [],
            "messages": [_summary(arrival) for arrival in chosen],
        }

    async def _delete(self, request: web.Request) -> web.Response:
        try:
            body = json.loads(await request.text() or "{}")
        except (ValueError, RecursionError):
            raise web.HTTPBadRequest(text='Error: the body is no JSON; send {"IDs": […]}, or nothing for all') from None
        names = body.get("IDs") if isinstance(body, dict) else None
        if names:
            if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
                raise web.HTTPBadRequest(text="Error: IDs must be a list of strings")
            self._inbox.delete(names)
        else:
            self._inbox.clear()
        return web.Response(text="ok")

    async def _message(self, request: web.Request) -> web.Response:
        arrival = self._wanted(request)
        arrival.read = True
        reading = await asyncio.to_thread(read, arrival.posting.content)
        return web.json_response(_message(arrival, reading))

    async def _headers(self, request: web.Request) -> web.Response:
        fields: dict[str, list[str]] = {}
        for name, value in header_fields(self._wanted(request).posting.content):
            fields.setdefault(_canonical(name), []).append(value)
        return web.json_response(dict(sorted(fields.items())))

    async def _raw(self, request: web.Request) -> web.Response:
        arrival = self._wanted(request)
        response = web.Response(body=arrival.posting.content, content_type="text/plain", charset="utf-8")
        if request.query.get("dl") == "1":
            response.headers["Content-Disposition"] = f'attachment; filename="{arrival.id}.eml"'
        return response

    async def _part(self, request: web.Request) -> web.Response:
        reading = await asyncio.to_thread(read, self._wanted(request).posting.content)
        wanted = request.match_info["part"]
        part = next((a for a in reading.attachments if a.part_id == wanted), None)
        if part is None:
            raise web.HTTPNotFound(text="404 page not found\n")
        # Never as a page of ours: what could run is only offered as a file (S42).
        kind = part.content_type if part.content_type in _SAFE_TYPES else "application/octet-stream"
        name = quote((part.file_name or part.content_id or "part")[:100], safe="")
        headers = {"Content-Disposition": f'attachment; filename="{name}"', "Content-Security-Policy": "sandbox"}
        return web.Response(body=part.data, content_type=kind, headers=headers)

    async def _verdict(self, request: web.Request) -> web.Response:
        return web.json_response(asdict(await self._examiner.verdict(self._wanted(request))))

    async def _transcript(self, request: web.Request) -> web.Response:
        arrival = self._wanted(request)
        posting = arrival.posting
        return web.json_response(
            {
                "host": posting.host,
                "client": asdict(posting.client),
                "reverse_path": posting.reverse_path,
                "recipients": list(posting.recipients),
                "parameters": list(posting.parameters),
                "answered": posting.answered,
                "exchanges": [exchange._asdict() for exchange in posting.transcript],
            }
        )

    async def _list_hosts(self, _: web.Request) -> web.Response:
        return web.json_response([asdict(host) for host in self._hosts])

    def _wanted(self, request: web.Request) -> Arrival:
        arrival = self._inbox.get(request.match_info["id"])
        if arrival is None:
            raise web.HTTPNotFound(text="404 page not found\n")
        return arrival


def _window(request: web.Request) -> tuple[int, int]:
    """`start` and `limit`; nonsense falls back to the defaults, as in Mailpit."""
    start, limit = (request.query.get(key, "") for key in ("start", "limit"))
    return (
        min(int(start), 10**9) if _is_number(start) else 0,
        min(int(limit), MAX_LIMIT) if _is_number(limit) and int(limit) else DEFAULT_LIMIT,
    )


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 10


def _box(box: Mailbox) -> dict[str, str]:
    return {"Name": box.name, "Address": box.address}


def _boxes(boxes: Iterable[Mailbox]) -> list[dict[str, str]]:
    return [_box(box) for box in boxes]


def _time(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _common(arrival: Arrival) -> dict[str, Any]:
    summary = arrival.summary
    return {
        "ID": arrival.id,
        "MessageID": summary.message_id,
        "From": _box(summary.sender),
        "To": _boxes(summary.to),
        "Cc": _boxes(summary.cc),
        "Bcc": _boxes(summary.bcc),
        "ReplyTo": _boxes(summary.reply_to),
        "Subject": summary.subject,
        "Username": "",
        "Tags": [],
        "Size": len(arrival.posting.content),
    }


def _summary(arrival: Arrival) -> dict[str, Any]:
    summary = arrival.summary
    return _common(arrival) | {
        "Read": arrival.read,
        "Created": _time(arrival.at),
        "Attachments": summary.attachments,
        "Snippet": summary.snippet,
    }


def _message(arrival: Arrival, reading: Reading) -> dict[str, Any]:
    fields = header_fields(arrival.posting.content)
    unsubscribe = decoded(first_field(fields, "list-unsubscribe"))
    return _common(arrival) | {
        "ReturnPath": arrival.posting.reverse_path,
        "Date": _time(arrival.summary.date or arrival.at),
        "ListUnsubscribe": {
            "Header": unsubscribe,
            "Links": [part.strip("<> ") for part in unsubscribe.split(",") if part.strip().startswith("<")],
            "Errors": "",
            "HeaderPost": decoded(first_field(fields, "list-unsubscribe-post")),
        },
        "Text": reading.text,
        "HTML": reading.html,
        "Inline": [_attachment(a) for a in reading.attachments if a.inline],
        "Attachments": [_attachment(a) for a in reading.attachments if not a.inline],
    }


def _attachment(part: Attachment) -> dict[str, Any]:
    return {
        "PartID": part.part_id,
        "FileName": part.file_name,
        "ContentType": part.content_type,
        "ContentID": part.content_id,
        "Size": len(part.data),
        "Checksums": part.checksums(),
    }


def _canonical(name: str) -> str:
    """A field name as Mailpit gives it: "Message-Id", "Dkim-Signature"."""
    return "-".join(piece[:1].upper() + piece[1:].lower() for piece in name.split("-"))
