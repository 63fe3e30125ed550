"""The store and the courier: what was kept is handed over once, through refusals, crashes and restarts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from relay.client.contract import Admission, Letter, LetterAccepted, LetterRefused
from relay.database.contract import Database
from relay.database.sqlite import SqliteDatabase
from relay.ids import SeededEntropy
from tests.support.front import errands_of
from tests.support.hand_clock import HandClock
from tests.support.relay_in_memory import RelayInMemory
from tests.support.switched_database import SwitchedDatabase
from web import courier, forgetting
from web.admission import DayAdmission
from web.ceilings import Ceilings
from web.courier import FIRST_LOOK, Courier, Rounds
from web.departing import WayOut
from web.forgetting import LetterForgetter
from web.freezes import FREEZE
from web.handing_over import HandOver
from web.letter_table import DatabaseLetterStore
from web.letters import HOLD_TIME, Departure, Ending, Expected, HeldFor, Hold, NewLetter, hash_secret
from web.mailbox import MailboxHasher
from web.objections import Objections
from web.sealed_store import SealedStore
from web.sealing import Sealed, month_of
from web.wishes import Wishes
from web.withheld_table import WithheldTable
from web.withholding import Withholding

ROUNDS = Rounds(timedelta(milliseconds=20), timedelta(days=90))
START = HandClock().now()


def _letter(n: int = 0) -> NewLetter:
    mail = Letter(
        sender="letter@leak.lab.test",
        sender_name="A friend",
        recipient="victim-of-a-search@example.org",
        subject="From a friend, anonymously.",
        text="words-to-look-for",
        html="<p>words-to-look-for</p>",
        stream="letters",
        idempotency_key=f"letter-{n}",
    )
    return NewLetter(f"letter-{n}", hash_secret(f"secret-{n}"), "en", "friend", mail)


class Bench:
    """A store in a real database, a relay in memory, and the courier between them."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.clock = HandClock()
        self.relay = RelayInMemory()
        self.store = DatabaseLetterStore(database)
        self.admission = DayAdmission(database, self.clock, 0)
        self.courier = self.new_courier()

    def new_courier(
        self,
        last: tuple[Callable[[], Awaitable[None]], ...] = (),
        forget: tuple[Callable[[], Awaitable[object]], ...] = (),
    ) -> Courier:
        mailboxes = MailboxHasher([b"b" * 32])
        errands = errands_of(self.relay, self.database, self.clock)
        objections = Objections(self.relay, errands, self.database, mailboxes)
        ceilings = Ceilings(self.relay, self.admission, self.clock)
        way_out = WayOut(self.relay, objections, ceilings, mailboxes, self.clock)
        withheld = WithheldTable(self.database)
        withholding = Withholding(self.relay, withheld, self.clock, lambda _: timedelta(0))
        rounds = replace(ROUNDS, last=(withholding.look, *last), forget=forget)
        hand_over = HandOver(way_out, self.store, withheld, self.clock, SeededEntropy(3))
        return Courier(hand_over, self.store, self.clock, rounds)

    async def send(self, letter: NewLetter) -> bool:
        """Send a letter, and wait until it was tried once."""
        sent = await self.courier.send(letter, Departure(START))
        await self.courier.stop()
        return sent


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    database = await SqliteDatabase.open(tmp_path / "front.db")
    made = Bench(database)
    await made.store.prepare()
    yield made
    await made.courier.stop()
    await database.close()


async def test_a_letter_is_kept_then_handed_over_then_forgotten(bench: Bench, tmp_path: Path) -> None:
    assert await bench.send(_letter())
    record = await bench.store.find(hash_secret("secret-0"))
    assert record is not None
    assert (record.message_id, record.due, record.refused) == ("m-letter-0", None, False)
    assert list(bench.relay.letters.values()) == [_letter().mail]
    rows = await bench.database.read(lambda c: list(c.execute("SELECT count(*) FROM web_handover")))
    assert rows == [(0,)]


async def test_what_a_letter_asks_of_the_database(bench: Bench) -> None:
    """Each question is a thread's turn, and a hundred letters leave in a second."""
    counted = SwitchedDatabase(bench.database)
    leaving = Bench(counted)
    await leaving.send(_letter())
    assert (counted.reads, counted.writes) == (1, 2), "whether it may leave; that it is kept, that it has left"
    now = bench.clock.now()
    for n in range(1, 6):
        await bench.store.add(_letter(n), now, Departure(now + timedelta(hours=1)))
    counted = SwitchedDatabase(bench.database)
    await Wishes(errands_of(bench.relay, counted, bench.clock), counted, bench.clock).look()
    assert (counted.reads, counted.writes) == (3, 1), "which letters, their refusals together, whether there are more"


async def test_neither_secret_nor_exact_time_is_stored(bench: Bench) -> None:  # S53, SND 3, SND 11
    bench.clock.move(123.456)
    await bench.send(_letter())
    rows = await bench.database.read(lambda c: list(c.execute("SELECT * FROM web_letter")))
    assert "secret-0" not in repr(rows)
    assert "victim" not in repr(rows)
    record = await bench.store.find(hash_secret("secret-0"))
    assert record is not None
    assert record.created.minute % 5 == record.created.second == record.created.microsecond == 0


async def test_the_same_letter_is_sent_once(bench: Bench) -> None:
    first, second = await asyncio.gather(*(bench.send(_letter()) for _ in range(2)))
    assert sorted((first, second)) == [False, True]
    assert not await bench.send(_letter())
    assert len(bench.relay.letters) == 1


async def test_a_crash_between_store_and_hand_over_loses_nothing(bench: Bench) -> None:
    now = bench.clock.now()
    await bench.store.add(_letter(), now, Departure(now + FIRST_LOOK))  # and here the process dies
    again = bench.new_courier()
    assert await again.make_round() == 0
    bench.clock.move(FIRST_LOOK.total_seconds())
    assert await again.make_round() == 1
    assert list(bench.relay.letters) == ["letter-0"]
    assert await again.make_round() == 0


async def test_a_crash_between_hand_over_and_its_note_makes_no_second_mail(bench: Bench) -> None:
    now = bench.clock.now()
    await bench.store.add(_letter(), now, Departure(now))
    await bench.relay.submit(_letter().mail)  # and here the process dies
    await bench.new_courier().make_round()
    assert bench.relay.arrivals == 2
    assert len(bench.relay.letters) == 1
    record = await bench.store.find(hash_secret("secret-0"))
    assert record is not None
    assert record.message_id == "m-letter-0"


async def test_what_is_said_against_a_letter_between_two_tries_holds(bench: Bench) -> None:  # RCP 1, RCP 2
    """A relay that is full for a while must not carry past a "never again", a report or a frozen pair."""
    bench.relay.refusal = LetterRefused(temporary=True, reason="full")
    for n, name in enumerate(("refuses", "reports", "frozen", "wants")):
        mail = replace(_letter(n).mail, recipient=f"{name}@example.org")
        assert await bench.send(replace(_letter(n), mail=mail, pair=name.encode()))
    assert bench.relay.arrivals == 4
    bench.relay.refused["refuses@example.org"] = False
    sql = "INSERT INTO web_report (letter_id, at, mailbox, rule, words) VALUES ('earlier', 0, ?, 'hate', '')"
    reporter = MailboxHasher([b"b" * 32]).of("reports@example.org")
    await bench.database.write(lambda connection: connection.execute(sql, (reporter,)))
    await bench.database.write(lambda connection: connection.execute(FREEZE, (0, "letter-2")))
    bench.relay.refusal = None
    bench.clock.move(6)
    assert await bench.courier.make_round() == 4
    assert [one.recipient for one in bench.relay.letters.values()] == ["wants@example.org"]
    found = [await bench.store.find(hash_secret(f"secret-{n}")) for n in range(4)]
    assert [(one.left is not None, one.due is None) for one in found if one] == [
        (True, True),
        (True, False),  # it waits for the report
        (True, True),
        (True, True),
    ]


@pytest.mark.parametrize("is_old", [False, True])
async def test_what_the_relay_took_unnoted_is_noted_whoever_says_no_since(bench: Bench, is_old: bool) -> None:  # R12
    now = bench.clock.now()
    await bench.store.add(_letter(), now, Departure(now))
    (taken,) = await bench.store.take_due(now, timedelta(minutes=2), 9)
    await bench.relay.submit(taken.mail)  # and here the process dies
    bench.relay.refused[taken.mail.recipient] = False
    bench.relay.is_old = is_old
    bench.clock.move(121)
    await bench.new_courier().make_round()
    record = await bench.store.find(hash_secret("secret-0"))
    assert record is not None
    assert (record.message_id, record.is_withheld, record.refused) == ("m-letter-0", False, False)
    assert len(bench.relay.letters) == 1


async def test_who_died_before_it_was_tried_passes_no_ceiling(bench: Bench) -> None:  # R12
    bench.admission = DayAdmission(bench.database, bench.clock, 1)
    now, later = bench.clock.now(), bench.new_courier()
    for n in range(2):
        claimed = Departure(now + FIRST_LOOK, claimed=True, expected=Expected(""))
        await bench.store.add(_letter(n), now, claimed)  # and here the process dies
    bench.clock.move(FIRST_LOOK.total_seconds())
    assert await later.make_round() == 2
    assert len(bench.relay.letters) == 1
    waiting = [one for n in range(2) if (one := await bench.store.find(hash_secret(f"secret-{n}"))) and one.due]
    assert len(waiting) == 1
    assert waiting[0].may_be_cancelled(bench.clock.now())


@pytest.mark.parametrize("how", ["refused", "unavailable"])
async def test_a_relay_that_cannot_just_now_is_asked_again(bench: Bench, how: str) -> None:
    if how == "refused":
        bench.relay.refusal = LetterRefused(temporary=True, reason="full")
    bench.relay.unavailable = how == "unavailable"
    assert await bench.send(_letter())
    record = await bench.store.find(hash_secret("secret-0"))
    assert record is not None
    assert record.due is not None
    bench.relay.refusal, bench.relay.unavailable = None, False
    bench.clock.move(6)
    assert await bench.courier.make_round() == 1
    assert list(bench.relay.letters) == ["letter-0"]


async def test_waits_grow_and_end_after_five_days(bench: Bench) -> None:
    bench.relay.refusal = LetterRefused(temporary=True, reason="full")
    await bench.send(_letter())
    tries = 0
    while (record := await bench.store.find(hash_secret("secret-0"))) and record.due is not None:
        bench.clock.move((record.due - bench.clock.now()).total_seconds() + (3600 if tries > 10 else 0))
        tries += await bench.courier.make_round()
        assert tries < 200
    assert record is not None
    assert record.refused
    assert tries > 50


async def test_a_final_refusal_ends_the_letter_and_forgets_its_words(bench: Bench) -> None:
    bench.relay.refusal = LetterRefused(temporary=False, reason="no")
    await bench.send(_letter())
    await bench.courier.make_round()
    record = await bench.store.find(hash_secret("secret-0"))
    assert record is not None
    assert (record.refused, record.due, record.message_id) == (True, None, None)
    bench.clock.move(3600)
    assert await bench.courier.make_round() == 0


async def test_a_claimed_letter_is_nobody_elses(bench: Bench) -> None:
    now = bench.clock.now()
    for n in range(3):
        await bench.store.add(_letter(n), now, Departure(now))
    claim = timedelta(minutes=1)
    first = await bench.store.take_due(now, claim, 2)
    second = await bench.store.take_due(now, claim, 2)
    assert len(first) == 2
    assert len({letter.id for letter in first + second}) == 3
    assert await bench.store.take_due(now + claim, claim, 9)


async def test_the_rounds_run_by_themselves_and_survive_trouble(bench: Bench) -> None:
    bench.relay.unavailable = True
    now = bench.clock.now()
    await bench.store.add(_letter(), now, Departure(now))
    await bench.courier.start()
    async with asyncio.timeout(20):
        while not bench.relay.arrivals:
            await asyncio.sleep(0.01)
        bench.relay.unavailable = False
        while not bench.relay.letters:
            bench.clock.move(60)
            await asyncio.sleep(0.01)
    await bench.courier.stop()


async def test_old_letters_are_forgotten_but_never_owed_ones(bench: Bench) -> None:  # S53
    await bench.send(_letter(0))
    now = bench.clock.now()
    await bench.store.add(_letter(1), now, Departure(now + timedelta(days=400)))
    bench.clock.move(91 * 86400)
    await bench.courier.make_round()
    assert await bench.store.find(hash_secret("secret-0")) is not None, "the relay has to forget it first"
    forgetter = LetterForgetter(bench.relay, bench.database, bench.clock, timedelta(days=90))
    bench.relay.away = True
    await forgetter.forget()
    assert await bench.store.find(hash_secret("secret-0")) is not None
    bench.relay.away = False
    await forgetter.forget()
    assert bench.relay.forgotten == ["m-letter-0"]
    assert await bench.store.find(hash_secret("secret-0")) is None
    assert await bench.store.find(hash_secret("secret-1")) is not None


async def test_what_cannot_be_forgotten_yet_keeps_up_no_other(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:  # S53
    monkeypatch.setattr(forgetting, "_BATCH", 2)
    for n in range(7):
        await bench.send(_letter(n))
    bench.clock.move(91 * 86400)
    bench.relay.kept = {"m-letter-0", "m-letter-1", "m-letter-4"}
    forgetter = LetterForgetter(bench.relay, bench.database, bench.clock, timedelta(days=90))
    await forgetter.forget()
    assert bench.relay.forgotten == [f"m-letter-{n}" for n in range(7)]
    left = [n for n in range(7) if await bench.store.find(hash_secret(f"secret-{n}")) is not None]
    assert left == [0, 1, 4]
    bench.relay.kept = set()
    await forgetter.forget()
    assert bench.relay.forgotten[7:] == ["m-letter-0", "m-letter-1", "m-letter-4"]


async def test_a_ceiling_lets_letters_leave_the_day_after(bench: Bench) -> None:
    bench.admission = DayAdmission(bench.database, bench.clock, 2)
    bench.courier = bench.new_courier()
    for n in range(3):
        await bench.send(_letter(n))
    assert len(bench.relay.letters) == 2
    record = await bench.store.find(hash_secret("secret-2"))
    assert record is not None
    assert record.due is not None
    assert record.due.day == START.day + 1
    assert record.may_be_cancelled(bench.clock.now())
    await bench.courier.make_round()
    assert len(bench.relay.letters) == 2
    bench.clock.move(86400)
    await bench.courier.make_round()
    assert len(bench.relay.letters) == 3


async def test_a_warm_up_that_is_full_keeps_the_letter_here(bench: Bench) -> None:
    departs = START + timedelta(hours=3)
    bench.relay.room = Admission(0, departs)
    await bench.send(_letter())
    assert not bench.relay.arrivals
    record = await bench.store.find(hash_secret("secret-0"))
    assert record is not None
    assert record.due is not None
    assert departs <= record.due < departs + timedelta(minutes=20)
    bench.relay.room = Admission(5)
    bench.clock.move(4 * 3600)
    await bench.courier.make_round()
    assert list(bench.relay.letters) == ["letter-0"]


async def test_a_round_ends_however_many_letters_there_are(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else nobody would look after anything but letters, while they come due as fast as they are handed over."""
    monkeypatch.setattr(courier, "_BATCH", 1)
    now, looks = bench.clock.now(), list[int]()

    class Busy(RelayInMemory):
        async def submit(self, letter: Letter) -> LetterAccepted | LetterRefused:
            bench.clock.move(600)
            return await super().submit(letter)

    async def look() -> None:
        looks.append(bench.relay.arrivals)

    bench.relay = Busy()
    for n in range(5):
        await bench.store.add(_letter(n), now, Departure(now))
    again = bench.new_courier((look,))
    bench.relay.refusal = LetterRefused(temporary=True, reason="full")
    await again.make_round()
    bench.relay.refusal = None
    monkeypatch.setattr(courier, "_MOST_A_ROUND", 3)
    before = bench.relay.arrivals
    assert looks == [before]
    assert before <= 6, "each once, and the first that came again"
    await again.make_round()
    assert looks == [before, before + 3]


async def test_a_clock_that_is_ahead_for_a_while_deletes_nothing(bench: Bench) -> None:  # SND 5
    """A year ahead for an hour, and every sealed record was gone, every held letter back at its writer."""
    sealed = Sealed(month_of(START), b"sealed")
    held = Hold(START + HOLD_TIME, HeldFor.RULES)
    await bench.store.add(replace(_letter(), sealed=sealed), START, Departure(held.until, held))
    records = SealedStore(bench.database, bench.clock)
    going = bench.new_courier(forget=(records.forget,))
    await going.make_round()
    year = timedelta(days=400).total_seconds()
    bench.clock.jump(year)
    for _ in range(5):
        bench.clock.move(3601)
        await going.make_round()
    bench.clock.jump(-year)
    for _ in range(25):
        bench.clock.move(3601)
        await going.make_round()
    assert await records.find("letter-0") == sealed
    record = await bench.store.find(hash_secret("secret-0"))
    assert record is not None
    assert record.hold == held
    bench.clock.move(HOLD_TIME.total_seconds())
    await going.make_round()
    record = await bench.store.find(hash_secret("secret-0"))
    assert record is not None
    assert record.ending is Ending.RETURNED
    bench.clock.move(year)  # and a year that passed is believed
    await going.make_round()
    assert await records.find("letter-0") is None
