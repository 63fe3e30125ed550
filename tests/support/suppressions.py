"""A book of standing refusals over any database, for tests."""

from __future__ import annotations

from relay.clock import Clock
from relay.database.contract import Database
from relay.policy.suppress import SuppressionRules
from relay.suppression.book import SuppressionBook
from relay.suppression.hashing import AddressHasher

KEY = b"a key of a test, 32 octets long."


def book_on(database: Database, clock: Clock, rules: SuppressionRules | None = None) -> SuppressionBook:
    """A book whose tables are not made yet; like any other process, it hears of the others' rows."""
    return SuppressionBook(database, clock, AddressHasher([KEY]), rules or SuppressionRules())
