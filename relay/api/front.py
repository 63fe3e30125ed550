"""What a front on another machine asks of the relay: the contract of `relay.client`, an operation for each call.

Proved by a front's key, which opens nothing else and acts for its tenant alone. Addresses stand in bodies, never in a
URL, so no proxy writes them into its log. A worker takes a bounded number of questions at once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Final, TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from relay.account.identity import Access, Identity
from relay.api.dependencies import ApiDependencies
from relay.api.operation import KeyedHandler, Operation, json_answer
from relay.api.problem import FieldError, Problem, from_validation, invalid
from relay.api.request_body import BodyReader
from relay.client import wire
from relay.client.contract import ModerationBell, RelayClient
from relay.client.unknown_fields import UnknownFields
from relay.log import Log

MOST: Final = 64
"""Questions of fronts under way at once, in one worker."""

Desk = Callable[[Identity], RelayClient]
"""The relay as it answers one customer."""

_Asked = TypeVar("_Asked", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class _Call:
    """One operation: what is asked, and who answers."""

    name: str
    path: str
    summary: str
    asked: type[BaseModel]
    told: type[BaseModel]
    answer: Callable[[RelayClient, BaseModel], Awaitable[BaseModel]]


class FrontOperations:
    """The operations, for all fronts."""

    def __init__(self, dependencies: ApiDependencies, desk: Desk) -> None:
        self._desk = desk
        self._bodies = BodyReader(replace(dependencies.options, max_body=wire.MAX_BODY))
        self._under_way = 0
        self._unknown = UnknownFields(Log("api"), "the front is newer than this relay")

    def operations(self) -> tuple[Operation, ...]:
        """What this part adds to the API."""
        posts = (
            Operation(
                call.name,
                "POST",
                wire.PATH + call.path,
                call.summary,
                call.told,
                (400, 401, 408, 413, 415, 422, 429, 503, 507),
                keyed=self._bounded(self._post(call)),
                request=call.asked,
                access=Access.FRONT,
            )
            for call in _CALLS
        )
        path, problems = f"{wire.PATH}/letters/{{id}}", (401, 429, 503)
        return (
            *posts,
            Operation(
                "getFrontLetter",
                "GET",
                path,
                "Where a letter stands; null if it is not known.",
                wire.LetterTold,
                problems,
                keyed=self._bounded(self._get_letter),
                access=Access.FRONT,
            ),
            Operation(
                "forgetFrontLetter",
                "DELETE",
                path,
                "Delete a mail's address and content; what waits of it is cancelled. `yes` once nothing is left.",
                wire.Answer,
                problems,
                keyed=self._bounded(self._forget_letter),
                access=Access.FRONT,
            ),
        )

    def _bounded(self, handler: KeyedHandler) -> KeyedHandler:
        async def handle(request: web.Request, identity: Identity) -> web.Response | Problem:
            if self._under_way >= MOST:
                return Problem(
                    HTTPStatus.SERVICE_UNAVAILABLE, "Too much is asked at once.", retry_after=wire.BUSY_SECONDS
                )
            self._under_way += 1
            try:
                return await handler(request, identity)
            finally:
                self._under_way -= 1

        return handle

    def _post(self, call: _Call) -> KeyedHandler:
        async def handle(request: web.Request, identity: Identity) -> web.Response | Problem:
            async with self._bodies.reading(request) as body:
                if isinstance(body, Problem):
                    return body
                try:
                    asked = call.asked.model_validate_json(body, strict=True)
                except ValidationError as error:
                    return from_validation(error)
            self._unknown.note(call.path, asked)
            try:
                return json_answer(await call.answer(self._desk(identity), asked))
            except ValueError as error:  # an address that is none, where the contract says so
                return invalid(FieldError("", str(error)))

        return handle

    async def _get_letter(self, request: web.Request, identity: Identity) -> web.Response | Problem:
        state = await self._desk(identity).state(request.match_info["id"])
        return json_answer(wire.LetterTold.of(state))

    async def _forget_letter(self, request: web.Request, identity: Identity) -> web.Response | Problem:
        return json_answer(wire.Answer(yes=await self._desk(identity).forget(request.match_info["id"])))


async def _check(relay: RelayClient, asked: wire.AddressAsked) -> wire.AddressTold:
    found = await relay.check(asked.address)
    return wire.AddressTold(
        address=found.address, ok=found.ok, reason=found.reason, suggestion=found.suggestion, unknown=found.unknown
    )


async def _submit(relay: RelayClient, asked: wire.LetterHanded) -> wire.LetterTaken:
    return wire.LetterTaken.of(await relay.submit(asked.value()))


async def tell_admission(relay: RelayClient, asked: wire.AdmissionAsked) -> wire.AdmissionTold:
    """What may still leave today, and by whose ceiling, as a front reads it."""
    room = await relay.admission(asked.sender, asked.stream, asked.recipient)
    return wire.AdmissionTold(
        remaining=room.remaining, departs_at=room.departs_at, provider=room.provider, ceiling=room.ceiling
    )


async def _suppress(relay: RelayClient, asked: wire.RefusalHanded) -> wire.Answer:
    return wire.Answer(yes=await relay.suppress(asked.address, complaint=asked.complaint))


async def _suppressed(relay: RelayClient, asked: wire.RefusalAsked) -> wire.Answer:
    return wire.Answer(yes=await relay.suppressed(asked.address, asked.stream))


async def _refusals(relay: RelayClient, asked: wire.RefusalsAsked) -> wire.RefusalsTold:
    return wire.RefusalsTold(addresses=await relay.refusals(asked.stream) or 0)


async def _erase(relay: RelayClient, asked: wire.ErasureHanded) -> wire.Count:
    return wire.Count(mails=await relay.erase(asked.address))


async def _handed(relay: RelayClient, asked: wire.HandedAsked) -> wire.HandedTold:
    return wire.HandedTold(id=await relay.handed(asked.key) or "")


async def _opt_out(relay: RelayClient, asked: wire.LinkHanded) -> wire.Answer:
    return wire.Answer(yes=await relay.opt_out(asked.token))


async def _replies(relay: RelayClient, asked: wire.RepliesAsked) -> wire.RepliesTold:
    return wire.RepliesTold.of(await relay.replies(asked.taken))


async def _bell(relay: RelayClient, asked: wire.LettersWait) -> wire.Answer:
    if isinstance(relay, ModerationBell):
        await relay.letters_wait(asked.letters, asked.oldest, asked.in_danger, asked.requests_due, asked.filled)
    return wire.Answer(yes=True)


def _call(
    name: str,
    path: str,
    summary: str,
    asked: type[_Asked],
    answer: Callable[[RelayClient, _Asked], Awaitable[BaseModel]],
    told: type[BaseModel],
) -> _Call:
    return _Call(name, path, summary, asked, told, answer)  # type: ignore[arg-type]  # `asked` is what it is called with


_CALLS: Final = (
    _call(
        "checkFrontAddress",
        "/check",
        "Syntax, domain, null MX and typing errors of an address; no call-out.",
        wire.AddressAsked,
        _check,
        wire.AddressTold,
    ),
    _call(
        "postFrontLetter",
        "/letters",
        "Hand a letter over; the same key answers the same id for a week. A refusal is an answer, not a status.",
        wire.LetterHanded,
        _submit,
        wire.LetterTaken,
    ),
    _call(
        "askFrontAdmission",
        "/admission",
        "What the warm-up of young sources leaves of today.",
        wire.AdmissionAsked,
        tell_admission,
        wire.AdmissionTold,
    ),
    _call(
        "postFrontRefusal",
        "/refusals",
        "A recipient wants no more: it holds for good, as a keyed hash. `yes` unless it is no address.",
        wire.RefusalHanded,
        _suppress,
        wire.Answer,
    ),
    _call(
        "askFrontRefusal",
        "/refused",
        "Whether mail of a stream to this address would not be sent.",
        wire.RefusalAsked,
        _suppressed,
        wire.Answer,
    ),
    _call(
        "countFrontRefusals",
        "/refusal-count",
        "How many recipients said that they want no mail of a stream.",
        wire.RefusalsAsked,
        _refusals,
        wire.RefusalsTold,
    ),
    _call(
        "postFrontErasure",
        "/erasures",
        "Delete an address, and the content of mail that went to nobody else; a standing refusal holds on.",
        wire.ErasureHanded,
        _erase,
        wire.Count,
    ),
    _call(
        "askFrontLetterByKey",
        "/handed",
        "Which letter was handed over under a key: for a front that died before it heard the answer.",
        wire.HandedAsked,
        _handed,
        wire.HandedTold,
    ),
    _call(
        "postFrontOptOut",
        "/opt-outs",
        "Act on the one-click link of a mail, as if it had been followed here. `yes` unless it is no good one.",
        wire.LinkHanded,
        _opt_out,
        wire.Answer,
    ),
    _call(
        "takeFrontReplies",
        "/replies",
        "Replies by mail to letters that asked for them, the oldest first; those in `taken` are deleted before.",
        wire.RepliesAsked,
        _replies,
        wire.RepliesTold,
    ),
    _call(
        "postFrontBell",
        "/bell",
        "Call a moderator: so many letters wait for too long; 0 ends the alarm.",
        wire.LettersWait,
        _bell,
        wire.Answer,
    ),
)
