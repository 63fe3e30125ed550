"""A complete mail from its parts: what the HTTP API and the web front submit.

Before intake, which adds Date, Message-ID, Received and the signature. The result is pure seven-bit MIME with
CRLF line ends unless a mailbox itself is UTF-8; it looks the same whoever composed it, and its field
names are read back and compared before it leaves this module, so no value can have become a field of its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

from relay.ids import Entropy, base32
from relay.mail.address import Address
from relay.mail.content_type import media_type, parameters
from relay.mail.encoding import base64_lines, encode_text
from relay.mail.header import (
    MAX_LINE,
    HeaderError,
    check_name,
    check_text,
    fold_field,
    format_address_field,
    format_field,
    parse_fields,
)

Mailbox = tuple[str, Address]
"""A display name, perhaps empty, and an address."""

MAX_FILENAME: Final = 255

_OWNED: Final = frozenset(
    {
        *("from", "sender", "to", "cc", "bcc", "reply-to", "subject", "date", "message-id", "mime-version"),
        *("received", "return-path", "dkim-signature", "authentication-results", "received-spf"),
    }
)
_OWNED_PREFIXES: Final = ("content-", "resent-", "arc-")
_ASCII_ONLY: Final = ("list-", "in-reply-to", "references")
_PLAIN_FILENAME = re.compile(r"[A-Za-z0-9 ._\-()+,@\[\]]{1,60}")
_CONTENT_ID = re.compile(r"[A-Za-z0-9._\-+@]{1,120}")
_PIECE: Final = 50


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file in a draft. With `content_id` it is an image of the HTML body, shown where `cid:` names it."""

    filename: str
    content_type: str
    content: bytes
    content_id: str = ""


@dataclass(frozen=True, slots=True)
class Draft:
    """A mail as its sender thinks of it. Bodies may use any line ends; an empty one is left out beside the other."""

    sender: Mailbox
    to: tuple[Mailbox, ...] = ()
    cc: tuple[Mailbox, ...] = ()
    reply_to: tuple[Mailbox, ...] = ()
    subject: str = ""
    text: str = ""
    html: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    attachments: tuple[Attachment, ...] = ()


@dataclass(frozen=True, slots=True)
class _Part:
    """A MIME entity: its own fields, and a body that ends with CRLF."""

    fields: bytes
    body: bytes


def compose(draft: Draft, entropy: Entropy) -> bytes:
    """The mail as content with CRLF line ends, without Date and Message-ID.

    Raises HeaderError whose `field` is the header's name or, for bodies and files, `text`, `html`,
    `attachments[0].filename` and the like.
    """
    fields = [*_own_fields(draft), b"MIME-Version: 1.0\r\n"]
    part = _content(draft, entropy)
    header = b"".join([*fields, part.fields])
    expected = [line.partition(b":")[0] for line in fields]
    written = [found.name for found in parse_fields(header)]
    own, described = written[: len(expected)], written[len(expected) :]
    if own != expected or not all(name.startswith(b"Content-") for name in described):
        raise HeaderError("the header does not read back as it was written")
    return header + b"\r\n" + part.body


def heading(draft: Draft) -> bytes:
    """The fields that `compose` begins with, for whoever shows them: no body is encoded for that.

    Raises HeaderError for whatever `compose` refuses in a draft without files.
    """
    for name, text in (("text", draft.text), ("html", draft.html)):
        _check_body(text, name)
    return b"".join(_own_fields(draft))


def _own_fields(draft: Draft) -> list[bytes]:
    return [*_address_fields(draft), *_subject(draft.subject), *_custom_fields(draft.headers)]


def _address_fields(draft: Draft) -> list[bytes]:
    fields = [format_address_field("From", [draft.sender])]
    for name, mailboxes in (("To", draft.to), ("Cc", draft.cc), ("Reply-To", draft.reply_to)):
        if mailboxes:
            fields.append(format_address_field(name, mailboxes))
    if not draft.to and not draft.cc:
        fields.insert(1, b"To: undisclosed-recipients:;\r\n")
    return fields


def _subject(subject: str) -> list[bytes]:
    check_text("Subject", subject)
    return [format_field("Subject", subject)] if subject.strip(" \t") else []


def _custom_fields(headers: Mapping[str, str]) -> list[bytes]:
    seen: set[str] = set()
    fields: list[bytes] = []
    for name, value in headers.items():
        check_name(name)
        key = name.lower()
        if key in _OWNED or key.startswith(_OWNED_PREFIXES):
            raise HeaderError("this field cannot be set by hand", name)
        if key in seen:
            raise HeaderError("the field occurs more than once", name)
        if key.startswith(_ASCII_ONLY) and not value.isascii():
            raise HeaderError("this field must be ASCII", name)
        seen.add(key)
        fields.append(format_field(name, value))
    return fields


def _content(draft: Draft, entropy: Entropy) -> _Part:
    inline = [(n, a) for n, a in enumerate(draft.attachments) if a.content_id and draft.html]
    attached = [(n, a) for n, a in enumerate(draft.attachments) if not (a.content_id and draft.html)]
    bodies: list[_Part] = []
    if draft.text or not draft.html:
        bodies.append(_text_part("plain", draft.text, "text"))
    if draft.html:
        html = _text_part("html", draft.html, "html")
        if inline:
            html = _multipart("related", [html, *(_file_part(a, f"attachments[{n}]") for n, a in inline)], entropy)
        bodies.append(html)
    body = bodies[0] if len(bodies) == 1 else _multipart("alternative", bodies, entropy)
    if not attached:
        return body
    return _multipart("mixed", [body, *(_file_part(a, f"attachments[{n}]") for n, a in attached)], entropy)


def _text_part(subtype: str, text: str, name: str) -> _Part:
    _check_body(text, name)
    encoded = encode_text(text)
    fields = f"Content-Type: text/{subtype}; charset={encoded.charset}\r\n"
    return _Part(f"{fields}Content-Transfer-Encoding: {encoded.encoding}\r\n".encode(), encoded.body)


def _check_body(text: str, name: str) -> None:
    if "\0" in text:
        raise HeaderError("a body must not contain NUL", name)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise HeaderError("a body must be valid Unicode", name) from None


def _multipart(subtype: str, parts: Sequence[_Part], entropy: Entropy) -> _Part:
    # "=_" can stand in no quoted-printable or base64 body; random octets and a look take care of the rest.
    boundary = "=_" + base32(entropy.bytes(15))
    while any(boundary.encode() in part.body or boundary.encode() in part.fields for part in parts):
        boundary = "=_" + base32(entropy.bytes(15))
    fields = f'Content-Type: multipart/{subtype}; boundary="{boundary}"\r\n'.encode()
    pieces = [b"--%b\r\n%b\r\n%b\r\n" % (boundary.encode(), part.fields, part.body) for part in parts]
    return _Part(fields, b"".join([*pieces, b"--%b--\r\n" % boundary.encode()]))


def _file_part(attachment: Attachment, name: str) -> _Part:
    fields = [_file_type(attachment.content_type, f"{name}.content_type")]
    if fields[0].lower().startswith(b"content-type: message/"):
        encoding, body = "7bit", _message_body(attachment.content, f"{name}.content")
    else:
        encoding, body = "base64", base64_lines(attachment.content) + b"\r\n"
    fields.append(f"Content-Transfer-Encoding: {encoding}\r\n".encode())
    if attachment.content_id:
        if not _CONTENT_ID.fullmatch(attachment.content_id):
            raise HeaderError("a content id is letters, digits and . _ - + @", f"{name}.content_id")
        fields.append(f"Content-ID: <{attachment.content_id}>\r\n".encode())
    fields.append(_disposition(attachment, f"{name}.filename"))
    return _Part(b"".join(fields), body)


def _file_type(content_type: str, name: str) -> bytes:
    """The Content-Type of a file; containers are refused, since a file is never cut into parts."""
    value = content_type or "application/octet-stream"
    check_text(name, value)
    kind = media_type(value.encode())
    if kind is None or not value.isascii():
        raise HeaderError("a content type looks like 'image/png'", name)
    try:
        parameters(value.encode())
    except HeaderError as error:
        raise HeaderError(error.reason, name) from None
    if kind[0] == "multipart" or (kind[0] == "message" and kind[1] in {"partial", "external-body"}):
        raise HeaderError("this content type cannot be attached", name)
    return fold_field("Content-Type", value)


def _message_body(content: bytes, name: str) -> bytes:
    """A message within may not be encoded (RFC 2045 §6.4), so it must already fit."""
    lines = content.split(b"\r\n")
    if not content.isascii() or any(len(line) > MAX_LINE or re.search(rb"[\x00\r\n]", line) for line in lines):
        raise HeaderError("an attached message must be ASCII with CRLF line ends", name)
    return content if content.endswith(b"\r\n") else content + b"\r\n"


def _disposition(attachment: Attachment, name: str) -> bytes:
    """Content-Disposition with the file's name, as RFC 2231 pieces where a quoted string cannot hold it."""
    filename = attachment.filename
    check_text(name, filename)
    if len(filename) > MAX_FILENAME:
        raise HeaderError(f"a file name is at most {MAX_FILENAME} characters", name)
    kind = "inline" if attachment.content_id else "attachment"
    if not filename:
        return f"Content-Disposition: {kind}\r\n".encode()
    if _PLAIN_FILENAME.fullmatch(filename):
        return f'Content-Disposition: {kind};\r\n filename="{filename}"\r\n'.encode()
    pieces = _extended(filename)
    if len(pieces) == 1:
        return f"Content-Disposition: {kind};\r\n filename*={pieces[0]}\r\n".encode()
    lines = [f" filename*{n}*={piece}" for n, piece in enumerate(pieces)]
    return (f"Content-Disposition: {kind};\r\n" + ";\r\n".join(lines) + "\r\n").encode()


def _extended(text: str) -> list[str]:
    """`text` percent-encoded (RFC 2231 §4), in pieces that keep characters whole; the first names the charset."""
    pieces = ["UTF-8''"]
    for character in text:
        encoded = quote(character, safe="")
        if len(pieces[-1]) + len(encoded) > _PIECE:
            pieces.append("")
        pieces[-1] += encoded
    return pieces
