"""What Mandrill's clients post, as pydantic models: lenient where those clients are, since they cannot be changed.

Unknown fields and nulls are passed over. What Mandrill did to watch recipients (opens, clicks, analytics, a copy to
`bcc_address`) has no field here and so is not done.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from relay.api.models import Octets
from relay.api.words import Words

MOST_RECIPIENTS: Final = 10_000
_T = TypeVar("_T")
_FORMS: Final = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d")


def _none_is(default: Any) -> BeforeValidator:
    return BeforeValidator(lambda value: default() if value is None else value)


def _text(value: object) -> object:
    """A scalar as text: clients write numbers and booleans where text is meant."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


def _moment(value: object) -> object:
    """A time in UTC without a zone, as Mandrill writes it; "" is none."""
    if value is None or value == "":
        return None
    if isinstance(value, str):
        text = value.strip().removesuffix("Z").removesuffix(" UTC")[:40].partition(".")[0]
        for form in _FORMS:
            try:
                return datetime.strptime(text, form).replace(tzinfo=UTC)
            except ValueError:
                continue
    raise ValueError('write a time in UTC as "YYYY-MM-DD HH:MM:SS"')


Text = Annotated[str, BeforeValidator(_text), _none_is(str)]
Line = Annotated[Words, StringConstraints(max_length=2048), BeforeValidator(_text), _none_is(str)]
Flag = Annotated[bool, _none_is(bool)]
Moment = Annotated[datetime | None, BeforeValidator(_moment)]
Listed = Annotated[list[_T], _none_is(list)]
Entries = Annotated[dict[str, Text], Field(max_length=100), _none_is(dict)]


class Lenient(BaseModel):
    """A posted document; what nobody here knows is passed over."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class RecipientEntry(Lenient):
    """One of `to`."""

    email: Line
    name: Line = ""
    type: Annotated[Literal["to", "cc", "bcc"], _none_is(lambda: "to")] = "to"


class Var(Lenient):
    """A merge variable."""

    name: Line
    content: Text = ""


class RecipientVars(Lenient):
    """The variables of one recipient."""

    rcpt: Line
    vars: Listed[Var] = Field(default=[], max_length=500)


class RecipientValues(Lenient):
    """The metadata of one recipient."""

    rcpt: Line
    values: Entries = {}


class FileEntry(Lenient):
    """An attachment, or an image of the HTML body whose `name` is its Content-ID."""

    type: Line = ""
    name: Line = ""
    content: Octets = b""


class MessageEntry(Lenient):
    """`message` of messages/send."""

    html: Text = ""
    text: Text = ""
    subject: Line = ""
    from_email: Line = ""
    from_name: Line = ""
    to: Listed[RecipientEntry] = Field(default=[], max_length=MOST_RECIPIENTS)
    headers: Entries = {}
    important: Flag = False
    preserve_recipients: Flag = False
    merge: bool | None = None
    merge_language: Line = ""
    global_merge_vars: Listed[Var] = Field(default=[], max_length=500)
    merge_vars: Listed[RecipientVars] = Field(default=[], max_length=MOST_RECIPIENTS)
    tags: Listed[Line] = Field(default=[], max_length=20)
    subaccount: Line = ""
    metadata: Entries = {}
    recipient_metadata: Listed[RecipientValues] = Field(default=[], max_length=MOST_RECIPIENTS)
    attachments: Listed[FileEntry] = Field(default=[], max_length=100)
    images: Listed[FileEntry] = Field(default=[], max_length=100)


class SendCall(Lenient):
    """messages/send."""

    message: MessageEntry
    send_at: Moment = None


class SendRawCall(Lenient):
    """messages/send-raw; without `to` the header's To, Cc and Bcc get it."""

    raw_message: str
    from_email: Line = ""
    to: Listed[Line] = Field(default=[], max_length=MOST_RECIPIENTS)
    send_at: Moment = None


class IdCall(Lenient):
    """A call about one message."""

    id: Line


class TagCall(Lenient):
    """A call about one tag."""

    tag: Line


class RescheduleCall(IdCall):
    """messages/reschedule."""

    send_at: Moment = None


class SearchCall(Lenient):
    """messages/search."""

    query: Line = ""
    date_from: Moment = None
    date_to: Moment = None
    tags: Listed[Line] = Field(default=[], max_length=20)
    senders: Listed[Line] = Field(default=[], max_length=20)
    limit: Annotated[int, Field(ge=1, le=1000), _none_is(lambda: 100)] = 100


class ScheduledCall(Lenient):
    """messages/list-scheduled."""

    to: Line = ""


class RefusalCall(Lenient):
    """rejects/* and allowlists/*."""

    email: Line = ""
    comment: Annotated[Words, AfterValidator(lambda text: text[:500]), _none_is(str)] = ""
    include_expired: Flag = False


class WebhookCall(Lenient):
    """webhooks/*."""

    id: int = 0
    url: Line = ""
    description: Annotated[Words, AfterValidator(lambda text: text[:200]), _none_is(str)] = ""
    events: Annotated[list[Line], Field(max_length=50)] | None = None
