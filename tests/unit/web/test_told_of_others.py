"""Nobody learns from their own letter who else has written: what follows from others shows on no page (RCP 5 and 6)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.support.front import Front, running_front, with_limits
from tests.support.hand_clock import HandClock
from tests.support.moderator import Moderator
from tests.support.visitor import LETTER, Visitor
from web.letters import HOLD_TIME
from web.limits import PAIR_DAY, PILE_ON

COOL_DOWN = timedelta(minutes=5)
HALF_AN_HOUR = timedelta(minutes=30)


@pytest.fixture
async def front(tmp_path: Path, clock: HandClock) -> AsyncIterator[Front]:
    options = replace(with_limits(), cool_down=COOL_DOWN, trusted_proxies=("127.0.0.1/32",))
    async with running_front(tmp_path, clock, options) as front:
        yield front


async def _send(visitor: Visitor, to: str, n: int) -> str:
    """The status page of a letter that was sent from the `n`th network."""
    sent = await visitor.send(await visitor.preview(to=to), X_Forwarded_For=f"192.0.2.{n}")
    assert sent.status == 303
    return sent.headers["Location"]


async def _told(visitor: Visitor, *links: str) -> list[str]:
    return [(await visitor.get(link))[1].text.replace(link, "") for link in links]


async def _held(ann: Moderator) -> list[str]:
    page = (await ann.get("/desk/pile-ons"))[1].document
    return [part.partition('"')[0] for part in page.split('href="/desk/letter/')[1:]]


async def test_the_page_of_a_pile_on_says_what_that_of_any_letter_does(
    visitor: Visitor, ann: Moderator, clock: HandClock
) -> None:
    early = [await _send(visitor, "ann@example.org", n) for n in range(PILE_ON - 1)]
    pile_on = await _send(visitor, "ann@example.org", 9)
    other = await _send(visitor, "bob@example.org", 10)
    first, second, third = await _told(visitor, early[0], pile_on, other)
    assert "It waits before it leaves" in first
    assert first == second == third
    (letter,) = await _held(ann)
    assert "fails 23 November" in (await ann.get("/desk/pile-ons"))[1].text
    assert "none waiting" in (await visitor.get("/en/status"))[1].text
    clock.move(COOL_DOWN.total_seconds())
    await visitor.until_arrived(PILE_ON)
    await visitor.until_told(pile_on, "On its way")
    assert (await _told(visitor, pile_on)) == (await _told(visitor, other))
    await visitor.post(pile_on, {"action": "cancel"})
    assert await _held(ann) == [letter], "it has left, as far as its writer knows"
    clock.move(HALF_AN_HOUR.total_seconds())
    assert "late" not in (await visitor.get("/en/status"))[1].text
    await ann.post(f"/desk/letter/{letter}", action="release", reason="A birthday.")
    clock.move(HALF_AN_HOUR.total_seconds())
    await visitor.until_arrived(PILE_ON + 1)
    assert "On its way" in (await _told(visitor, pile_on))[0]


async def test_a_pile_on_that_is_let_go_in_time_leaves_when_its_page_said(
    visitor: Visitor, ann: Moderator, clock: HandClock
) -> None:
    *_, pile_on = [await _send(visitor, "ann@example.org", n) for n in range(PILE_ON)]
    (letter,) = await _held(ann)
    before = await _told(visitor, pile_on)
    await ann.post(f"/desk/letter/{letter}", action="release", reason="A birthday.")
    assert await _told(visitor, pile_on) == before
    clock.move(COOL_DOWN.total_seconds())
    await visitor.until_arrived(PILE_ON)


async def test_a_pile_on_that_nobody_decides_about_fails_as_others_do(visitor: Visitor, clock: HandClock) -> None:
    *_, pile_on = [await _send(visitor, "ann@example.org", n) for n in range(PILE_ON)]
    clock.move((HOLD_TIME + HALF_AN_HOUR).total_seconds())
    await visitor.until_told(pile_on, "It could not be delivered")
    rows = "SELECT (SELECT COUNT(*) FROM web_handover) + (SELECT COUNT(*) FROM web_letter WHERE ending IS NOT NULL)"
    assert await visitor.front.database.read(lambda c: list(c.execute(rows))) == [(0,)], "nothing went back"
    assert visitor.front.relay.arrivals == PILE_ON - 1


async def test_who_shares_a_connection_does_not_learn_whom_its_others_wrote_to(
    visitor: Visitor, clock: HandClock
) -> None:
    await _send(visitor, "ann@example.org", 1)
    clock.move(60)
    second, other = await _send(visitor, "Ann+x@example.org", 1), await _send(visitor, "bob@example.org", 2)
    same = await _told(visitor, second, other)
    assert "It waits before it leaves" in same[0]
    assert same[0] == same[1]
    words = "SELECT recipient || text || html || message FROM web_handover WHERE erased = 1"
    assert await visitor.front.database.read(lambda c: list(c.execute(words))) == [("@example.org",)], "nothing is kept"
    clock.move(COOL_DOWN.total_seconds())
    await visitor.until_arrived(2)
    await visitor.until_told(second, "It could not be delivered")
    assert "one a day from the same connection" in (await _told(visitor, second))[0], "but why it may be is said"
    clock.move(PAIR_DAY.span.total_seconds())
    assert "It waits" in (await _told(visitor, await _send(visitor, "ann@example.org", 1)))[0]
    clock.move(COOL_DOWN.total_seconds())
    await visitor.until_arrived(3)


async def test_the_limit_of_a_pair_is_told_before_it_is_met_and_whether_or_not_it_would_be(visitor: Visitor) -> None:
    async def hint(language: str, to: str) -> str:
        page = (await visitor.post(f"/{language}/preview", LETTER | {"to": to}, X_Forwarded_For="192.0.2.1"))[1]
        return page.text.replace(to, "").partition("cannot be called back.")[2]

    before = await hint("en", "ann@example.org")
    assert "A person gets one letter a day from the same connection" in before
    await _send(visitor, "ann@example.org", 1)
    assert await hint("en", "ann@example.org") == before == await hint("en", "bob@example.org")
    page = (await visitor.post("/fr/preview", LETTER, X_Forwarded_For="192.0.2.1"))[1]
    assert "une lettre par jour depuis la même connexion" in page.text
