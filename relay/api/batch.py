"""Many messages in one request: each is taken or refused for itself, and answered in its place.

The accepts of a batch share their commits; nothing is answered before every message of it has its own answer.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from http import HTTPStatus
from typing import Any, Final, assert_never

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import from_json, to_json

from relay.account.identity import Identity
from relay.api.dependencies import ApiDependencies
from relay.api.messages import Messages, accepted_document, submission_of
from relay.api.models import MessageRequest, ProblemDocument, RecipientAccepted
from relay.api.operation import Operation, json_answer
from relay.api.posted import Posted, read_posted
from relay.api.problem import FieldError, Problem, from_refusal, invalid
from relay.api.request_body import BodyReader
from relay.engine.submission import Accepted, Refusal
from relay.ids import Entropy

MOST: Final = 1000
AT_ONCE: Final = 50
"""Messages of one batch that are in intake at the same time."""
_KEY = re.compile(r"[!-~]{1,240}")


class BatchRequest(BaseModel):
    """Messages to send."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    messages: list[MessageRequest] = Field(min_length=1, max_length=MOST)


class BatchItem(BaseModel):
    """The answer to one message: as `POST /api/v1/messages` would have given it."""

    status: int = Field(description="202, or that of the problem.")
    id: str | None = None
    recipients: list[RecipientAccepted] = []
    problem: ProblemDocument | None = None


class BatchAnswer(BaseModel):
    """An answer for each message, in their order."""

    answers: list[BatchItem]


class Batch:
    """The operation on many messages."""

    def __init__(self, dependencies: ApiDependencies, messages: Messages) -> None:
        self._messages = messages
        self._bodies = BodyReader(dependencies.options)
        self._max_recipients = dependencies.options.max_recipients
        self._entropy = dependencies.entropy

    def operations(self) -> tuple[Operation, ...]:
        """What this part adds to the API."""
        return (
            Operation(
                "postMessages",
                "POST",
                "/api/v1/messages/batch",
                f"Take up to {MOST} messages; each has an answer of its own, given after its commit.",
                BatchAnswer,
                (400, 401, 408, 413, 415, 422, 429, 503),
                keyed=self.post,
                request=BatchRequest,
                idempotent=True,
            ),
        )

    async def post(self, request: web.Request, identity: Identity) -> web.Response | Problem:
        """Take many messages."""
        key = request.headers.get("Idempotency-Key")
        if key is not None and not _KEY.fullmatch(key):
            error = FieldError("Idempotency-Key", "write 1 to 240 visible ASCII characters")
            return Problem(HTTPStatus.BAD_REQUEST, "The Idempotency-Key is not valid.", (error,))
        async with self._bodies.reading(request) as body:
            if isinstance(body, Problem):
                return body
            posted = await asyncio.to_thread(read_batch, body, self._max_recipients, self._entropy)
        if isinstance(posted, Problem):
            return posted
        room = asyncio.Semaphore(AT_ONCE)

        async def take(n: int, one: Posted | Problem) -> BatchItem:
            if isinstance(one, Problem):
                return _refused(one)
            async with room:
                answer = await self._messages.submit(
                    submission_of(one, identity, request, None if key is None else f"{key}.{n}")
                )
            match answer:
                case Accepted():
                    taken = accepted_document(answer)
                    return BatchItem(status=HTTPStatus.ACCEPTED, id=taken.id, recipients=taken.recipients)
                case Refusal():
                    return _refused(from_refusal(replace(answer, field=one.field_of(answer.field))))
                case _:
                    assert_never(answer)

        answers = await asyncio.gather(*(take(n, one) for n, one in enumerate(posted)))
        return json_answer(BatchAnswer(answers=answers))


def read_batch(body: bytes | bytearray, max_recipients: int, entropy: Entropy) -> list[Posted | Problem] | Problem:
    """Each message of a JSON body, or what is wrong with it; or what is wrong with the whole."""
    try:
        document: Any = from_json(bytes(body))
    except ValueError as error:
        return Problem(HTTPStatus.BAD_REQUEST, f"Invalid JSON: {error}")
    messages = document.get("messages") if isinstance(document, dict) else None
    if not isinstance(messages, list) or not 1 <= len(messages) <= MOST:
        return invalid(FieldError("messages", f"write a list of 1 to {MOST} messages"))
    if len(document) > 1:
        return invalid(
            FieldError(next(name for name in document if name != "messages")[:200], "there is no such field")
        )
    return [read_posted(to_json(one), max_recipients, entropy) for one in messages]


def _refused(problem: Problem) -> BatchItem:
    return BatchItem(status=problem.status, problem=ProblemDocument.model_validate(problem.document()))
