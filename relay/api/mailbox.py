"""A mailbox as the API takes it: "a@b.example", or "Name <a@b.example>"."""

from __future__ import annotations

import re
from typing import NamedTuple

from relay.mail.address import Address, AddressError, parse_address

_ESCAPED = re.compile(r"\\(.)")


class Mailbox(NamedTuple):
    """A display name, possibly empty, and an address."""

    name: str
    address: Address


def parse_mailbox(text: str) -> Mailbox:
    """The mailbox in `text`; AddressError says what is wrong and never repeats the text."""
    text = text.strip(" \t")
    if not text.endswith(">"):
        return Mailbox("", parse_address(text))
    name, bracket, address = text[:-1].rpartition("<")
    if not bracket:
        raise AddressError("'>' without '<'")
    return Mailbox(_display_name(name.strip(" \t")), parse_address(address))


def _display_name(text: str) -> str:
    quoted = len(text) >= 2 and text[0] == text[-1] == '"'
    if not quoted and any(c in text for c in '"<>'):
        raise AddressError("the name before '<' needs to be quoted")
    if any(ord(c) < 32 or 127 <= ord(c) < 160 or c in "\u2028\u2029" for c in text):
        raise AddressError("the name before '<' holds a control character")
    return _ESCAPED.sub(r"\1", text[1:-1]) if quoted else text
