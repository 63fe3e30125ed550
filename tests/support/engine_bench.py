"""An engine on a real SQLite spool, whose network is the scripted far side and whose clock a test may own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

from relay.account.book import AccountBook
from relay.account.identity import Identity
from relay.clock import Clock, SystemClock
from relay.database.sqlite import SqliteDatabase
from relay.egress.contract import Dialer
from relay.engine.dispatcher import DispatcherOptions
from relay.engine.engine import Engine, EngineOptions, EngineParts
from relay.engine.preparing import IntakeOptions
from relay.engine.submission import Accepted, Submission
from relay.ids import SeededEntropy, SpoolId, SystemEntropy
from relay.mail.address import parse_address
from relay.mail.envelope import Envelope, Recipient
from relay.policy.notify import NoticeRule
from relay.policy.pool import Pools, only
from relay.policy.retry import RetrySchedule
from relay.policy.route import RouteRules
from relay.policy.shaping import ShapingBook
from relay.policy.state import State
from relay.policy.way import Source
from relay.resolver.contract import Resolver
from relay.resolver.routing import Router
from relay.shaping.path_notes import PathNotes
from relay.shaping.warm_ups import WarmUpBook
from relay.signing.signer import DkimSigner, DomainKeys
from relay.spool.inquiry import MessageView
from relay.spool.sqlite import SqliteSpool
from relay.spool.work import Door
from relay.suppression.book import SuppressionBook
from tests.support.far_side import FarSide
from tests.support.suppressions import book_on
from tests.support.switched_database import SwitchedDatabase

ANN = Identity(1, "one", 7, "ann", ("sender.example",))
CONTENT = b"From: ann@sender.example\r\nTo: you@b.example\r\nSubject: hello\r\n\r\nA line.\r\n"


@dataclass
class EngineBench:
    """A started engine; `replaced` is set when it was told that a newer life took its place."""

    engine: Engine
    spool: SqliteSpool
    database: SwitchedDatabase
    far: FarSide
    book: SuppressionBook
    warm_ups: WarmUpBook
    notes: PathNotes
    replaced: asyncio.Event = field(default_factory=asyncio.Event)

    async def send(self, *recipients: str, **changes: Any) -> SpoolId:
        """Submit a letter that is accepted."""
        answer = await self.engine.intake.submit(submission(*recipients, **changes))
        assert isinstance(answer, Accepted), answer
        return answer.id

    async def view(self, message: SpoolId) -> MessageView:
        view = await self.spool.message(message)
        assert view is not None
        return view

    async def states(self, message: SpoolId) -> list[State]:
        return [delivery.state for delivery in (await self.view(message)).deliveries]

    async def until(self, message: SpoolId, *states: State, seconds: float = 20) -> MessageView:
        """Wait until every delivery of the message is in one of `states`."""
        async with asyncio.timeout(seconds):
            while True:
                view = await self.view(message)
                if all(delivery.state in states for delivery in view.deliveries):
                    return view
                await asyncio.sleep(0.01)


def submission(*recipients: str, **changes: Any) -> Submission:
    """A letter of Ann's to `recipients`; `sender` and `envelope` change the envelope, the rest the submission."""
    to = tuple(Recipient(parse_address(one)) for one in recipients)
    envelope = changes.pop("envelope", None) or Envelope(parse_address("ann@sender.example"), to)
    defaults: dict[str, Any] = {"door": Door.SMTP, "identity": ANN, "envelope": envelope, "content": CONTENT}
    return Submission(**{**defaults, **changes})


@asynccontextmanager
async def spool_of(folder: Path, clock: Clock) -> AsyncIterator[tuple[SqliteSpool, SwitchedDatabase]]:
    """A real spool with two tenants, whose database can be taken away."""
    database = SwitchedDatabase(await SqliteDatabase.open(folder / "spool.db"))
    accounts = AccountBook(database, clock, SystemEntropy())
    await accounts.migrate()
    for name in ("one", "two"):
        await accounts.ensure_tenant(name)
    spool = SqliteSpool(cast("SqliteDatabase", database), clock)
    await spool.migrate()
    try:
        yield spool, database
    finally:
        database.away = False
        await accounts.close()
        await spool.close()


@asynccontextmanager
async def engine_bench(
    folder: Path,
    clock: Clock | None = None,
    *,
    retry: timedelta = timedelta(milliseconds=200),
    expire_after: timedelta = timedelta(days=5),
    signed: Sequence[str] = (),
    notices: NoticeRule | None = None,
    start: bool = True,
    pools: Pools | None = None,
    shaping: ShapingBook = ShapingBook(),  # noqa: B008 - frozen
    outside: tuple[Resolver, Dialer] | None = None,
    port: int = 25,
    **bounds: Any,
) -> AsyncIterator[EngineBench]:
    """An engine for a test; `bounds` are those of `DispatcherOptions`, `signed` domains have no key on disk.

    `outside` replaces the scripted far side, for tests over real sockets.
    """
    clock = clock or SystemClock()
    far = FarSide()
    entropy = SeededEntropy(1)
    signer = DkimSigner(folder / "dkim_keys", [DomainKeys(domain, ("s1",)) for domain in signed], 1)
    resolver, dialer = outside or (far, far)
    rules = RouteRules(port, allow_private=True, own_names=frozenset({"relay.example"}), literals=False)
    router = Router(resolver, rules, entropy)
    options = EngineOptions(
        worker=0,
        intake=IntakeOptions("relay.example", 1_000_000, 100, expire_after, max_octets_in_flight=3_000_000),
        dispatcher=DispatcherOptions(**{"session_idle": 0.05, "rest": timedelta(seconds=60), **bounds}),
        schedule=RetrySchedule((retry,), 0.0),
        pools=pools or only(Source("one", "", "relay.example")),
        keep_content=timedelta(days=1),
        notices=notices or NoticeRule(),
    )
    async with spool_of(folder, clock) as (spool, database):
        replaced = asyncio.Event()
        book = book_on(database, clock)
        await book.migrate()
        warm_ups = WarmUpBook(database, clock)
        await warm_ups.migrate()
        parts = EngineParts(
            spool,
            signer,
            router,
            dialer,
            clock,
            entropy,
            suppressions=book,
            shaping=shaping,
            warm_ups=warm_ups,
            notes=PathNotes(database, clock),
        )
        engine = Engine(options, parts, lambda _: replaced.set())
        if start:
            await engine.start()
        try:
            yield EngineBench(engine, spool, database, far, book, warm_ups, PathNotes(database, clock), replaced)
        finally:
            await engine.drain(5)
            signer.close()
    assert far.open == 0, "a session was left open"
