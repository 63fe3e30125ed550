"""What an SPF record costs its readers: DNS look-ups over all that it includes (RFC 7208 §4.6.4).

A receiver that needs more than ten gives up with `permerror`, as if there were no record.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Final

from relay.resolver.contract import DnsAnswer

LIMIT: Final = 10
_MOST: Final = 20
"""Look-ups after which counting ends: the record is broken anyway."""

_TERM = re.compile(r"[+?~-]?(include|a|mx|ptr|exists)(?:[:/](.*))?|(redirect)=(.*)", re.IGNORECASE)

Ask = Callable[[str, str], Awaitable[DnsAnswer]]


async def spf_lookups(ask: Ask, record: str) -> int:
    """How many look-ups the record needs, included ones counted too; `_MOST` means that or more."""
    return min(await _count(ask, record, 0), _MOST)


async def _count(ask: Ask, record: str, spent: int) -> int:
    for word in record.split()[1:]:
        match = _TERM.fullmatch(word)
        if match is None:
            continue
        spent += 1
        if spent >= _MOST:
            return spent
        name = match[4] if match[3] else match[2] if match[1].lower() == "include" else ""
        # A macro depends on the mail: what it leads to cannot be counted here.
        if name and "%" not in name:
            answer = await ask(name.lower().removesuffix("."), "TXT")
            for text in answer.records:
                if text.lower() == "v=spf1" or text.lower().startswith("v=spf1 "):
                    spent = await _count(ask, text, spent)
                    break
    return spent
