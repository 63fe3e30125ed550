"""Sorting is crash-safe on both databases: what was taken is sorted once, whoever dies and whoever repeats."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from relay.account.book import AccountBook
from relay.clock import to_millis
from relay.database.contract import Connection, Database
from relay.errors import SpoolFullError
from relay.event import EventKind
from relay.ids import SeededEntropy, SpoolId, SystemEntropy, new_spool_id
from relay.mail.address import NULL_PATH, parse_address
from relay.mail.envelope import Envelope, Recipient
from relay.policy.hearing import Followed, Purpose
from relay.policy.report_share import OF_DOMAIN, OF_REPORTER, reporter_of
from relay.policy.state import State
from relay.spool.auto_answers import AutoAnswers
from relay.spool.contract import Spool
from relay.spool.erasing import erase_message, erase_recipient
from relay.spool.feedback_loops import FeedbackLoops
from relay.spool.inbound import InboundStore
from relay.spool.inbound_room import LOOK_SECONDS, InboundRoom
from relay.spool.inbound_values import (
    MOST_REPLIES,
    Consequence,
    InboundAddress,
    InboundFilter,
    NewInbound,
    NewReport,
    RepliesCame,
)
from relay.spool.letter_replies import Customer, LetterReplies
from relay.spool.report_shares import (
    DAY,
    ENOUGH,
    NOT_OURS,
    REPORTS_KEPT,
    Declined,
    PackedReport,
    declined_reports,
    keep_report,
)
from relay.spool.sender_addresses import SenderAddresses
from relay.spool.work import Door, NewMessage, Settlement
from tests.support.either_database import BOTH, open_database, spool_on
from tests.support.hand_clock import HandClock

ENTROPY = SeededEntropy(9)


@dataclass
class Bench:
    spool: Spool
    store: InboundStore
    clock: HandClock
    database: Database

    async def delivered(self) -> SpoolId:
        """A message whose one delivery is DELIVERED."""
        now = self.clock.now()
        sender, recipient = parse_address("ann@leak.example"), Recipient(parse_address("bob@x.example"))
        number = new_spool_id(1_790_000_000_000, ENTROPY)
        life = await self.spool.register("node", 0)
        later = now + timedelta(days=5)
        envelope = Envelope(sender, (recipient,))
        new = NewMessage(number, 1, None, Door.SMTP, envelope, b"a: b\r\n\r\n", b"", now, later, now, lease_to=life)
        receipt = await self.spool.accept(new)
        await self.spool.settle(life, [Settlement(receipt.seq, 0, State.DELIVERED, event=EventKind.DELIVERED)])
        return number

    async def heard(self, message: SpoolId | None) -> int:
        """An item about that delivery, committed and not sorted."""
        delivery = None if message is None else (message, 0)
        address = InboundAddress("r0@bounces.leak.example", Purpose.RETURN, delivery)
        (number,) = await self.store.take(
            NewInbound("192.0.2.1", "mx", True, NULL_PATH, (address,), b"Subject: x\r\n\r\n")
        )
        return number


@pytest.fixture(params=BOTH)
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    clock = HandClock()
    database = await open_database(request, tmp_path)
    spool = spool_on(database, clock)
    await AccountBook(database, clock, SystemEntropy()).migrate()
    await spool.migrate()
    yield Bench(spool, InboundStore(database, clock), clock, database)
    await spool.close()


def returned(message: SpoolId) -> Consequence:
    told = {"reason": "unknown-user", "permanent": True}
    return Consequence(
        "bounce", Followed.RETURNED, {"why": "x"}, delivery=(message, 0), event=EventKind.RETURNED, told=told
    )


async def test_what_was_taken_is_found_until_it_is_sorted(bench: Bench) -> None:  # C05
    number = await bench.heard(None)
    assert await bench.store.unsorted(bench.clock.now(), 10) == [number]
    assert await bench.store.settle(number, Consequence("other", Followed.SHOWN, {}, shown=True))
    assert await bench.store.unsorted(bench.clock.now(), 10) == []
    item = await bench.store.item(number)
    assert item is not None
    assert (item.reverse_path, item.helo, item.content) == ("", "mx", b"Subject: x\r\n\r\n")


async def test_a_settlement_repeated_changes_nothing(bench: Bench) -> None:
    message = await bench.delivered()
    number = await bench.heard(message)
    assert await bench.store.settle(number, returned(message))
    assert not await bench.store.settle(number, returned(message))
    view = await bench.spool.message(message)
    assert view is not None
    assert view.deliveries[0].state is State.RETURNED
    assert [event.kind for event in view.events] == [EventKind.ACCEPTED, EventKind.DELIVERED, EventKind.RETURNED]
    assert view.events[-1].detail == {"reason": "unknown-user", "permanent": True, "inbound": number}


async def test_with_an_erased_recipient_goes_what_came_back_about_them(bench: Bench) -> None:  # RCP 5
    message, other = await bench.delivered(), await bench.delivered()
    numbers = [await bench.heard(one) for one in (message, other)]
    for number, one in zip(numbers, (message, other), strict=True):
        assert await bench.store.settle(number, returned(one))
    assert await erase_message(bench.database, 1, message)
    items = [await bench.store.item(number) for number in numbers]
    assert [item.content for item in items if item is not None] == [None, b"Subject: x\r\n\r\n"]
    late = await bench.heard(message)
    assert await bench.store.settle(late, returned(message))
    item = await bench.store.item(late)
    assert item is not None
    assert item.content is None, "nor is what comes later"


async def test_two_reports_of_one_delivery_that_raced_return_it_once(bench: Bench) -> None:
    message = await bench.delivered()
    numbers = [await bench.heard(message), await bench.heard(message)]
    for number in numbers:
        assert await bench.store.settle(number, returned(message))
    view = await bench.spool.message(message)
    assert view is not None
    assert [event.kind.label for event in view.events] == ["accepted", "delivered", "returned", "attempted"]
    assert [one.followed for one in await bench.store.listing(InboundFilter(waiting=False))] == ["recorded", "returned"]


async def test_a_complaint_posted_again_and_again_counts_once(bench: Bench) -> None:  # the complaint brake
    message = await bench.delivered()
    for kind, followed in ((EventKind.COMPLAINED, Followed.COMPLAINED), (EventKind.OPTED_OUT, Followed.OPTED_OUT)):
        for n in (0, 0, 0, None, None):
            number = await bench.heard(message if n == 0 else None)
            consequence = Consequence("complaint", followed, {"why": "x"}, delivery=(message, n), event=kind)
            assert await bench.store.settle(number, consequence)
    view = await bench.spool.message(message)
    assert view is not None
    told = [(event.kind.label, event.n) for event in view.events[2:]]
    assert told == [("complained", 0), ("complained", None), ("opted_out", 0), ("opted_out", None)]
    listed = [one.followed for one in await bench.store.listing(InboundFilter(waiting=False))]
    assert sorted(listed) == sorted(2 * ["complained", "opted-out"] + 6 * ["recorded"])


async def test_a_person_sees_it_until_it_is_done_and_it_is_forgotten_in_time(bench: Bench) -> None:
    shown, unsorted = await bench.heard(None), await bench.heard(None)
    await bench.store.settle(shown, Consequence("other", Followed.SHOWN, {}, shown=True))
    assert [one.id for one in await bench.store.listing(InboundFilter())] == [shown]
    assert await bench.store.waiting(Purpose.RETURN) == (1, bench.clock.now())
    assert await bench.store.done(shown)
    assert not await bench.store.done(shown)
    assert await bench.store.listing(InboundFilter()) == []
    bench.clock.move(60)
    assert await bench.store.forget(bench.clock.now(), 10) == 1
    assert [one.id for one in await bench.store.listing(InboundFilter(waiting=False))] == [unsorted]


async def test_the_ledger_of_loops(bench: Bench) -> None:
    message = await bench.delivered()
    loops = FeedbackLoops(bench.database, bench.clock)
    await loops.enrol("Yahoo")
    complaint = Consequence("complaint", Followed.COMPLAINED, {}, loop="Yahoo")
    await bench.store.settle(await bench.heard(message), complaint)
    bench.clock.move(3600)
    await bench.store.settle(await bench.heard(message), complaint)
    (loop,) = await loops.listing()
    assert (loop.name, loop.reports) == ("Yahoo", 2)
    assert loop.first_at is not None
    assert loop.last_at == loop.first_at + timedelta(hours=1)


async def test_sender_addresses_are_known_in_any_case(bench: Bench) -> None:
    senders = SenderAddresses(bench.database, bench.clock)
    for _ in range(2):
        await senders.note("Ann@leak.example")
    assert await senders.has("ANN@leak.example")
    assert not await senders.has("bob@leak.example")


async def test_the_right_to_answer_is_one_items_for_seven_days(bench: Bench) -> None:
    ledger, week = AutoAnswers(bench.database, bench.clock), timedelta(days=7)
    assert await ledger.may_answer(b"a" * 16, 1, week)
    assert await ledger.may_answer(b"a" * 16, 1, week), "whoever takes up the same item may still answer it"
    assert not await ledger.may_answer(b"a" * 16, 2, week)
    assert await ledger.may_answer(b"b" * 16, 2, week)
    bench.clock.move(week.total_seconds())
    assert await ledger.may_answer(b"a" * 16, 3, week)
    assert not await ledger.may_answer(b"a" * 16, 1, week)


def _mail(size: int, purpose: Purpose = Purpose.POSTMASTER, delivery: tuple[SpoolId, int] | None = None) -> NewInbound:
    address = InboundAddress("x@bounces.leak.example", purpose, delivery)
    return NewInbound("192.0.2.1", "mx", True, NULL_PATH, (address,), b"x" * size)


async def test_strangers_fill_half_of_the_room_and_bounces_still_come(bench: Bench) -> None:  # S32
    room = InboundRoom(bench.database, bench.clock, 1000)

    async def take(mail: NewInbound) -> int:
        await room.make(mail)
        return (await bench.store.take(mail))[0]

    seen = await take(_mail(400))
    assert await bench.store.settle(seen, Consequence("human", Followed.SHOWN, {}, shown=True))
    with pytest.raises(SpoolFullError):  # what waits for a person is never deleted
        await take(_mail(200))
    token = (await bench.delivered(), 0)
    bounce = await take(_mail(500, Purpose.RETURN, token))
    with pytest.raises(SpoolFullError):
        await take(_mail(200, Purpose.RETURN, token))
    assert await bench.store.settle(bounce, Consequence("other", Followed.KEPT, {}))
    newest = await take(_mail(600, Purpose.RETURN, token))
    assert await bench.store.item(bounce) is None
    assert await bench.store.item(seen) is not None
    assert await bench.store.item(newest) is not None


async def test_old_aggregate_reports_go_and_others_make_room_at_last(bench: Bench) -> None:
    def store(connection: Connection) -> None:
        for digest in ("a", "b"):
            connection.execute(
                "INSERT INTO aggregate_report (form, domain, digest, at, content) VALUES ('dmarc', 'd.test', ?, ?, ?)",
                (digest, to_millis(bench.clock.now()), b"x" * 300),
            )

    async def reports() -> int:
        query = "SELECT count(*) FROM aggregate_report"
        rows = await bench.database.read(lambda connection: list(connection.execute(query)))
        return int(rows[0][0])

    await bench.database.write(store)
    room = InboundRoom(bench.database, bench.clock, 1400)
    await room.make(_mail(100))
    assert await reports() == 2
    await room.make(_mail(600))
    assert await reports() == 0
    await bench.database.write(store)
    ten_years = 3650 * 86400
    bench.clock.jump(ten_years)
    bench.clock.move(LOOK_SECONDS)
    await room.make(_mail(100))
    assert await reports() == 2, "a clock that is ahead deletes nothing (R27)"
    bench.clock.jump(-ten_years)
    bench.clock.move((REPORTS_KEPT + timedelta(seconds=LOOK_SECONDS)).total_seconds())
    await room.make(_mail(100))
    assert await reports() == 0


async def test_an_item_that_was_left_is_counted_until_it_is_sorted(bench: Bench) -> None:  # R33
    number = await bench.heard(None)
    assert [await bench.store.begin(number) for _ in range(3)] == [1, 2, 3]
    assert await bench.store.settle(number, Consequence("unread", Followed.SHOWN, {"why": "x"}, shown=True))
    assert await bench.store.begin(number) == 0


async def replied(bench: Bench, message: SpoolId, *beside: InboundAddress) -> int:
    """A reply to that message, committed and not sorted; `beside` are other addresses it came to."""
    address = InboundAddress("a0@bounces.leak.example", Purpose.REPLY, (message, 0))
    content = b"From: bob@x.example\r\nX-Originating-IP: 192.0.2.9\r\n\r\nYes.\r\n"
    path = parse_address("bob@x.example")
    return (await bench.store.take(NewInbound("192.0.2.1", "laptop", True, path, (address, *beside), content)))[0]


def passed_on(message: SpoolId, words: str = "Yes.") -> Consequence:
    detail = {"why": "x"}
    return Consequence("other", Followed.PASSED_ON, detail, delivery=(message, 0), words=words, forgets=True)


OURS = Customer(1, None)


async def test_of_a_reply_its_words_alone_are_kept_until_the_front_has_them(bench: Bench) -> None:  # RCP 10
    message = await bench.delivered()
    replies = LetterReplies(bench.database, bench.clock)
    assert await replies.has_room(message)
    number = await replied(bench, message)
    assert await bench.store.replies(message, 0) == RepliesCame(1, 1)
    for _ in range(2):  # who sorted it died before anybody heard so
        await bench.store.settle(number, passed_on(message))
    rows = await bench.database.read(lambda connection: list(connection.execute("SELECT * FROM inbound_mail")))
    assert not [part for part in ("192.0.2", "laptop", "bob", "Yes") if part in repr(rows)]
    (waiting,) = await replies.waiting(OURS, 5)
    assert (waiting.message, waiting.recipient, waiting.words) == (message, "bob@x.example", "Yes.")
    assert not await replies.has_room(message)
    for stranger in (Customer(2, None), Customer(1, 7)):
        assert await replies.waiting(stranger, 5) == []
        await replies.taken(stranger, [message])
    assert len(await replies.waiting(OURS, 5)) == 1
    for _ in range(2):
        await replies.taken(OURS, [message, "nobody's"])
        assert await replies.waiting(OURS, 5) == []
    again = await replied(bench, message)
    assert await bench.store.settle(again, passed_on(message, "And another thing."))
    assert await replies.waiting(OURS, 5) == [], "a letter has one reply"
    assert await bench.store.replies(message, 0) == RepliesCame(2, 0, is_answered=True)


async def test_of_what_strangers_write_to_a_letter_a_few_are_listed(bench: Bench) -> None:  # S53
    message, other = await bench.delivered(), await bench.delivered()
    strangers = Consequence("other", Followed.KEPT, {"why": "x"}, delivery=(message, 0), forgets=True)
    for _ in range(2 * MOST_REPLIES):
        assert await bench.store.settle(await replied(bench, message), strangers)
    assert await bench.store.replies(message, 0) == RepliesCame(MOST_REPLIES)
    assert await bench.store.replies(other, 0) == RepliesCame(0)
    beside = await replied(bench, message, InboundAddress("abuse@leak.example", Purpose.ABUSE))
    for _ in range(2):  # who sorted it died before anybody heard so
        await bench.store.settle(beside, strangers)
    item = await bench.store.item(beside + 1)
    assert item is not None
    assert item.content is not None, "it came to somebody else too"
    assert await bench.store.settle(await replied(bench, message), passed_on(message))
    assert await bench.store.replies(message, 0) == RepliesCame(MOST_REPLIES + 1, 0, is_answered=True)
    mails = await bench.database.read(lambda connection: list(connection.execute("SELECT id FROM inbound_mail")))
    assert len(mails) == MOST_REPLIES + 2


async def test_what_came_to_a_person_of_ours_too_is_kept_for_them(bench: Bench) -> None:
    message = await bench.delivered()
    number = await replied(bench, message, InboundAddress("abuse@leak.example", Purpose.ABUSE))
    assert await bench.store.settle(number, passed_on(message))
    assert await bench.store.settle(number + 1, Consequence("other", Followed.SHOWN, {}, shown=True))
    item = await bench.store.item(number + 1)
    assert item is not None
    assert item.content is not None


async def test_a_reply_goes_with_its_letter_and_with_time(bench: Bench) -> None:  # RCP 10
    replies = LetterReplies(bench.database, bench.clock)
    kept, forgotten, late = [await bench.delivered() for _ in range(3)]
    for message in (kept, forgotten):
        await bench.store.settle(await replied(bench, message), passed_on(message))
    unsorted = await replied(bench, late)
    assert await erase_message(bench.database, 1, late)
    await bench.store.settle(unsorted, passed_on(late))
    assert await erase_message(bench.database, 1, forgotten)
    assert [one.message for one in await replies.waiting(OURS, 5)] == [kept]

    async def words() -> int:
        sql = "SELECT count(*) FROM letter_reply WHERE words IS NOT NULL"
        return int((await bench.database.read(lambda connection: list(connection.execute(sql))))[0][0])

    assert await words() == 1
    bench.clock.move(60)
    assert await bench.store.forget(bench.clock.now(), 10) == 3
    assert await words() == 0
    fresh = await bench.delivered()
    await bench.store.settle(await replied(bench, fresh), passed_on(fresh))
    assert await words() == 1
    assert await erase_recipient(bench.database, 1, "Bob@x.example") > 0
    assert await words() == 0


async def reported(bench: Bench, domain: str, content: bytes, reporter: str) -> str:
    """What followed from a report: "" as it was meant, else why it is not kept."""
    number = await bench.heard(None)
    report = NewReport("dmarc", domain, content, reporter)
    stored = Consequence("report", Followed.STORED, {"why": "aggregate report"}, document=report)
    assert await bench.store.settle(number, stored)
    view = await bench.store.view(number)
    assert view is not None
    return "" if view.followed == "stored" else str(view.detail["why"])


async def test_one_network_cannot_fill_the_reports_of_a_domain(bench: Bench) -> None:  # S28
    day, forger, receiver = bench.clock.now(), "198.51.100.0/24", "203.0.113.0/24"
    for n in range(OF_REPORTER.reports):
        assert await reported(bench, "leak.example", b"%d" % n, forger) == ""
    assert await reported(bench, "leak.example", b"0", receiver) == "", "kept already, so nobody's share is touched"
    assert await reported(bench, "leak.example", b"one more", forger) == ENOUGH
    assert await reported(bench, "leak.example", b"honest", receiver) == ""
    assert await reported(bench, "other.example", b"of another domain", forger) == ""
    assert await reported(bench, "", b"of nobody", forger) == NOT_OURS
    assert await declined_reports(bench.database, day) == Declined(not_ours=1, beyond=1)
    bench.clock.move(86_400)
    assert await reported(bench, "leak.example", b"the next day", forger) == ""
    bench.clock.move(2 * 86_400)
    await bench.store.forget(bench.clock.now(), 100)
    query = "SELECT domain, reporter FROM report_share ORDER BY day, domain, reporter"
    rows = await bench.database.read(lambda connection: list(connection.execute(query)))
    assert [tuple(row) for row in rows] == [("", ""), ("leak.example", ""), ("other.example", ""), ("leak.example", "")]


async def test_a_reporter_is_counted_whatever_a_stranger_writes_as_its_author(bench: Bench) -> None:  # S28
    for author in ("nul\x00.example", "\x1b[31m.example", "é" * 300, ""):
        assert await reported(bench, "leak.example", author.encode(), reporter_of("127.0.0.1", author)) == ""


async def test_all_networks_together_cannot_fill_them_either(bench: Bench) -> None:  # S28
    day = to_millis(bench.clock.now()) // DAY

    def nearly(connection: Connection) -> None:
        values = (day, "leak.example", OF_DOMAIN.reports - 1, 5)
        connection.execute("INSERT INTO report_share VALUES (?, ?, '', ?, ?, 0)", values)

    await bench.database.write(nearly)
    assert await reported(bench, "leak.example", b"the last", "a") == ""
    assert await reported(bench, "leak.example", b"too many", "b") == ENOUGH
    big = PackedReport("dmarc", "other.example", "d", b"x" * (OF_REPORTER.octets + 1), "a")
    assert await bench.database.write(lambda connection: keep_report(connection, big, 0)) == ENOUGH
