"""The slow lane: a place in a row for who is over a limit or comes in a crowd, by tickets that are good once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest

from relay.database.sqlite import SqliteDatabase
from tests.support.form import PageReader
from tests.support.front import OPTIONS, Front, running_front
from tests.support.hand_clock import HandClock
from tests.support.visitor import Visitor
from web.crowds import FEWEST as NO_CROWD
from web.letter_table import DatabaseLetterStore
from web.limits import SENDER_DAY, TICKETS
from web.network import Network
from web.preview import PREVIEW_LIFETIME
from web.shares import Shares
from web.slow_lane import LIFETIME, LONGEST, SOONEST, SlowLane, pace
from web.token import TokenSigner


@dataclass(slots=True)
class Street:
    """A front behind a proxy, with Tor's exit 192.0.2.1, and its clock."""

    front: Front
    visitor: Visitor
    clock: HandClock

    async def press(self, token: str, client: str, ticket: str = "") -> tuple[aiohttp.ClientResponse, PageReader]:
        fields = {"token": token, "action": "send"} | ({"ticket": ticket} if ticket else {})
        return await self.visitor.post("/en/preview", fields, X_Forwarded_For=client)

    async def send(self, to: str, client: str) -> tuple[aiohttp.ClientResponse, PageReader]:
        token = await self.visitor.preview(to=to, message=f"A letter about the garden, for {to.partition('@')[0]}")
        return await self.press(token, client)

    async def letters(self) -> int:
        return len(await self.front.database.read(lambda c: list(c.execute("SELECT 1 FROM web_letter"))))


@pytest.fixture
async def street(tmp_path: Path) -> AsyncIterator[Street]:
    clock = HandClock()
    (tmp_path / "tor.txt").write_text("192.0.2.1\n")
    options = replace(
        OPTIONS,
        limits=True,
        trusted_proxies=("127.0.0.1/32",),
        network_lists={Network.TOR: (tmp_path / "tor.txt",)},
        admission_per_day=100,
        shares=Shares(tor=0.2, data_centre=0.1),
        jitter=timedelta(days=7),
    )
    async with running_front(tmp_path, clock, options) as front, aiohttp.ClientSession() as session:
        yield Street(front, Visitor(front, session), clock)


async def _over_the_limit(street: Street, client: str) -> None:
    for n in range(SENDER_DAY.count):
        street.clock.move(60)
        response, _ = await street.send(f"{client}-{n}@example.org", client)
        assert response.status == 303
    street.clock.move(60)


async def test_over_the_day_s_limit_a_letter_waits_its_turn_and_goes(street: Street) -> None:  # S17
    await _over_the_limit(street, "198.51.100.1")
    token = await street.visitor.preview(to="one@example.org")
    response, page = await street.press(token, "198.51.100.1")
    assert response.status == 429
    assert "This one has a place in the row" in page.text
    assert int(response.headers["Retry-After"]) >= SOONEST.total_seconds()
    assert page.fields["token"], "the letter stays on the page"
    ticket = page.fields["ticket"]
    response, page = await street.press(token, "198.51.100.1", ticket)
    assert response.status == 429, "too early"
    assert page.fields["ticket"] == ticket, "and the place is kept"
    street.clock.move(SOONEST.total_seconds())
    sent, _ = await street.press(token, "198.51.100.1", ticket)
    assert sent.status == 303
    letters = await street.letters()
    again, _ = await street.press(token, "198.51.100.1", ticket)
    assert again.headers["Location"] == sent.headers["Location"]
    assert await street.letters() == letters, "a ticket that is used again sends nothing"


async def test_a_ticket_is_for_one_letter_for_a_day_and_cannot_be_made(street: Street) -> None:  # S41
    await _over_the_limit(street, "198.51.100.1")
    token = await street.visitor.preview(to="one@example.org")
    ticket = (await street.press(token, "198.51.100.1"))[1].fields["ticket"]
    street.clock.move(SOONEST.total_seconds())
    other = await street.visitor.preview(to="two@example.org", message="Another")
    for forged in (ticket, ticket[:-2] + "AA", "x", token):
        response, _ = await street.press(other, "198.51.100.1", forged)
        assert response.status == 429
    street.clock.move(LIFETIME.total_seconds() - 7200)
    late, _ = await street.press(token, "198.51.100.9", ticket)
    assert late.status == 303, "bound to nothing of who holds it, and good though the page is old"


async def test_who_takes_many_places_gets_no_more(street: Street) -> None:  # S17
    await _over_the_limit(street, "198.51.100.1")
    tickets = []
    for n in range(TICKETS.count + 2):
        response, page = await street.send(f"more{n}@example.org", "198.51.100.1")
        assert response.status == 429
        tickets.append(page.fields.get("ticket", ""))
    assert [bool(one) for one in tickets] == [True] * TICKETS.count + [False] * 2


async def test_a_ticket_does_not_free_from_what_the_recipient_is_owed(street: Street) -> None:  # S17
    await _over_the_limit(street, "198.51.100.1")
    token = await street.visitor.preview(to="198.51.100.1-0@example.org", message="Once more")
    response, page = await street.press(token, "198.51.100.1")
    assert response.status == 429
    assert page.fields["ticket"], "what they are told is what a letter to anybody else is"
    street.clock.move(SOONEST.total_seconds())
    response, _ = await street.press(token, "198.51.100.1", page.fields["ticket"])
    assert response.status == 303
    kept = "SELECT COUNT(*) FROM web_handover WHERE erased = 1 AND recipient = '@example.org'"
    assert await street.front.database.read(lambda c: list(c.execute(kept))) == [(1,)], "and yet it never leaves"


async def test_a_crowd_through_tor_queues_and_the_others_do_not(street: Street) -> None:  # S17
    for n in range(NO_CROWD):
        street.clock.move(60)
        response, page = await street.send(f"t@example{n}.org", "192.0.2.1")
        if response.status == 429:
            street.clock.move(3600)
            token, ticket = page.fields["token"], page.fields["ticket"]
            response, _ = await street.press(token, "192.0.2.1", ticket)
        assert response.status == 303
    street.clock.move(60)
    response, page = await street.send("late@example.org", "192.0.2.1")
    assert response.status == 429
    assert page.fields["ticket"]
    response, _ = await street.send("direct@example.org", "198.51.100.7")
    assert response.status == 303


async def test_the_row_ends_somewhere_and_remembers_one_number(tmp_path: Path) -> None:  # S50
    database = await SqliteDatabase.open(tmp_path / "front.db")
    await DatabaseLetterStore(database).prepare()
    clock = HandClock()
    lane = SlowLane(database, TokenSigner(b"f" * 32, clock), clock)
    given = 0
    while await lane.offer(f"letter{given}", Network.TOR, timedelta(minutes=10)) is not None:
        given += 1
    assert given == (LONGEST - SOONEST) // timedelta(minutes=10) + 1
    assert await lane.offer("other", Network.DIRECT, timedelta(minutes=10)) is not None, (
        "each kind has a row of its own"
    )
    assert await database.read(lambda c: list(c.execute("SELECT COUNT(*) FROM web_lane"))) == [(2,)]
    clock.move(3600)
    assert await lane.offer("later", Network.TOR, timedelta(minutes=10)) is not None
    clock.jump(365 * 86400)
    assert await lane.offer("ahead", Network.TOR, timedelta(minutes=10)) is not None
    clock.jump(-365 * 86400)
    ticket = await lane.offer("after", Network.TOR, timedelta(minutes=10))
    assert ticket is not None, "the clock was ahead for a moment, and the row closed for a year"
    assert ticket.at == clock.now() + SOONEST
    await database.close()


def test_the_row_moves_as_fast_as_the_day_allows() -> None:
    assert pace(None) == timedelta(seconds=30)
    assert pace(1440) == timedelta(minutes=1)
    assert pace(1e9) == timedelta(seconds=5)
    assert pace(0) == timedelta(minutes=15)


async def test_what_is_no_ticket_keeps_no_preview_alive(street: Street) -> None:  # S41
    token = await street.visitor.preview(to="late@example.org")
    street.clock.move((PREVIEW_LIFETIME + timedelta(seconds=1)).total_seconds())
    response, _ = await street.press(token, "198.51.100.9", "forged")
    assert response.status == 409
    assert await street.letters() == 0
