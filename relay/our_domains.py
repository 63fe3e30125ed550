"""The domains that are ours: what the settings name, and what a credential may send as.

Stands between the settings and whoever has to tell our mail from what strangers say is ours.
"""

from __future__ import annotations

from math import inf
from typing import Final

from relay.account.book import AccountBook
from relay.clock import Clock
from relay.policy.report_share import reported_domains
from relay.settings import Settings

_FRESH_SECONDS: Final = 60.0


def signing_domains(settings: Settings) -> frozenset[str]:
    """The domains whose From addresses take mail."""
    return frozenset(entry.domain for entry in settings.signing.domain)


def our_domains(settings: Settings) -> frozenset[str]:
    """Every domain the inbound door takes mail for."""
    named = {settings.inbound.domain, *(entry.return_domain for entry in settings.signing.domain)}
    return signing_domains(settings) | {domain for domain in named if domain is not None}


class ReportedDomains:
    """The domains that a receiver's report can be about; whoever adds a credential is followed within a minute."""

    def __init__(self, settings: Settings, accounts: AccountBook, clock: Clock) -> None:
        self._named = {*our_domains(settings), settings.node.name}
        self._accounts = accounts
        self._clock = clock
        self._known: frozenset[str] = frozenset()
        self._asked = -inf

    async def get(self) -> frozenset[str]:
        """In lower case. Raises SpoolUnavailableError."""
        if self._clock.monotonic() - self._asked >= _FRESH_SECONDS:
            users = await self._accounts.list_users()
            senders = {sender.rpartition("@")[2] for user in users for sender in user.senders if sender != "*"}
            self._known = reported_domains(self._named | senders)
            self._asked = self._clock.monotonic()
        return self._known
