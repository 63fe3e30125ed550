"""Webhooks over HTTP: a tenant says where its events are posted, looks at how that goes, and asks for them again.

A secret is shown when it is made and never after. Where a stranger's URL may lead is judged by the poster.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from aiohttp import web
from pydantic import ValidationError

from relay.account.identity import Identity
from relay.api.dependencies import ApiDependencies, WebhookDoor
from relay.api.events import LATEST, kinds_of
from relay.api.operation import Operation, json_answer
from relay.api.problem import HEADERS, FieldError, Problem, from_validation, invalid, not_found
from relay.api.query import read_query
from relay.api.request_body import BodyReader
from relay.api.webhook_models import (
    PostLife,
    PostList,
    PostsQuery,
    ReplayRequest,
    WebhookLife,
    WebhookList,
    WebhookMade,
    WebhookRequest,
)
from relay.event.feed import event_id, parse_cursor, parse_event_id
from relay.notify.poster import UrlError
from relay.notify.webhook import Form, NewWebhook, Webhook
from relay.policy.alarms import AlarmKind

ALARM: Final = AlarmKind.WEBHOOK_DISABLED
_PROBLEMS: Final = (400, 401, 404, 408, 413, 415, 422, 429, 503)


class Webhooks:
    """The operations on webhooks."""

    def __init__(self, dependencies: ApiDependencies, door: WebhookDoor) -> None:
        self._book = door.book
        self._poster = door.poster
        self._most = door.most
        self._spool = dependencies.spool
        self._clock = dependencies.clock
        self._bodies = BodyReader(dependencies.options)

    def operations(self) -> tuple[Operation, ...]:
        """What this part adds to the API."""
        path, one = "/api/v1/webhooks", "/api/v1/webhooks/{id}"
        look, change = (401, 404, 429, 503), (401, 404, 429, 503)
        return (
            Operation("getWebhooks", "GET", path, "The caller's webhooks.", WebhookList, look, keyed=self.all),
            Operation(
                "postWebhook",
                "POST",
                path,
                "Have events posted to a URL; the answer shows the secret, once.",
                WebhookMade,
                (*_PROBLEMS, 409),
                keyed=self.add,
                success=201,
                request=WebhookRequest,
            ),
            Operation("getWebhook", "GET", one, "How a webhook stands.", WebhookLife, look, keyed=self.get),
            Operation("deleteWebhook", "DELETE", one, "Remove it.", "", change, keyed=self.remove, success=204),
            Operation(
                "rotateWebhook",
                "POST",
                f"{one}/rotate",
                "Make a new secret; for a day both sign.",
                WebhookMade,
                change,
                keyed=self.rotate,
            ),
            Operation(
                "enableWebhook",
                "POST",
                f"{one}/enable",
                "Go on where a disabled webhook stopped.",
                WebhookLife,
                change,
                keyed=self.enable,
            ),
            Operation(
                "replayWebhook",
                "POST",
                f"{one}/replay",
                "Tell events again: all after a cursor, or single ones.",
                WebhookLife,
                _PROBLEMS,
                keyed=self.replay,
                request=ReplayRequest,
            ),
            Operation(
                "getWebhookPosts",
                "GET",
                f"{one}/posts",
                "The latest posts and what was answered, the newest first.",
                PostList,
                (*look, 422),
                keyed=self.posts,
                query=PostsQuery,
            ),
        )

    async def all(self, _request: web.Request, identity: Identity) -> web.Response | Problem:
        """The caller's webhooks."""
        found = await self._book.webhooks(identity.tenant)
        return json_answer(WebhookList(webhooks=[WebhookLife(**self._life(one)) for one in found]))

    async def add(self, request: web.Request, identity: Identity) -> web.Response | Problem:
        """Make one."""
        async with self._bodies.reading(request) as body:
            if isinstance(body, Problem):
                return body
            try:
                wanted = WebhookRequest.model_validate_json(body)
            except ValidationError as error:
                return from_validation(error)
        form = Form(wanted.form)
        try:
            self._poster.check(wanted.url)
        except UrlError as error:
            return invalid(FieldError("url", str(error)))
        if form is Form.MANDRILL and (answer := await self._poster.head(wanted.url)).error:
            return invalid(FieldError("url", f"a HEAD request must be answered with 200: {answer.error}"))
        latest = wanted.after in {None, LATEST}
        position = await self._spool.last_event() if latest else parse_cursor(wanted.after or "")
        new = NewWebhook(identity.tenant, wanted.url, form, kinds_of(wanted.kinds), wanted.description, position)
        made = await self._book.add(new, self._most)
        if made is None:
            return Problem(HTTPStatus.CONFLICT, f"There are {self._most} webhooks already; remove one.")
        return self._made(made, HTTPStatus.CREATED)

    async def get(self, request: web.Request, identity: Identity) -> web.Response | Problem:
        """How one stands."""
        found = await self._find(request, identity)
        return not_found() if found is None else json_answer(WebhookLife(**self._life(found)))

    async def remove(self, request: web.Request, identity: Identity) -> web.Response | Problem:
        """Remove one."""
        number = _number(request)
        if number is None or not await self._book.remove(number, identity.tenant):
            return not_found()
        await self._spool.clear_alarm(ALARM, str(number))
        return web.Response(status=HTTPStatus.NO_CONTENT, headers=dict(HEADERS))

    async def rotate(self, request: web.Request, identity: Identity) -> web.Response | Problem:
        """Give one a new secret."""
        number = _number(request)
        changed = None if number is None else await self._book.rotate(number, identity.tenant)
        return not_found() if changed is None else self._made(changed, HTTPStatus.OK)

    async def enable(self, request: web.Request, identity: Identity) -> web.Response | Problem:
        """Tell one again."""
        number = _number(request)
        changed = None if number is None else await self._book.enable(number, identity.tenant)
        if changed is None:
            return not_found()
        await self._spool.clear_alarm(ALARM, str(changed.id))
        return json_answer(WebhookLife(**self._life(changed)))

    async def replay(self, request: web.Request, identity: Identity) -> web.Response | Problem:
        """Tell events again."""
        async with self._bodies.reading(request) as body:
            if isinstance(body, Problem):
                return body
            try:
                wanted = ReplayRequest.model_validate_json(body)
            except ValidationError as error:
                return from_validation(error)
        number = _number(request)
        if number is None or await self._book.get(number, identity.tenant) is None:
            return not_found()
        if wanted.after is not None:
            latest = wanted.after == LATEST
            position = await self._spool.last_event() if latest else parse_cursor(wanted.after)
            changed = await self._book.replay(number, identity.tenant, position)
        else:
            named = await self._named(wanted.events, identity)
            if isinstance(named, Problem):
                return named
            changed = await self._book.again(number, identity.tenant, named)
        return not_found() if changed is None else json_answer(WebhookLife(**self._life(changed)))

    async def _named(self, names: list[str], identity: Identity) -> list[tuple[int, str]] | Problem:
        try:
            seqs = [parse_event_id(name) for name in names]
        except ValueError as error:
            return invalid(FieldError("events", str(error)))
        found = await self._spool.events_named(seqs, identity.tenant)
        if len(found) < len(set(seqs)):
            return invalid(FieldError("events", "one of them is not known"))
        return [(event.position.seq, event.message) for event in found]

    async def posts(self, request: web.Request, identity: Identity) -> web.Response | Problem:
        """The latest posts."""
        query = read_query(request, PostsQuery)
        if isinstance(query, Problem):
            return query
        found = await self._find(request, identity)
        if found is None:
            return not_found()
        shown = [
            PostLife(
                at=one.at,
                event=event_id(one.seq),
                attempt=one.attempt,
                status=one.status,
                millis=one.millis,
                error=one.error,
            )
            for one in await self._book.posts(found.id, query.limit)
        ]
        return json_answer(PostList(posts=shown))

    async def _find(self, request: web.Request, identity: Identity) -> Webhook | None:
        number = _number(request)
        return None if number is None else await self._book.get(number, identity.tenant)

    def _made(self, webhook: Webhook, status: HTTPStatus) -> web.Response:
        return json_answer(WebhookMade(**self._life(webhook), secret=self._book.secret(webhook)), status)

    def _life(self, webhook: Webhook) -> dict[str, object]:
        waits = webhook.is_enabled and webhook.next_at > self._clock.now()
        return {
            "id": webhook.id,
            "url": webhook.url,
            "kinds": [kind.label for kind in sorted(webhook.kinds)],
            "form": webhook.form.value,
            "description": webhook.description,
            "created_at": webhook.created,
            "enabled": webhook.is_enabled,
            "disabled_at": webhook.disabled_at,
            "disabled_why": webhook.disabled_why,
            "cursor": str(webhook.position),
            "parked": webhook.parked,
            "failures": webhook.failures,
            "failing_since": webhook.failing_since,
            "next_post": webhook.next_at if waits else None,
            "taken_at": webhook.taken_at,
        }


def _number(request: web.Request) -> int | None:
    text = request.match_info["id"]
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 18 else None
