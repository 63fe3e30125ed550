"""webhooks/*: the caller's webhooks in Mandrill's form; those of the other form are not seen here.

The kinds that a webhook asks for and that do not exist here (open, click) are never told and not shown.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from relay.api.dependencies import ApiDependencies, WebhookDoor
from relay.api.mandrill.call import Call, Document, Handlers, read, written
from relay.api.mandrill.documents import WebhookCall
from relay.api.mandrill.fault import Fault, invalid
from relay.event import EventKind
from relay.notify.mandrill import NAMES
from relay.notify.poster import UrlError
from relay.notify.webhook import Form, NewWebhook, Webhook

_NEVER_TOLD: Final = frozenset({"open", "click", "inbound", "blacklist", "whitelist", "allowlist", "denylist"})
_NAMED: Final = frozenset(name for names in NAMES.values() for name in names)
_UNKNOWN: Final = Fault("Unknown_Webhook", "There is no such webhook.")
_SHOWN_POSTS: Final = 1000


class Hooks:
    """The calls on webhooks."""

    def __init__(self, dependencies: ApiDependencies, door: WebhookDoor) -> None:
        self._book = door.book
        self._poster = door.poster
        self._most = door.most
        self._spool = dependencies.spool

    def calls(self) -> Handlers:
        """What this part adds to the door."""
        return {
            "webhooks/add": self.add,
            "webhooks/list": self.all,
            "webhooks/info": self.info,
            "webhooks/update": self.update,
            "webhooks/delete": self.delete,
        }

    async def add(self, call: Call) -> Document | Fault:
        """Make one: its receiver must answer a HEAD with 200 first, as Mandrill asks."""
        wanted = read(WebhookCall, call)
        if isinstance(wanted, Fault):
            return wanted
        kinds = _kinds(wanted.events or ())
        if isinstance(kinds, Fault):
            return kinds
        if (fault := await self._unfit(wanted.url)) is not None:
            return fault
        position = await self._spool.last_event()
        new = NewWebhook(call.identity.tenant, wanted.url, Form.MANDRILL, kinds, wanted.description, position)
        made = await self._book.add(new, self._most)
        if made is None:
            return invalid("url", f"there are {self._most} webhooks already; remove one")
        return await self._shown(made)

    async def all(self, call: Call) -> Document | Fault:
        """All of them."""
        found = await self._book.webhooks(call.identity.tenant)
        return [await self._shown(one) for one in found if one.form is Form.MANDRILL]

    async def info(self, call: Call) -> Document | Fault:
        """One."""
        found = await self._find(call)
        return found if isinstance(found, Fault) else await self._shown(found[1])

    async def update(self, call: Call) -> Document | Fault:
        """Change where it leads, what it says of itself, or what it is told; it is told on from where it was."""
        found = await self._find(call)
        if isinstance(found, Fault):
            return found
        wanted, webhook = found
        kinds = webhook.kinds if wanted.events is None else _kinds(wanted.events)
        if isinstance(kinds, Fault):
            return kinds
        url = wanted.url or webhook.url
        if url != webhook.url and (fault := await self._unfit(url)) is not None:
            return fault
        description = wanted.description or webhook.description
        changed = await self._book.change(webhook.id, call.identity.tenant, url, kinds, description)
        return _UNKNOWN if changed is None else await self._shown(changed)

    async def delete(self, call: Call) -> Document | Fault:
        """Remove one; the answer shows it a last time."""
        found = await self._find(call)
        if isinstance(found, Fault):
            return found
        shown = await self._shown(found[1])
        return shown if await self._book.remove(found[1].id, call.identity.tenant) else _UNKNOWN

    async def _find(self, call: Call) -> tuple[WebhookCall, Webhook] | Fault:
        wanted = read(WebhookCall, call)
        if isinstance(wanted, Fault):
            return wanted
        if not 0 < wanted.id < 2**62:
            return _UNKNOWN
        found = await self._book.get(wanted.id, call.identity.tenant)
        return _UNKNOWN if found is None or found.form is not Form.MANDRILL else (wanted, found)

    async def _unfit(self, url: str) -> Fault | None:
        """Why nothing is posted to a URL; None if it answers well."""
        try:
            self._poster.check(url)
        except UrlError as error:
            return invalid("url", str(error))
        answer = await self._poster.head(url)
        return invalid("url", f"a HEAD request must be answered with 200: {answer.error}") if answer.error else None

    async def _shown(self, webhook: Webhook) -> dict[str, Any]:
        posts = await self._book.posts(webhook.id, _SHOWN_POSTS)
        taken = [one for one in posts if not one.error]
        return {
            "id": webhook.id,
            "url": webhook.url,
            "description": webhook.description,
            "auth_key": self._book.secret(webhook),
            "events": _names(webhook.kinds or NAMES),
            "created_at": written(webhook.created),
            "last_sent_at": written(webhook.taken_at),
            "batches_sent": len(taken),
            "events_sent": len(taken),
            "last_error": next((one.error for one in posts if one.error), None),
        }


def _kinds(names: Iterable[str]) -> frozenset[EventKind] | Fault:
    """Our kinds behind Mandrill's names; without any, all that Mandrill has a name for."""
    asked = set(names)
    if unknown := asked - _NAMED - _NEVER_TOLD:
        return invalid("events", f"there is no event {min(unknown)[:40]!r}")
    if not asked:
        return frozenset(NAMES)
    chosen = frozenset(kind for kind, told in NAMES.items() if asked.intersection(told))
    return chosen or invalid("events", "none of these events exists here: mail is not watched")


def _names(kinds: Iterable[EventKind]) -> list[str]:
    return list(dict.fromkeys(name for kind in sorted(kinds) for name in NAMES.get(kind, ())))
