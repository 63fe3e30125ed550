"""What operators order, and what stands until somebody ends it: requests by filter, suspensions, alarms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final


class Verb(StrEnum):
    """What an operator or a sender may ask for deliveries that are not final."""

    HOLD = "hold"
    RELEASE = "release"
    RETRY = "retry"
    CANCEL = "cancel"
    BOUNCE = "bounce"

    @property
    def ends(self) -> bool:
        """Whether it ends deliveries, once its window is over."""
        return self in (Verb.CANCEL, Verb.BOUNCE)

    @property
    def would(self) -> str:
        """What it would do to deliveries, for a preview: they "would be …"."""
        return _WOULD[self]


_WOULD: Final = {
    Verb.HOLD: "would be held",
    Verb.RELEASE: "would be released",
    Verb.RETRY: "would be due now",
    Verb.CANCEL: "would be cancelled",
    Verb.BOUNCE: "would be bounced",
}


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked, why, and when; `at` and `window`, in which an end can be taken back, in milliseconds."""

    verb: Verb
    reason: str
    at: int
    window: int = 0

    @property
    def final_at(self) -> int | None:
        """When it can be taken back no more; None for what does not end."""
        return self.at + self.window if self.verb.ends else None

    @property
    def told(self) -> Mapping[str, str]:
        """What the event of a delivery that is held by it tells."""
        return {"reason": self.reason, "asked": self.verb.value}


@dataclass(frozen=True, slots=True)
class RequestReceipt:
    """What a request did: `changed` deliveries at once; `under_way` are held by workers, and settle decides.

    `id` undoes it (None when nothing matched); a cancel or bounce becomes final at `final_at`.
    """

    id: int | None
    changed: int
    under_way: int
    final_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Suspension:
    """A stopped path: empty fields mean every tenant, domain, site or source."""

    id: int
    tenant: str
    domain: str
    site: str
    until: datetime
    reason: str
    source: str = ""
    """The egress source that is meant: with a site, and then for all tenants and domains."""

    def stops(self, tenant: str, domain: str, site: str) -> bool:
        """Whether mail of this kind is not taken from the queue; from one source alone, others may take it."""
        if self.source:
            return False
        return self.tenant in ("", tenant) and self.domain in ("", domain) and self.site in ("", site)


@dataclass(frozen=True, slots=True)
class Alarm:
    """A standing alarm: one row per (kind, subject) until it is cleared."""

    kind: str
    subject: str
    since: datetime
    detail: str
