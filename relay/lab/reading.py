"""A mail as a person reads it: header fields, text, HTML and attachments out of hostile octets.

Between the inbox and its pages. Nothing here raises for what a mail contains: what cannot be understood is
shown as it came, and what would cost too much (nesting, endless headers) is not taken apart at all.
"""

from __future__ import annotations

import contextlib
import email
import email.errors
import email.header
import email.message
import email.policy
import email.utils
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from relay.lab.cleaning import plain

MAX_PARTS: Final = 200
MAX_HEADER: Final = 262_144
MAX_FIELD: Final = 8192
MAX_TEXT: Final = 1_000_000
_MAX_MULTIPARTS = 30
_MAX_ADDRESSES = 200
_HAYSTACK = 20_000
_SUMMARISED = 2_000_000
_SNIPPET = 250
_BROKEN = (
    email.errors.MessageError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    AssertionError,
    RecursionError,
)
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Mailbox:
    """One address of a header field, as decoded text."""

    name: str
    address: str

    def __str__(self) -> str:
        return f"{self.name} <{self.address}>" if self.name else self.address


@dataclass(frozen=True, slots=True)
class Summary:
    """What a list shows of a mail, all of it text of the sender's choosing."""

    message_id: str
    sender: Mailbox
    to: tuple[Mailbox, ...]
    cc: tuple[Mailbox, ...]
    bcc: tuple[Mailbox, ...]
    """Envelope recipients that no header names."""
    reply_to: tuple[Mailbox, ...]
    subject: str
    date: datetime | None
    snippet: str
    attachments: int
    haystack: str = field(repr=False)
    """What a search looks through, in lower case."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """One part that is neither the text nor the HTML; `part_id` counts parts as "1", "2"…"""

    part_id: str
    file_name: str
    content_type: str
    content_id: str
    inline: bool
    data: bytes = field(repr=False)

    def checksums(self) -> dict[str, str]:
        """MD5, SHA1 and SHA256 in hexadecimal, for comparing files, not for trust."""
        return {
            "MD5": hashlib.md5(self.data, usedforsecurity=False).hexdigest(),
            "SHA1": hashlib.sha1(self.data, usedforsecurity=False).hexdigest(),
            "SHA256": hashlib.sha256(self.data).hexdigest(),
        }


@dataclass(frozen=True, slots=True)
class Reading:
    """The bodies and attachments of a mail; `trouble` says what could not be read."""

    text: str
    html: str
    attachments: tuple[Attachment, ...]
    trouble: str = ""


def header_fields(content: bytes) -> list[tuple[str, str]]:
    """The header fields in order, unfolded but undecoded; what is no field is dropped. At most 256 KiB are read."""
    head = content[:MAX_HEADER].partition(b"\r\n\r\n")[0]
    fields: list[tuple[str, str]] = []
    for line in head.split(b"\r\n"):
        text = line.decode("utf-8", "replace")
        if text[:1] in (" ", "\t") and fields:
            name, value = fields[-1]
            if len(value) < 2 * MAX_FIELD:
                fields[-1] = (name, value + text)
            continue
        name, colon, value = text.partition(":")
        if colon and name.strip() and " " not in name.strip():
            fields.append((name.strip(), value.strip()))
    return fields


def first_field(fields: Sequence[tuple[str, str]], name: str) -> str:
    """The value of the first field of that name, undecoded, or ""."""
    return next((value for key, value in fields if key.lower() == name), "")


def decoded(value: str) -> str:
    """A field's value with its encoded words decoded (RFC 2047), without control characters."""
    value = value[:MAX_FIELD]
    if "=?" in value:
        with contextlib.suppress(*_BROKEN):  # what cannot be decoded is shown as it came
            value = str(email.header.make_header(email.header.decode_header(value)))
    return "".join(c if c.isprintable() else " " for c in value.encode("utf-8", "replace").decode())


def mailboxes(fields: Sequence[tuple[str, str]], name: str) -> tuple[Mailbox, ...]:
    """The addresses of all fields of that name, for show and search, never for rights."""
    values = [value[:MAX_FIELD] for key, value in fields if key.lower() == name][:20]
    try:
        pairs = email.utils.getaddresses(values)
    except _BROKEN:
        return ()
    return tuple(Mailbox(decoded(n), decoded(a)) for n, a in pairs if n or a)[:_MAX_ADDRESSES]


def read(content: bytes) -> Reading:
    """Take the body apart."""
    if content[:MAX_HEADER].find(b"\r\n\r\n") < 0:
        return Reading("", "", (), "the header does not end within 256 KiB" if len(content) > MAX_HEADER else "")
    if content.lower().count(b"multipart/") > _MAX_MULTIPARTS:
        return Reading("", "", (), "nested too deep to be taken apart; see the source")
    try:
        parsed = email.message_from_bytes(content, policy=email.policy.compat32)
        return _sorted_parts(parsed)
    except _BROKEN as error:
        return Reading("", "", (), f"the MIME structure cannot be read ({type(error).__name__}); see the source")


def _sorted_parts(parsed: email.message.Message) -> Reading:
    texts: list[str] = []
    pages: list[str] = []
    attachments: list[Attachment] = []
    trouble = ""
    for number, part in enumerate(_leaves(parsed), 1):
        if number > MAX_PARTS:
            trouble = f"more than {MAX_PARTS} parts; the rest is not shown"
            break
        data = _payload(part)
        kind = part.get_content_type()
        name = decoded(part.get_filename() or "")
        disposition = str(part.get_content_disposition() or "")
        if kind == "text/plain" and disposition != "attachment" and not name:
            texts.append(_as_text(part, data))
        elif kind == "text/html" and disposition != "attachment" and not name:
            pages.append(_as_text(part, data))
        else:
            content_id = decoded(str(part.get("Content-ID") or "")).strip("<> ")
            inline = disposition == "inline" or bool(content_id)
            attachments.append(Attachment(str(number), name, kind[:200], content_id, inline, data))
    return Reading("\n".join(texts)[:MAX_TEXT], "\n".join(pages)[:MAX_TEXT], tuple(attachments), trouble)


def _leaves(parsed: email.message.Message) -> Iterator[email.message.Message]:
    for part in parsed.walk():
        if not part.is_multipart():
            yield part


def _payload(part: email.message.Message) -> bytes:
    data = part.get_payload(decode=True)
    return data if isinstance(data, bytes) else b""


def _as_text(part: email.message.Message, data: bytes) -> str:
    charset = str(part.get_content_charset() or "utf-8")
    try:
        text = data[: 4 * MAX_TEXT].decode(charset, "replace")
    except (LookupError, ValueError, TypeError):
        text = data[: 4 * MAX_TEXT].decode("utf-8", "replace")
    return text.replace("\r\n", "\n").replace("\x00", "\ufffd")


def summarise(content: bytes, recipients: Sequence[str]) -> Summary:
    """What lists and searches need; `recipients` are those of the envelope."""
    fields = header_fields(content)
    reading = read(content[:_SUMMARISED])
    to, cc, bcc = (mailboxes(fields, name) for name in ("to", "cc", "bcc"))
    named = {box.address.lower() for box in (*to, *cc, *bcc)}
    bcc += tuple(Mailbox("", r) for r in recipients[:_MAX_ADDRESSES] if r.lower() not in named)
    sender = next(iter(mailboxes(fields, "from")), Mailbox("", ""))
    subject = decoded(first_field(fields, "subject"))
    text = _SPACE.sub(" ", reading.text[:_HAYSTACK] or plain(reading.html[:_HAYSTACK])).strip()
    people = " ".join(str(box) for box in (sender, *to, *cc, *bcc))
    return Summary(
        message_id=decoded(first_field(fields, "message-id")).strip("<> "),
        sender=sender,
        to=to,
        cc=cc,
        bcc=bcc,
        reply_to=mailboxes(fields, "reply-to"),
        subject=subject,
        date=_date(first_field(fields, "date")),
        snippet=text[:_SNIPPET],
        attachments=len(reading.attachments),
        haystack=f"{subject} {people} {text}".lower(),
    )


def _date(value: str) -> datetime | None:
    try:
        parsed = email.utils.parsedate_to_datetime(value[:200])
        return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
