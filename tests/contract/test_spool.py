"""The spool's contract, run against every implementation: accept, claim, settle, leases, idempotency."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from relay.account.book import AccountBook
from relay.database.contract import Connection, Database
from relay.event import EventKind
from relay.ids import SeededEntropy, SpoolId, SystemEntropy, new_spool_id
from relay.mail.address import NULL_PATH, parse_address
from relay.mail.envelope import Envelope, Notify, Recipient, Return
from relay.policy.outcome import DecidedBy, Host, Outcome, Passed, Phase, Result, Scope, TlsFacts
from relay.policy.state import State
from relay.smtp.reply import remote_reply
from relay.smtp.transcript import Exchange
from relay.spool.contract import Spool
from relay.spool.inquiry import QueueFilter
from relay.spool.life import Ending, Pulse, Terms
from relay.spool.orders import Suspension, Verb
from relay.spool.tls_hosts import tls_by_host
from relay.spool.work import (
    LEASE,
    AttemptRecord,
    Door,
    Idempotency,
    IdempotencyConflictError,
    Incarnation,
    NewMessage,
    Parcel,
    Receipt,
    Settlement,
)
from tests.support.either_database import BOTH, open_database, spool_on

TABLES = {
    "sqlite": "SELECT name FROM sqlite_schema WHERE type = 'table'",
    "postgres": "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'",
}

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


class HandClock:
    """A clock that moves when told."""

    def __init__(self) -> None:
        self.moment = START
        self.jumped = timedelta()

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return (self.moment - START - self.jumped).total_seconds()

    def forward(self, **span: float) -> None:
        self.moment += timedelta(**span)

    def jump(self, **span: float) -> None:
        """Let the wall clock alone say another time."""
        self.forward(**span)
        self.jumped += timedelta(**span)


@dataclass
class Bench:
    """A spool under test."""

    spool: Spool
    database: Database
    clock: HandClock
    me: Incarnation
    entropy: SeededEntropy

    def message(self, *recipients: str, **fields: Any) -> NewMessage:
        now = self.clock.now()
        defaults: dict[str, Any] = {
            "id": new_spool_id(int(now.timestamp() * 1000), self.entropy),
            "tenant": 1,
            "credential": None,
            "door": Door.SMTP,
            "envelope": Envelope(
                parse_address("ann@sender.example"), tuple(Recipient(parse_address(one)) for one in recipients)
            ),
            "content": b"Subject: x\r\n\r\nbody\r\n",
            "prelude": b"Date: now\r\n",
            "accepted_at": now,
            "expires_at": now + timedelta(days=5),
            "due": now,
        }
        return NewMessage(**{**defaults, **fields})

    async def accept(self, *recipients: str, **fields: Any) -> Receipt:
        return await self.spool.accept(self.message(*recipients, **fields))

    async def claim(self, limit: int = 100, **options: Any) -> list[Parcel]:
        return await self.spool.claim(self.me, limit, **options)

    async def silence(self, other: Incarnation, seconds: float) -> Pulse:
        """Let time pass in which only `other` is heard of, as often as a node is; what it heard last."""
        pulse = await self.spool.heartbeat(other)
        while seconds > 0:
            self.clock.forward(seconds=min(seconds, 4))
            seconds -= 4
            pulse = await self.spool.heartbeat(other)
        return pulse

    async def states(self, message: SpoolId) -> list[State]:
        view = await self.spool.message(message)
        assert view is not None
        return [delivery.state for delivery in view.deliveries]

    async def kinds(self, message: SpoolId) -> list[EventKind]:
        view = await self.spool.message(message)
        assert view is not None
        return [event.kind for event in view.events]


@pytest.fixture(params=BOTH)
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    clock = HandClock()
    database = await open_database(request, tmp_path)
    spool = spool_on(database, clock)
    accounts = AccountBook(database, clock, SystemEntropy())
    await accounts.migrate()
    assert await accounts.ensure_tenant("one") == 1
    assert await accounts.ensure_tenant("two") == 2
    await spool.migrate()
    yield Bench(spool, database, clock, await spool.register("node", 0), SeededEntropy(1))
    await accounts.close()
    await spool.close()


def attempt(result: Result, code: int = 250, words: str = "2.0.0 ok", number: int = 1) -> AttemptRecord:
    outcome = Outcome(
        result,
        Scope.RECIPIENT,
        Phase.DOT,
        DecidedBy.REMOTE,
        remote_reply(code, (words,)),
        Host("mx.example", "192.0.2.1"),
        TlsFacts("TLSv1.3", "TLS_AES_256_GCM_SHA384", verified=True),
    )
    return AttemptRecord(number, START, outcome, "ip1", 12, (Exchange(0, "we", "MAIL FROM:<>"),))


async def test_what_is_accepted_is_claimed_whole(bench: Bench) -> None:
    recipients = (
        Recipient(parse_address("Bob@one.example"), Notify.FAILURE, "rfc822;Bob@one.example"),
        Recipient(parse_address("eve@two.example")),
    )
    envelope = Envelope(NULL_PATH, recipients, smtputf8=True, ret=Return.HEADERS, envid="e1")
    receipt = await bench.accept(envelope=envelope, stream="s", sign_as="sender.example", received=b"Received: x\r\n")
    parcels = sorted(await bench.claim(), key=lambda parcel: parcel.duties[0].n)
    assert [parcel.envelope.recipients for parcel in parcels] == [recipients[:1], recipients[1:]]
    first = parcels[0]
    assert (first.seq, first.id, first.reverse_path, first.door) == (receipt.seq, receipt.id, NULL_PATH, Door.SMTP)
    assert (first.envelope.smtputf8, first.envelope.ret, first.envelope.envid) == (True, Return.HEADERS, "e1")
    assert (first.prelude, first.received, first.sign_as, first.stream) == (
        b"Date: now\r\n",
        b"Received: x\r\n",
        "sender.example",
        "s",
    )
    assert await bench.spool.content(first.seq) == b"Subject: x\r\n\r\nbody\r\n"
    assert await bench.claim() == []


@pytest.mark.parametrize("size", [0, 1, 256 * 1024 - 1, 256 * 1024, 256 * 1024 + 1, 1_000_000])
async def test_content_of_any_size_comes_back_whole(bench: Bench, size: int) -> None:
    content = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    receipt = await bench.accept("a@b.example", content=content)
    assert await bench.spool.content(receipt.seq) == content


async def test_a_repeated_settlement_does_not_end_the_lease_of_a_later_claim(bench: Bench) -> None:
    # R24: a COMMIT that was reported failed and kept is repeated by whoever waits for it
    await bench.accept("a@b.example")
    (parcel,) = await bench.claim()
    due = parcel.duties[0].due
    assert await bench.spool.leased(bench.me) == [(parcel.seq, 0, due)]
    refused = attempt(Result.TEMPORARY, 451, "4.7.1 later")
    deferred = Settlement(parcel.seq, 0, State.WAITING, due, EventKind.DEFERRED, attempt=refused)
    assert await bench.spool.settle(bench.me, [deferred]) == 1
    assert await bench.spool.leased(bench.me) == []
    (parcel,) = await bench.claim()
    assert await bench.spool.settle(bench.me, [deferred, deferred]) == 2, "an earlier call applied it"
    assert await bench.spool.leased(bench.me) == [(parcel.seq, 0, due)]
    assert await bench.kinds(parcel.id) == [EventKind.ACCEPTED, EventKind.DEFERRED]


async def test_a_late_result_is_told_once_and_never_of_a_settlement_that_was_kept(bench: Bench) -> None:
    # R24: whoever repeats does not know whether the first COMMIT was kept
    kept, lost = await bench.accept("a@b.example"), await bench.accept("c@b.example")
    done = [
        Settlement(one.seq, 0, State.DELIVERED, event=EventKind.DELIVERED, attempt=attempt(Result.DELIVERED))
        for one in (kept, lost)
    ]
    await bench.claim()
    assert await bench.spool.settle(bench.me, done[:1]) == 1
    other = await bench.spool.register("node", 0)
    await bench.spool.claim(other, 10)
    assert await bench.spool.settle(bench.me, done) == 1
    assert await bench.spool.settle(bench.me, done) == 1
    assert await bench.kinds(kept.id) == [EventKind.ACCEPTED, EventKind.DELIVERED]
    assert await bench.kinds(lost.id) == [EventKind.ACCEPTED, EventKind.ATTEMPTED]
    # What the other makes of it is another attempt, however alike.
    assert await bench.spool.settle(other, done) == 1
    assert await bench.kinds(kept.id) == [EventKind.ACCEPTED, EventKind.DELIVERED, EventKind.ATTEMPTED]
    assert await bench.kinds(lost.id) == [EventKind.ACCEPTED, EventKind.ATTEMPTED, EventKind.DELIVERED]


@pytest.mark.parametrize("damage", ["UPDATE content SET data = substr(data, 1, 5)", "DELETE FROM content"])
async def test_torn_content_is_noticed(bench: Bench, damage: str) -> None:
    # R06
    receipt = await bench.accept("a@b.example")
    await bench.database.write(lambda connection: list(connection.execute(damage)))
    with pytest.raises(KeyError):
        await bench.spool.content(receipt.seq)


async def test_settled_deliveries_tell_their_story_once(bench: Bench) -> None:
    receipt = await bench.accept("a@b.example")
    (parcel,) = await bench.claim()
    later = bench.clock.now() + timedelta(minutes=5)
    deferred = attempt(Result.TEMPORARY, 451, "4.7.1 later, <recipient>")
    await bench.spool.settle(
        bench.me, [Settlement(parcel.seq, 0, State.WAITING, later, EventKind.DEFERRED, attempt=deferred)]
    )
    assert await bench.claim() == []
    bench.clock.forward(minutes=5)
    (parcel,) = await bench.claim()
    assert parcel.duties[0].attempts == 1
    taken = attempt(Result.DELIVERED, number=2)
    done = Settlement(parcel.seq, 0, State.DELIVERED, event=EventKind.DELIVERED, attempt=taken)
    assert await bench.spool.settle(bench.me, [done]) == 1
    # R16: a second final state is impossible, and the late result is told as an event
    refused = attempt(Result.PERMANENT, number=2)
    late = Settlement(parcel.seq, 0, State.BOUNCED, event=EventKind.BOUNCED, attempt=refused)
    assert await bench.spool.settle(bench.me, [late]) == 0
    view = await bench.spool.message(receipt.id)
    assert view is not None
    assert [event.kind for event in view.events] == [
        EventKind.ACCEPTED,
        EventKind.DEFERRED,
        EventKind.DELIVERED,
        EventKind.ATTEMPTED,
    ]
    assert view.events[3].detail["late"] is True
    assert view.deliveries[0].state is State.DELIVERED
    assert view.events[2].detail["tls"]["verified"] is True
    assert view.attempts[0].transcript == (Exchange(0, "we", "MAIL FROM:<>"),)
    assert view.attempts[0].detail["reply"] == "451 4.7.1 later, <recipient>"


async def test_the_tls_of_each_host_is_counted_from_its_results(bench: Bench) -> None:  # E11
    watched = TlsFacts("", "", verified=False, demand="sts", policy="sts", domain="b.example", failure="starttls-no")
    for n in range(3):
        await bench.accept(f"a{n}@b.example")
        (parcel,) = await bench.claim()
        taken = attempt(Result.DELIVERED)
        if n == 2:
            passed = Passed(Host("mx1.example", "192.0.2.9"), watched)
            taken = replace(taken, outcome=replace(taken.outcome, passed=(passed,)))
        await bench.spool.settle(
            bench.me, [Settlement(parcel.seq, 0, State.DELIVERED, event=EventKind.DELIVERED, attempt=taken)]
        )
        bench.clock.forward(minutes=1)
    since = bench.clock.now() - timedelta(hours=1)
    found = {one.host: one for one in await tls_by_host(bench.database, since)}
    good, passed_over = found["mx.example"], found["mx1.example"]
    assert (good.demand, good.protocol, good.verified, good.count) == ("may", "TLSv1.3", True, 3)
    assert good.last == bench.clock.now() - timedelta(minutes=1)
    assert (passed_over.demand, passed_over.domain, passed_over.protocol, passed_over.failure, passed_over.count) == (
        "sts", "b.example", "", "starttls-no", 1,
    )  # fmt: skip
    assert [one.host for one in await tls_by_host(bench.database, since, "mx1.example")] == ["mx1.example"]
    assert await tls_by_host(bench.database, bench.clock.now()) == []


async def test_the_fast_path_leases_in_the_commit_but_never_past_older_mail(bench: Bench) -> None:
    first = await bench.accept("a@b.example", lease_to=bench.me)
    assert first.leased == {0}
    assert await bench.claim() == []
    await bench.accept("b@b.example")
    bench.clock.forward(seconds=1)
    behind = await bench.accept("c@b.example", "d@other.example", lease_to=bench.me)
    assert behind.leased == {1}
    assert [parcel.duties[0].recipient.address.local for parcel in await bench.claim()] == ["b", "c"]


async def test_mail_for_later_waits_for_its_time(bench: Bench) -> None:
    due = bench.clock.now() + timedelta(hours=1)
    await bench.accept("a@b.example", due=due, lease_to=bench.me)
    assert await bench.claim() == []
    assert await bench.spool.next_due() == due
    bench.clock.forward(hours=1)
    assert len(await bench.claim()) == 1


async def test_a_new_life_takes_over_at_once_and_the_old_one_settles_nothing(bench: Bench) -> None:
    # R18: the successor of the same node and worker voids the leases of its predecessor
    receipt = await bench.accept("a@b.example", lease_to=bench.me)
    newer = await bench.spool.register("node", 0, Terms(place="mx7, process 8"))
    late = Settlement(receipt.seq, 0, State.DELIVERED, event=EventKind.DELIVERED, attempt=attempt(Result.DELIVERED))
    assert await bench.spool.settle(bench.me, [late]) == 0
    assert await bench.spool.heartbeat(bench.me) == Pulse(Ending.REPLACED, "mx7, process 8")
    assert (await bench.spool.heartbeat(newer)).ending is None
    assert len(await bench.spool.claim(newer, 10)) == 1


async def test_other_workers_keep_their_leases_and_vanished_ones_lose_them(bench: Bench) -> None:
    # R18: taken over when its lease is over, and no sooner
    receipt = await bench.accept("a@b.example", lease_to=bench.me)
    other = await bench.spool.register("node", 1)
    assert await bench.spool.claim(other, 10) == []
    assert await bench.silence(other, LEASE.total_seconds()) == Pulse(look_in=0)
    assert await bench.spool.claim(other, 10) == []
    bench.clock.forward(seconds=0.25)
    assert (await bench.spool.heartbeat(other)).look_in == pytest.approx(60, abs=5)
    assert [parcel.seq for parcel in await bench.spool.claim(other, 10)] == [receipt.seq]
    assert await bench.spool.heartbeat(bench.me) == Pulse(Ending.MISSED)


async def test_each_life_says_how_long_it_may_be_silent(bench: Bench) -> None:
    patient = await bench.spool.register("node", 1, Terms(timedelta(minutes=5)))
    hasty = await bench.spool.register("node", 2, Terms(timedelta(seconds=12)))
    await bench.silence(patient, 13)
    assert [one.incarnation for one in await bench.spool.living()] == [bench.me, patient]
    await bench.spool.heartbeat(bench.me)
    await bench.silence(bench.me, 299)
    assert [one.incarnation for one in await bench.spool.living()] == [bench.me, patient]
    assert await bench.spool.heartbeat(hasty) == Pulse(Ending.MISSED)


async def test_nobody_is_called_silent_for_a_time_in_which_the_spool_was_away(bench: Bench) -> None:
    # R24: after an outage the first heartbeat must not end all others
    other = await bench.spool.register("node", 1)
    await bench.spool.heartbeat(other)
    bench.clock.forward(minutes=10)
    assert (await bench.spool.heartbeat(other)).ending is None
    assert (await bench.spool.heartbeat(bench.me)).ending is None


async def test_the_living_are_told_in_the_order_they_came(bench: Bench) -> None:
    second = await bench.spool.register("node", 1)
    third = await bench.spool.register("another", 0)
    living = await bench.spool.living()
    assert [one.incarnation for one in living] == [bench.me, second, third]
    assert [(one.node, one.worker) for one in living] == [("node", 0), ("node", 1), ("another", 0)]
    assert {(one.started, one.place) for one in living} == {(START, "")}
    newer = await bench.spool.register("node", 0)
    await bench.spool.retire(second)
    assert [one.incarnation for one in await bench.spool.living()] == [third, newer]


async def test_a_clock_that_jumps_ends_no_worker(bench: Bench) -> None:
    # R27: wall times an hour apart say nothing about silence
    receipt = await bench.accept("a@b.example", lease_to=bench.me)
    other = await bench.spool.register("node", 1)
    assert (await bench.spool.heartbeat(other)).ending is None
    bench.clock.jump(hours=1)
    assert (await bench.spool.heartbeat(other)).ending is None
    bench.clock.jump(hours=-2)
    await bench.silence(other, 45)
    assert (await bench.spool.heartbeat(bench.me)).ending is None
    assert await bench.states(receipt.id) == [State.LEASED]


async def test_an_ended_life_is_leased_nothing(bench: Bench) -> None:
    # An accept or a claim that commits after its worker was replaced would lease to nobody, for ever.
    newer = await bench.spool.register("node", 0)
    receipt = await bench.accept("a@b.example", lease_to=bench.me)
    assert receipt.leased == frozenset()
    assert await bench.spool.claim(bench.me, 10) == []
    assert [parcel.seq for parcel in await bench.spool.claim(newer, 10)] == [receipt.seq]


async def test_a_retired_life_gives_everything_back(bench: Bench) -> None:
    receipt = await bench.accept("a@b.example", lease_to=bench.me)
    await bench.spool.retire(bench.me)
    assert await bench.states(receipt.id) == [State.WAITING]
    assert await bench.spool.heartbeat(bench.me) == Pulse(Ending.MISSED)


async def test_a_delivery_whose_recipient_was_erased_ends(bench: Bench) -> None:
    receipt = await bench.accept("a@b.example", "b@b.example")

    def erase(connection: Connection) -> None:
        connection.execute("DELETE FROM recipient WHERE message = ? AND n = 0", (receipt.seq,))

    await bench.database.write(erase)
    (parcel,) = await bench.claim()
    assert [duty.n for duty in parcel.duties] == [1]
    assert await bench.states(receipt.id) == [State.CANCELLED, State.LEASED]


async def test_two_workers_never_hold_the_same_delivery(bench: Bench) -> None:
    for n in range(60):
        await bench.accept(f"u{n}@d{n % 7}.example")
    other = await bench.spool.register("node", 1)
    rounds = await asyncio.gather(*(bench.spool.claim(who, 7) for _ in range(6) for who in (bench.me, other)))
    held = [(parcel.seq, duty.n) for parcels in rounds for parcel in parcels for duty in parcel.duties]
    assert len(held) == len(set(held)) == 60


async def test_tenants_and_domains_share_the_window(bench: Bench) -> None:
    for n in range(50):
        await bench.accept(f"u{n}@big.example")
    await bench.accept("x@small.example")
    await bench.accept("y@big.example", tenant=2)
    claimed = await bench.claim(10)
    assert {(parcel.tenant, parcel.duties[0].recipient.address.domain) for parcel in claimed} == {
        (1, "big.example"),
        (1, "small.example"),
        (2, "big.example"),
    }
    assert len(claimed) <= 10


async def test_full_domains_are_left_alone(bench: Bench) -> None:
    await bench.accept("a@full.example")
    await bench.accept("b@free.example")
    claimed = await bench.claim(skip=frozenset({"full.example"}))
    assert [parcel.duties[0].recipient.address.domain for parcel in claimed] == ["free.example"]


async def test_of_a_slow_path_no_more_is_claimed_than_it_has_use_for(bench: Bench) -> None:
    for number in range(6):
        await bench.accept(f"a{number}@slow.example")
        await bench.accept(f"b{number}@free.example")
    claimed = await bench.claim(limit=8, most={"slow.example": 2})
    domains = Counter(parcel.duties[0].recipient.address.domain for parcel in claimed)
    assert domains == {"slow.example": 2, "free.example": 6}


async def test_idempotency_answers_the_first_message(bench: Bench) -> None:
    # R13
    key = Idempotency("k", b"digest")
    receipts = await asyncio.gather(*(bench.accept("a@b.example", idempotency=key) for _ in range(100)))
    assert len({receipt.id for receipt in receipts}) == 1
    assert sum(not receipt.duplicate for receipt in receipts) == 1
    with pytest.raises(IdempotencyConflictError):
        await bench.accept("a@b.example", idempotency=Idempotency("k", b"other"))
    other_tenant = await bench.accept("a@b.example", idempotency=key, tenant=2)
    assert not other_tenant.duplicate
    bench.clock.forward(hours=24, seconds=1)
    assert not (await bench.accept("a@b.example", idempotency=key)).duplicate


async def test_a_key_of_a_clock_ahead_stands_for_a_day_from_now(bench: Bench) -> None:  # R13
    key, week = Idempotency("k", b"digest"), Idempotency("week", b"digest", timedelta(days=7))
    bench.clock.jump(days=1000)
    await bench.accept("a@b.example", idempotency=key)
    bench.clock.jump(days=-1000)
    await bench.accept("a@b.example", idempotency=week)
    for _ in range(2):
        await bench.spool.forget(bench.clock.now() - timedelta(days=7), 10)
        assert (await bench.accept("a@b.example", idempotency=key)).duplicate
    bench.clock.forward(hours=24, seconds=1)
    assert not (await bench.accept("a@b.example", idempotency=key)).duplicate
    bench.clock.forward(days=5)
    await bench.spool.forget(bench.clock.now() - timedelta(days=7), 10)
    assert (await bench.accept("a@b.example", idempotency=week)).duplicate


async def test_held_and_suppressed_mail_is_not_claimed(bench: Bench) -> None:
    receipt = await bench.accept(
        "held@b.example", "never@b.example", initial={0: State.HELD, 1: State.SUPPRESSED}, hold_reason="key"
    )
    assert await bench.claim() == []
    assert await bench.states(receipt.id) == [State.HELD, State.SUPPRESSED]
    assert await bench.kinds(receipt.id) == [EventKind.ACCEPTED, EventKind.HELD, EventKind.SUPPRESSED]
    where = QueueFilter(recipient="HELD@b.example")
    assert (await bench.spool.ask(Verb.RETRY, where, "key mended", timedelta())).changed == 1
    assert len(await bench.claim()) == 1
    assert (await bench.kinds(receipt.id))[-1] is EventKind.RELEASED


async def test_a_notice_is_accepted_with_the_settlement_it_tells_of(bench: Bench) -> None:
    receipt = await bench.accept("a@b.example", lease_to=bench.me)
    notice = bench.message("ann@sender.example", door=Door.NOTICE)
    notice = replace(notice, envelope=replace(notice.envelope, reverse_path=NULL_PATH))
    bounce = Settlement(
        receipt.seq,
        0,
        State.BOUNCED,
        event=EventKind.BOUNCED,
        attempt=attempt(Result.PERMANENT, 550, "5.1.1 no"),
        notice=notice,
    )
    await bench.spool.settle(bench.me, [bounce])
    (parcel,) = await bench.claim()
    assert (parcel.id, parcel.reverse_path) == (notice.id, NULL_PATH)


async def test_the_first_prelude_stands(bench: Bench) -> None:
    receipt = await bench.accept("a@b.example", prelude=None)
    assert await bench.spool.set_prelude(receipt.seq, b"one") == b"one"
    assert await bench.spool.set_prelude(receipt.seq, b"two") == b"one"


async def test_content_is_forgotten_after_its_time_and_history_stays(bench: Bench) -> None:  # SND 6
    receipt = await bench.accept("a@b.example", lease_to=bench.me)
    open_one = await bench.accept("b@b.example")
    done = Settlement(receipt.seq, 0, State.DELIVERED, event=EventKind.DELIVERED, attempt=attempt(Result.DELIVERED))
    await bench.spool.settle(bench.me, [done])
    bench.clock.forward(days=8)
    assert await bench.spool.forget(bench.clock.now() - timedelta(days=7), 10) == 1
    assert await bench.spool.forget(bench.clock.now() - timedelta(days=7), 10) == 0
    with pytest.raises(KeyError):
        await bench.spool.content(receipt.seq)
    assert await bench.spool.content(open_one.seq)
    assert await bench.states(receipt.id) == [State.DELIVERED]


async def test_addresses_stand_in_one_table(bench: Bench) -> None:
    receipt = await bench.accept("victim@b.example", lease_to=bench.me)
    bounce = attempt(Result.PERMANENT, 550, "5.1.1 <recipient> unknown")
    await bench.spool.settle(
        bench.me, [Settlement(receipt.seq, 0, State.BOUNCED, event=EventKind.BOUNCED, attempt=bounce)]
    )

    def tables_with(connection: Any) -> set[str]:
        tables = [row[0] for row in connection.execute(TABLES[bench.database.dialect])]
        return {
            table
            for table in tables
            for row in list(connection.execute(f"SELECT * FROM {table}"))
            if any("victim" in str(value) for value in row)
        }

    assert await bench.database.read(tables_with) == {"recipient"}
    await bench.database.write(lambda connection: list(connection.execute("DELETE FROM recipient")))
    view = await bench.spool.message(receipt.id)
    assert view is not None
    assert view.deliveries[0].recipient is None
    assert view.deliveries[0].state is State.BOUNCED


async def test_another_tenants_message_is_unknown(bench: Bench) -> None:
    # S49
    receipt = await bench.accept("a@b.example")
    assert await bench.spool.message(receipt.id, tenant=1) is not None
    assert await bench.spool.message(receipt.id, tenant=2) is None
    assert await bench.spool.message(SpoolId("0" * 26)) is None


async def test_the_queue_is_shown_by_lane_and_filter(bench: Bench) -> None:
    await bench.accept("a@one.example")
    await bench.accept("b@one.example")
    bench.clock.forward(hours=2)
    await bench.accept("c@two.example", initial={0: State.HELD})
    lanes = {lane.domain: lane for lane in await bench.spool.lanes()}
    assert (lanes["one.example"].waiting, lanes["one.example"].tenant, lanes["two.example"].held) == (2, "one", 1)
    old = QueueFilter(older_than=bench.clock.now() - timedelta(hours=1))
    assert [view.recipient for view in await bench.spool.deliveries(old)] == ["a@one.example", "b@one.example"]
    assert await bench.spool.deliveries(QueueFilter(domain="one.example", tenant="two")) == []
    assert await bench.spool.deliveries(QueueFilter(sender="ANN@sender.example", limit=1)) != []


async def test_alarms_stand_until_they_end(bench: Bench) -> None:
    assert await bench.spool.raise_alarm("dkim-key", "b.example", "gone")
    assert not await bench.spool.raise_alarm("dkim-key", "b.example", "gone")
    assert [alarm.subject for alarm in await bench.spool.alarms()] == ["b.example"]
    assert await bench.spool.clear_alarm("dkim-key", "b.example")
    assert not await bench.spool.clear_alarm("dkim-key", "b.example")


async def test_a_lost_lease_is_given_back_unused(bench: Bench) -> None:
    await bench.accept("a@b.example")
    (parcel,) = await bench.claim()
    back = Settlement(parcel.seq, 0, State.WAITING, parcel.duties[0].due)
    assert await bench.spool.settle(bench.me, [back]) == 1
    (again,) = await bench.claim()
    assert again.duties[0].attempts == 0
    assert EventKind.DEFERRED not in await bench.kinds(parcel.id)


WINDOW = timedelta(seconds=60)


async def test_hold_and_release(bench: Bench) -> None:
    receipt = await bench.accept("a@b.example", "b@other.example")
    held = await bench.spool.ask(Verb.HOLD, QueueFilter(domain="b.example"), "look first", WINDOW)
    assert (held.changed, held.under_way) == (1, 0)
    assert len(await bench.claim()) == 1
    released = await bench.spool.ask(Verb.RELEASE, QueueFilter(message=receipt.id), "looked", WINDOW)
    assert released.changed == 1
    assert len(await bench.claim()) == 1
    assert (await bench.kinds(receipt.id))[1:] == [EventKind.HELD, EventKind.RELEASED]


async def test_a_cancel_is_a_hold_until_its_window_is_over(bench: Bench) -> None:
    receipt = await bench.accept("a@b.example")
    asked = await bench.spool.ask(Verb.CANCEL, QueueFilter(), "sent by mistake", WINDOW)
    assert asked.final_at == bench.clock.now() + WINDOW
    assert await bench.states(receipt.id) == [State.HELD]
    assert await bench.spool.finish_requests() == 0
    bench.clock.forward(seconds=61)
    assert await bench.spool.finish_requests() == 1
    assert await bench.spool.finish_requests() == 0
    assert await bench.states(receipt.id) == [State.CANCELLED]
    assert (await bench.kinds(receipt.id)).count(EventKind.CANCELLED) == 1
    assert await bench.spool.undo(asked.id or 0) == 0


@pytest.mark.parametrize("verb", [Verb.CANCEL, Verb.BOUNCE, Verb.HOLD])
async def test_undo_puts_everything_back(bench: Bench, verb: Verb) -> None:
    later = bench.clock.now() + timedelta(minutes=9)
    first = await bench.accept("a@b.example", due=later)
    held = await bench.accept("b@b.example", initial={0: State.HELD})
    asked = await bench.spool.ask(verb, QueueFilter(), "oops", WINDOW)
    bench.clock.forward(seconds=10)
    assert await bench.spool.undo(asked.id or 0) == (2 if verb is not Verb.HOLD else 1)
    bench.clock.forward(seconds=61)
    await bench.spool.finish_requests()
    assert await bench.claim() == []
    assert (await bench.states(first.id), await bench.states(held.id)) == ([State.WAITING], [State.HELD])
    bench.clock.forward(minutes=9)
    assert [parcel.id for parcel in await bench.claim()] == [first.id]


async def test_a_bounce_is_handed_to_a_worker_with_its_reason(bench: Bench) -> None:
    await bench.accept("a@b.example", "b@b.example")
    await bench.spool.ask(Verb.BOUNCE, QueueFilter(recipient="a@b.example"), "no such customer", timedelta())
    await bench.spool.finish_requests()
    parcels = await bench.claim()
    assert {(p.duties[0].recipient.address.local, p.duties[0].bounce) for p in parcels} == {
        ("a", "no such customer"),
        ("b", ""),
    }


@pytest.mark.parametrize("delivered", [True, False])
@pytest.mark.parametrize("window_over", [True, False])
async def test_a_cancel_and_a_delivery_under_way_never_both(bench: Bench, delivered: bool, window_over: bool) -> None:
    # R17
    receipt = await bench.accept("a@b.example", lease_to=bench.me)
    asked = await bench.spool.ask(Verb.CANCEL, QueueFilter(), "too late?", WINDOW)
    assert (asked.changed, asked.under_way) == (0, 1)
    if window_over:
        bench.clock.forward(seconds=61)
        await bench.spool.finish_requests()
    assert await bench.states(receipt.id) == [State.LEASED]
    if delivered:
        done = Settlement(receipt.seq, 0, State.DELIVERED, event=EventKind.DELIVERED, attempt=attempt(Result.DELIVERED))
    else:
        later = attempt(Result.TEMPORARY, 451, "4.0.0 later")
        due = bench.clock.now() + timedelta(minutes=1)
        done = Settlement(receipt.seq, 0, State.WAITING, due, EventKind.DEFERRED, attempt=later)
    assert await bench.spool.settle(bench.me, [done]) == 1
    bench.clock.forward(seconds=120)
    await bench.spool.finish_requests()
    assert await bench.states(receipt.id) == [State.DELIVERED if delivered else State.CANCELLED]
    kinds = await bench.kinds(receipt.id)
    assert kinds.count(EventKind.CANCELLED) == (0 if delivered else 1)
    assert await bench.claim() == []


async def test_suspended_paths_are_not_claimed_and_not_sent_from_memory(bench: Bench) -> None:
    until = bench.clock.now() + timedelta(hours=1)
    await bench.accept("a@b.example")
    await bench.spool.note_site(1, "b.example", "mx.example")
    number = await bench.spool.suspend(Suspension(0, "", "", "mx.example", until, "they said so"))
    assert await bench.claim() == []
    fast = await bench.accept("b@b.example", lease_to=bench.me)
    assert fast.leased == frozenset()
    assert [one.reason for one in await bench.spool.suspensions()] == ["they said so"]
    assert await bench.spool.resume(number)
    assert not await bench.spool.resume(number)
    assert len(await bench.claim()) == 2
    number = await bench.spool.suspend(Suspension(0, "", "", "mx.example", until, "one address", "ip1"))
    assert [one.source for one in await bench.spool.suspensions()] == ["ip1"]
    assert (await bench.accept("d@b.example", lease_to=bench.me)).leased, "other sources may take it"
    await bench.spool.resume(number)
    await bench.accept("c@other.example", tenant=2)
    await bench.spool.suspend(Suspension(0, "two", "", "", until, "unpaid"))
    assert await bench.spool.suspend(Suspension(0, "nobody", "", "", until, "")) == 0
    assert await bench.claim() == []
    bench.clock.forward(hours=2)
    assert len(await bench.claim()) == 1
    assert await bench.spool.suspensions() == []


async def test_the_preview_counts_what_a_request_means(bench: Bench) -> None:
    for n in range(7):
        await bench.accept(f"u{n}@b.example")
    await bench.accept("x@other.example")
    where = QueueFilter(domain="b.example", limit=3)
    assert await bench.spool.count(where) == 7
    assert (await bench.spool.ask(Verb.HOLD, where, "all of them", WINDOW)).changed == 7


async def test_a_later_request_is_not_overridden_by_an_earlier_one(bench: Bench) -> None:
    receipt = await bench.accept("a@b.example")
    cancelled = await bench.spool.ask(Verb.CANCEL, QueueFilter(), "mistake", WINDOW)
    await bench.spool.ask(Verb.RELEASE, QueueFilter(), "no mistake", WINDOW)
    await bench.spool.ask(Verb.HOLD, QueueFilter(), "look first", WINDOW)
    assert await bench.spool.undo(cancelled.id or 0) == 0
    bench.clock.forward(seconds=61)
    await bench.spool.finish_requests()
    assert await bench.states(receipt.id) == [State.HELD]


async def test_undoing_a_hold_takes_back_no_cancel(bench: Bench) -> None:
    receipt = await bench.accept("a@b.example")
    held = await bench.spool.ask(Verb.HOLD, QueueFilter(), "look first", WINDOW)
    await bench.spool.ask(Verb.CANCEL, QueueFilter(), "looked", WINDOW)
    assert await bench.spool.undo(held.id or 0) == 0
    bench.clock.forward(seconds=61)
    await bench.spool.finish_requests()
    assert await bench.states(receipt.id) == [State.CANCELLED]


async def test_with_more_tenants_than_room_the_longest_waiting_come_first(bench: Bench) -> None:
    for tenant in range(9, 0, -1):
        await bench.accept("a@b.example", tenant=tenant)
        bench.clock.forward(seconds=1)
    claimed = [parcel.tenant for _ in range(3) for parcel in await bench.claim(3)]
    assert claimed == list(range(9, 0, -1))


async def test_messages_accepted_together_are_all_there_or_none(bench: Bench) -> None:
    one, two = bench.message("a@b.example"), bench.message("b@b.example", lease_to=bench.me)
    receipts = await bench.spool.accept_together([one, two])
    assert [receipt.id for receipt in receipts] == [one.id, two.id]
    assert [await bench.states(one.id), await bench.states(two.id)] == [[State.WAITING]] * 2
    keyed = [bench.message("c@b.example", idempotency=Idempotency(key, b"digest")) for key in ("k", "k\n1")]
    first = await bench.spool.accept_together(keyed)
    again = [replace(one, id=bench.message("x@b.example").id) for one in keyed]
    assert [(one.id, one.duplicate) for one in await bench.spool.accept_together(again)] == [
        (one.id, True) for one in first
    ]
    fresh = bench.message("d@b.example")
    conflicting = bench.message("c@b.example", idempotency=Idempotency("k", b"another"))
    with pytest.raises(IdempotencyConflictError):
        await bench.spool.accept_together([fresh, conflicting])
    assert await bench.spool.message(fresh.id) is None
