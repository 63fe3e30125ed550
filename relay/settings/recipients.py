"""The sections of what recipients want: complaints, unsubscribe, suppression."""

from __future__ import annotations

import re
from datetime import timedelta

from pydantic import Field, field_validator

from relay.settings.values import Duration, Flag, Number, Section, Whole


class ComplaintSettings(Section):
    """The brake: a stream whose complaints reach a rate is slowed, then stopped, until `leak queue resume`."""

    brake: Flag = Field(True, description="Whether complaints slow and stop streams.")
    slow: Number = Field(0.001, gt=0, lt=1, description="Complaints among deliveries from which a stream is slowed.")
    stop: Number = Field(0.003, gt=0, lt=1, description="And from which it is stopped.")
    enough: Whole = Field(
        500, ge=1, description="Deliveries from which the plain rate counts; below, only what chance does not explain."
    )
    window: Duration = Field(timedelta(days=7), description="The time that is counted.")
    per_minute: Whole = Field(60, ge=1, description="Deliveries a minute of a slowed stream, a node.")


class UnsubscribeSettings(Section):
    """One-click unsubscribe (RFC 8058): a link of ours in each mail, one recipient a message."""

    streams: tuple[str, ...] = Field(
        (), description="Streams that offer it, whatever their messages say.", examples=[["news", "offers"]]
    )
    base_url: str = Field(
        "",
        description='Where `/u/` answers the public; "" = `web.base_url`. Receivers follow https:// only.',
        examples=["https://leak.example"],
    )

    @field_validator("base_url")
    @classmethod
    def _base_url(cls, value: str) -> str:
        if value and not re.fullmatch(r"https?://[A-Za-z0-9.\-\[\]:]+", value):
            raise ValueError("write http:// or https:// and a host, without a path")
        return value


class SuppressionSettings(Section):
    """How long a host's word about an address holds; what people say holds for good."""

    hard_bounce: Duration = Field(
        timedelta(days=90), description="How long an address that nobody has is suppressed; doubled each time."
    )
    soft_bounce: Duration = Field(
        timedelta(days=14), description="How long one that failed again and again is; doubled each time."
    )
    soft_bounces: Whole = Field(5, ge=1, description="Messages that fail in a row before it is.")
    soft_span: Duration = Field(timedelta(days=3), description="The least time over which they must be spread.")
    soft_memory: Duration = Field(
        timedelta(days=30), description="After so long without a failure counting starts again."
    )
    longest: Duration = Field(timedelta(days=730), description="The longest that either holds.")
