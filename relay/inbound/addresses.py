"""Which addresses the inbound door takes mail for, and what for; everything else is refused at RCPT (C07, C14).

Only what we made or announced: tokens of return paths, replies and unsubscribing, the fixed names below, and From
addresses that mail was sent with. Never an open relay: a domain that is not ours is refused whatever stands before it
(S14).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from relay.clock import Clock
from relay.ids import SpoolId
from relay.mail.address import Address
from relay.policy.hearing import Purpose
from relay.smtp.reply import Reply, reply
from relay.spool.inbound_values import MOST_REPLIES, InboundAddress, RepliesCame
from relay.tokens import Token, TokenKind, Tokens, subject_delivery

NAMES: Final[Mapping[str, Purpose]] = {
    "postmaster": Purpose.POSTMASTER,
    "abuse": Purpose.ABUSE,
    "feedback": Purpose.FEEDBACK,
    "dmarc-reports": Purpose.REPORTS,
    "tls-reports": Purpose.REPORTS,
}
"""Local parts that exist at every domain of ours, in any case."""

NOT_OURS: Final = reply(550, "5.7.1", "relaying denied")
NOBODY: Final = reply(550, "5.1.1", "no such address")
ENOUGH: Final = reply(550, "5.7.1", "no more replies to this letter are taken")
"""It has its reply, and has had many other mails."""
CROWDED: Final = reply(451, "4.7.1", "too many replies to this letter are being looked at, try again later")

_ABOUT_A_DELIVERY: Final = {TokenKind.RETURN: Purpose.RETURN, TokenKind.REPLY: Purpose.REPLY}
_REMEMBERED: Final = 10_000
_FRESH_SECONDS: Final = 60.0


class Addresses:
    """Judges recipients. `domains` are ours, `name` is the node's.

    `is_sender` asks for From addresses in use, `replies` what came in reply to a delivery.
    """

    def __init__(
        self,
        name: str,
        domains: frozenset[str],
        tokens: Tokens,
        is_sender: Callable[[str], Awaitable[bool]],
        replies: Callable[[SpoolId, int], Awaitable[RepliesCame]],
        clock: Clock,
    ) -> None:
        self._name = name
        self._domains = domains | {name}
        self._tokens = tokens
        self._is_sender = is_sender
        self._replies = replies
        self._clock = clock
        # Strangers' guesses must not become as many look-ups in the database.
        self._known: OrderedDict[str, tuple[bool, float]] = OrderedDict()

    def bare_postmaster(self) -> InboundAddress:
        """What `RCPT TO:<postmaster>` without a domain means (RFC 5321 §4.5.1)."""
        return InboundAddress(f"postmaster@{self._name}", Purpose.POSTMASTER)

    async def judge(self, address: Address) -> InboundAddress | Reply:
        """What an address is for, or the refusal. Raises SpoolUnavailableError."""
        if address.domain not in self._domains:
            return NOT_OURS
        # In lower case, or one mail to one address in a thousand spellings would be read a thousand times.
        name = str(address).lower()
        purpose = NAMES.get(address.local.lower())
        if purpose is not None:
            return InboundAddress(name, purpose)
        token = self._tokens.verify(address.local)
        if isinstance(token, Token):
            named = _named(name, token)
            if named is not None:
                return await self._why_not(named) or named
        if await self._sent_from(name):
            return InboundAddress(name, Purpose.SENDER)
        return NOBODY

    async def _why_not(self, named: InboundAddress) -> Reply | None:
        """Why a letter's reply address takes nothing just now. The same for everybody: whom it takes a mail from, and
        whom not, would tell a stranger who got the letter.
        """
        if named.purpose is not Purpose.REPLY or named.delivery is None:
            return None
        came = await self._replies(*named.delivery)
        if came.is_answered and came.listed >= MOST_REPLIES:
            return ENOUGH
        return CROWDED if came.unsorted >= MOST_REPLIES else None

    async def _sent_from(self, address: str) -> bool:
        now = self._clock.monotonic()
        known = self._known.get(address)
        if known is not None and now - known[1] < _FRESH_SECONDS:
            return known[0]
        found = await self._is_sender(address)
        self._known[address] = (found, now)
        self._known.move_to_end(address)
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return found


def _named(address: str, token: Token) -> InboundAddress | None:
    """The address a token makes; a token that belongs in a header makes none."""
    if token.kind is TokenKind.UNSUBSCRIBE:
        return InboundAddress(address, Purpose.UNSUBSCRIBE, subject=token.subject)
    purpose = _ABOUT_A_DELIVERY.get(token.kind)
    if purpose is None:
        return None
    try:
        return InboundAddress(address, purpose, subject_delivery(token.subject))
    except ValueError:
        return None
