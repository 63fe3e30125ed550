"""The documents of webhooks in the HTTP API, as pydantic models."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from relay.api.events import CursorText, Kinds
from relay.api.query import Query
from relay.api.words import Words


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class WebhookRequest(_Request):
    """A place to post events to."""

    url: str = Field(max_length=2000, description="An https:// URL of a public host.")
    kinds: Kinds = Field((), description="The kinds of events to tell; none = all, those of later versions too.")
    form: Literal["standard", "mandrill"] = Field("standard", description="Standard Webhooks, or Mandrill's form.")
    description: Words = Field("", max_length=200)
    after: CursorText | None = Field(None, description="Tell what came after this cursor too; default: from now on.")


class ReplayRequest(_Request):
    """What to tell again: everything after a cursor, or single events."""

    after: CursorText | None = None
    events: list[str] = Field(default=[], max_length=100, description="Ids of events.")

    @model_validator(mode="after")
    def _one_of_them(self) -> ReplayRequest:
        if (self.after is None) == (not self.events):
            raise ValueError("name either after or events")
        return self


class WebhookLife(BaseModel):
    """A webhook as it stands."""

    id: int
    url: str
    kinds: list[str]
    form: str
    description: str
    created_at: datetime
    enabled: bool
    disabled_at: datetime | None
    disabled_why: str
    cursor: str = Field(description="Everything up to here was told, but for what is parked.")
    parked: int = Field(description="Events the receiver refused while it took others; each is tried again.")
    failures: int = Field(description="Posts that failed in a row, up to now.")
    failing_since: datetime | None
    next_post: datetime | None = Field(description="When it is asked again, while it is down.")
    taken_at: datetime | None = Field(description="When it last took a post.")


class WebhookMade(WebhookLife):
    """A webhook with its secret, which is shown this once."""

    secret: str


class WebhookList(BaseModel):
    """The caller's webhooks."""

    webhooks: list[WebhookLife]


class PostLife(BaseModel):
    """One post. `status` is HTTP's, null without an answer; `error` is empty when it was taken."""

    at: datetime
    event: str
    attempt: int
    status: int | None
    millis: int
    error: str


class PostList(BaseModel):
    """The latest posts, the newest first."""

    posts: list[PostLife]


class PostsQuery(Query):
    """How many posts to show."""

    limit: int = Field(100, ge=1, le=1000)
