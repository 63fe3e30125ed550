"""Queue control over HTTP: hold, release, retry and cancel one's own deliveries, suspend and resume one's own paths.

A caller's filter is always narrowed to its own tenant (S49); what another tenant's id names is 404.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Final, TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from relay.account.identity import Identity
from relay.api.dependencies import ApiDependencies
from relay.api.models import QueueAnswer, QueueRequest, ResumeAnswer, ResumeRequest, SuspendRequest, SuspensionLife
from relay.api.operation import Operation, json_answer
from relay.api.problem import FieldError, Problem, from_validation, invalid, not_found
from relay.api.request_body import BodyReader
from relay.clock import Clock
from relay.ids import SpoolId, is_spool_id
from relay.spool.inquiry import QueueFilter
from relay.spool.orders import Suspension, Verb

WINDOW: Final = timedelta(seconds=60)
"""How long a cancel can be undone by the operator."""

_Model = TypeVar("_Model", bound=BaseModel)
_VERBS: Final = (Verb.CANCEL, Verb.RETRY, Verb.HOLD, Verb.RELEASE)
_PROBLEMS: Final = (400, 401, 404, 408, 413, 415, 422, 429, 503)


class Control:
    """The operations that change the queue."""

    def __init__(self, dependencies: ApiDependencies) -> None:
        self._spool = dependencies.spool
        self._clock: Clock = dependencies.clock
        self._bodies = BodyReader(dependencies.options)

    def operations(self) -> tuple[Operation, ...]:
        """What this part adds to the API."""
        one = tuple(
            Operation(
                f"{verb.value}Message",
                "POST",
                f"/api/v1/messages/{{id}}/{verb.value}",
                f"{verb.value.capitalize()} the message's deliveries that are not final.",
                QueueAnswer,
                (401, 404, 429, 503),
                keyed=partial(self.one, verb),
            )
            for verb in _VERBS
        )
        many = tuple(
            Operation(
                f"{verb.value}Queue",
                "POST",
                f"/api/v1/queue/{verb.value}",
                f"{verb.value.capitalize()} the caller's deliveries that a filter names.",
                QueueAnswer,
                _PROBLEMS,
                keyed=partial(self.many, verb),
                request=QueueRequest,
            )
            for verb in _VERBS
        )
        return (
            *one,
            *many,
            Operation(
                "suspendQueue",
                "POST",
                "/api/v1/queue/suspend",
                "Take none of the caller's mail for a domain or a site from the queue for a time.",
                SuspensionLife,
                _PROBLEMS,
                keyed=self.suspend,
                request=SuspendRequest,
            ),
            Operation(
                "resumeQueue",
                "POST",
                "/api/v1/queue/resume",
                "End a suspension of the caller's now.",
                ResumeAnswer,
                _PROBLEMS,
                keyed=self.resume,
                request=ResumeRequest,
            ),
        )

    async def one(self, verb: Verb, request: web.Request, identity: Identity) -> web.Response | Problem:
        """A verb for one message."""
        message = request.match_info["id"]
        if not is_spool_id(message) or await self._spool.message(SpoolId(message), identity.tenant) is None:
            return not_found()
        return await self._ask(
            verb, QueueFilter(message=SpoolId(message), tenant=identity.tenant_name), "by its sender"
        )

    async def many(self, verb: Verb, request: web.Request, identity: Identity) -> web.Response | Problem:
        """A verb for what a filter names."""
        wanted = await self._read(request, QueueRequest)
        if isinstance(wanted, Problem):
            return wanted
        if not wanted.names_something:
            return invalid(FieldError("", 'name what is meant by a field of the filter, or say "all": true'))
        since = None if wanted.older_than is None else self._clock.now() - timedelta(seconds=wanted.older_than)
        where = QueueFilter(
            domain=wanted.domain,
            site=wanted.site,
            tenant=identity.tenant_name,
            sender=wanted.sender,
            recipient=wanted.recipient,
            older_than=since,
        )
        return await self._ask(verb, where, wanted.reason or "by its sender")

    async def _read(self, request: web.Request, model: type[_Model]) -> _Model | Problem:
        async with self._bodies.reading(request) as body:
            if isinstance(body, Problem):
                return body
            try:
                return model.model_validate_json(body)
            except ValidationError as error:
                return from_validation(error)

    async def _ask(self, verb: Verb, where: QueueFilter, reason: str) -> web.Response:
        receipt = await self._spool.ask(verb, where, reason, WINDOW)
        return json_answer(QueueAnswer(changed=receipt.changed, under_way=receipt.under_way, final_at=receipt.final_at))

    async def suspend(self, request: web.Request, identity: Identity) -> web.Response | Problem:
        """Stop a path of the caller's."""
        wanted = await self._read(request, SuspendRequest)
        if isinstance(wanted, Problem):
            return wanted
        until = self._clock.now() + timedelta(seconds=wanted.seconds)
        suspension = Suspension(0, identity.tenant_name, wanted.domain, wanted.site, until, wanted.reason)
        number = await self._spool.suspend(suspension)
        return json_answer(
            SuspensionLife(id=number, domain=wanted.domain, site=wanted.site, until=until, reason=wanted.reason)
        )

    async def resume(self, request: web.Request, identity: Identity) -> web.Response | Problem:
        """End a suspension of the caller's; another tenant's is unknown here."""
        wanted = await self._read(request, ResumeRequest)
        if isinstance(wanted, Problem):
            return wanted
        mine = any(
            one.id == wanted.id and one.tenant == identity.tenant_name for one in await self._spool.suspensions()
        )
        if not mine:
            return not_found()
        return json_answer(ResumeAnswer(resumed=await self._spool.resume(wanted.id)))
