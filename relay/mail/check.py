"""Is this lawful mail? The one check every submission passes before it is signed and kept.

Second step of the path, inside intake. It refuses what a receiver could read differently from us (bare CR or
LF, NUL, over-long lines, duplicate fields, doubtful authors) and takes out the fields that must not leave
(RFC 5322 §3.6.3, RFC 5321 §4.4); everything else stays byte for byte and in order. The body is not parsed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from relay.mail.address import Address
from relay.mail.author import parse_mailboxes
from relay.mail.header import MAX_LINE, Field, HeaderError, join_fields, parse_fields, split_content
from relay.smtp.reply import Reply, reply

_SINGLETONS: Final = {
    name.lower().encode(): name
    for name in (
        "Date",
        "From",
        "Sender",
        "Reply-To",
        "To",
        "Cc",
        "Message-ID",
        "In-Reply-To",
        "References",
        "Subject",
    )
}
"""At most one of each (RFC 5322 §3.6), by lower-case name."""

_PRIVATE: Final = {b"return-path": "Return-Path", b"bcc": "Bcc", b"resent-bcc": "Resent-Bcc"}


class ContentError(ValueError):
    """The content is refused: `reply` is what SMTP says, `field` the header field it concerns ("" = none)."""

    def __init__(self, reply: Reply, field: str = "") -> None:
        super().__init__(str(reply))
        self.reply = reply
        self.field = field


@dataclass(frozen=True, slots=True)
class Checked:
    """Lawful content. `header` and `fields` are what may leave; the fields in `removed` are no longer in them."""

    header: bytes
    fields: tuple[Field, ...]
    body: bytes
    author: Address
    """The first mailbox of From; every other author has the same domain."""
    authors: tuple[Address, ...]
    sender: Address | None
    """The mailbox of Sender, None if there is no such field."""
    has_date: bool
    has_message_id: bool
    message_id: str
    """The value of Message-ID as written, or empty."""
    eight_bit: bool
    """Whether the body holds octets above 127."""
    utf8_header: bool
    """Whether the header does: the message then needs SMTPUTF8 (RFC 6531 §3.4)."""
    removed: tuple[str, ...]


def check_content(raw: bytes, *, smtputf8: bool, max_received: int = 50) -> Checked:
    """Check a message with CRLF line ends. Raises ContentError with the reply to give.

    `smtputf8` says whether the envelope declared it; `max_received` is the loop limit (RFC 5321 §6.3).
    """
    check_octets(raw)
    try:
        header, body = split_content(raw)
        fields = parse_fields(header)
        utf8_header = not header.isascii()
        if utf8_header:
            _check_utf8(header, smtputf8=smtputf8)
        single, removed = _sort(fields, max_received)
        authors, sender = _authors(single)
    except HeaderError as error:
        raise malformed(error) from None
    if removed:
        fields = tuple(field for field in fields if field.key not in _PRIVATE)
        header = join_fields(fields)
    message_id = single.get(b"message-id")
    return Checked(
        header=header,
        fields=fields,
        body=body,
        author=authors[0],
        authors=authors,
        sender=sender,
        has_date=b"date" in single,
        has_message_id=message_id is not None,
        message_id=message_id.value.decode("utf-8") if message_id else "",
        eight_bit=not body.isascii(),
        utf8_header=utf8_header,
        removed=removed,
    )


def check_octets(raw: bytes) -> None:
    """Raise ContentError for a NUL, a CR or LF outside a CRLF, or a line longer than 998 octets."""
    if b"\0" in raw:
        raise ContentError(reply(550, "5.6.11", "the message contains a NUL octet"))
    pairs = raw.count(b"\r\n")
    if raw.count(b"\n") != pairs or raw.count(b"\r") != pairs:
        raise ContentError(reply(550, "5.6.11", "the message contains a CR or LF outside a CRLF line end"))
    if _has_long_line(raw):
        raise ContentError(reply(550, "5.6.0", f"the message contains a line longer than {MAX_LINE} octets"))


def _has_long_line(raw: bytes) -> bool:
    """Hop from line end to line end, each time as far as a lawful line could reach."""
    position = 0
    while len(raw) - position > MAX_LINE:
        end = raw.rfind(b"\n", position, position + MAX_LINE + 2)
        if end < 0:
            return True
        position = end + 1
    return False


def _check_utf8(header: bytes, *, smtputf8: bool) -> None:
    if not smtputf8:
        raise ContentError(reply(550, "5.6.7", "the header contains non-ASCII octets and SMTPUTF8 was not declared"))
    try:
        header.decode("utf-8")
    except UnicodeDecodeError:
        raise HeaderError("the header is not valid UTF-8") from None


def _sort(fields: tuple[Field, ...], max_received: int) -> tuple[dict[bytes, Field], tuple[str, ...]]:
    """The fields that may occur once, by name, and the names of those that must not leave."""
    single: dict[bytes, Field] = {}
    removed: list[str] = []
    received = 0
    for field in fields:
        key = field.key
        if key in _SINGLETONS:
            if key in single:
                raise HeaderError("the field occurs more than once", _SINGLETONS[key])
            single[key] = field
        elif key == b"received":
            received += 1
        elif key in _PRIVATE:
            removed.append(_PRIVATE[key])
    if received > max_received:
        raise ContentError(reply(554, "5.4.6", "mail loop: too many Received fields"), "Received")
    return single, tuple(removed)


def _authors(single: dict[bytes, Field]) -> tuple[tuple[Address, ...], Address | None]:
    if b"from" not in single:
        raise HeaderError("the field is missing", "From")
    authors = parse_mailboxes(single[b"from"].value, "From")
    if not authors:
        raise HeaderError("the field names no author", "From")
    sender: Address | None = None
    if b"sender" in single:
        senders = parse_mailboxes(single[b"sender"].value, "Sender")
        if len(senders) != 1:
            raise HeaderError("the field must name exactly one mailbox", "Sender")
        sender = senders[0]
    if any(author.domain != authors[0].domain for author in authors):
        raise ContentError(reply(550, "5.7.1", "From: the authors are of more than one domain"), "From")
    if len(authors) > 1 and sender is None:
        raise HeaderError("several authors need a Sender field", "From")
    return authors, sender


def malformed(error: HeaderError) -> ContentError:
    """The refusal that an unlawful header means."""
    return ContentError(reply(550, "5.6.0", f"malformed header: {error}"), error.field)
