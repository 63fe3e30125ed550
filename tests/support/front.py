"""A running front for tests: a real server on loopback, a real database, the client contract behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from relay.client.contract import RelayClient
from relay.clock import Clock
from relay.database.contract import Database
from relay.database.sqlite import SqliteDatabase
from relay.ids import SeededEntropy
from relay.key_memory import KeyMemory
from tests.support.hand_clock import HandClock
from tests.support.moderation import the_moderator
from tests.support.relay_in_memory import RelayInMemory
from tests.support.served import served
from tests.support.switched_database import SwitchedDatabase
from web.app import make_app
from web.errand_table import ErrandSeal, ErrandTable
from web.errands import Errands
from web.letter_table import DatabaseLetterStore
from web.limit_keys import LimitKeys
from web.mailbox import MailboxHasher
from web.mounting import make_desk
from web.options import FrontOptions
from web.outside import Outside

OPTIONS = FrontOptions(
    base_url="http://leak.lab.test",
    sender_domain="leak.lab.test",
    form_key=b"f" * 32,
    link_key=b"l" * 32,
    block_key=b"b" * 32,
    limits=False,
    hand_over_every=timedelta(milliseconds=50),
    answer_step=timedelta(0),
)

MODERATORS = {"ann": "a" * 32, "bob": "b" * 32}


@dataclass(frozen=True, slots=True)
class Front:
    """Where it listens, and what stands behind it."""

    url: str
    relay: RelayInMemory
    database: SwitchedDatabase
    store: DatabaseLetterStore
    desk: str = ""
    """Where its moderators' desk listens; `MODERATORS` tells the tokens."""


@asynccontextmanager
async def running_front(
    folder: Path, clock: Clock | None = None, options: FrontOptions = OPTIONS, relay: RelayInMemory | None = None
) -> AsyncIterator[Front]:
    """A front on a free port of 127.0.0.1, its database in `folder`."""
    relay = relay or RelayInMemory()
    database = SwitchedDatabase(await SqliteDatabase.open(folder / "front.db"))
    store = DatabaseLetterStore(database)
    clock = clock or HandClock()
    outside = Outside(relay, database, store, the_moderator(), clock, SeededEntropy(7), KeyMemory())
    try:
        async with served(make_app(options, outside)) as url, served(make_desk(options, outside, MODERATORS)) as desk:
            yield Front(url, relay, database, store, desk)
    finally:
        await database.close()


def errands_of(relay: RelayClient, database: Database, clock: Clock) -> Errands:
    """What a front whose database this is keeps for its relay, under the keys of `OPTIONS`."""
    table = ErrandTable(database, ErrandSeal((OPTIONS.link_key,)), MailboxHasher((OPTIONS.block_key,)), clock)
    return Errands(relay, table, LimitKeys(KeyMemory(), clock, SeededEntropy(5)), clock)


def with_limits() -> FrontOptions:
    """The usual options with limits."""
    return replace(OPTIONS, limits=True)
