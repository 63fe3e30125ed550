"""A message as programs hand it to sendmail: line ends repaired, recipients read from its header, Bcc removed."""

from __future__ import annotations

import re
from email.headerregistry import Address as DisplayAddress
from email.utils import getaddresses

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


def header_addresses(content: bytes, names: tuple[str, ...] = _RECIPIENT_FIELDS) -> list[str]:
    """The addresses in the fields called `names`, in order; comments and groups are understood (RFC 5322 §3.4)."""
    found: list[str] = []
    for field in split_fields(content)[0]:
        if _name(field) in names:
            value = field.partition(b":")[2].replace(b"\r\n", b"").decode("utf-8", "replace")
            found += address_list(value)
    return found


def address_list(text: str) -> list[str]:
    """The bare addresses in a list such as "Ann <a@b.example>, c@d.example"."""
    return [address for _, address in getaddresses([text], strict=False) if address]


def blind_recipients(content: bytes) -> bytes:
    """The message without its Bcc fields."""
    fields, rest = split_fields(content)
    return b"".join([*(field for field in fields if _name(field) != "bcc"), rest])


def add_missing_from(content: bytes, sender: str, full_name: str) -> bytes:
    """The message with a From field, written from the sender when it has none."""
    fields, rest = split_fields(content)
    if not sender or any(_name(field) == "from" for field in fields):
        return b"".join([*fields, rest])
    local, _, domain = sender.rpartition("@")
    clean = "".join(c for c in full_name if c.isprintable())
    author = str(DisplayAddress(clean, local, domain)) if clean else sender
    return b"".join([f"From: {author}\r\n".encode(), *fields, rest])
