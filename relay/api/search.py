"""Looking for messages over HTTP: one's own, the newest first, by recipient, sender, tag, stream, state and time."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Literal

from aiohttp import web
from pydantic import AwareDatetime, BaseModel, Field, StringConstraints

from relay.account.identity import Identity
from relay.api.dependencies import ApiDependencies
from relay.api.operation import Operation, json_answer
from relay.api.problem import Problem
from relay.api.query import Query, read_query
from relay.ids import delivery_id
from relay.policy.state import State
from relay.spool.inquiry import FoundMessage, MessageFilter

_STATES = {state.label: state for state in State}
Address = Annotated[str, StringConstraints(max_length=320, pattern=re.compile(r"^[^\x00]*$"))]
Label = Annotated[str, StringConstraints(max_length=64, pattern=re.compile(r"^[^\x00]*$"))]
StateName = Literal[
    "waiting", "leased", "held", "delivered", "bounced", "expired", "suppressed", "cancelled", "returned"
]


class SearchQuery(Query):
    """What is looked for; everything given must fit."""

    recipient: Address = Field("", description="An address among its recipients.")
    sender: Address = Field("", description="The envelope sender.")
    tag: Label = Field("", description="One of its tags.")
    stream: Label = Field("", description="Its stream.")
    state: StateName | None = Field(None, description="One of its deliveries is in this state.")
    after: AwareDatetime | None = Field(None, description="Accepted at this time or later, with its zone.")
    before: AwareDatetime | None = Field(None, description="Accepted before this time, with its zone.")
    cursor: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{1,15}$")] | None = Field(
        None, description="That of the page before."
    )
    limit: int = Field(100, ge=1, le=1000)


class RecipientFound(BaseModel):
    """Where one recipient stands; `address` is null once it was erased."""

    address: str | None
    delivery_id: str
    state: str


class MessageFound(BaseModel):
    """A message, with its first ten recipients."""

    id: str
    created_at: datetime
    sender: str
    stream: str
    tags: list[str]
    size: int
    unfinished: int = Field(description="Deliveries that are not final.")
    recipients: list[RecipientFound]


class SearchAnswer(BaseModel):
    """Messages, the newest first."""

    messages: list[MessageFound]
    cursor: str | None = Field(description="Go on with it; null at the end. A page before the end may be short.")


class Search:
    """The operation that looks for messages."""

    def __init__(self, dependencies: ApiDependencies) -> None:
        self._spool = dependencies.spool

    def operations(self) -> tuple[Operation, ...]:
        """What this part adds to the API."""
        return (
            Operation(
                "findMessages",
                "GET",
                "/api/v1/messages",
                "The caller's messages that fit, the newest first.",
                SearchAnswer,
                (401, 422, 429, 503),
                keyed=self.get,
                query=SearchQuery,
            ),
        )

    async def get(self, request: web.Request, identity: Identity) -> web.Response | Problem:
        """A page of messages."""
        query = read_query(request, SearchQuery)
        if isinstance(query, Problem):
            return query
        page = await self._spool.search(
            MessageFilter(
                tenant=identity.tenant,
                recipient=query.recipient,
                sender=query.sender,
                tag=query.tag,
                stream=query.stream,
                state=None if query.state is None else _STATES[query.state],
                after=query.after,
                before=query.before,
                cursor=None if query.cursor is None else int(query.cursor, 16),
                limit=query.limit,
            )
        )
        cursor = None if page.cursor is None else f"{page.cursor:x}"
        return json_answer(SearchAnswer(messages=[_found(one) for one in page.messages], cursor=cursor))


def _found(message: FoundMessage) -> MessageFound:
    return MessageFound(
        id=message.id,
        created_at=message.accepted_at,
        sender=message.reverse_path,
        stream=message.stream,
        tags=list(message.tags),
        size=message.size,
        unfinished=message.unfinished,
        recipients=[
            RecipientFound(address=one.recipient, delivery_id=delivery_id(message.id, one.n), state=one.state.label)
            for one in message.deliveries
        ],
    )
