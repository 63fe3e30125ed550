"""The values of standing refusals: what is written, what is shown, what is asked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from relay.mail.address import Address
from relay.policy.suppress import Reason

EVERY_TENANT = 0
"""The tenant of a global refusal."""


@dataclass(frozen=True, slots=True)
class NewSuppression:
    """A refusal to write. `until` None leaves its end to the rules; `address_kept` False writes the hash alone."""

    tenant: int
    address: Address
    reason: Reason
    stream: str = ""
    detail: str = ""
    until: datetime | None = None
    address_kept: bool = True


@dataclass(frozen=True, slots=True)
class Standing:
    """A row as shown. `tenant` is "" for a global one, `address` None once it was erased, `until` None for good."""

    id: int
    tenant: str
    tenant_id: int
    stream: str
    address: str | None
    reason: Reason
    detail: str
    times: int
    created_at: datetime
    last_at: datetime
    until: datetime | None

    def in_force(self, now: datetime) -> bool:
        """Whether it holds at `now`."""
        return self.until is None or self.until > now


@dataclass(frozen=True, slots=True)
class Which:
    """Which rows are meant; None does not restrict. `after` and `limit` page through them by id."""

    tenant: int | None = None
    with_global: bool = False
    """Also those of every tenant, beside `tenant`'s own."""
    address: Address | None = None
    reason: Reason | None = None
    stream: str | None = None
    after: int = 0
    limit: int = 100
