"""What a host offered in its last EHLO reply (RFC 5321 §4.1.1.1); after HELO, nothing at all (A04). Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from relay.smtp.reply import Reply


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The extensions the relay makes use of. `size` is the host's limit in octets, None without one (D04)."""

    pipelining: bool = False
    starttls: bool = False
    eightbit: bool = False
    smtputf8: bool = False
    dsn: bool = False
    chunking: bool = False
    takes_size: bool = False
    size: int | None = None
    auth: frozenset[str] = frozenset()
    """SASL mechanisms in upper case (RFC 4954 §3)."""


NO_CAPABILITIES: Final = Capabilities()


def parse_capabilities(reply: Reply) -> Capabilities:
    """The extensions named on the lines after the first, in any case; unknown and malformed ones are ignored."""
    words = [line.split() for line in reply.lines[1:]]
    offered = {parts[0].upper(): parts[1:] for parts in words if parts}
    limit = offered.get("SIZE", [])
    size = int(limit[0]) if limit and limit[0].isascii() and limit[0].isdecimal() and len(limit[0]) <= 20 else 0
    return Capabilities(
        pipelining="PIPELINING" in offered,
        starttls="STARTTLS" in offered,
        eightbit="8BITMIME" in offered,
        smtputf8="SMTPUTF8" in offered,
        dsn="DSN" in offered,
        chunking="CHUNKING" in offered,
        takes_size="SIZE" in offered,
        auth=frozenset(word.upper() for word in offered.get("AUTH", ())),
        size=size or None,  # "SIZE" and "SIZE 0" set no limit (RFC 1870 §4)
    )
