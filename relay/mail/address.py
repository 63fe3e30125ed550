"""The mail address: one type, built only by a strict parser, used from the door to the wire.

The address that was checked is the address that is used. A control character, a line break or an octet
outside the grammar cannot exist in an `Address`, so no command or header can be injected through one
(RFC 5321 §4.1.2, §4.5.3.1; RFC 6531 §3.3 for UTF-8; CVE-2025-7962 and CVE-2026-30227 are what happens
otherwise). Local parts keep every octet they came with, quotes included; domains are compared without
case, so they are kept as lower-case A-labels (IDNA 2008 with the UTS 46 mapping).
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import idna

MAX_LOCAL: Final = 64
MAX_DOMAIN: Final = 255
MAX_PATH: Final = 254  # RFC 5321 §4.5.3.1.3: 256 with the angle brackets

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-]+"
_DOT_ATOM = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")
_UTF8_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-\u00a0-\U0010ffff]+"
_UTF8_DOT_ATOM = re.compile(rf"{_UTF8_ATOM}(?:\.{_UTF8_ATOM})*")
_QUOTED = re.compile(r'"(?:[ !#-\[\]-~\u00a0-\U0010ffff]|\\[ -~])*"')
_UNQUOTE = re.compile(r"\\([ -~])")
_LABEL = r"[a-z0-9](?:[a-z0-9\-]{0,61}[a-z0-9])?"
_HOSTNAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")


class AddressError(ValueError):
    """The text is no address; the message says why and never repeats the text."""


@dataclass(frozen=True, slots=True)
class Address:
    """One mailbox: `local` as it was written, `domain` as a lower-case A-label name or `[literal]`."""

    local: str
    domain: str

    def __str__(self) -> str:
        return f"{self.local}@{self.domain}"

    @property
    def is_literal(self) -> bool:
        """Whether the domain is an address literal such as `[192.0.2.1]` (RFC 5321 §4.1.3)."""
        return self.domain.startswith("[")

    @property
    def needs_smtputf8(self) -> bool:
        """Whether the local part holds non-ASCII characters (RFC 6531 §3.2); an IDN domain alone does not."""
        return not self.local.isascii()

    @property
    def key(self) -> str:
        """The mailbox's identity: needless quotes removed, the local part's case kept."""
        if self.local.startswith('"'):
            bare = _UNQUOTE.sub(r"\1", self.local[1:-1])
            if _UTF8_DOT_ATOM.fullmatch(bare):
                return f"{bare}@{self.domain}"
        return f"{self.local}@{self.domain}"


class NullPath:
    """The empty reverse-path `<>` (RFC 5321 §4.5.5): a value of its own, never "" or None."""

    __slots__ = ()

    def __str__(self) -> str:
        return ""

    def __repr__(self) -> str:
        return "NULL_PATH"


NULL_PATH: Final = NullPath()

ReversePath = Address | NullPath


def parse_address(text: str, *, require_fqdn: bool = True, allow_literal: bool = False) -> Address:
    """The address in `text`, which must be a bare `local@domain` without brackets, spaces or comments.

    Raises AddressError with a reason fit for a user: wrong syntax, a part that is too long, a domain that
    is not fully qualified (RFC 6409 §4.2), or a literal where none is allowed.
    """
    local, at, domain = text.rpartition("@")
    if not at:
        raise AddressError("an address needs a local part, '@' and a domain")
    if len(local.encode("utf-8", "surrogatepass")) > MAX_LOCAL:
        raise AddressError(f"the part before '@' is longer than {MAX_LOCAL} octets")
    if not _is_local_part(local):
        raise AddressError("the part before '@' is not valid")
    if domain.startswith("["):
        if not allow_literal:
            raise AddressError("address literals are not accepted; use a domain name")
        name = parse_literal(domain)
    else:
        name = parse_domain(domain, require_fqdn=require_fqdn)
    if len(local.encode("utf-8")) + 1 + len(name) > MAX_PATH:
        raise AddressError(f"the address is longer than {MAX_PATH} octets")
    return Address(local, name)


def _is_local_part(local: str) -> bool:
    if _DOT_ATOM.fullmatch(local) or _QUOTED.fullmatch(local):
        return _is_encodable(local)
    return bool(_UTF8_DOT_ATOM.fullmatch(local)) and _is_encodable(local) and local.isprintable()


def _is_encodable(text: str) -> bool:
    """False for lone surrogates, which no UTF-8 octets can carry, and for invisible separators."""
    return text.isascii() or not any("\ud800" <= c <= "\udfff" or c in "\u2028\u2029\u0085" for c in text)


def parse_literal(text: str) -> str:
    """A normalised address literal, brackets kept: `[192.0.2.1]` or `[IPv6:2001:db8::1]` (RFC 5321 §4.1.3)."""
    inner = text[1:-1] if text.endswith("]") else ""
    try:
        if inner[:5].lower() == "ipv6:":
            return f"[IPv6:{ipaddress.IPv6Address(inner[5:]).compressed}]"
        return f"[{ipaddress.IPv4Address(inner)}]"
    except ValueError:
        raise AddressError("the address literal is not valid") from None


@lru_cache(maxsize=8192)
def parse_domain(text: str, *, require_fqdn: bool = True) -> str:
    """A domain as a lower-case A-label name; AddressError says what is wrong. A trailing dot is refused."""
    name = text.lower()
    if not name.isascii():
        try:
            name = idna.encode(text, uts46=True, std3_rules=True).decode("ascii")
        except (idna.IDNAError, UnicodeError):
            raise AddressError("the domain is not a valid internationalised name") from None
    if len(name) > MAX_DOMAIN:
        raise AddressError(f"the domain is longer than {MAX_DOMAIN} octets")
    if not _HOSTNAME.fullmatch(name):
        raise AddressError("the domain is not valid")
    if require_fqdn and "." not in name:
        raise AddressError("the domain is not fully qualified")
    if name.rpartition(".")[2].isdecimal():
        raise AddressError("the domain is a number; an address literal needs brackets")
    return name
