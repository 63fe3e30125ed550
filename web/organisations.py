"""Whose domain is it: a mailbox provider's, with strangers in it, or an organisation's, where people know each other.

Within an organisation many letters a day from strangers are a campaign, whoever of its people they go to: all of them
together get no more than a ceiling (RCP 5). Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from relay.well_known import WELL_KNOWN

_PROVIDERS: Final = frozenset(WELL_KNOWN)


@dataclass(frozen=True, slots=True)
class Organisations:
    """At most `per_day` letters to a domain, 0 for no ceiling; `large` are domains of many people."""

    per_day: int = 20
    large: frozenset[str] = frozenset()

    def of(self, mailbox: str) -> str | None:
        """The domain under whose ceiling a mailbox (see `web.mailbox.mailbox_of`) stands; None if it is under none."""
        domain = mailbox.rpartition("@")[2].rstrip(".")
        if not self.per_day or domain in _PROVIDERS or domain in self.large:
            return None
        return domain


AS_USUAL: Final = Organisations()
