"""What operators order, and what stands until somebody ends it: requests by filter, suspensions, alarms."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from relay.spool.inquiry import DeliveryView


class Verb(StrEnum):
    """What an operator or a sender may ask for deliveries that are not final."""

    HOLD = "hold"
    RELEASE = "release"
    RETRY = "retry"
    CANCEL = "cancel"
    BOUNCE = "bounce"


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
    """A stopped path: empty fields mean every tenant, domain or site."""

    id: int
    tenant: str
    domain: str
    site: str
    until: datetime
    reason: str

    def stops(self, tenant: str, delivery: DeliveryView) -> bool:
        """Whether a delivery of the tenant falls under it."""
        return self.tenant in ("", tenant) and self.domain in ("", delivery.domain) and self.site in ("", delivery.site)


@dataclass(frozen=True, slots=True)
class Alarm:
    """A standing alarm: one row per (kind, subject) until it is cleared."""

    kind: str
    subject: str
    since: datetime
    detail: str
