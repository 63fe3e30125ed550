"""Standing refusals over HTTP: the caller's own, read with a cursor, written and taken back.

Another tenant's are not seen and not touched (S49). What recipients said themselves is taken back only by its name.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Literal

from aiohttp import web
from pydantic import AwareDatetime, BaseModel, Field, PlainValidator, ValidationError, WithJsonSchema

from relay.account.identity import Identity
from relay.api.dependencies import ApiDependencies
from relay.api.models import StrictRequest
from relay.api.operation import Operation, json_answer
from relay.api.problem import Problem, from_validation
from relay.api.query import Query, read_query
from relay.api.request_body import BodyReader
from relay.api.words import Words
from relay.mail.address import Address, parse_address
from relay.policy.suppress import Reason
from relay.suppression.book import SuppressionBook
from relay.suppression.contract import NewSuppression, Standing, Which

MOST: Final = 1000
"""Addresses in one request, refusals in one answer."""


def _address(value: object) -> Address:
    if not isinstance(value, str):
        raise ValueError('write an address, as in "ann@example.org"')
    return parse_address(value.strip())


AddressText = Annotated[Address, PlainValidator(_address), WithJsonSchema({"type": "string", "format": "email"})]
ReasonWord = Literal["hard-bounce", "soft-bounce", "complaint", "opt-out", "manual", "allowed"]


class SuppressionsQuery(Query):
    """Which of the caller's refusals are wanted."""

    address: AddressText | None = Field(None, description="What stands about this address, however it is written.")
    reason: ReasonWord | None = None
    stream: Words | None = Field(None, max_length=64)
    over: bool = Field(False, description="Also those whose time is over.")
    after: int = Field(0, ge=0, le=2**62, description="The cursor of the page before.")
    limit: int = Field(100, ge=1, le=MOST)


class SuppressionRequest(StrictRequest):
    """Addresses to refuse from now on."""

    addresses: list[AddressText] = Field(min_length=1, max_length=MOST)
    reason: ReasonWord = "manual"
    stream: Words = Field("", max_length=64, description='Mail of this stream alone; "" = all of the caller\'s.')
    detail: Words = Field("", max_length=500, description="A note, kept with it.")
    until: AwareDatetime | None = Field(None, description="Its end; none: as the rules say.")


class RemovalQuery(Query):
    """What to take back. Without a reason, what recipients said themselves stays."""

    address: AddressText
    reason: ReasonWord | None = None
    stream: Words | None = Field(None, max_length=64)


class SuppressionLife(BaseModel):
    """A standing refusal; `address` is null once it was erased, `until` when it holds for good."""

    id: int
    address: str | None
    reason: str
    stream: str
    detail: str
    times: int
    created_at: datetime
    last_at: datetime
    until: datetime | None
    everywhere: bool = Field(description="The operator's, for every tenant.")


class SuppressionsAnswer(BaseModel):
    """A page of refusals; `cursor` goes into `after`, null on the last page."""

    suppressions: list[SuppressionLife]
    cursor: int | None


class AddedAnswer(BaseModel):
    """How many were new, and how many stood already."""

    added: int
    known: int


class RemovedAnswer(BaseModel):
    """How many were taken back."""

    removed: int


class Suppressions:
    """The operations on standing refusals."""

    def __init__(self, dependencies: ApiDependencies, book: SuppressionBook) -> None:
        self._book = book
        self._clock = dependencies.clock
        self._bodies = BodyReader(dependencies.options)

    def operations(self) -> tuple[Operation, ...]:
        """What this part adds to the API."""
        path = "/api/v1/suppressions"
        return (
            Operation(
                "getSuppressions",
                "GET",
                path,
                "The caller's standing refusals, and the operator's about an address that is named.",
                SuppressionsAnswer,
                (401, 422, 429, 503),
                keyed=self.get,
                query=SuppressionsQuery,
            ),
            Operation(
                "postSuppressions",
                "POST",
                path,
                "Refuse addresses from now on; mail to them that waits is not sent any more.",
                AddedAnswer,
                (400, 401, 408, 413, 415, 422, 429, 503),
                keyed=self.post,
                request=SuppressionRequest,
            ),
            Operation(
                "deleteSuppressions",
                "DELETE",
                path,
                "Take refusals of an address back; an opt-out or a complaint only if `reason` names it.",
                RemovedAnswer,
                (401, 422, 429, 503),
                keyed=self.delete,
                query=RemovalQuery,
            ),
        )

    async def get(self, request: web.Request, identity: Identity) -> web.Response | Problem:
        """A page of refusals."""
        query = read_query(request, SuppressionsQuery)
        if isinstance(query, Problem):
            return query
        which = Which(
            tenant=identity.tenant,
            with_global=query.address is not None,
            address=query.address,
            reason=None if query.reason is None else Reason(query.reason),
            stream=query.stream,
            after=query.after,
            limit=query.limit,
        )
        rows = await self._book.show(which)
        now = self._clock.now()
        shown = [_life(row) for row in rows if query.over or row.in_force(now)]
        cursor = rows[-1].id if len(rows) == query.limit else None
        return json_answer(SuppressionsAnswer(suppressions=shown, cursor=cursor))

    async def post(self, request: web.Request, identity: Identity) -> web.Response | Problem:
        """Write refusals."""
        async with self._bodies.reading(request) as body:
            if isinstance(body, Problem):
                return body
            try:
                wanted = SuppressionRequest.model_validate_json(body)
            except ValidationError as error:
                return from_validation(error)
        reason = Reason(wanted.reason)
        entries = [
            NewSuppression(identity.tenant, address, reason, wanted.stream, wanted.detail, wanted.until)
            for address in dict.fromkeys(wanted.addresses)
        ]
        added = await self._book.add(entries)
        return json_answer(AddedAnswer(added=added, known=len(entries) - added))

    async def delete(self, request: web.Request, identity: Identity) -> web.Response | Problem:
        """Take refusals back."""
        query = read_query(request, RemovalQuery)
        if isinstance(query, Problem):
            return query
        reason = None if query.reason is None else Reason(query.reason)
        which = Which(tenant=identity.tenant, address=query.address, reason=reason, stream=query.stream)
        removed = await self._book.remove(which, spare_the_recipients=reason is None)
        return json_answer(RemovedAnswer(removed=removed))


def _life(row: Standing) -> SuppressionLife:
    return SuppressionLife(
        id=row.id,
        address=row.address,
        reason=row.reason.value,
        stream=row.stream,
        detail=row.detail if row.tenant_id else "",
        times=row.times,
        created_at=row.created_at,
        last_at=row.last_at,
        until=row.until,
        everywhere=not row.tenant_id,
    )
