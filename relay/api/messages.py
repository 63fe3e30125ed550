"""Messages over HTTP: take one, tell the life of one."""

from __future__ import annotations

import asyncio
import re
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import datetime
from http import HTTPStatus
from typing import Final, assert_never

from aiohttp import web

from relay.account.identity import Identity
from relay.api.dependencies import ApiDependencies
from relay.api.guard import peer_of
from relay.api.models import (
    AttemptLife,
    EventLife,
    ExchangeLife,
    MessageAccepted,
    MessageLife,
    MessageRequest,
    RecipientAccepted,
    RecipientLife,
    Waits,
)
from relay.api.operation import Operation, json_answer
from relay.api.posted import Posted, read_posted
from relay.api.problem import FieldError, Problem, from_refusal, not_found
from relay.api.raw_message import RAW_TYPE, RawReader
from relay.api.request_body import BodyReader
from relay.engine.submission import Accepted, Origin, Refusal, Submission
from relay.ids import SpoolId, delivery_id, is_spool_id
from relay.policy.state import State
from relay.shaping.path_notes import paces, rests
from relay.spool.explaining import Obstacles, ceilings_of, waiting
from relay.spool.inquiry import DeliveryView, MessageView
from relay.spool.work import Door, Idempotency

_KEY = re.compile(r"[!-~]{1,255}")
_LARGE: Final = 256 * 1024
"""Octets from which a body is parsed and composed in a thread."""
_HUGE: Final = 4_000_000
"""Octets from which a body has its turn alone: from its JSON to its commit it takes up to three times its size."""


class Messages:
    """The operations on messages."""

    def __init__(self, dependencies: ApiDependencies) -> None:
        self._intake = dependencies.intake
        self._spool = dependencies.spool
        self._warm_ups = dependencies.warm_ups
        self._notes = dependencies.notes
        self._clock = dependencies.clock
        self._entropy = dependencies.entropy
        self._max_recipients = dependencies.options.max_recipients
        self._bodies = BodyReader(dependencies.options)
        self._raw = RawReader(self._intake, self._bodies, self._max_recipients)
        self._submitting: set[asyncio.Task[Accepted | Refusal]] = set()
        self._turn = asyncio.Lock()

    def operations(self) -> tuple[Operation, ...]:
        """What this part adds to the API."""
        return (
            Operation(
                "postMessage",
                "POST",
                "/api/v1/messages",
                "Take a message: the answer comes after it was committed to the spool.",
                MessageAccepted,
                (400, 401, 403, 408, 409, 413, 415, 422, 429, 503, 507),
                keyed=self.post,
                success=202,
                request=MessageRequest,
                idempotent=True,
                raw=True,
            ),
            Operation(
                "getMessage",
                "GET",
                "/api/v1/messages/{id}",
                "The life of a message: recipients, attempts with transcripts, events.",
                MessageLife,
                (401, 404, 429, 503),
                keyed=self.get,
            ),
        )

    async def post(self, request: web.Request, identity: Identity) -> web.Response | Problem:
        """Take a message."""
        key = request.headers.get("Idempotency-Key")
        if key is not None and not _KEY.fullmatch(key):
            error = FieldError("Idempotency-Key", "write 1 to 255 visible ASCII characters")
            return Problem(HTTPStatus.BAD_REQUEST, "The Idempotency-Key is not valid.", (error,))
        async with AsyncExitStack() as turn:
            if request.content_type == RAW_TYPE:
                posted = await self._raw.read(request, identity)
            else:
                posted = await self._receive(request, turn)
            if isinstance(posted, Problem):
                return posted
            answer = await self.submit(submission_of(posted, identity, request, key))
        match answer:
            case Accepted():
                return json_answer(accepted_document(answer), HTTPStatus.ACCEPTED)
            case Refusal():
                return from_refusal(replace(answer, field=posted.field_of(answer.field)))
            case _:
                assert_never(answer)

    async def get(self, request: web.Request, identity: Identity) -> web.Response | Problem:
        """The life of a message."""
        message = request.match_info["id"]
        if not is_spool_id(message):
            return not_found()
        view = await self._spool.message(SpoolId(message), identity.tenant)
        if view is None or view.tenant_id != identity.tenant:
            return not_found()
        return json_answer(_life(view, self._clock.now(), await self._obstacles(view)))

    async def _obstacles(self, view: MessageView) -> Obstacles:
        """What stands in the message's way."""
        warm_ups, notes = self._warm_ups, self._notes
        found = [] if notes is None else await notes.all()
        return Obstacles(
            await self._spool.suspensions(),
            {} if warm_ups is None else await warm_ups.reasons(ceilings_of(view)),
            paces(found),
            rests(found),
        )

    async def submit(self, submission: Submission) -> Accepted | Refusal:
        """An accept may be inside its commit, so nothing that ends the request may end it."""
        task = asyncio.create_task(self._intake.submit(submission))
        self._submitting.add(task)
        task.add_done_callback(self._submitting.discard)
        return await asyncio.shield(task)

    async def _receive(self, request: web.Request, turn: AsyncExitStack) -> Posted | Problem:
        """Read and understand the body, which is let go here: intake counts what it holds by itself.

        A huge one waits for its turn first, which lasts as long as `turn`.
        """
        async with self._bodies.reading(request) as body:
            if isinstance(body, Problem):
                return body
            if len(body) >= _HUGE:
                await turn.enter_async_context(self._turn)
            if len(body) < _LARGE:
                return read_posted(body, self._max_recipients, self._entropy)
            return await asyncio.to_thread(read_posted, body, self._max_recipients, self._entropy)


def submission_of(posted: Posted, identity: Identity, request: web.Request, key: str | None) -> Submission:
    """What intake is handed."""
    return Submission(
        door=Door.HTTP,
        identity=identity,
        envelope=posted.envelope,
        content=posted.content,
        body=posted.body,
        origin=Origin(peer_of(request), "", "HTTPS" if request.secure else "HTTP"),
        tags=posted.tags,
        metadata=posted.metadata,
        send_at=posted.send_at,
        stream=posted.stream,
        unsubscribe=posted.unsubscribe,
        expires_at=posted.expires_at,
        idempotency=None if key is None else Idempotency(key, posted.digest),
    )


def accepted_document(answer: Accepted) -> MessageAccepted:
    """What is promised of a message that was taken."""
    recipients = [
        RecipientAccepted(address=d.address, delivery_id=delivery_id(d.message or answer.id, d.n), state=d.state.label)
        for d in answer.deliveries
    ]
    return MessageAccepted(id=answer.id, recipients=recipients)


def _waits(view: MessageView, delivery: DeliveryView, now: datetime, obstacles: Obstacles) -> Waits | None:
    if delivery.state is not State.WAITING:
        return None
    why = waiting(view, delivery, now, obstacles)
    return Waits(cause=why.cause, until=why.until, sentence=why.sentence)


def _life(view: MessageView, now: datetime, obstacles: Obstacles) -> MessageLife:
    return MessageLife(
        id=view.id,
        created_at=view.accepted_at,
        send_at=view.send_at,
        expires_at=view.expires_at,
        stream=view.stream,
        tags=list(view.tags),
        metadata=dict(view.metadata),
        size=view.size,
        recipients=[
            RecipientLife(
                address=d.recipient,
                delivery_id=delivery_id(view.id, d.n),
                state=d.state.label,
                attempts=d.attempts,
                next_due=d.due,
                waits=_waits(view, d, now, obstacles),
            )
            for d in view.deliveries
        ],
        attempts=[
            AttemptLife(
                delivery_id=delivery_id(view.id, a.n),
                number=a.number,
                at=a.at,
                detail=dict(a.detail),
                transcript=[ExchangeLife(millis=e.millis, speaker=e.speaker, text=e.text) for e in a.transcript],
            )
            for a in view.attempts
        ],
        events=[
            EventLife(
                cursor=e.cursor,
                at=e.at,
                kind=e.kind.label,
                delivery_id=None if e.n is None else delivery_id(view.id, e.n),
                detail=dict(e.detail),
            )
            for e in view.events
        ],
    )
