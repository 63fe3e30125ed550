"""What waits for a person is bounded: nothing of a text is lost, nobody fills it alone, and other letters go on."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from relay.database.sqlite import SqliteDatabase
from relay.ids import SeededEntropy
from relay.key_memory import KeyMemory
from tests.support.front import OPTIONS, Front, running_front
from tests.support.hand_clock import HandClock
from tests.support.moderator import Moderator
from tests.support.visitor import LETTER, Visitor
from tests.unit.web.test_notices import NOTICE
from tests.unit.web.test_wall import Bell
from web.letter_table import DatabaseLetterStore
from web.limit_keys import LimitKeys
from web.limits import PILE_ON, RECIPIENT_DAY, Admission, Held, LetterLimits
from web.network import Network
from web.notices import Notice, NoticeStore
from web.options import FrontOptions
from web.pile import HeldPile, Pile
from web.shares import Shares
from web.wall_keeper import BellRinger

FOREIGN = "Ich schreibe dir aus der Ferne, weil ich seit Jahren an dich denken muss, jeden Tag."
THREAT = "I will kill you when you come home tonight."
TOR, DATA_CENTRE, DIRECT = Network.TOR, Network.DATA_CENTRE, Network.DIRECT


def test_each_kind_of_network_has_its_part_of_a_pile() -> None:
    pile = Pile(100, Shares(0.2, 0.1))
    assert pile.has_room({DIRECT: 69}, DIRECT)
    assert not pile.has_room({DIRECT: 70}, DIRECT)
    assert pile.has_room({DIRECT: 70, TOR: 19}, TOR)
    assert not pile.has_room({DIRECT: 70, TOR: 20}, TOR)
    assert pile.has_room({DIRECT: 70, TOR: 20}, DATA_CENTRE)
    assert [pile.filled(waiting) for waiting in ({}, {DIRECT: 35}, {DIRECT: 70}, {TOR: 10}, {TOR: 20})] == [
        *(0, 50, 100, 50, 100)
    ]
    assert Pile(1, Shares(0.0, 0.0)).has_room({}, DIRECT)
    assert (Pile(1).of_one, Pile(1000).of_one) == (1, 20)


def test_no_room_is_kept_for_networks_that_no_list_tells_apart() -> None:
    lists = {TOR: (Path("exits"),), DATA_CENTRE: ()}
    assert OPTIONS.pile.has_room({DIRECT: 999}, DIRECT)
    assert not OPTIONS.pile.has_room({DIRECT: 1000}, DIRECT)
    assert not replace(OPTIONS, network_lists=lists).pile.has_room({DIRECT: 800}, DIRECT)


@pytest.fixture
def options() -> FrontOptions:
    return replace(OPTIONS, most_waiting=2)


@pytest.fixture
async def front(tmp_path: Path, clock: HandClock, options: FrontOptions) -> AsyncIterator[Front]:
    async with running_front(tmp_path, clock, options) as running:
        yield running


async def _waiting(front: Front) -> int:
    sql = "SELECT COUNT(*) FROM web_handover WHERE held_until IS NOT NULL"
    [(count,)] = await front.database.read(lambda connection: list(connection.execute(sql)))
    return int(count)


@pytest.mark.parametrize("language", ["en", "fr"])
async def test_a_full_pile_keeps_the_text_and_lets_other_letters_go(
    visitor: Visitor, ann: Moderator, language: str
) -> None:
    for n in range(2):
        token = await visitor.preview(message=f"{FOREIGN} {n}", to=f"r{n}@example.org")
        assert (await visitor.send(token)).status == 303
    _, page = await visitor.post(f"/{language}/preview", LETTER | {"message": FOREIGN})
    token = page.fields["token"]
    for _ in range(2):
        response, page = await visitor.post(f"/{language}/preview", {"token": token, "action": "send"})
        assert (response.status, response.headers["Retry-After"]) == (503, "3600")
        assert {"en": "too many letters wait", "fr": "trop de lettres"}[language] in page.text
        assert FOREIGN in page.text
        token = page.fields["token"]
    refused, page = await visitor.post("/en/preview", {"token": await _refused(visitor), "action": "appeal"})
    assert refused.status == 503
    assert "too many letters wait" in page.text
    assert await _waiting(visitor.front) == 2
    assert (await visitor.send(await visitor.preview(message="Thank you."))).status == 303
    assert await _waiting(visitor.front) == 2
    assert visitor.front.relay.arrivals == 1

    _, today = await ann.get("/desk")
    assert "Letters that wait for a person: 2 of 2; 100 % of the room is used." in today.text
    assert "There is little room left" in today.text
    _, pile = await ann.get("/desk/letters")
    (letter,) = re.findall(r'href="(/desk/letter/\w+)"', pile.document)[:1]
    await ann.post(letter, action="release", reason="It is kind.")
    assert (await visitor.send(token)).status == 303, "the page that was kept open sends it"
    assert await _waiting(visitor.front) == 2


async def _refused(visitor: Visitor) -> str:
    """The token of a letter that the rules refuse."""
    response, page = await visitor.post("/en/preview", LETTER | {"message": THREAT})
    assert response.status == 422
    return page.fields["token"]


async def test_notices_are_a_pile_of_their_own(visitor: Visitor, front: Front) -> None:
    for _ in range(2):
        assert (await visitor.post("/en/notice", NOTICE))[0].status == 303
    response, page = await visitor.post("/fr/notice", NOTICE)
    assert (response.status, response.headers["Retry-After"]) == (503, "3600")
    assert "Trop de notifications attendent" in page.text
    assert NOTICE["grounds"] in page.document
    children = NOTICE | {"name": "", "mail": "", "children": "on"}
    assert [(await visitor.post("/en/notice", children))[0].status for _ in range(3)] == [303, 303, 503]
    assert (await visitor.send(await visitor.preview(message=FOREIGN))).status == 303
    assert await _waiting(front) == 1


async def test_the_bell_rings_from_80_per_cent_until_there_is_room_again(front: Front, clock: HandClock) -> None:
    bell = Bell()
    notices = NoticeStore(front.database, clock, SeededEntropy(3))
    ringer = BellRinger(front.database, bell, clock, Pile(10, Shares(0.0, 0.0)))
    sql = "DELETE FROM web_notice WHERE id = (SELECT MIN(id) FROM web_notice)"
    for _ in range(8):
        await notices.file(Notice("x", "y", "Ann", "ann@b.example"), "en")
        await ringer.ring()
    for _ in range(3):
        await front.database.write(lambda connection: connection.execute(sql))
        await ringer.ring()
    assert bell.filled == [*[0] * 7, 80, 70, 60, 0]


@pytest.fixture
async def limits(tmp_path: Path) -> AsyncIterator[tuple[LetterLimits, SqliteDatabase, HandClock]]:
    database, clock = await SqliteDatabase.open(tmp_path / "limits.db"), HandClock()
    await DatabaseLetterStore(database).prepare()
    keys, pile = LimitKeys(KeyMemory(), clock, SeededEntropy(1)), HeldPile(database, Pile(100, Shares(0.2, 0.0)))
    yield LetterLimits(database, keys, clock, pile=pile), database, clock
    await database.close()


async def test_one_network_fills_no_pile_alone(limits: tuple[LetterLimits, SqliteDatabase, HandClock]) -> None:  # S17
    taking, _, clock = limits
    for n in range(2):
        assert (await taking.take(b"me", f"r{n}@example.org", has_ticket=True, held=Held(anyway=True))).wait is None
    third = await taking.take(b"me", "r3@example.org", has_ticket=True, held=Held(anyway=True))
    assert third.wait is not None
    assert not third.may_queue, "no ticket buys more"
    assert (await taking.take(b"me", "r3@example.org")).wait is None, "a letter that nobody has to read goes"
    assert (await taking.take(b"you", "r4@example.org", held=Held(anyway=True))).wait is None
    clock.move(86_400 + 3600)
    assert (await taking.take(b"me", "r5@example.org", has_ticket=True, held=Held(anyway=True))).wait is None


async def test_a_pile_on_that_finds_no_room_is_one_too_many_and_counts_for_its_sender_alone(
    limits: tuple[LetterLimits, SqliteDatabase, HandClock],
) -> None:
    taking, database, _ = limits
    for n in range(PILE_ON - 1):
        assert (await taking.take(f"early{n}".encode(), "victim@example.org")).wait is None
    assert RECIPIENT_DAY.count == PILE_ON - 1
    held = [(f"h{n}", n) for n in range(80)]
    handover = (
        "INSERT INTO web_handover (letter_id, due, attempts, held_until, held_for, sender, sender_name, recipient,"
        " subject, text, html) VALUES (?, 0, 0, ?, 'rules', '', '', '', '', '', '')"
    )
    letter = "INSERT INTO web_letter (id, secret_hash, language, signature, created) VALUES (?, ?, 'en', 'friend', 0)"
    await database.write(lambda connection: connection.executemany(letter, [(name, n.to_bytes(2)) for name, n in held]))
    await database.write(lambda connection: connection.executemany(handover, held))
    count = "SELECT COUNT(*) FROM web_count"
    before = await database.read(lambda connection: list(connection.execute(count)))
    full = await taking.take(b"late", "victim@example.org", held=Held(DIRECT))
    assert (full.wait, full.is_full, full.pile_on, full.over) == (None, False, False, True), "nobody is told"
    ((more,),) = await database.read(lambda connection: list(connection.execute(count)))
    assert more == before[0][0] + 2, "its minute and its day"
    assert (await taking.take(b"late", "another@example.org")).wait is not None
    by_tor = await taking.take(b"exit", "victim@example.org", held=Held(TOR))
    assert (by_tor.pile_on, by_tor.over) == (True, False)
    anyway = await taking.take(b"later", "another@example.org", held=Held(DIRECT, anyway=True))
    assert anyway == Admission(is_full=True), "whoever it is for"


async def test_who_writes_when_many_do_is_not_told_that_too_much_waits(tmp_path: Path, clock: HandClock) -> None:
    options = replace(OPTIONS, limits=True, most_waiting=1, trusted_proxies=("127.0.0.1/32",))
    async with running_front(tmp_path, clock, options) as front, aiohttp.ClientSession() as session:
        visitor = Visitor(front, session)

        async def send(n: int, message: str) -> aiohttp.ClientResponse:
            token = await visitor.preview(message=message, to="victim@example.org")
            return await visitor.send(token, Forwarded=f"for=198.51.100.{n}")

        assert (await visitor.send(await visitor.preview(message=FOREIGN), Forwarded="for=198.51.100.99")).status == 303
        assert [(await send(n, "Thank you.")).status for n in range(PILE_ON - 1)] == [303] * (PILE_ON - 1)
        over = await send(50, "I thank you.")
        assert over.status == 303
        assert await _waiting(front) == 1
        await visitor.until_told(over.headers["Location"], "It could not be delivered")
        await visitor.until_arrived(PILE_ON - 1)
        assert len(front.relay.letters) == PILE_ON - 1
