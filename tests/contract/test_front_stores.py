"""What the front keeps beside its letters, on both databases: holds, reports, limits, records, doorbells, ceilings."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

import web
from relay.client.contract import Followed, Letter, LetterAccepted, LetterRefused, RelayAwayError
from relay.clock import to_millis
from relay.database.contract import Connection, Database
from relay.database.migrations import read_migrations, statements
from relay.database.postgres import PostgresDatabase
from relay.database.sqlite import SqliteDatabase
from relay.database.statements import rows_of
from relay.ids import SeededEntropy
from relay.key_memory import KeyMemory
from tests.support.either_database import BOTH, open_database
from tests.support.front import OPTIONS, errands_of
from tests.support.hand_clock import HandClock
from tests.support.postgres_server import PostgresServer
from tests.support.relay_in_memory import RelayInMemory
from web import code_mails, weekly_store
from web.admission import Ceiling, DayAdmission, Waiting
from web.audit import DELETE, RESEAL, Audit, Disclosure
from web.backlog import read_backlog
from web.code_mails import CodeMails
from web.day_counts import DayCounts
from web.deciding import Deciding, Voice
from web.decisions import Action, Decision
from web.doorbell import KNOWN_KEPT, DoorbellStore
from web.errand_table import Errand
from web.forgetting import LetterForgetter, QuestionForgetter
from web.history import read_days
from web.holds import HoldStore
from web.legal_requests import Answer, Asked, LegalRequestStore
from web.letter_table import DatabaseLetterStore
from web.letters import HOLD_TIME, Departure, Ending, Expected, HeldFor, Hold, Left, NewLetter, hash_secret
from web.limit_keys import LimitKeys
from web.limits import QUESTIONS_MAILBOX, Held, LetterLimits
from web.links import Addressee
from web.mailbox import MailboxHasher
from web.moderation.ruling import Step
from web.network import Network
from web.notices import Notice, NoticeStore
from web.opening_note import BrokenNoteError, OpeningNote
from web.pile import HeldPile, Pile
from web.refusal_count import RefusalCount
from web.replies import REFUSED_KEPT, NewReply, Reply, ReplyStore
from web.reports import Filed, Outcome, Report, ReportState, ReportStore, is_frozen
from web.row import Place, Row, Spot
from web.ruling_counts import RulingCounts
from web.sealed_store import SealedStore
from web.sealing import Sealed
from web.shares import Shares
from web.tallies import DatabaseTallies
from web.wall import WallStore
from web.weekly_store import WeeklyStore
from web.wishes import Wishes
from web.withheld_table import WithheldTable


@pytest.fixture(params=BOTH)
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    database = await open_database(request, tmp_path)
    yield database
    await database.close()


def _letter(n: int, **more: object) -> NewLetter:
    mail = Letter("l@leak.example", "A friend", f"Ann+{n}@b.example", "s", "t", "<p>t", "letters", f"id{n}")
    return NewLetter(f"id{n}", hash_secret(str(n)), "en", "friend", mail, f"Words {n}", **more)  # type: ignore[arg-type]


async def test_held_letters(database: Database) -> None:
    clock, letters = HandClock(), DatabaseLetterStore(database)
    await letters.prepare()
    holds = HoldStore(database, clock, SeededEntropy(1))
    for n in range(5):
        until = clock.now() + HOLD_TIME + timedelta(minutes=n)
        departure = Departure(until, Hold(until, HeldFor.RULES, ("threat", "hate")))
        assert await letters.add(_letter(n), clock.now(), departure)
    assert [one.id for one in await holds.held()] == ["id0", "id1", "id2", "id3", "id4"]
    assert await holds.release(Decision("id0", Action.RELEASE, "me", "r"), clock.now())
    assert await holds.refuse(Decision("id1", Action.REFUSE, "me", "No.", ("hate",)))
    assert await letters.cancel("id2", clock.now())
    assert not await letters.cancel("id1", clock.now())
    assert [one.id for one in await letters.take_due(clock.now(), timedelta(minutes=1), 9)] == ["id0"]
    clock.move(HOLD_TIME.total_seconds() + 600)
    assert await letters.end_holds(clock.now()) == 2
    found = [await letters.find_by_id(f"id{n}") for n in range(5)]
    endings = [one.ending.value if one and one.ending else "" for one in found]
    assert endings == ["", "refused", "cancelled", "returned", "returned"]
    assert found[1] is not None
    assert (found[1].rules, found[1].reason) == (("hate",), "No.")
    assert found[3] is not None
    assert found[3].words == "Words 3"
    assert len(await holds.decisions()) == 2
    for n in (1, 3):
        await letters.disown(f"id{n}", bytes([n]) * 32)
        assert await letters.find(hash_secret(str(n))) is None
        kept = await letters.find_by_id(f"id{n}")
        assert kept is not None
        assert (kept.ending, kept.reason, kept.words) == (found[n].ending, "", "")  # type: ignore[union-attr]
    await letters.wait("id0", clock.now())
    assert await letters.erase_recipient("ann@b.example") == 1
    (erased,) = await letters.take_due(clock.now(), timedelta(minutes=1), 9)
    assert (erased.erased, erased.mail.recipient, erased.mail.text) == (True, "@b.example", "")
    await WithheldTable(database).withhold("id0", Left(clock.now(), b"place"))
    clock.move(8 * 86400)
    assert await letters.forget(clock.now(), clock.now(), 9) == 5


async def test_withheld_letters_and_what_left_beside_them(database: Database) -> None:
    clock, letters, withheld = HandClock(), DatabaseLetterStore(database), WithheldTable(database)
    await letters.prepare()
    start = clock.now()
    for n in range(8):
        await letters.add(_letter(n), start, Departure(start))
        clock.move(100)
        if n not in (3, 4):
            await letters.note_handed_over(f"id{n}", f"m{n}", Left(clock.now(), b"here" if n % 2 else b"there"))
    await withheld.withhold("id3", Left(start + timedelta(seconds=400), b"here"))
    await withheld.withhold("id0", Left(clock.now(), b"here"))  # the relay has it: that stands
    due = clock.now() + timedelta(minutes=9)
    await withheld.delay("id4", due, Left(clock.now(), b"here"))
    found = [await letters.find_by_id(f"id{n}") for n in (3, 4, 0)]
    assert [(one.left is not None, one.is_withheld, one.beside, one.due) for one in found if one] == [
        (True, True, "m2", None),
        (True, False, "m7", due),
        (True, False, None, None),
    ]
    assert not await letters.cancel("id4", clock.now()), "it has left, for its writer"

    (one,) = await withheld.open("", 9)
    assert (one.id, one.left, one.place) == ("id3", start + timedelta(seconds=360), b"here")
    assert await withheld.open(one.id, 9) == []
    here = dict(await withheld.beside(one, start))
    assert here == {f"m{n}": start + timedelta(seconds=(n + 1) * 100 // 60 * 60) for n in (1, 5, 7)}
    assert await withheld.beside(one, clock.now()) == []

    assert not await withheld.is_refused_for_now(clock.now())
    await letters.add(_letter(8), start, Departure(clock.now()))
    for _ in range(2):
        await letters.take_due(clock.now(), timedelta(0), 9)
    assert await withheld.is_refused_for_now(clock.now())
    assert not await withheld.is_refused_for_now(start), "it has taken some since"
    await withheld.put_off("id3", clock.now())
    assert await withheld.find("id3") == replace(one, since=clock.now())
    assert await withheld.ended("id3") is None
    await withheld.end("id3", clock.now())
    assert await withheld.find("id3") is None
    assert await withheld.ended("id3") == clock.now()
    await withheld.note_withdrawn("id3", start)
    await withheld.note_withdrawn("id1", start)
    assert [letter.id for letter in await withheld.open("", 9)] == ["id1"]
    ended = await letters.find_by_id("id3")
    assert ended is not None
    assert (ended.refused, ended.ended) == (True, clock.now())


async def _is_frozen(database: Database, letter_id: str) -> bool:
    return await database.read(lambda connection: is_frozen(connection, letter_id))


async def test_of_who_wants_none_nothing_is_kept_that_can_be_read(database: Database) -> None:  # RCP 1
    """Asked about once, soon after; what a person has to read waits for that person, and the address with it."""
    clock, letters, relay = HandClock(), DatabaseLetterStore(database), RelayInMemory()
    await letters.prepare()
    wishes = Wishes(errands_of(relay, database, clock), database, clock)
    due, until = clock.now() + timedelta(minutes=5), clock.now() + HOLD_TIME
    held = Departure(until, Hold(until, HeldFor.RULES, ("hate",)))
    cooling, offered = Departure(due), timedelta(hours=1)
    await letters.add(_letter(0, rings=True, sender_name="Bo", wall_after=offered), clock.now(), cooling)
    await letters.add(_letter_to("cy@b.example", 1, wall_after=offered), clock.now(), cooling)
    await letters.add(_letter(2, rings=True, wall_after=offered), clock.now(), held)
    await letters.add(_letter(3), clock.now(), Departure(due, claimed=True))  # asked about at its departure, now
    await letters.add(_letter(4), clock.now(), Departure(clock.now()))
    relay.refused["ann@b.example"] = False
    relay.away = True
    await wishes.look()
    assert await _readable(database) == {f"id{n}": True for n in range(5)}, "the relay alone knows"
    (tried,) = await letters.take_due(clock.now(), timedelta(minutes=1), 9)  # the relay may have it
    relay.away = False
    await wishes.look()
    assert await _readable(database) == {"id0": False, "id1": True, "id2": True, "id3": True, "id4": True}
    assert {address: relay.questions.count(address) for address in relay.questions} == {
        "Ann+0@b.example": 2, "cy@b.example": 2, "Ann+2@b.example": 2, "Ann+4@b.example": 2
    }  # fmt: skip
    await wishes.look()
    assert len(relay.questions) == 8, "once"

    (one,) = await HoldStore(database, clock, SeededEntropy(1)).held()
    assert (one.recipient, one.sender_name, one.message) == ("Ann+2@b.example", "A friend", "Words 2")
    wall = WallStore(database, clock, SeededEntropy(1))
    assert [await wall.keeps_words(f"id{n}") for n in range(3)] == [False, True, False]
    assert await wall.state_of("id0") == await wall.state_of("id1"), "its writer is told the same"
    known = [await letters.find_by_id(f"id{n}") for n in range(2)]
    assert known[0] == replace(known[1], id="id0") if known[1] else False
    assert await HoldStore(database, clock, SeededEntropy(1)).release(Decision("id2", Action.RELEASE, "me", "r"), due)
    assert not (await _readable(database))["id2"], "nobody has to read it any more"
    clock.move(300)
    left = {one.id: one for one in await letters.take_due(clock.now(), timedelta(minutes=1), 9)}
    assert {one.id: one.erased for one in left.values()} == dict.fromkeys(left, False) | {"id0": True, "id2": True}
    assert (left["id0"].mail.stream, left["id0"].mail.recipient) == ("doorbells", "@b.example")
    assert (tried.id, left["id4"].mail.recipient) == ("id4", "Ann+4@b.example")


class SilentAbout(RelayInMemory):
    """Tells of everybody but one."""

    async def suppressed(self, address: str, stream: str = "") -> bool:
        if address == "mute@b.example":
            raise RelayAwayError("set by a test")
        return await super().suppressed(address, stream)


async def test_one_of_whom_nothing_is_told_keeps_up_no_other(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.wishes._BATCH", 2)
    clock, letters, relay = HandClock(), DatabaseLetterStore(database), SilentAbout()
    await letters.prepare()
    due = Departure(clock.now() + timedelta(minutes=5))
    await letters.add(_letter_to("mute@b.example", 0), clock.now(), due)
    for n in range(1, 6):
        await letters.add(_letter(n), clock.now(), due)
    relay.refused["ann@b.example"] = False
    await Wishes(errands_of(relay, database, clock), database, clock).look()
    assert await _readable(database) == {"id0": True} | {f"id{n}": False for n in range(1, 6)}
    unasked = await database.read(lambda connection: list(connection.execute("SELECT letter_id FROM web_unasked", ())))
    assert unasked == [("id0",)]


async def test_what_is_said_no_to_later_takes_nothing_from_who_decides(database: Database) -> None:
    """A held letter of who refuses can be erased, be found to threaten a life with its address, and go back whole."""
    clock, letters, relay = HandClock(), DatabaseLetterStore(database), RelayInMemory()
    await letters.prepare()
    until = clock.now() + HOLD_TIME
    for n in range(3):
        await letters.add(_letter(n), clock.now(), Departure(until, Hold(until, HeldFor.APPEAL)))
    await letters.add(_letter_to("bo@b.example", 3), clock.now(), Departure(until, Hold(until, HeldFor.APPEAL)))
    relay.refused = {"ann@b.example": False, "bo@b.example": False}
    await Wishes(errands_of(relay, database, clock), database, clock).look()
    deciding = Deciding(database, clock, SeededEntropy(1))
    assert await deciding.freeze_letter("id3", Voice("me", "They mean it."))
    case = await deciding.dangers.find("id3")
    assert case is not None
    assert (case.recipient, case.message) == ("bo@b.example", "Words 3")
    assert await letters.erase_recipient("ann@b.example") == 3
    assert {one.recipient for one in await deciding.holds.held()} == {"@b.example"}
    clock.move(HOLD_TIME.total_seconds())
    assert await letters.end_holds(clock.now()) == 3
    back = await letters.find_by_id("id0")
    assert back is not None
    assert back.words == "Words 0"


async def _readable(database: Database) -> dict[str, bool]:
    """Of each letter that waits, whether its words, its mail or its address stand anywhere."""
    sql = """
    SELECT h.letter_id, h.recipient || h.sender_name || h.subject || h.text || h.html || h.message
      || COALESCE(w.sender_name || w.subject || w.message, '') || COALESCE(p.words, '')
    FROM web_handover h LEFT JOIN web_waiting w ON w.letter_id = h.letter_id
    LEFT JOIN web_post p ON p.letter_id = h.letter_id
    """
    rows = await database.read(lambda connection: list(connection.execute(sql, ())))
    return {letter_id: text != "@b.example" for letter_id, text in rows}


def _letter_to(address: str, n: int, **more: object) -> NewLetter:
    letter = _letter(n, **more)
    return replace(letter, mail=replace(letter.mail, recipient=address))


async def test_reports_limits_and_frozen_pairs(database: Database) -> None:
    clock, letters = HandClock(), DatabaseLetterStore(database)
    await letters.prepare()
    reports = ReportStore(database, clock, SeededEntropy(1))
    limits = LetterLimits(database, LimitKeys(KeyMemory(), clock, SeededEntropy(2)), clock)
    first = await limits.take(b"me", "ann@b.example")
    assert (first.wait, first.over) == (None, False)
    again = await limits.take(b"me", "Ann+x@b.example", has_ticket=True)
    assert (again.wait, again.over) == (None, True)
    await letters.add(_letter(0, pair=first.pair), clock.now(), Departure(clock.now()))
    assert await reports.file(Report("id0", "hate", "words"), b"m" * 16) is Filed.NEW
    assert await reports.is_paused([b"x" * 16, b"m" * 16])
    assert await _is_frozen(database, "id0")
    clock.move(86400)
    second = await limits.take(b"me", "ann@b.example")
    assert (second.wait, second.pair) == (None, first.pair), "a frozen pair is let in, under the hash it is frozen by"
    assert len(await reports.open_reports()) == 1
    assert await reports.of_letter("id0") == ReportState(rule="hate", keeps_away=True)
    assert await reports.decide(Decision("id0", Action.DISMISSED, "me", "r"), Outcome.DISMISSED)
    assert not await reports.is_paused([b"m" * 16])
    assert not await _is_frozen(database, "id0")
    assert await reports.of_letter("id0") == ReportState(Outcome.DISMISSED, clock.now(), rule="hate")
    assert await reports.of_letter("id1") is None
    taken = [await limits.take(str(n).encode(), "bob@b.example") for n in range(5)]
    assert [one.pile_on for one in taken] == [False, False, False, True, True]
    clock.move(400 * 86400)
    await reports.forget()
    await limits.forget()
    assert await reports.of_letter("id0") is None


async def test_of_a_hold_that_follows_from_others_nothing_shows(database: Database) -> None:  # RCP 6
    clock, letters = HandClock(), DatabaseLetterStore(database)
    await letters.prepare()
    due, until = clock.now() + timedelta(minutes=5), clock.now() + HOLD_TIME
    for n in range(3):
        await letters.add(_letter(n), clock.now(), Departure(due, Hold(until, HeldFor.PILE_ON)))
    await letters.add(_letter(3, over=True), clock.now(), Departure(due))
    assert (await _readable(database))["id3"] is False
    known = await letters.find_by_id("id0")
    assert known is not None
    assert (known.due, known.may_be_cancelled(clock.now()), known.may_be_cancelled(due)) == (due, True, False)
    assert await letters.cancel("id0", clock.now())
    holds = HoldStore(database, clock, SeededEntropy(1))
    assert await holds.release(Decision("id1", Action.RELEASE, "me", "r"), due + timedelta(hours=1))
    assert (await DatabaseTallies(database).read(clock.now())).held == 0
    clock.move(300)
    taken = {one.id: (one.held, one.erased) for one in await letters.take_due(clock.now(), timedelta(minutes=1), 9)}
    assert taken == {"id1": (False, False), "id2": (True, False), "id3": (False, True)}
    assert not await letters.cancel("id2", clock.now())
    mailboxes = MailboxHasher((OPTIONS.block_key,))
    left = Left(clock.now(), mailboxes.place_of("ann@b.example"))
    await letters.note_handed_over("id1", "m1", left)
    await WithheldTable(database).withhold("id3", left)
    await WithheldTable(database).delay("id2", clock.now() + timedelta(minutes=8), left)
    clock.move(1200)
    assert (await DatabaseTallies(database).read(clock.now())).behind == 0
    clock.move(HOLD_TIME.total_seconds())
    assert await letters.end_holds(clock.now()) == 1
    assert await holds.held() == []
    assert (await _readable(database))["id2"] is False
    (ended,) = [one for one in await letters.take_due(clock.now(), timedelta(0), 9) if one.id == "id2"]
    assert (ended.held, ended.erased) == (False, True)
    record = await letters.find_by_id("id2")
    assert record is not None
    assert (record.ending, record.words) == (None, "")


async def test_a_letter_that_two_workers_take_is_counted_once(database: Database) -> None:  # RCP 5
    """As one too many beside itself it would be withheld, and nobody be told."""
    clock = HandClock()
    await DatabaseLetterStore(database).prepare()
    limits = LetterLimits(database, LimitKeys(KeyMemory(), clock, SeededEntropy(5)), clock)
    take = partial(limits.take, b"net", "ann@example.org", has_ticket=True)
    twice = await asyncio.gather(*(take(held=Held(letter_id="one")) for _ in range(2)))
    assert [(one.wait, one.over) for one in twice] == [(None, False)] * 2
    assert (await take(held=Held(letter_id="two"))).over
    assert (await take(held=Held(letter_id="two"))).over
    lots = await rows_of(database, "SELECT DISTINCT lot FROM web_count")
    assert len(lots) == len(await rows_of(database, "SELECT hash FROM web_count")), "rows of a letter share nothing"


async def test_forms_that_are_sent_at_once_find_one_room(database: Database) -> None:  # S17, RCP 5
    await DatabaseLetterStore(database).prepare()
    clock, limits = (
        HandClock(),
        LetterLimits(database, LimitKeys(KeyMemory(), HandClock(), SeededEntropy(2)), HandClock()),
    )
    same = await asyncio.gather(*(limits.take(b"me", f"ann{n}@b.example") for n in range(6)))
    assert sum(one.wait is None for one in same) == 1, "a letter a minute"
    asked = await asyncio.gather(*(limits.take_question(b"you", "bob@b.example") for _ in range(8)))
    assert sum(asked) == QUESTIONS_MAILBOX.count
    admission = DayAdmission(database, clock, 2)
    left = await asyncio.gather(*(admission.take() for _ in range(6)))
    assert sum(at is None for at in left) <= 2


async def test_counts_tell_nobody_which_letters_have_one_sender(database: Database) -> None:  # SND 4, S53
    clock = HandClock()
    await DatabaseLetterStore(database).prepare()
    limits = LetterLimits(database, LimitKeys(KeyMemory(), clock, SeededEntropy(2)), clock)
    clock.move(-(clock.now().timestamp() % 3600) + 3600)
    pairs = []
    for n in range(4):
        clock.move(61.5)
        admission = await limits.take(b"me" if n % 2 else b"you", f"ann{n}@b.example")
        assert admission.wait is None
        pairs.append(admission.pair)
    rows = await database.read(lambda c: list(c.execute("SELECT hash, at, until, who FROM web_count")))
    lasting = [row for row in rows if int(row[2]) - int(row[1]) > 2 * 60_000]
    assert {int(row[1]) % 3_600_000 for row in lasting} == {0}
    assert len({int(row[1]) for row in lasting}) == 1, "no time joins the rows of one letter, or a letter's to it"
    brief = [bytes(row[0]) for row in rows if row not in lasting]
    assert len(set(brief)) == len(brief) == 4, "each minute's row stands alone"
    hashes = [bytes(row[0]) for row in rows]
    senders = [bytes(row[3]) for row in rows if row[3] is not None]
    assert len(set(senders)) == len(senders) == 4, "a sender is somebody else for each recipient"
    assert not set(senders) & set(hashes)
    assert not set(pairs) & set(hashes), "what a letter keeps for a freeze is counted nowhere"
    old = "INSERT INTO web_use (hash, at, until) VALUES (?, ?, ?)"
    now = to_millis(clock.now())
    await database.write(lambda c: list(c.execute(old, (b"h" * 16, now - 3 * 86_400_000, now + 86_400_000))))
    await limits.forget()
    assert await database.read(lambda c: list(c.execute("SELECT * FROM web_use"))) == []


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
async def test_postgres_keeps_the_order_of_counting_for_an_hour(database: Database) -> None:  # SND 4
    clock = HandClock()
    await DatabaseLetterStore(database).prepare()
    limits = LetterLimits(database, LimitKeys(KeyMemory(), clock, SeededEntropy(2)), clock)
    for n in range(6):
        assert (await limits.take(f"sender{n}".encode(), f"ann{n}@b.example")).wait is None
    laid = "SELECT hash, lot, xmin::text FROM web_count ORDER BY ctid"
    before = await database.read(lambda c: list(c.execute(laid)))
    await limits.forget()
    assert await database.read(lambda c: list(c.execute(laid))) == before, "of this hour nothing is moved"
    assert len({xmin for _, _, xmin in before}) == 6
    clock.move(3600)
    await asyncio.gather(*(limits.forget() for _ in range(3)))
    after = await database.read(lambda c: list(c.execute(laid)))
    names = [(hash_, lot) for hash_, lot, _ in after]
    assert names == sorted(names)
    assert set(names) < {(hash_, lot) for hash_, lot, _ in before}, "but for those of a minute"
    assert len({xmin for _, _, xmin in after}) == 1, "no transaction joins what one letter made"


async def test_sqlite_keeps_no_order_of_counting(tmp_path: Path) -> None:  # SND 4
    clock, database = HandClock(), await SqliteDatabase.open(tmp_path / "front.db")
    await DatabaseLetterStore(database).prepare()
    limits = LetterLimits(database, LimitKeys(KeyMemory(), clock, SeededEntropy(2)), clock)
    for n in range(3):
        await limits.take(str(n).encode(), f"ann{n}@b.example")
    with pytest.raises(Exception, match="rowid"):
        await database.read(lambda c: list(c.execute("SELECT rowid FROM web_count")))
    rows = await database.read(lambda c: list(c.execute("SELECT hash, at FROM web_count")))
    hashes = [bytes(row[0]) for row in rows]
    assert len(hashes) > 10
    assert hashes == sorted(hashes)
    await database.close()


async def test_a_letter_reported_again(database: Database) -> None:  # RCP 2
    clock, letters = HandClock(), DatabaseLetterStore(database)
    await letters.prepare()
    reports = ReportStore(database, clock, SeededEntropy(1))
    await letters.add(_letter(0, pair=b"p"), clock.now(), Departure(clock.now()))

    async def say(words: str, rule: str = "hate") -> tuple[Filed, list[tuple[str, str]]]:
        filed = await reports.file(Report("id0", rule, words), b"m" * 16)
        return filed, [(one.report.rule, one.report.words) for one in await reports.open_reports()]

    assert await say("") == (Filed.NEW, [("hate", "")])
    assert await say("You are", "threat") == (Filed.ADDED, [("hate threat", "You are")])
    assert await say("You are nothing") == (Filed.ADDED, [("hate threat", "You are nothing")])
    assert await say("") == await say("nothing") == (Filed.ADDED, [("hate threat", "You are nothing")])
    assert await say("And worse") == (Filed.ADDED, [("hate threat", "You are nothing\n\nAnd worse")])

    dismissed = Decision("id0", Action.DISMISSED, "me", "r")
    assert await reports.decide(dismissed, Outcome.DISMISSED)
    assert await say("") == (Filed.WORDLESS, [])
    assert not await reports.is_paused([b"m" * 16])
    clock.move(60)
    assert await say("Look here") == (Filed.AGAIN, [("hate", "Look here")])
    assert await reports.is_paused([b"m" * 16])
    assert await _is_frozen(database, "id0")
    assert [one.at for one in await reports.open_reports()] == [clock.now()]
    assert await reports.decide(dismissed, Outcome.DISMISSED)
    assert await say("Look here again") == (Filed.DECIDED, [])
    assert not await reports.is_paused([b"m" * 16])
    assert not await _is_frozen(database, "id0")
    rows = await database.read(lambda connection: list(connection.execute("SELECT words, mailbox FROM web_report")))
    assert [(words, bytes(mailbox)) for words, mailbox in rows] == [("", b"")], "whose it was goes with the decision"


async def test_reports_of_one_letter_at_once_lose_no_words(database: Database) -> None:
    clock, letters = HandClock(), DatabaseLetterStore(database)
    await letters.prepare()
    await letters.add(_letter(0, pair=b"p"), clock.now(), Departure(clock.now()))
    reports = ReportStore(database, clock, SeededEntropy(1))

    async def all_at_once(said: set[str]) -> list[Filed]:
        answers = await asyncio.gather(*(reports.file(Report("id0", "hate", words), b"m" * 16) for words in said))
        (waiting,) = await reports.open_reports()
        assert set(waiting.report.words.split("\n\n")) == said
        return sorted(answers)

    said = {f"Line {n}." for n in range(12)}
    assert await all_at_once(said) == [Filed.NEW, *[Filed.ADDED] * 11]
    assert await reports.decide(Decision("id0", Action.DISMISSED, "me", "r"), Outcome.DISMISSED)
    assert await all_at_once(said) == sorted([Filed.AGAIN, *[Filed.ADDED] * 11])


async def test_records_and_their_audit(database: Database) -> None:
    clock, letters = HandClock(), DatabaseLetterStore(database)
    await letters.prepare()
    store = SealedStore(database, clock)
    await letters.add(_letter(0, sealed=Sealed("2026-11", b"\0sealed")), clock.now(), Departure(clock.now()))
    assert await store.find("id0") == Sealed("2026-11", b"\0sealed")
    asked, audit = Disclosure("id0", "1", "crime", "Ann"), Audit(database, clock)
    assert await audit.note(asked) == 1
    assert await store.reseal(asked, Sealed("case-1", b"again")) == 2
    assert await store.find("id0") == Sealed("case-1", b"again")
    assert await audit.broken_at() is None
    again = "INSERT OR REPLACE INTO web_audit SELECT n, at, '{}', previous, hash FROM web_audit"
    whole = {"sqlite": again, "postgres": "TRUNCATE web_audit"}[database.dialect]
    for sql in ("DELETE FROM web_audit", "UPDATE web_audit SET entry = ''", whole):
        with pytest.raises(Exception, match="append-only"):
            await database.write(lambda connection, sql=sql: list(connection.execute(sql)))  # type: ignore[misc]
    assert len(await audit.entries()) == 2
    over = replace(asked, action=DELETE)
    assert await store.delete(replace(over, case="2")) is None, "kept for another case"
    requests = LegalRequestStore(database, clock)
    asks = Asked("production", "9", "Tribunal", "e-evidence", "id0", clock.now(), clock.now() + timedelta(days=9))
    assert (await requests.note(asks, "Ann")).n == 1
    assert (await store.delete(over), await store.wanted_by("id0")) == (None, ["9"]), "another case waits for it"
    assert await requests.close(1, Answer.WITHDRAWN, "Ann", "r")
    assert await store.wanted_by("id0") == []
    assert await store.delete(over) == 5
    assert await store.find("id0") is None
    assert await store.delete(over) is None
    assert await store.reseal(asked, Sealed("case-1", b"again")) == 6, "found before its month ended"
    assert await store.find("id0") == Sealed("case-1", b"again")
    clock.move(800 * 86400)
    assert await store.forget() == 0


async def test_a_record_goes_to_its_custodian_and_a_note_comes_back(database: Database) -> None:  # SND 5
    clock, letters = HandClock(), DatabaseLetterStore(database)
    await letters.prepare()
    store, audit = SealedStore(database, clock), Audit(database, clock)
    record = Sealed("2026-11", b"\0sealed")
    await letters.add(_letter(0, sealed=record), clock.now(), Departure(clock.now()))
    asked = [Disclosure(letter, "26/7", "crime", "Ann", details={"request": "1"}) for letter in ("id0", "gone")]
    found, chain = await store.export(asked)
    assert found == {"id0": record}
    assert chain == await audit.chain()
    said = [entry.said for entry in await audit.entries()]
    assert [(one["action"], one["letter"], one["record"], one["request"]) for one in said] == [
        ("export", "id0", record.digest, "1")
    ]

    opened = OpeningNote(replace(asked[0], actor="Cleo"), clock.now(), "f" * 64, record.digest)
    for wrong in (replace(opened, record="0" * 64), replace(opened, disclosure=replace(asked[0], basis="insult"))):
        with pytest.raises(BrokenNoteError, match="no export of this record"):
            await store.bring_back(wrong, "d1", "Ann")
    assert await store.bring_back(opened, "d1", "Ann") == (2, True)
    assert await store.bring_back(opened, "d1", "Ann") == (2, False)
    anew = Sealed("case-26/7", b"\0anew..")
    resealed = replace(opened, disclosure=replace(opened.disclosure, action=RESEAL), resealed=anew)
    assert await store.bring_back(resealed, "d2", "Ann") == (3, True)
    assert await store.find("id0") == anew
    assert await store.bring_back(resealed, "d3", "Ann") == (3, False), "the same opening, written in another way"
    with pytest.raises(BrokenNoteError, match="no longer here"):
        await store.bring_back(replace(resealed, at=clock.now() + timedelta(hours=1)), "d3", "Ann")
    assert [entry.said["action"] for entry in await audit.entries()] == ["export", "disclose", "reseal"]
    assert await audit.broken_at() is None


async def test_what_waits_for_a_person_is_counted_by_network(database: Database) -> None:  # S17
    clock, letters = HandClock(), DatabaseLetterStore(database)
    await letters.prepare()
    pile = Pile(10, Shares(0.2, 0.0))
    held, keys = HeldPile(database, pile), LimitKeys(KeyMemory(), clock, SeededEntropy(2))
    limits = LetterLimits(database, keys, clock, pile=held)
    hold = Hold(clock.now() + HOLD_TIME, HeldFor.RULES)
    await letters.add(_letter(9), clock.now(), Departure(clock.now()))
    for n in range(8):
        assert await held.takes(Network.DIRECT)
        assert (await limits.take(f"{n}".encode(), f"a@d{n}.example", held=Held(anyway=True))).wait is None
        await letters.add(_letter(n), clock.now(), Departure(hold.until, hold))
    assert not await held.takes(Network.DIRECT)
    assert (await limits.take(b"late", "a@late.example", held=Held(anyway=True))).is_full
    assert (await limits.take(b"late", "a@late.example")).wait is None
    assert await held.takes(Network.TOR)
    notices = NoticeStore(database, clock, SeededEntropy(1), pile)
    assert [bool(await notices.file(Notice("x", "y", "Ann", "a@b.example"), "en")) for _ in range(9)] == [
        *[True] * 8,
        False,
    ]
    assert await notices.file(Notice("x", "y", "Ann", "a@b.example"), "en", Network.TOR)
    backlog = await read_backlog(database)
    assert (backlog.held_from, backlog.notices_from) == ({Network.DIRECT: 8}, {Network.DIRECT: 8, Network.TOR: 1})
    assert (pile.filled(backlog.held_from), pile.filled(backlog.notices_from)) == (100, 100)
    one = (await notices.waiting())[0].id
    assert await notices.decide(Decision(one, Action.NOTICE_UPHELD, "ann", "Why."), Outcome.UPHELD)
    kinds = "SELECT DISTINCT network FROM web_notice WHERE outcome IS NOT NULL"
    assert await database.read(lambda connection: list(connection.execute(kinds))) == [("direct",)]


async def test_doorbells_and_ceilings(database: Database) -> None:
    clock, letters = HandClock(), DatabaseLetterStore(database)
    await letters.prepare()
    doorbell = DoorbellStore(database, MailboxHasher([b"n" * 32, b"o" * 32]), clock)
    ann = Addressee("id0", "ann@b.example")
    await letters.add(_letter(0, rings=True, sender_name="A", subject="S"), clock.now(), Departure(clock.now()))
    assert not await doorbell.waits(ann), "it has not left yet"
    await letters.note_handed_over("id0", "m0", Left(clock.now(), b"place"))
    assert await doorbell.waits(ann)
    assert not await doorbell.knows(ann.address)
    letter = await doorbell.read(ann)
    assert letter is not None
    assert (letter.sender_name, letter.subject, letter.message) == ("A", "S", "Words 0")
    assert await doorbell.knows("Ann+y@b.example")
    await doorbell.erase(ann)
    assert not await doorbell.waits(ann)
    assert not await doorbell.knows(ann.address)
    await doorbell.forget()

    await letters.add(_letter(1, rings=True), clock.now(), Departure(clock.now()))
    await letters.note_handed_over("id1", "m1", Left(clock.now(), b"place"))
    bob = Addressee("id1", "bob@b.example")
    for days in (0, 10):
        clock.move(days * 86400)
        assert await doorbell.read(bob) is not None
    clock.move(KNOWN_KEPT.total_seconds() - 1)
    await doorbell.forget()
    assert await doorbell.knows(bob.address), "known since it was read the last time"
    clock.move(1)
    await doorbell.forget()
    assert not await doorbell.knows(bob.address)

    admission = DayAdmission(database, clock, 1)
    assert await admission.take() is None
    again = await admission.take()
    assert again is not None
    assert timedelta(0) < again.opens - clock.now() <= timedelta(days=1)
    clock.move(86400)
    assert await admission.take() is None
    await admission.forget()


async def test_a_day_is_shared_between_kinds_of_network(database: Database) -> None:
    clock, letters = HandClock(), DatabaseLetterStore(database)
    await letters.prepare()
    admission = DayAdmission(database, clock, 0)
    clock.move(86400 - clock.now().timestamp() % 86400)
    took = dict.fromkeys(Network, 0)
    for network in (Network.TOR, Network.DATA_CENTRE, Network.DIRECT):
        ceiling = Ceiling("google", 20 - sum(took.values()))
        while await admission.take(network, [ceiling]) is None:
            took[network] += 1
            ceiling = Ceiling("google", 20 - sum(took.values()))
    assert took == {Network.TOR: 4, Network.DATA_CENTRE: 2, Network.DIRECT: 14}
    assert await admission.take(Network.TOR, [Ceiling("orange", 20)]) is None, "each provider's ceiling has its own"
    later = replace(_letter(1), network=Network.TOR)
    assert await letters.add(later, clock.now(), Departure(clock.now() + timedelta(minutes=5)))
    assert [await admission.waiting(network) for network in Network] == [0, 1, 0]
    [pending] = await letters.take_due(clock.now() + timedelta(hours=1), timedelta(minutes=1), 9)
    assert pending.network is Network.TOR


async def test_who_waits_before_whom(database: Database) -> None:  # product row 8
    clock, letters = HandClock(), DatabaseLetterStore(database)
    await letters.prepare()
    now, row, admission = clock.now(), Row(database), DayAdmission(database, clock, 2)
    kinds = (Network.DIRECT, Network.DIRECT, Network.TOR, Network.DIRECT)
    for n, network in enumerate(kinds):
        wished = now + timedelta(seconds=n)
        departure = Departure(wished, expected=Expected("d google" if n != 1 else ""))
        assert await letters.add(_letter(n, network=network), now, departure)
    until = now + HOLD_TIME
    await letters.add(_letter(9), now, Departure(until, Hold(until, HeldFor.RULES)))

    async def spot(network: Network, *ceilings: Ceiling) -> Spot | None:
        waiting = Waiting("d google", now + timedelta(seconds=60))
        return await admission.take(network, ceilings, waiting, counts=False)

    first = await spot(Network.DIRECT)
    assert first is not None
    assert (first.waits_at, first.ahead) == ("", 3)
    assert first.opens.date() == now.date() + timedelta(days=1)
    assert first.ask == now + timedelta(minutes=30), "there is room, for those before it"
    assert await spot(Network.TOR) is None, "one of its kind before it, and room for both"
    flow = await spot(Network.DIRECT, Ceiling("d google", 0, daily=24, next=now + timedelta(hours=30)))
    assert flow is not None
    assert (flow.waits_at, flow.ahead) == ("d google", 2)
    hours = (flow.opens - now) / timedelta(hours=1)
    assert hours == pytest.approx(30 + 2 / 0.7), "Tor waits there too"
    assert flow.ask.hour == 0

    assert await row.place_of("id3") is None
    await letters.wait("id3", flow.ask, Expected("d google", flow))
    assert await row.place_of("id3") == Place("d google", 1)
    record = await letters.find_by_id("id3")
    assert record is not None
    assert record.expected is not None
    assert abs(record.expected - flow.departs) < timedelta(milliseconds=1)
    taken = await letters.take_due(now, timedelta(minutes=1), 9)
    assert [(one.id, one.wished) for one in taken] == [("id0", now)]
    assert await row.place_of("id3") == Place("d google", 1), "it is being handed over, and may find no room"
    ready = Waiting("d google", now, "id0")
    assert await admission.take(Network.DIRECT, [Ceiling("d google", 9)], ready, counts=False) is None
    assert await row.place_of("id3") == Place("d google", 1)
    assert await admission.take(Network.DIRECT, [Ceiling("d google", 9)], ready) is None
    assert await row.place_of("id3") == Place("d google", 0), "it has its place among those of the day"


async def test_the_desk_and_the_wall(database: Database) -> None:
    clock, letters = HandClock(), DatabaseLetterStore(database)
    await letters.prepare()
    deciding = Deciding(database, clock, SeededEntropy(1))
    for n in range(3):
        await letters.add(_letter(n, wall_after=timedelta(days=1), pair=b"p"), clock.now(), Departure(clock.now()))
        await letters.note_handed_over(f"id{n}", f"m{n}", Left(clock.now(), b"place"))
    assert await deciding.wall.arrivals(9) == []
    clock.move(86400)
    assert sorted(await deciding.wall.arrivals(9)) == [("id0", "m0"), ("id1", "m1"), ("id2", "m2")]
    await deciding.wall.look_again("id2", timedelta(hours=6))
    assert len(await deciding.wall.arrivals(9)) == 2
    for n in range(2):
        await deciding.wall.queue(f"id{n}")
    assert [one.words for one in await deciding.wall.offered()] == ["Words 0", "Words 1"]
    voice = Voice("ann", "Why.")
    assert await deciding.publish("id0", "Shown", voice)
    assert not await deciding.publish("id0", "Shown", voice)
    assert await deciding.decline("id1", voice)
    page = await deciding.wall.page("en", 1)
    (post,) = page.posts
    assert (post.shown, page.pages, await deciding.wall.find(post.id)) == ("Shown", 1, post)
    states = [(await deciding.wall.state_of(f"id{n}")).value for n in range(4)]
    assert states == ["published", "off", "offered", "none"]
    await letters.keep_off_wall("id0")
    assert await deciding.wall.of_letter("id0") is None
    assert (await deciding.wall.page("en", 1)).posts == ()
    await letters.erase_recipient("nobody@b.example")
    assert await deciding.freezes.freeze(Decision("id0", Action.FREEZE, "ann", "r"))
    assert [(one.letter_id, one.letters) for one in await deciding.freezes.frozen()] == [("id0", 3)]
    assert (await read_backlog(database)).frozen == 1
    assert await deciding.thaw("id0", voice)
    assert not await deciding.thaw("id0", voice)
    clock.move(400 * 86400)
    left = "SELECT message_id FROM web_letter WHERE message_id IS NOT NULL"
    known = [message for (message,) in await database.read(lambda connection: list(connection.execute(left)))]
    assert known
    relay = RelayInMemory()
    await LetterForgetter(relay, database, clock, timedelta(days=90)).forget()
    assert sorted(relay.forgotten) == sorted(known)
    await letters.forget(clock.now(), clock.now(), 9)
    await deciding.wall.forget()
    assert await database.read(lambda connection: list(connection.execute("SELECT COUNT(*) FROM web_post"))) == [(0,)]


async def test_days_are_counted_once_whoever_counts(database: Database, tmp_path: Path) -> None:  # RCP 12
    clock, letters = HandClock(), DatabaseLetterStore(database)
    clock.move(-clock.now().weekday() % 7 * 86400)
    await letters.prepare()
    now, until = clock.now(), clock.now() + HOLD_TIME
    await asyncio.gather(*(letters.add(_letter(n % 4), now, Departure(now)) for n in range(8)))
    assert await letters.add(_letter(4), now, Departure(until, Hold(until, HeldFor.PILE_ON)))
    reports = ReportStore(database, clock, SeededEntropy(1))
    for words in ("", "Look", "Look again"):
        await reports.file(Report("id0", "hate", words), b"m" * 16)
    relay = RelayInMemory()
    relay.refused = {"ann@b.example": False}
    await RefusalCount(relay, DayCounts(database, clock)).look()
    relay.refused["bob@b.example"] = False
    restarted = DayCounts(database, clock)
    relay.away = True
    await RefusalCount(relay, restarted).look()
    relay.away = False
    tallies = DatabaseTallies(database)
    assert (await tallies.read(now)).refusing == 1, "as it stood this morning, for every process"
    assert (await tallies.read(now)).reports == {}, "before the week is over, none is told"
    clock.move(86400)
    await asyncio.gather(*(RefusalCount(relay, DayCounts(database, clock)).look() for _ in range(3)))
    assert (await tallies.read(clock.now())).refusing == 1, "nor what a day changed"
    assert (await tallies.read(clock.now() + timedelta(days=6))).refusing == 2
    assert (await tallies.read(clock.now() + timedelta(days=6))).reports == {"": 1}
    assert await reports.decide(Decision("id0", Action.UPHELD, "me", "r"), Outcome.UPHELD)
    assert (await tallies.read(clock.now() + timedelta(days=6))).reports == {"upheld": 1}
    first, second = await read_days(database, date(2026, 1, 1), clock.now().date())
    assert (first.letters, first.held, first.reports, first.opt_outs) == (5, {"pile-on": 1}, 1, 1)
    assert (second.letters, second.reports, second.opt_outs) == (0, 0, None)

    folder = Path(web.__file__).parent / "sql" / database.dialect
    (migration,) = (one for one in read_migrations(folder) if one.name.endswith("_day_counts.sql"))
    rows = "SELECT day, what, number FROM web_day_count WHERE what IN ('letters', 'reports') ORDER BY what"
    before = await database.read(lambda c: list(c.execute(rows)))
    for sql in ("DELETE FROM web_day_count", *list(statements(migration.sql))[1:]):
        await database.write(lambda c, sql=sql: list(c.execute(sql)))  # type: ignore[misc]
    assert await database.read(lambda c: list(c.execute(rows))) == before, "what was there before is counted"
    clock.move(401 * 86400)
    await restarted.forget()
    assert await read_days(database, date(2026, 1, 1), clock.now().date()) == []


async def test_replies(database: Database) -> None:  # RCP 10
    clock, letters = HandClock(), DatabaseLetterStore(database)
    await letters.prepare()
    deciding = Deciding(database, clock, SeededEntropy(1))
    replies, voice = deciding.replies, Voice("ann", "Why.")
    small = ReplyStore(database, clock, SeededEntropy(2), most=1)
    mailboxes = MailboxHasher((b"k" * 32,))
    ann = mailboxes.of("ann@b.example")
    for n in range(6):
        letter = _letter(n)
        await letters.add(
            replace(letter, mail=replace(letter.mail, answerable=n == 0)), clock.now(), Departure(clock.now())
        )
    due = await letters.take_due(clock.now(), timedelta(minutes=1), 9)
    assert sorted((one.id, one.mail.answerable) for one in due) == [(f"id{n}", n == 0) for n in range(6)]
    for n in range(6):
        await letters.note_handed_over(f"id{n}", f"m{n}", Left(clock.now(), b"place"))
    assert [await replies.letter_of(one) for one in ("m1", "m9")] == ["id1", None]

    def new(n: int, step: Step, words: str = "Yes.") -> NewReply:
        rules = ("language",) if step.stops else ()
        return NewReply(f"id{n}", ann, step, rules, words)

    for words in ("Yes.", "No."):
        await replies.add(new(0, Step.PASS, words))
    assert await replies.of_letter("id0") == Reply(datetime(2026, 11, 21, tzinfo=UTC), Step.PASS, "Yes.")
    for n in (1, 2, 3):
        await replies.add(new(n, Step.HOLD))
        clock.move(60)
    assert [one.letter_id for one in await replies.held()] == ["id1", "id2", "id3"]
    backlog = await read_backlog(database)
    assert (backlog.replies, backlog.total, backlog.oldest) == (3, 3, datetime(2026, 11, 21, 12, tzinfo=UTC))
    assert await replies.of_letter("id1") is None
    assert await deciding.show_reply("id1", voice)
    assert await deciding.refuse_reply("id2", voice)
    for again in (deciding.show_reply, deciding.refuse_reply):
        assert not await again("id1", voice)
        assert not await again("id2", voice)
    shown = await replies.of_letter("id1")
    assert shown is not None
    assert shown.words == "Yes."
    clock.move(HOLD_TIME.total_seconds())
    assert not await deciding.show_reply("id3", voice), "too late"
    await replies.end_holds()
    await replies.add(new(3, Step.PASS, "Once more."))
    standings = [await replies.standing(f"id{n}") for n in range(4)]
    assert [one.state.value for one in standings if one] == ["shown", "shown", "refused", "lapsed"]
    assert [one.has_words for one in standings if one] == [True, True, True, False]
    refused = standings[2]
    assert refused is not None
    assert (refused.reason, refused.rules, refused.may_appeal) == (voice.reason, ("language",), True)
    assert not await replies.appeal("id3"), "its words are gone"
    assert await small.has_room()
    assert await replies.appeal("id2")
    assert not await replies.appeal("id2"), "a person looks already"
    assert not await small.has_room()
    (contested,) = await replies.held()
    assert (contested.letter_id, contested.is_appealed, contested.words) == ("id2", True, "Yes.")
    assert await deciding.refuse_reply("id2", voice)
    final = await replies.standing("id2")
    assert final is not None
    assert (final.state.value, final.has_words, final.may_appeal) == ("refused", False, False)
    assert not await replies.appeal("id2"), "once"
    await replies.add(new(5, Step.REFUSE))
    clock.move(REFUSED_KEPT.total_seconds())
    await replies.end_holds()
    forgotten = await replies.standing("id5")
    assert forgotten is not None
    assert (forgotten.state.value, forgotten.has_words, forgotten.may_appeal) == ("refused", False, False)
    await letters.disown("id4", b"nobody's")
    await replies.close("id5")
    for n in (2, 3, 4, 5):
        await replies.add(new(n, Step.PASS, "Once more."))
    assert [await replies.standing(f"id{n}") for n in (4, 5)] == [None, None]
    assert [one.words for n in (2, 3) if (one := await replies.of_letter(f"id{n}"))] == []
    await replies.erase("id5", mailboxes.all_of("Ann+x@b.example"))
    kept = "SELECT COUNT(*) FROM web_reply WHERE words <> '' OR mailbox IS NOT NULL"
    assert await database.read(lambda connection: list(connection.execute(kept))) == [(0,)]
    await LetterForgetter(RelayInMemory(), database, clock, timedelta()).forget()
    await replies.forget()
    assert await database.read(lambda connection: list(connection.execute("SELECT COUNT(*) FROM web_reply"))) == [(0,)]


async def test_legal_requests(database: Database) -> None:  # RCP 12
    clock = HandClock()
    await DatabaseLetterStore(database).prepare()
    requests, sealed = LegalRequestStore(database, clock), SealedStore(database, clock)
    sql = "INSERT INTO web_sealed (letter_id, key_name, record) VALUES (?, ?, ?)"
    rows = [("a", "2026-11", b"x"), ("b", "2026-11", b"x")]
    await database.write(lambda connection: connection.executemany(sql, rows))
    week = timedelta(days=7)
    late = Asked("requisition", "26/1", "TJ", "crime", "a", clock.now(), clock.now() + 2 * week)
    first = await requests.note(late, "Ann")
    second = await requests.note(replace(late, case="26/2", letter_id="", due=clock.now() + week), "Ann")
    assert [one.n for one in (first, second)] == [1, 2]
    assert await requests.waiting() == [second, first]
    assert (await read_backlog(database)).requests == (clock.now() + week, clock.now() + 2 * week)
    assert await requests.close(2, Answer.WITHDRAWN, "Ann", "They wrote.")
    assert not await requests.close(2, Answer.GRANTED, "Ann", "Again.")
    assert await requests.waiting() == [first]
    closed = replace(second, closed=clock.now(), answer=Answer.WITHDRAWN)
    assert await requests.every() == [closed, first]
    clock.move(375 * 86400)
    assert await sealed.forget() == 1
    assert await sealed.find("a") is not None, "a request that names it is open"
    assert await requests.close(1, Answer.NOTHING_HELD, "Ann", "Nothing.")
    assert await sealed.forget() == 1
    await requests.forget()
    assert [one.n for one in await requests.every()] == [2, 1], "the number of the last is given to no other"
    clock.move(367 * 86400)
    await requests.forget()
    assert [one.n for one in await requests.every()] == [2]
    said = [entry.said for entry in await Audit(database, clock).entries()]
    assert [one["action"] for one in said] == ["receive", "receive", "answer", "answer"]
    assert said[1]["authority"] == "TJ"
    assert await Audit(database, clock).broken_at() is None


async def test_a_note_that_two_bring_at_once_is_entered_once(postgres_server: PostgresServer) -> None:  # SND 5
    """SQLite has one writer."""
    clock, record = HandClock(), Sealed("2026-11", b"\0sealed")
    async with AsyncExitStack() as stack:
        database = await PostgresDatabase.open(await postgres_server.create())
        stack.push_async_callback(database.close)
        letters, store, audit = DatabaseLetterStore(database), SealedStore(database, clock), Audit(database, clock)
        await letters.prepare()
        await letters.add(_letter(0, sealed=record), clock.now(), Departure(clock.now()))
        asked = Disclosure("id0", "26/7", "crime", "Ann")
        await store.export([asked])
        opened = OpeningNote(replace(asked, actor="Cleo"), clock.now(), "f" * 64, record.digest)
        loop, has_turn = asyncio.get_running_loop(), asyncio.Event()

        def slowly(connection: Connection) -> None:
            audit.take_turn(connection)
            loop.call_soon_threadsafe(has_turn.set)
            list(connection.execute("SELECT 1 FROM pg_sleep(1)"))

        first = asyncio.create_task(database.write(slowly))
        await has_turn.wait()
        entered = await asyncio.gather(*(store.bring_back(opened, "d1", "Ann") for _ in range(2)))
        await first
        assert sorted(entered) == [(2, False), (2, True)]


async def test_processes_that_write_into_the_audit_at_once_write_one_after_the_other(
    postgres_server: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:  # SND 5
    """SQLite has one writer. A transaction that finds its number taken is run again, but not for ever."""
    caplog.set_level("INFO")
    clock, url = HandClock(), await postgres_server.create()
    async with AsyncExitStack() as stack:
        here, there = [await PostgresDatabase.open(url) for _ in range(2)]
        stack.push_async_callback(here.close)
        stack.push_async_callback(there.close)
        await DatabaseLetterStore(here).prepare()
        audit, written = Audit(here, clock), asyncio.Event()
        loop = asyncio.get_running_loop()

        def slowly(connection: Connection) -> int:
            number = audit.write(connection, Disclosure("l", "26/1", "crime", "Ann"))
            loop.call_soon_threadsafe(written.set)
            list(connection.execute("SELECT 1 FROM pg_sleep(0.2)"))
            return number

        first = asyncio.create_task(here.write(slowly))
        await written.wait()
        asked = Asked("requisition", "26/2", "TJ", "crime", "", clock.now(), clock.now() + timedelta(days=1))
        second = await LegalRequestStore(there, clock).note(asked, "Bob")
        assert (await first, second.n) == (1, 1)
        assert [(entry.n, entry.said["case"]) for entry in await audit.entries()] == [(1, "26/1"), (2, "26/2")]
        assert "transaction-again" not in caplog.text


async def test_a_threat_to_life(database: Database) -> None:  # RCP 8
    clock, letters = HandClock(), DatabaseLetterStore(database)
    await letters.prepare()
    deciding, sealed = Deciding(database, clock, SeededEntropy(1)), SealedStore(database, clock)
    hold = Departure(clock.now(), Hold(clock.now() + timedelta(hours=48), HeldFor.RULES, ("violence",)))
    letter = replace(_letter(1, pair=b"p"), sealed=Sealed("2020-01", b"s"), wall_after=timedelta(days=1))
    assert await letters.add(letter, clock.now(), hold)
    assert await letters.add(_letter(2, rings=True), clock.now(), hold)
    voice = Voice("ann", "Why.")
    assert await deciding.freeze_letter("id1", voice)
    assert not await deciding.freeze_letter("id1", voice)
    (case,) = await deciding.dangers.open_cases()
    assert (case.rules, case.message, case.reason, case.told) == (("violence",), "Words 1", "Why.", None)
    assert await deciding.dangers.letter_of_case(case.case) == "id1"
    assert await database.read(lambda c: list(c.execute("SELECT state, words FROM web_post"))) == [("removed", "")]
    assert await deciding.freeze_letter("id2", voice)
    assert await database.read(lambda c: list(c.execute("SELECT COUNT(*) FROM web_waiting"))) == [(0,)]
    assert await deciding.close_case("id2", voice)
    found = await letters.find_by_id("id1")
    assert found is not None
    assert (found.ending, found.rules, found.reason) == (Ending.REFUSED, ("violence",), "")
    assert ((await read_backlog(database)).dangers, (await read_backlog(database)).frozen) == (1, 1)
    assert (await sealed.forget(), await letters.forget(clock.now(), clock.now() + timedelta(days=1), 9)) == (0, 1)
    assert await deciding.note_told("id1", voice)
    assert not await deciding.note_told("id1", voice)
    assert (await read_backlog(database)).dangers == 0
    assert await deciding.close_case("id1", voice)
    assert not await deciding.close_case("id1", voice)
    assert (await deciding.dangers.find("id1"), await sealed.forget()) == (None, 1)
    assert await deciding.dangers.letter_of_case(case.case) is None
    assert [entry.said["action"] for entry in await Audit(database, clock).entries()] == [
        "preserve",
        "preserve",
        "close",
        "close",
    ]
    clock.move(400 * 86400)
    await deciding.dangers.forget()
    assert await database.read(lambda c: list(c.execute("SELECT COUNT(*) FROM web_danger"))) == [(0,)]


async def test_decisions_are_only_added_to(database: Database) -> None:
    clock = HandClock()
    await DatabaseLetterStore(database).prepare()
    deciding = Deciding(database, clock, SeededEntropy(1))
    await deciding.note_entry("ann")
    with pytest.raises(Exception, match="append-only"):
        await database.write(lambda connection: list(connection.execute("UPDATE web_decision SET reason = 'x'")))
    for left in (1, 1):
        await database.write(lambda connection: connection.execute("DELETE FROM web_decision"))
        assert len(await deciding.holds.decisions()) == left
        clock.move(367 * 86400)
        await deciding.note_entry("bob")
        await deciding.reports.forget()
    assert [one.decision.actor for one in await deciding.holds.decisions()] == ["bob"]


async def test_notices(database: Database) -> None:
    clock = HandClock()
    await DatabaseLetterStore(database).prepare()
    notices = NoticeStore(database, clock, SeededEntropy(1))
    receipt = await notices.file(Notice("The letter", "A threat", "Ann", "ann@b.example"), "fr")
    assert receipt is not None
    tallies = DatabaseTallies(database)
    assert (await tallies.read(clock.now())).notices == {"": 1}
    clock.move(3600)
    assert await notices.decide(Decision(receipt.id, Action.NOTICE_UPHELD, "me", "Yes."), Outcome.UPHELD)
    counted = await tallies.read(clock.now())
    assert (counted.notices, counted.decided_within) == ({"upheld": 1}, timedelta(hours=1))
    case = await notices.find(receipt.secret)
    assert case is not None
    assert (case.outcome, case.reason, case.notice.grounds) == (Outcome.UPHELD, "Yes.", "A threat")
    clock.move(600 * 86400)
    await notices.forget()
    assert await notices.find(receipt.secret) is None


async def test_refusals_of_the_program_are_counted_together(database: Database) -> None:  # RCP 12
    clock = HandClock()
    await DatabaseLetterStore(database).prepare()
    workers = [RulingCounts(database, clock) for _ in range(2)]
    for n, counts in enumerate(workers):
        for letter in ("a", "a", "b"):
            counts.note(f"{letter}{n}", ["bullying", "threat"] if letter == "a" else ["threat"])
        await counts.flush()
        await counts.flush()
    tallies = DatabaseTallies(database)
    assert (await tallies.read(clock.now())).refused == {"bullying": 2, "threat": 4}
    clock.move(401 * 86400)
    await workers[0].forget()
    assert (await tallies.read(clock.now() - timedelta(days=401))).refused == {}


async def test_the_weekly(database: Database) -> None:
    clock = HandClock()
    await DatabaseLetterStore(database).prepare()
    store = WeeklyStore(database, clock)
    sql = "INSERT INTO web_post VALUES (?, 'published', 'en', 'friend', 0, '', ?, ?, ?, NULL)"
    rows = [(f"l{n}", f"Text {n}", f"p{n}", n) for n in range(12)]
    await database.write(lambda connection: connection.executemany(sql, rows))
    for mailbox in (b"a" * 16, b"b" * 16):
        for language, sealed in (("fr", "old"), ("en", f"sealed {mailbox[:1].decode()}")):
            await store.note_question(mailbox, "m", clock.now() + timedelta(days=3))
            assert await store.is_asked([b"x" * 16, mailbox])
            assert await store.subscribe([mailbox, b"x" * 16], language, sealed)
            assert not await store.is_asked([mailbox])
    assert await store.subscribe([b"x" * 16, b"a" * 16], "fr", "again"), "who is subscribed stays as they are"
    await store.note_question(b"c" * 16, "", clock.now())
    assert not await store.subscribe([b"c" * 16], "fr", "too late")
    assert not await store.is_made("2026-W47", "en")
    assert await store.make("2026-W47", "en") == 10
    assert await store.make("2026-W47", "en") == 0
    assert await store.make("2026-W47", "fr") == 0
    assert await store.is_made("2026-W47", "fr")
    assert [post.shown for post in await store.posts("2026-W47", "en")] == [f"Text {n}" for n in range(11, 1, -1)]
    assert (await store.weeks("en"), await store.weeks("fr")) == (["2026-W47"], [])
    owed = await store.owed(9)
    assert [one.sealed for one in owed] == ["sealed a", "sealed b"]
    await store.begin(owed)
    await store.settle(owed[0])
    clock.move(3600)
    await store.begin(await store.owed(9))
    await store.give_up()
    assert await store.owed(9) == owed[1:]
    clock.move(23 * 3600)
    await store.give_up()
    assert await store.owed(9) == []
    assert await store.make("2026-W48", "en") == 2
    await store.leave([b"b" * 16])
    assert [one.mailbox for one in await store.owed(9)] == [b"a" * 16]
    assert (await store.is_subscribed([b"b" * 16]), await store.is_subscribed([b"a" * 16])) == (False, True)
    await store.erase([b"a" * 16])
    assert not await store.is_subscribed([b"a" * 16])
    first = (b"", "")
    assert await store.answered_questions(first, 9) == [(b"b" * 16, "m"), (b"c" * 16, "")]
    assert await store.answered_questions((b"b" * 16, "m"), 9) == [(b"c" * 16, "")]
    await store.forget_question(b"b" * 16, "m")
    assert await store.answered_questions(first, 9) == [(b"c" * 16, "")]


class KilledError(BaseException):
    """As if the process had ended there."""


class DeadlyRelay(RelayInMemory):
    """The process that hands a mail over ends before, or just after, the relay has it."""

    before = False
    after = False

    async def submit(self, letter: Letter) -> LetterAccepted | LetterRefused:
        if self.before:
            raise KilledError
        answer = await super().submit(letter)
        if self.after:
            raise KilledError
        return answer


CODE = Letter("c@leak.example", "Leak", "me@home.example", "s", "code", "", "confirmations", f"{code_mails.KEYED}1")


async def _named(database: Database, table: str) -> list[str]:
    sql = f"SELECT message_id FROM {table} ORDER BY message_id"
    return [name for (name,) in await database.read(lambda connection: list(connection.execute(sql, ())))]


async def killed_with_a_code(relay: DeadlyRelay, database: Database, clock: HandClock, edge: str) -> CodeMails:
    """A front was killed at this edge of handing a code's mail over; the one that comes after it."""
    await DatabaseLetterStore(database).prepare()
    setattr(relay, edge, True)
    with pytest.raises(KilledError):
        await CodeMails(relay, database, clock).send(CODE)
    setattr(relay, edge, False)
    return CodeMails(relay, database, clock)


@pytest.mark.parametrize("edge", ["before", "after"])
async def test_a_front_that_dies_with_a_code_s_mail_in_hand_leaves_no_address(
    database: Database, edge: str
) -> None:  # R12
    clock, relay = HandClock(), DeadlyRelay()
    another_life = await killed_with_a_code(relay, database, clock, edge)
    clock.move(code_mails.ERASED_AFTER.total_seconds() + 1)
    relay.kept = {f"m-{key}" for key in relay.letters}
    await another_life.forget()
    assert len(await _named(database, "web_confirmation")) == len(relay.letters), "the relay cannot forget it yet"
    relay.kept = set()
    await another_life.forget()
    assert set(relay.forgotten) == {f"m-{key}" for key in relay.letters}
    assert len(relay.letters) == (edge == "after")
    assert await _named(database, "web_confirmation") == []


@pytest.mark.parametrize("edge", ["before", "after"])
async def test_who_asks_for_a_code_again_after_that_gets_it_once(database: Database, edge: str) -> None:  # R12
    clock, relay = HandClock(), DeadlyRelay()
    another_life = await killed_with_a_code(relay, database, clock, edge)
    for _ in range(2):
        clock.move(60)
        await another_life.send(CODE)
    assert len(relay.letters) == 1
    assert await _named(database, "web_confirmation") == [f"m-{key}" for key in relay.letters]
    clock.move(3600)
    await another_life.send(CODE)
    assert len(relay.letters) == 2, "the first may not have come"
    relay.refusal = LetterRefused(temporary=True, reason="full")
    clock.move(3600)
    await another_life.send(CODE)
    await another_life.forget()
    clock.move(3600)
    await another_life.forget()
    assert sorted(relay.forgotten) == sorted(f"m-{key}" for key in relay.letters)
    assert await _named(database, "web_confirmation") == []


async def test_a_front_that_dies_with_a_question_in_hand_hears_its_answer_and_forgets_it(database: Database) -> None:
    await DatabaseLetterStore(database).prepare()  # R12
    clock, relay, mailbox = HandClock(), RelayInMemory(), b"m" * 16
    store, key = WeeklyStore(database, clock), f"{weekly_store.KEYED}1"
    await store.note_question(mailbox, key, clock.now() + timedelta(days=3))
    await relay.submit(replace(CODE, idempotency_key=key))  # and the process ends
    assert await store.subscribe([mailbox], "en", "sealed")
    await QuestionForgetter(relay, store, clock).forget()
    assert (relay.forgotten, await _named(database, "web_question")) == ([f"m-{key}"], [])
    await store.note_question(mailbox, key, clock.now() + timedelta(days=3))
    for _ in range(2):  # asked again on the same day, it is the same mail
        await store.name_question(mailbox, key, "m-1")
    assert await _named(database, "web_question") == ["m-1"]
    assert await store.is_asked([mailbox])


async def test_errands_at_a_relay_that_is_away(database: Database) -> None:
    clock, relay = HandClock(), RelayInMemory()
    await DatabaseLetterStore(database).prepare()
    errands = errands_of(relay, database, clock)
    relay.away = True
    for _ in range(2):
        assert await errands.do(Errand.REFUSE, "ann@b.example")
        assert await errands.do(Errand.ERASE, "ann@b.example")
        assert await errands.opt_out("utoken", b"net") is Followed.DONE
    assert await errands.waits("Ann+tag@b.example")
    assert not await errands.waits("bob@b.example")
    with pytest.raises(RelayAwayError):
        await errands.run()
    # A version before the seal ran beside this one.
    older = "INSERT INTO web_errand (kind, address, mailbox, at) VALUES (?, ?, ?, ?)"
    mailbox = MailboxHasher((OPTIONS.block_key,)).of("carl@b.example")
    await database.write(lambda connection: list(connection.execute(older, ("refuse", "carl@b.example", mailbox, 5))))
    assert await errands.waits("carl@b.example")
    relay.away = False
    await errands.run()
    assert relay.refused.pop("carl@b.example") is False
    assert (relay.refused, relay.erased, relay.followed) == ({"ann@b.example": False}, ["ann@b.example"], ["utoken"])
    assert not await errands.waits("ann@b.example")
