"""A message as programs hand it to sendmail: line ends repaired, recipients read from its header, Bcc removed."""

from __future__ import annotations

import re

from relay.mail.address import Address
from relay.mail.author import parse_mailboxes
from relay.mail.header import format_address_field

_FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:")
_RECIPIENT_FIELDS = ("to", "cc", "bcc")


def with_crlf(text: bytes, *, dot_ends: bool) -> bytes:
    """`text` with CRLF line ends only, cut at a line with a single dot if `dot_ends`."""
    lines = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    if dot_ends and b"." in lines:
        lines = [*lines[: lines.index(b".")], b""]
    if lines and lines[-1] != b"":
        lines.append(b"")
    return b"\r\n".join(lines)


def split_fields(content: bytes) -> tuple[list[bytes], bytes]:
    """The header's fields, each with its folds and line end, and the rest, which begins at the empty line.

    A message whose first line is no field is all body, as sendmail has it.
    """
    fields: list[bytes] = []
    at = 0
    while at < len(content):
        end = content.find(b"\r\n", at) + 2
        line = content[at : end if end > 1 else len(content)]
        if line[:1] in {b" ", b"\t"} and fields:
            fields[-1] += line
        elif _FIELD.match(line):
            fields.append(line)
        else:
            break
        at += len(line)
    rest = content[at:]
    return fields, rest if rest.startswith(b"\r\n") else b"\r\n" + rest


def _name(field: bytes) -> str:
    return field.partition(b":")[0].strip().lower().decode("ascii")


def header_addresses(content: bytes, names: tuple[str, ...] = _RECIPIENT_FIELDS) -> list[Address]:
    """The addresses in the fields called `names`, in order. Raises HeaderError for a field that is malformed."""
    found: list[Address] = []
    for field in split_fields(content)[0]:
        if _name(field) in names:
            found += parse_mailboxes(field.partition(b":")[2].replace(b"\r\n", b""), _name(field))
    return found


def blind_recipients(content: bytes) -> bytes:
    """The message without its Bcc fields."""
    fields, rest = split_fields(content)
    return b"".join([*(field for field in fields if _name(field) != "bcc"), rest])


def add_missing_from(content: bytes, sender: Address | None, full_name: str) -> bytes:
    """The message with a From field, written from the sender when it has none."""
    fields, rest = split_fields(content)
    if sender is None or any(_name(field) == "from" for field in fields):
        return b"".join([*fields, rest])
    return b"".join([format_address_field("From", [(full_name, sender)]), *fields, rest])
