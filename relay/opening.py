"""Opening the node's stores: one database, its schema brought up to date, and the services that live in it.

The node, the commands and the lab all open them here, so that a table is never used before it exists.
"""

from __future__ import annotations

from dataclasses import dataclass

from relay.account.book import AccountBook
from relay.clock import Clock
from relay.database.sqlite import SqliteDatabase
from relay.errors import ConfigurationError
from relay.ids import Entropy
from relay.settings import Settings
from relay.spool.sqlite import SqliteSpool


@dataclass(frozen=True, slots=True)
class Stores:
    """The open database and what stands on it; close them together."""

    database: SqliteDatabase
    spool: SqliteSpool
    accounts: AccountBook

    async def close(self) -> None:
        """Finish what was handed in, then let go of the file."""
        await self.accounts.close()
        await self.spool.close()


async def open_stores(settings: Settings, clock: Clock, entropy: Entropy) -> Stores:
    """Open the configured spool. Raises ConfigurationError, SchemaError, SpoolUnavailableError."""
    path = settings.sqlite_path
    if path is None:
        scheme = settings.spool.url.partition(":")[0]
        raise ConfigurationError(f"spool.url: {scheme}: is not a spool this version has; write sqlite:///PATH")
    database = await SqliteDatabase.open(path)
    accounts = AccountBook(database, clock, entropy)
    spool = SqliteSpool(database, clock, settings.spool.minimum_free)
    try:
        await accounts.migrate()
        await spool.migrate()
    except BaseException:
        await database.close()
        raise
    return Stores(database, spool, accounts)
