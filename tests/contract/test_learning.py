"""What follows from events, on every database: figures counted once, addresses suppressed by the rules."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from relay.account.book import AccountBook
from relay.clock import to_millis
from relay.database.contract import Connection, Database
from relay.engine.learning import Learner, LearnerParts
from relay.event import EventKind
from relay.event.feed import BEGINNING, EventFilter
from relay.figures.book import FigureBook
from relay.figures.contract import By, ReportQuery
from relay.ids import SpoolId, SystemEntropy, new_spool_id
from relay.mail.address import parse_address
from relay.mail.envelope import Envelope, Recipient
from relay.policy.outcome import Course, DecidedBy, Diagnosis, Host, Outcome, Phase, Result, Scope
from relay.policy.state import State
from relay.policy.suppress import Reason, SuppressionRules
from relay.smtp.reply import remote_reply
from relay.smtp.transcript import Exchange
from relay.spool.accepting import write_event
from relay.spool.contract import Spool
from relay.spool.erasing import erase_message, erase_recipient
from relay.spool.work import AttemptRecord, Door, NewMessage, Settlement
from relay.suppression.book import SuppressionBook
from relay.suppression.contract import NewSuppression, Which
from tests.support.either_database import BOTH, open_database, spool_on
from tests.support.hand_clock import HandClock
from tests.support.suppressions import book_on

GONE = Diagnosis("unknown-user", Scope.RECIPIENT, Course.AS_SAID, "a-rule")
BLOCKED = Diagnosis("blocked", Scope.SOURCE, Course.AS_SAID, "a-rule")
FULL = Diagnosis("mailbox-full", Scope.RECIPIENT, Course.AS_SAID, "a-rule")


@dataclass
class Bench:
    database: Database
    clock: HandClock
    spool: Spool
    book: SuppressionBook
    figures: FigureBook

    def learner(self, name: str = "node/0", hash_only: frozenset[int] = frozenset()) -> Learner:
        parts = LearnerParts(self.spool, self.figures, self.book, self.clock, hash_only=hash_only)
        return Learner(parts, name, lambda host, _: host and "big")

    async def learn(self) -> None:
        while await self.learner().step():
            pass

    async def ends(
        self,
        address: str,
        result: Result,
        diagnosis: Diagnosis | None = None,
        tenant: int = 1,
        *,
        unnamed: bool = False,
    ) -> SpoolId:
        """A message to one recipient that ended so."""
        self.clock.move(60)
        now = self.clock.now()
        message = NewMessage(
            id=new_spool_id(int(now.timestamp() * 1000), SystemEntropy()),
            tenant=tenant,
            credential=None,
            door=Door.SMTP,
            envelope=Envelope(parse_address("ann@sender.example"), (Recipient(parse_address(address)),)),
            content=b"Subject: x\r\n\r\nbody\r\n",
            prelude=b"",
            accepted_at=now,
            expires_at=now + timedelta(days=5),
            due=now,
            stream="news",
            unnamed=unnamed,
        )
        receipt = await self.spool.accept(message)
        me = await self.spool.register("node", 0)
        await self.spool.claim(me, 10)
        state, kind, code = {
            Result.DELIVERED: (State.DELIVERED, EventKind.DELIVERED, "250"),
            Result.PERMANENT: (State.BOUNCED, EventKind.BOUNCED, "550"),
            Result.TEMPORARY: (State.EXPIRED, EventKind.EXPIRED, "450"),
        }[result]
        scope = Scope.RECIPIENT if diagnosis is None else diagnosis.scope
        outcome = Outcome(
            result,
            Scope.RECIPIENT if scope is Scope.SOURCE else scope,
            Phase.RCPT,
            DecidedBy.REMOTE,
            remote_reply(int(code), (f"they said <{address}>",)),
            Host("mx.b.example", "192.0.2.1"),
            diagnosis=diagnosis,
        )
        said = (Exchange(1, "we", f"RCPT TO:<{address}>"), Exchange(2, "they", f"550 no {address}"))
        attempt = AttemptRecord(1, now, outcome, "", 5, said)
        assert await self.spool.settle(me, [Settlement(receipt.seq, 0, state, event=kind, attempt=attempt)]) == 1
        return message.id

    async def stored(self) -> str:
        """Every row of the spool's tables that speak of a message."""
        tables = ("message", "recipient", "delivery", "attempt", "event", "suppression")
        asked = [f"SELECT * FROM {table}" for table in tables]
        return repr(await self.database.read(lambda c: [list(c.execute(sql)) for sql in asked]))

    async def stopped(self, address: str, tenant: int = 1) -> str:
        found = await self.book.find(tenant, "news", [parse_address(address)])
        return found[0].reason.value if found else ""

    async def counts(self, *by: By) -> list[dict[str, int]]:
        now = self.clock.now()
        query = ReportQuery(now - timedelta(days=60), now + timedelta(hours=1), by, tenant=1)
        return [dict(row.counts) for row in await self.figures.report(query)]


@pytest.fixture(params=BOTH)
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    clock = HandClock()
    database = await open_database(request, tmp_path)
    spool = spool_on(database, clock)
    accounts = AccountBook(database, clock, SystemEntropy())
    await accounts.migrate()
    assert [await accounts.ensure_tenant(name) for name in ("one", "two")] == [1, 2]
    await spool.migrate()
    book = book_on(database, clock, SuppressionRules(soft_bounces=3, soft_span=timedelta(minutes=1)))
    await book.migrate()
    figures = FigureBook(database, clock)
    await figures.migrate()
    yield Bench(database, clock, spool, book, figures)
    await accounts.close()
    await spool.close()


async def test_a_hard_bounce_suppresses_its_tenant_s_mail_and_a_block_nobody(bench: Bench) -> None:  # G13, P05
    await bench.ends("gone@b.example", Result.PERMANENT, GONE)
    await bench.ends("fine@b.example", Result.PERMANENT, BLOCKED)
    await bench.ends("odd@b.example", Result.PERMANENT)
    await bench.learn()
    assert await bench.stopped("gone@b.example") == "hard-bounce"
    assert await bench.stopped("gone@b.example", tenant=2) == ""
    assert [await bench.stopped(f"{who}@b.example") for who in ("fine", "odd")] == ["", ""]


async def test_of_an_unnamed_letter_nobody_hears_the_address(bench: Bench) -> None:  # RCP 5
    message = await bench.ends("writer@home.example", Result.PERMANENT, GONE, unnamed=True)
    page = await bench.spool.events(EventFilter(BEGINNING, 10, tenant=1))
    told = page.events[-1]
    assert (told.kind, told.address, told.detail["reply"]) == (EventKind.BOUNCED, None, "550")
    assert told.detail["diagnosis"]["meaning"] == "unknown-user"
    assert "home.example" not in repr(page.events)
    await bench.learn()
    assert await bench.stopped("writer@home.example") == ""
    assert "writer@home.example" in await bench.stored(), "until it is erased"
    assert await erase_message(bench.database, 1, message)
    assert "home.example" not in await bench.stored()
    assert await erase_message(bench.database, 1, message)


async def test_of_a_front_s_readers_who_refuse_a_keyed_hash_alone_is_kept(bench: Bench) -> None:  # RCP 5
    """Neither the address nor the message's number, which leads to it; what OptOuts wrote is not filled in later."""
    kinds = (EventKind.OPTED_OUT, EventKind.COMPLAINED)
    messages = {
        tenant: [await bench.ends(f"{kind.label}@b.example", Result.DELIVERED, tenant=tenant) for kind in kinds]
        for tenant in (1, 2)
    }

    def tell(connection: Connection) -> None:
        for told in messages.values():
            for kind, message in zip(kinds, told, strict=True):
                ((seq,),) = connection.execute("SELECT seq FROM message WHERE id = ?", (message,))
                write_event(connection, to_millis(bench.clock.now()), seq, 0, kind, '{"feedback_type": "abuse"}')

    await bench.database.write(tell)
    kept = NewSuppression(1, parse_address("opted_out@b.example"), Reason.OPT_OUT, "news")
    await bench.book.add([kept, replace(kept, address_kept=False)])
    while await bench.learner(hash_only=frozenset({1})).step():
        pass
    rows = await bench.database.read(lambda c: list(c.execute("SELECT tenant, address, detail FROM suppression")))
    assert sorted((address, detail) for tenant, address, detail in rows if tenant == 1) == [
        (None, "complained abuse"),
        (None, "opted_out"),
    ]
    assert sorted((address, detail) for tenant, address, detail in rows if tenant == 2) == [
        ("complained@b.example", f"complained abuse ({messages[2][1]}.0)"),
        ("opted_out@b.example", f"opted_out ({messages[2][0]}.0)"),
    ]
    for kind in kinds:
        assert await bench.stopped(f"{kind.label}@b.example")


async def test_addresses_that_older_versions_kept_of_a_front_s_readers_go(bench: Bench) -> None:  # RCP 5
    ann = parse_address("ann@b.example")
    reasons = (Reason.OPT_OUT, Reason.COMPLAINT, Reason.HARD_BOUNCE)
    await bench.book.add([NewSuppression(n, ann, reason, "news", "m1.0") for n in (1, 2) for reason in reasons])
    await bench.learner(hash_only=frozenset({1})).forget()
    rows = await bench.database.read(
        lambda c: list(c.execute("SELECT tenant, reason, address, detail FROM suppression"))
    )
    gone = {(1, Reason.OPT_OUT.value), (1, Reason.COMPLAINT.value)}
    assert {(tenant, reason) for tenant, reason, address, detail in rows if (address, detail) == (None, "")} == gone
    assert len([address for *_, address, _ in rows if address == "ann@b.example"]) == 4
    assert [await bench.stopped("Ann+x@b.example", tenant) for tenant in (1, 2)] == ["opt-out", "opt-out"]


async def test_an_erased_recipient_s_transcripts_go_too(bench: Bench) -> None:  # RCP 5
    await bench.ends("ann@b.example", Result.PERMANENT, GONE)
    await bench.ends("bob@b.example", Result.PERMANENT, GONE)
    assert await erase_recipient(bench.database, 1, "Ann@b.example") == 1
    stored = await bench.stored()
    assert "ann@b.example" not in stored
    assert stored.count("they said <bob@b.example>") == 2, "in the event and in its attempt"
    page = await bench.spool.events(EventFilter(BEGINNING, 10, tenant=1))
    assert [one.detail["reply"][:3] for one in page.events if one.kind is EventKind.BOUNCED] == ["550", "550"]


async def test_soft_bounces_in_a_row_suppress_and_a_delivery_forgives(bench: Bench) -> None:
    for result in (Result.TEMPORARY, Result.TEMPORARY, Result.DELIVERED, Result.TEMPORARY, Result.TEMPORARY):
        await bench.ends("full@b.example", result, None if result is Result.DELIVERED else FULL)
        await bench.learn()
        assert await bench.stopped("full@b.example") == ""
    await bench.ends("full@b.example", Result.TEMPORARY, FULL)
    await bench.learn()
    assert await bench.stopped("full@b.example") == "soft-bounce"


async def test_every_event_is_counted_once_whoever_reads(bench: Bench) -> None:
    for n in range(12):
        await bench.ends(
            f"u{n}@b.example", Result.DELIVERED if n % 3 else Result.PERMANENT, GONE if n % 3 == 0 else None
        )
        if n == 5:
            await bench.learn()
    learners = [bench.learner(f"node/{n}") for n in range(3)]
    for _ in range(3):  # at once, and one after the other's time
        await asyncio.gather(*(one.step() for one in learners))
        bench.clock.move(60)
    assert await bench.counts() == [{"accepted": 12, "delivered": 8, "bounced": 4}]
    by_place = {
        row.provider: dict(row.counts) for row in await bench.figures.report(_by(bench, By.PROVIDER, By.STREAM))
    }
    assert by_place == {"": {"accepted": 12}, "big": {"delivered": 8, "bounced": 4}}
    (all_rows,) = await bench.figures.report(_by(bench))
    assert all_rows.reasons == {"bounced": {"unknown-user": 4}}


def _by(bench: Bench, *by: By) -> ReportQuery:
    now = bench.clock.now()
    return ReportQuery(now - timedelta(days=1), now + timedelta(hours=1), by)


async def test_a_batch_that_cannot_be_written_is_counted_later_and_once(bench: Bench) -> None:
    await bench.ends("a@b.example", Result.DELIVERED)
    before = await bench.figures.take("node/0")
    assert before is not None

    def breaks(connection: Connection) -> None:
        connection.execute("INSERT INTO figure VALUES (1, 1, '', '', 1, '', 1)")
        raise RuntimeError("the process dies here")

    with pytest.raises(RuntimeError):
        await bench.figures.advance(before, await bench.spool.last_event(), breaks)
    await bench.learn()
    assert await bench.counts() == [{"accepted": 1, "delivered": 1}]
    assert not await bench.figures.advance(before, before, breaks)  # somebody was there first: nothing is tried


async def test_a_clock_that_is_ahead_deletes_neither_figures_nor_refusals(bench: Bench) -> None:  # R27
    await bench.ends("a@b.example", Result.DELIVERED)
    await bench.learn()
    manual = NewSuppression(1, parse_address("c@b.example"), Reason.MANUAL, until=bench.clock.now() + timedelta(days=9))
    await bench.book.add([manual])
    learner, everything = bench.learner(), ReportQuery(bench.clock.now() - timedelta(days=500), bench.clock.now(), ())
    bench.clock.jump(500 * 86400)
    for _ in range(5):
        await learner.forget()
        bench.clock.move(3601)
    assert await bench.figures.report(everything)
    assert len(await bench.book.show(Which())) == 1
    bench.clock.move(86400)
    await learner.forget()
    assert not await bench.figures.report(everything), "nobody set it back for a day: it is believed"
    assert not await bench.book.show(Which())


async def test_figures_go_after_a_year(bench: Bench) -> None:
    await bench.ends("a@b.example", Result.DELIVERED)
    await bench.learn()
    bench.clock.move(399 * 86400)
    await bench.figures.forget()
    everything = ReportQuery(bench.clock.now() - timedelta(days=500), bench.clock.now(), ())
    assert Counter(dict((await bench.figures.report(everything))[0].counts)) == {"accepted": 1, "delivered": 1}
    bench.clock.move(3 * 86400)
    await bench.figures.forget()
    assert await bench.figures.report(everything) == []
