"""messages/info, search, content and what is scheduled: what became of mail, in Mandrill's words.

Nobody's reading is watched, so opens and clicks are always empty.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeAlias, assert_never

from relay.api.dependencies import ApiDependencies
from relay.api.mandrill.call import Call, Document, Handlers, read, written
from relay.api.mandrill.documents import IdCall, RescheduleCall, ScheduledCall, SearchCall
from relay.api.mandrill.fault import Fault, invalid
from relay.engine.preparing import MAX_DELAY
from relay.ids import SpoolId, delivery_id, is_spool_id, split_delivery_id
from relay.policy.state import State
from relay.report.decoding import decode_words
from relay.report.mime import Part, parse
from relay.spool.inquiry import AttemptView, DeliveryView, FoundMessage, MessageFilter, MessageView, QueueFilter
from relay.spool.orders import Verb

_UNKNOWN: Final = Fault("Unknown_Message", "There is no such message.")
_UNSCHEDULED: Final = Fault("Unknown_Message", "There is no such scheduled message.")
_SCHEDULED_SHOWN: Final = 200
_EVENTS_SHOWN: Final = 3
_AT_ONCE: Final = timedelta(0)
_LAST: Final = datetime.max.replace(tzinfo=UTC)
_FIELDS: Final = ("email", "sender", "tag", "tags")
_Found: TypeAlias = tuple[MessageView, DeliveryView]


class Looking:
    """The calls that look at mail."""

    def __init__(self, dependencies: ApiDependencies) -> None:
        self._spool = dependencies.spool
        self._clock = dependencies.clock

    def calls(self) -> Handlers:
        """What this part adds to the door."""
        return {
            "messages/info": self.info,
            "messages/content": self.content,
            "messages/search": self.search,
            "messages/list-scheduled": self.scheduled,
            "messages/reschedule": self.reschedule,
            "messages/cancel-scheduled": self.cancel,
        }

    async def info(self, call: Call) -> Document | Fault:
        """Where one delivery stands."""
        found = await self._find(call)
        if isinstance(found, Fault):
            return found
        view, delivery = found
        mail = await self._mail(view)
        attempts = [one for one in view.attempts if one.n == delivery.n]
        diag = str(attempts[-1].detail.get("reply", "")) if attempts else ""
        return {
            **_line(view.accepted_at, view.id, view.reverse_path, view.tags),
            "_id": delivery_id(view.id, delivery.n),
            "email": delivery.recipient,
            "subject": _subject(mail),
            "state": _state(delivery.state, delivery.attempts),
            "metadata": dict(view.metadata),
            "diag": f"smtp;{diag}" if diag and delivery.state is not State.DELIVERED else "",
            "smtp_events": [_tried(one, view.size) for one in attempts[-_EVENTS_SHOWN:]],
        }

    async def content(self, call: Call) -> Document | Fault:
        """The mail itself, while it is kept."""
        found = await self._find(call)
        if isinstance(found, Fault):
            return found
        view, delivery = found
        mail = await self._mail(view)
        if not mail.fields:
            return Fault("Unknown_Message", "The content of this message is not kept any more.")
        return await asyncio.to_thread(_content, view, delivery, mail)

    async def search(self, call: Call) -> Document | Fault:
        """Deliveries, the newest first; `query` is an address, or email:, sender: and tag: with what they are."""
        wanted = read(SearchCall, call)
        if isinstance(wanted, Fault):
            return wanted
        asked = _asked(wanted)
        if isinstance(asked, Fault):
            return asked
        page = await self._spool.search(
            MessageFilter(
                call.identity.tenant,
                recipient=asked.get("email", ""),
                sender=asked.get("sender", ""),
                tag=asked.get("tag", ""),
                after=wanted.date_from,
                before=None if wanted.date_to is None else _end_of(wanted.date_to),
                limit=wanted.limit,
            )
        )
        email = asked.get("email", "").lower()
        lines = [
            line for one in page.messages for line in _lines(one) if not email or str(line["email"]).lower() == email
        ]
        return lines[: wanted.limit]

    async def scheduled(self, call: Call) -> Document | Fault:
        """What is not to leave yet, of the newest mail that waits."""
        wanted = read(ScheduledCall, call)
        if isinstance(wanted, Fault):
            return wanted
        where = MessageFilter(call.identity.tenant, recipient=wanted.to, state=State.WAITING, limit=_SCHEDULED_SHOWN)
        found: list[dict[str, Any]] = []
        for one in (await self._spool.search(where)).messages:
            view = await self._spool.message(one.id, call.identity.tenant)
            if view is not None and view.send_at is not None and view.send_at > self._clock.now():
                subject = _subject(await self._mail(view))
                found += [
                    _schedule(view, delivery, subject)
                    for delivery in view.deliveries
                    if delivery.state is State.WAITING and (not wanted.to or delivery.recipient == wanted.to)
                ]
        return found

    async def reschedule(self, call: Call) -> Document | Fault:
        """Send a scheduled mail at another time, a past one at once: the whole message, where recipients share one."""
        wanted = read(RescheduleCall, call)
        if isinstance(wanted, Fault):
            return wanted
        now = self._clock.now()
        if wanted.send_at is None or wanted.send_at > now + MAX_DELAY:
            return invalid("send_at", 'write a time in UTC as "YYYY-MM-DD HH:MM:SS", a year ahead at most')
        found = await self._find_scheduled(call)
        if isinstance(found, Fault):
            return found
        view, delivery = found
        send_at = max(now, wanted.send_at)
        if not await self._spool.reschedule(view.seq, send_at):
            return _UNSCHEDULED
        moved = replace(view, send_at=send_at)
        return _schedule(moved, delivery, _subject(await self._mail(view)))

    async def _find_scheduled(self, call: Call) -> _Found | Fault:
        found = await self._find(call)
        if isinstance(found, Fault):
            return found
        view, delivery = found
        if view.send_at is None or view.send_at <= self._clock.now() or delivery.state.final:
            return _UNSCHEDULED
        return found

    async def cancel(self, call: Call) -> Document | Fault:
        """Not send a scheduled mail after all: the whole message, where recipients share one."""
        found = await self._find_scheduled(call)
        if isinstance(found, Fault):
            return found
        view, delivery = found
        shown = _schedule(view, delivery, _subject(await self._mail(view)))
        where = QueueFilter(message=view.id, tenant=call.identity.tenant_name)
        await self._spool.ask(Verb.CANCEL, where, "by its sender", _AT_ONCE)
        await self._spool.finish_requests()
        return shown

    async def _find(self, call: Call) -> _Found | Fault:
        wanted = read(IdCall, call)
        if isinstance(wanted, Fault):
            return wanted
        try:
            message, n = (SpoolId(wanted.id), 0) if is_spool_id(wanted.id) else split_delivery_id(wanted.id)
        except ValueError:
            return _UNKNOWN
        view = await self._spool.message(message, call.identity.tenant)
        if view is None or view.tenant_id != call.identity.tenant:
            return _UNKNOWN
        return next(((view, one) for one in view.deliveries if one.n == n), _UNKNOWN)

    async def _mail(self, view: MessageView) -> Part:
        """The mail, or its beginning if it is large; empty when it was forgotten."""
        return await asyncio.to_thread(parse, await self._spool.original(view.seq))


def _asked(wanted: SearchCall) -> Mapping[str, str] | Fault:
    asked: dict[str, str] = {}
    for word in wanted.query.split():
        name, colon, value = word.partition(":")
        if not colon and "@" in word:
            name, value = "email", word
        if name not in _FIELDS or not value:
            return invalid("query", "write an address, or email:, sender: and tag: with what they are")
        asked["tag" if name == "tags" else name] = value.strip('"')
    if wanted.tags:
        asked.setdefault("tag", wanted.tags[0])
    if wanted.senders:
        asked.setdefault("sender", wanted.senders[0])
    return asked


def _end_of(moment: datetime) -> datetime:
    """A day is meant whole."""
    whole = moment.hour == moment.minute == moment.second == 0
    return moment + min(timedelta(days=1), _LAST - moment) if whole else moment


def _lines(found: FoundMessage) -> list[dict[str, Any]]:
    return [
        {
            **_line(found.accepted_at, found.id, found.reverse_path, found.tags),
            "_id": delivery_id(found.id, one.n),
            "email": one.recipient,
            "state": _state(one.state, 0),
        }
        for one in found.deliveries
    ]


def _line(accepted: datetime, message: SpoolId, sender: str, tags: tuple[str, ...]) -> dict[str, Any]:
    return {
        "ts": int(accepted.timestamp()),
        "_id": message,
        "sender": sender,
        "template": None,
        "subject": "",
        "email": None,
        "tags": list(tags),
        "opens": 0,
        "opens_detail": [],
        "clicks": 0,
        "clicks_detail": [],
        "state": "",
        "metadata": {},
        "subaccount": None,
        "diag": "",
        "smtp_events": [],
        "resends": [],
        "reject": None,
    }


def _state(state: State, attempts: int) -> str:
    match state:
        case State.DELIVERED:
            return "sent"
        case State.BOUNCED | State.EXPIRED | State.RETURNED:
            return "bounced"
        case State.SUPPRESSED | State.CANCELLED:
            return "rejected"
        case State.WAITING | State.LEASED | State.HELD:
            return "deferred" if attempts else "queued"
        case _:
            assert_never(state)


def _tried(attempt: AttemptView, size: int) -> dict[str, Any]:
    result = str(attempt.detail.get("result", ""))
    return {
        "ts": int(attempt.at.timestamp()),
        "type": {"delivered": "sent", "permanent": "bounced"}.get(result, "deferred"),
        "diag": str(attempt.detail.get("reply", "")),
        "source_ip": "",
        "destination_ip": str(attempt.detail.get("address", "")),
        "size": size,
    }


def _schedule(view: MessageView, delivery: DeliveryView, subject: str) -> dict[str, Any]:
    return {
        "_id": delivery_id(view.id, delivery.n),
        "created_at": written(view.accepted_at),
        "send_at": written(view.send_at),
        "from_email": view.reverse_path,
        "to": delivery.recipient,
        "subject": subject,
    }


def _subject(mail: Part) -> str:
    return decode_words(mail.first("subject"))


def _content(view: MessageView, delivery: DeliveryView, mail: Part) -> dict[str, Any]:
    leaves = [part for part in mail.walk() if not part.children]
    files = [part for part in leaves if part.file_name]
    texts = [part for part in leaves if not part.file_name]
    name, _, _ = decode_words(mail.first("from")).rpartition("<")
    return {
        "ts": int(view.accepted_at.timestamp()),
        "_id": delivery_id(view.id, delivery.n),
        "from_email": view.reverse_path,
        "from_name": name.strip(' "'),
        "subject": _subject(mail),
        "to": {"email": delivery.recipient, "name": ""},
        "tags": list(view.tags),
        "headers": dict(mail.fields),
        "text": next((part.text for part in texts if part.kind == "text/plain"), ""),
        "html": next((part.data.decode("utf-8", "replace") for part in texts if part.kind == "text/html"), ""),
        "attachments": [
            {"name": part.file_name, "type": part.kind, "content": base64.b64encode(part.data).decode()}
            for part in files
        ],
    }
