"""Opening the node's stores: one database, its schema brought up to date, and the services that live in it.

The node, the commands and the lab all open them here, so that a table is never used before it exists.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from relay.account.book import AccountBook
from relay.clock import Clock
from relay.database.contract import Database
from relay.database.sqlite import SqliteDatabase
from relay.errors import ConfigurationError, SpoolUnavailableError
from relay.figures.book import FigureBook
from relay.ids import Entropy
from relay.log import Log
from relay.node_secrets import ensure_secrets, old_block_hashes
from relay.notify.book import migrate_webhooks
from relay.policy.suppress import SuppressionRules
from relay.resolver.sts_store import StsStore
from relay.settings import Settings
from relay.shaping.path_notes import PathNotes
from relay.shaping.warm_ups import WarmUpBook
from relay.spool.contract import Spool
from relay.spool.feedback_loops import FeedbackLoops
from relay.spool.inbound import InboundStore
from relay.spool.sender_addresses import SenderAddresses
from relay.spool.sqlite import SqliteSpool
from relay.suppression.book import SuppressionBook
from relay.suppression.hashing import AddressHasher

_log = Log("node")

POSTGRES_SCHEMES: Final = ("postgresql", "postgres")

PATIENCE_SECONDS: Final = 30.0
"""How long a node that starts waits for its database server."""

AGAIN_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Stores:
    """The open database and what stands on it; close them together."""

    database: Database
    spool: Spool
    accounts: AccountBook
    suppressions: SuppressionBook
    inbound: InboundStore
    senders: SenderAddresses
    loops: FeedbackLoops
    figures: FigureBook
    warm_ups: WarmUpBook
    notes: PathNotes
    sts: StsStore

    async def close(self) -> None:
        """Finish what was handed in, then let go of the file."""
        await self.accounts.close()
        await self.spool.close()


async def open_patiently(settings: Settings, clock: Clock, entropy: Entropy, stop_asked: asyncio.Event) -> Stores:
    """As `open_stores`, but a server that is away is waited for: a node started in a fail-over is there after it."""
    give_up = clock.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return await open_stores(settings, clock, entropy)
        except SpoolUnavailableError as error:
            if settings.sqlite_path is not None or clock.monotonic() > give_up or stop_asked.is_set():
                raise
            _log.warning("waiting-for-spool", error=error)
        try:
            async with asyncio.timeout(AGAIN_SECONDS):
                await stop_asked.wait()
        except TimeoutError:
            pass


async def open_stores(settings: Settings, clock: Clock, entropy: Entropy) -> Stores:
    """Open the configured spool. Raises ConfigurationError, SchemaError, SpoolUnavailableError."""
    database, spool = await _open(settings, clock)
    accounts = AccountBook(database, clock, entropy)
    try:
        suppressions = _suppressions(settings, database, clock, entropy)
        await accounts.migrate()
        await spool.migrate()
        await suppressions.migrate()
        await migrate_webhooks(database)
        figures = FigureBook(database, clock)
        await figures.migrate()
        warm_ups = WarmUpBook(database, clock)
        await warm_ups.migrate()
        sts = StsStore(database, clock)
        await sts.migrate()
    except BaseException:
        await database.close()
        raise
    return Stores(
        database=database,
        spool=spool,
        accounts=accounts,
        suppressions=suppressions,
        inbound=InboundStore(database, clock),
        senders=SenderAddresses(database, clock),
        loops=FeedbackLoops(database, clock),
        figures=figures,
        warm_ups=warm_ups,
        notes=PathNotes(database, clock),
        sts=sts,
    )


def _suppressions(settings: Settings, database: Database, clock: Clock, entropy: Entropy) -> SuppressionBook:
    folder = settings.path(settings.node.secrets)
    keys = (ensure_secrets(folder, entropy).block_hash, *old_block_hashes(folder))
    wanted = settings.suppression
    rules = SuppressionRules(
        hard_bounce=wanted.hard_bounce,
        soft_bounce=wanted.soft_bounce,
        soft_bounces=wanted.soft_bounces,
        soft_span=wanted.soft_span,
        soft_memory=wanted.soft_memory,
        longest=wanted.longest,
    )
    return SuppressionBook(database, clock, AddressHasher(keys), rules)


async def _open(settings: Settings, clock: Clock) -> tuple[Database, Spool]:
    path = settings.sqlite_path
    if path is not None:
        sqlite = await SqliteDatabase.open(path)
        return sqlite, SqliteSpool(sqlite, clock, settings.spool.minimum_free)
    scheme = settings.spool.url.partition(":")[0]
    if scheme not in POSTGRES_SCHEMES:
        raise ConfigurationError(
            f"spool.url: {scheme}: is not a spool this version has; write sqlite:///PATH or postgresql://user@host/db"
        )
    try:
        from relay.database.postgres import PostgresDatabase
        from relay.spool.postgres import PostgresSpool
    except ModuleNotFoundError as error:
        if error.name != "asyncpg":
            raise
        raise ConfigurationError(
            "spool.url: PostgreSQL needs the package asyncpg; install it with: pip install 'leak-relay[postgres]'"
        ) from None
    postgres = await PostgresDatabase.open(settings.spool.url)
    return postgres, PostgresSpool(postgres, clock)
