"""Whose domain is it: a mailbox provider's, with strangers in it, or an organisation's, where people know each other.

Within an organisation many letters a day from strangers are a campaign, whoever of its people they go to: all of them
together get no more than a ceiling (RCP 5). Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from relay.public_suffix import organisational_domain
from relay.well_known import WELL_KNOWN

_PROVIDERS: Final = frozenset(WELL_KNOWN)


@dataclass(frozen=True, slots=True)
class Organisations:
    """At most `per_day` letters to an organisation, 0 for no ceiling; `large` are domains of many people."""

    per_day: int = 20
    large: frozenset[str] = frozenset()

    def of(self, mailbox: str) -> str | None:
        """The domain under whose ceiling a mailbox (see `web.mailbox.mailbox_of`) stands; None if it is under none.

        All domains of an organisation are one. Below a mailbox provider's, and where a public suffix has mailboxes of
        its own, each domain is by itself.
        """
        domain = mailbox.rpartition("@")[2].rstrip(".")
        organisation = organisational_domain(domain) or domain
        if not self.per_day or domain in _PROVIDERS or not self.large.isdisjoint((domain, organisation)):
            return None
        return domain if organisation in _PROVIDERS else organisation


AS_USUAL: Final = Organisations()
