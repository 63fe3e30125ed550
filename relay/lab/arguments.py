"""What follows MAIL and RCPT, read strictly: path and parameters (RFC 5321 §4.1.2)."""

from __future__ import annotations

import re

from relay.mail.address import AddressError, parse_address

_PATH = re.compile(r"<(?P<path>(?:\"(?:[^\"\\]|\\.)*\"|[^<>\"])*)>(?P<rest>(?: .*)?)")
_PARAMETER = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*(?:=[!-~\u00a0-\U0010ffff]+)?")


def path_of(argument: str, keyword: str) -> tuple[str, list[str]] | None:
    """The path and parameters of MAIL or RCPT, or None for a syntax error; a source route is dropped."""
    if argument[: len(keyword)].upper() != keyword:
        return None
    match = _PATH.fullmatch(argument[len(keyword) :].strip())
    if match is None:
        return None
    parameters = match["rest"].split()
    if len(parameters) > 20 or not all(_PARAMETER.fullmatch(p) for p in parameters):
        return None
    path = match["path"]
    return (path.partition(":")[2] if path.startswith("@") else path), parameters


def is_address(text: str) -> bool:
    """Whether the path's text is a mailbox; address literals are."""
    try:
        parse_address(text, allow_literal=True)
    except AddressError:
        # RCPT TO:<postmaster> without a domain is lawful everywhere (RFC 5321 §4.1.1.3).
        return text.lower() == "postmaster"
    return True


def declared_size(parameters: list[str]) -> int:
    """Octets announced by SIZE= (RFC 1870 §3), 0 without it."""
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.upper() == "SIZE" and value.isascii() and value.isdecimal():
            return int(value[:20])
    return 0
