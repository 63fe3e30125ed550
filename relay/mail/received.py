"""Our Received field: one per message, prepended at intake (RFC 5321 §4.4, RFC 3848, RFC 6531 §4.3).

What the client said about itself is copied only if it has the form of a host name or address literal;
anything else is left out, so nothing can be injected through EHLO.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from relay.ids import SpoolId
from relay.mail.address import Address
from relay.mail.date import format_date

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._\-]{0,253}[A-Za-z0-9])?")  # "_" occurs in the wild
_PROTOCOL = re.compile(r"[A-Z0-9]{1,20}")


@dataclass(frozen=True, slots=True)
class Client:
    """Who handed a message in: the name it gives itself, and its IP address as text; either may be ""."""

    name: str
    address: str


@dataclass(frozen=True, slots=True)
class Received:
    """How a message came to us."""

    client: Client | None
    """None leaves the whole "from" clause out (RFC 5321 §7.6)."""
    by: str
    protocol: str
    spool_id: SpoolId
    recipient: Address | None
    """Given only when the message has exactly one. In UTF-8 it is named only under a UTF8SMTP protocol."""
    at: datetime

    def field(self) -> bytes:
        """The folded field with CRLF. Raises ValueError if `by` or `protocol`, which are ours, are malformed."""
        if not _NAME.fullmatch(self.by) or not _PROTOCOL.fullmatch(self.protocol):
            raise ValueError("the node's name or the protocol does not fit into a Received field")
        lines = [f"by {self.by} with {self.protocol} id {self.spool_id}"]
        if self.client is not None:
            lines = [*_from_clause(self.client), *lines]
        recipient = self.recipient
        if recipient is not None and (self.protocol.startswith("UTF8") or not recipient.needs_smtputf8):
            lines.append(f"for <{recipient}>")
        stamp = "\r\n\t".join(lines)
        return f"Received: {stamp};\r\n\t{format_date(self.at)}\r\n".encode()


def _from_clause(client: Client) -> list[str]:
    """`from NAME ([ADDRESS])`, with the address standing in for a name that is none; nothing if both are."""
    name, literal = client.name, _literal(client.address)
    if not _NAME.fullmatch(name):
        inner = name[1:-1] if name.startswith("[") and name.endswith("]") else ""
        name = _literal(inner.removeprefix("IPv6:")) or literal
    if not name:
        return []
    return [f"from {name} ({literal})" if literal else f"from {name}"]


@lru_cache(maxsize=1024)
def _literal(address: str) -> str:
    """An IP address as `[192.0.2.1]` or `[IPv6:2001:db8::1]`, empty if it is none (RFC 5321 §4.1.3)."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])  # an interface's name is nobody's business
    except ValueError:
        return ""
    if isinstance(parsed, ipaddress.IPv6Address):
        return f"[{parsed.ipv4_mapped}]" if parsed.ipv4_mapped else f"[IPv6:{parsed.compressed}]"
    return f"[{parsed}]"
