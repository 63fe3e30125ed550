"""The weekly: only to who confirmed, once a week and language whatever crashes, and one click ends it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest

from relay.client.contract import Letter, LetterRefused
from relay.ids import base32
from tests.support.front import OPTIONS, Front, running_front
from tests.support.hand_clock import HandClock
from tests.support.visitor import Visitor
from web.catalogue import load_words
from web.limits import QUESTIONS_MAILBOX_MONTH, QUESTIONS_SENDER
from web.links import Addressee, LinkKind, RecipientLinks
from web.mailbox import MailboxHasher
from web.render import make_templates
from web.weekly import WeeklyKeeper, WeeklyParts, WeeklyWriter, week_due
from web.weekly_links import WeeklyLinks
from web.weekly_store import WeeklyStore

WEEKLY = replace(OPTIONS, weekly_domain="weekly.leak.lab.test")
SUNDAY = datetime(2026, 11, 22, 9, tzinfo=UTC)


@pytest.fixture
async def front(tmp_path: Path, clock: HandClock) -> AsyncIterator[Front]:
    """Its own keeper may be the one that hands a mail over."""
    async with running_front(tmp_path, clock, WEEKLY) as running:
        yield running


@pytest.fixture
async def quiet(tmp_path: Path, clock: HandClock) -> AsyncIterator[Front]:
    """A front that makes no weekly of its own, with a subscriber: nobody else moves when a test does."""
    async with running_front(tmp_path, clock, replace(WEEKLY, weekly="off")) as running:
        sealed = WeeklyLinks(RecipientLinks([OPTIONS.link_key], OPTIONS.base_url), clock).seal("ann@example.org")
        store = WeeklyStore(running.database, clock)
        await store.note_question(b"a" * 16, "m", SUNDAY)
        assert await store.subscribe([b"a" * 16], "en", sealed)
        yield running


def keeper_of(front: Front, clock: HandClock) -> WeeklyKeeper:
    """A second worker's keeper, beside the front's own."""
    links = WeeklyLinks(RecipientLinks([OPTIONS.link_key], OPTIONS.base_url), clock)
    writer = WeeklyWriter(WEEKLY, make_templates(), links)
    parts = WeeklyParts(WeeklyStore(front.database, clock), writer, links, MailboxHasher([OPTIONS.block_key]))
    return WeeklyKeeper(parts, front.relay, load_words(), OPTIONS.weekly, clock)


async def publish(front: Front, *numbers: int) -> None:
    sql = "INSERT INTO web_post VALUES (?, 'published', 'en', 'friend', 0, '', ?, ?, 0, NULL)"
    rows = [(f"l{n}", f"Text {n}.", f"p{n}") for n in numbers]
    await front.database.write(lambda connection: connection.executemany(sql, rows))


def path_in(letter: Letter, what: str) -> str:
    """The path of a link in a mail."""
    (path,) = set(re.findall(rf"http://leak\.lab\.test(/en/weekly/{what}/[\w-]+)", letter.text))
    assert f'<a href="http://leak.lab.test{path}"' in letter.html
    return str(path)


async def subscribe(visitor: Visitor, address: str = "ann@example.org") -> None:
    response, page = await visitor.post("/en/weekly", {"to": address})
    assert (response.status, "a question is on its way" in page.text) == (200, True)
    asked = [letter for key, letter in visitor.front.relay.letters.items() if key.startswith("weekly-ask")]
    letter = [one for one in asked if one.recipient == address][-1]
    response, page = await visitor.post(path_in(letter, "confirm"), {})
    assert "gets the weekly" in page.text


def digests(front: Front) -> list[Letter]:
    return [letter for key, letter in front.relay.letters.items() if key.startswith("weekly-20")]


def to_sunday(clock: HandClock) -> None:
    clock.move((SUNDAY - clock.now()).total_seconds())


def test_a_week_is_due_on_its_day_at_nine() -> None:
    assert week_due("sunday", SUNDAY - timedelta(seconds=1)) is None
    assert week_due("sunday", SUNDAY) == "2026-W47"
    assert week_due("monday", SUNDAY) == "2026-W47"
    assert week_due("monday", datetime(2027, 1, 1, tzinfo=UTC)) == "2026-W53"


async def test_nobody_is_subscribed_who_did_not_confirm(visitor: Visitor, clock: HandClock) -> None:
    await visitor.post("/en/weekly", {"to": "ann@example.org"})
    (asked,) = visitor.front.relay.letters.values()
    assert (asked.stream, asked.sender, asked.unnamed) == ("weekly", "weekly@weekly.leak.lab.test", True)
    assert "Why we have your address" in asked.text, (
        "who asks, and what may be asked of them: the first contact says it"
    )
    assert "http://leak.lab.test/en/privacy" in asked.text
    await visitor.post("/en/weekly", {"to": "ann@example.org"})
    assert len(visitor.front.relay.letters) == 1
    path = path_in(asked, "confirm")
    assert "Yes, send them to me" in (await visitor.get(path))[1].text
    count = "SELECT COUNT(*) FROM web_subscriber"
    assert await visitor.front.database.read(lambda connection: list(connection.execute(count))) == [(0,)]
    for bad in (path[:-1] + ("A" if path[-1] != "A" else "B"), path.replace("confirm", "leave")):
        assert (await visitor.get(bad))[0].status == 404
    clock.move(timedelta(days=4).total_seconds())
    assert (await visitor.post(path, {}))[0].status == 404


async def test_an_answer_tells_nothing_about_an_address(visitor: Visitor) -> None:
    await visitor.front.relay.suppress("bob@example.org")
    response, page = await visitor.post("/en/weekly", {"to": "bob@example.org"})
    assert (response.status, "a question is on its way" in page.text) == (200, True)
    assert visitor.front.relay.arrivals == 1, "the relay passes over who refuses: asking here first could be timed"
    response, page = await visitor.post("/en/weekly", {"to": "no address"})
    assert (response.status, page.fields["to"]) == (422, "no address")
    visitor.front.relay.refusal = LetterRefused(temporary=True, reason="full")
    assert (await visitor.post("/en/weekly", {"to": "ann@example.org"}))[0].status == 503


async def test_what_is_wrong_with_an_address_is_said_and_a_likely_one_offered(visitor: Visitor) -> None:
    visitor.front.relay.suggestions = {"ann@gone.test": "ann@example.org"}
    told = {
        "": "Write the address the letter is for.",
        "ann": "This is not one complete mail address.",
        "ann%example.org@example.org": "This is not one complete mail address.",  # S17: one more mailbox to count
        "a@example.org, b@example.org": "Write one address only",
        "ann@null.test": "takes no mail at all",
        "ann@gone.test": "does not exist on the internet",
    }
    for typed, words in told.items():
        response, page = await visitor.post("/en/weekly", {"to": typed})
        assert (response.status, words in page.text, page.fields["to"]) == (422, True, typed), page.text
        assert ('name="use" value="ann@example.org"' in page.document) == (typed == "ann@gone.test")
    _, page = await visitor.post("/en/weekly", {"to": "ann@gone.test", "use": "ann@example.org"})
    assert "a question is on its way" in page.text
    assert [letter.recipient for letter in visitor.front.relay.letters.values()] == ["ann@example.org"]


async def test_nobody_is_flooded_with_questions(tmp_path: Path, clock: HandClock) -> None:  # S17
    options = replace(OPTIONS, limits=True, trusted_proxies=("127.0.0.1/32",))
    async with running_front(tmp_path, clock, options) as front, aiohttp.ClientSession() as session:
        visitor = Visitor(front, session)

        async def ask(address: str, client: str) -> None:
            response, page = await visitor.post("/en/weekly", {"to": address}, X_Forwarded_For=client)
            assert (response.status, "a question is on its way" in page.text) == (200, True)

        for n in range(QUESTIONS_SENDER.count + 2):
            await ask(f"r{n}@example.org", "192.0.2.1")
        assert len(front.relay.letters) == QUESTIONS_SENDER.count
        for n in range(QUESTIONS_MAILBOX_MONTH.count + 2):
            await ask(("Ann+a@example.org", "ann@example.org")[n % 2], f"198.51.100.{n}")
            clock.move(timedelta(days=1, minutes=1).total_seconds())
        assert len(front.relay.letters) == QUESTIONS_SENDER.count + QUESTIONS_MAILBOX_MONTH.count


async def test_a_week_leaves_once(visitor: Visitor, clock: HandClock) -> None:
    front = visitor.front
    await subscribe(visitor)
    stored = await front.database.read(
        lambda connection: repr(list(connection.execute("SELECT * FROM web_subscriber")))
    )
    assert "ann" not in stored
    await publish(front, 1, 2)
    keeper = keeper_of(front, clock)
    await keeper.look()
    assert digests(front) == []
    to_sunday(clock)
    front.relay.refusal = LetterRefused(temporary=True, reason="full")
    await keeper.look()
    front.relay.refusal = None
    await keeper.look()
    await keeper_of(front, clock).look()
    (mail,) = digests(front)
    assert (mail.recipient, mail.stream, mail.subject) == ("ann@example.org", "weekly", "The wall, week 47")
    assert mail.sender == "weekly@weekly.leak.lab.test"
    told = [f"Text {n}.\n\nA friend, 1 January 1970\nhttp://leak.lab.test/en/wall/p{n}\n" for n in (1, 2)]
    assert all(one in mail.text for one in told), "each is signed"
    assert '<a href="http://leak.lab.test/en/wall/p2"' in mail.html
    assert "http://leak.lab.test/en/privacy" in mail.text
    assert mail.headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    _, page = await visitor.get("/en/weekly/2026-W47")
    assert "Text 2." in page.text
    assert "Week 47 of 2026" in (await visitor.get("/en/weekly"))[1].text
    assert (await visitor.get("/fr/weekly/2026-W47"))[0].status == 404
    clock.move(timedelta(days=7).total_seconds())
    await keeper.look()
    assert len(digests(front)) == 1  # nothing new on the wall
    await publish(front, 3)
    clock.move(timedelta(days=7).total_seconds())
    await keeper.look()
    assert [mail.subject for mail in digests(front)][1:] == ["The wall, week 49"]


async def test_a_hand_over_that_may_have_been_one_is_not_made_again_too_late(quiet: Front, clock: HandClock) -> None:
    front = quiet
    await publish(front, 1)
    to_sunday(clock)
    front.relay.refusal = LetterRefused(temporary=True, reason="full")
    await keeper_of(front, clock).look()
    clock.move(timedelta(days=1).total_seconds())
    front.relay.refusal = None
    await keeper_of(front, clock).look()
    assert digests(front) == []


async def test_one_click_ends_it_and_so_does_a_refusal(visitor: Visitor, clock: HandClock) -> None:
    front = visitor.front
    await subscribe(visitor)
    await subscribe(visitor, "bob@example.org")
    await publish(front, 1)
    to_sunday(clock)
    await keeper_of(front, clock).look()
    mail = next(mail for mail in digests(front) if mail.recipient == "ann@example.org")
    link = mail.headers["List-Unsubscribe"].strip("<>").removeprefix("http://leak.lab.test")
    assert link == path_in(mail, "leave")
    assert "No more of them" in (await visitor.get(link))[1].text
    assert "No more weeklies to me\nhttp" in mail.text, "not in one click: that link opens a page"
    one_click = {"List-Unsubscribe": "One-Click"}
    response, _ = await visitor.post(link, one_click, Origin="https://mail.example", Sec_Fetch_Site="cross-site")
    assert response.status == 200
    await front.relay.suppress("bob@example.org")
    await publish(front, 2)
    clock.move(timedelta(days=7).total_seconds())
    await keeper_of(front, clock).look()
    assert len(digests(front)) == 2
    count = "SELECT COUNT(*) FROM web_subscriber"
    assert await front.database.read(lambda connection: list(connection.execute(count))) == [(0,)]
    await subscribe(visitor)


async def test_who_erases_their_address_gets_no_weekly(visitor: Visitor, clock: HandClock) -> None:  # RCP 3
    front = visitor.front
    for address in ("ann@example.org", "bob@example.org"):
        await subscribe(visitor, address)
    token = RecipientLinks([OPTIONS.link_key], "").token(
        LinkKind.RECIPIENT, Addressee(base32(b"i" * 20), "Ann+x@example.org")
    )
    _, page = await visitor.post(f"/r/{token}", {"action": "erase"})
    assert "Your address has been erased." in page.text
    await publish(front, 1)
    to_sunday(clock)
    await keeper_of(front, clock).look()
    assert {mail.recipient for mail in digests(front)} == {"bob@example.org"}


async def test_a_question_mailed_before_erasing_subscribes_nobody(visitor: Visitor, clock: HandClock) -> None:  # RCP 3
    front = visitor.front
    await visitor.post("/en/weekly", {"to": "ann@example.org"})
    (asked,) = front.relay.letters.values()
    path = path_in(asked, "confirm")
    theirs = RecipientLinks([OPTIONS.link_key], "").token(
        LinkKind.RECIPIENT, Addressee(base32(b"i" * 20), "ann@example.org")
    )
    assert "somebody asked for the weekly in its name" in (await visitor.get(f"/r/{theirs}"))[1].text
    _, page = await visitor.post(f"/r/{theirs}", {"action": "erase"})
    assert "for the weekly in its name" not in page.text
    assert await _rows_of(front, "web_question") == []
    assert (await visitor.get(path))[0].status == 404
    assert (await visitor.post(path, {}))[0].status == 404
    assert await _rows_of(front, "web_subscriber") == []
    clock.move(timedelta(days=1).total_seconds())
    await subscribe(visitor)  # who changes their mind is asked anew
    assert "For the weekly: your address, encrypted" in (await visitor.get(f"/r/{theirs}"))[1].text


async def test_an_answer_is_one_and_its_mail_is_erased_at_the_relay(visitor: Visitor, clock: HandClock) -> None:
    front = visitor.front
    await subscribe(visitor)
    (asked,) = front.relay.letters.values()
    path = path_in(asked, "confirm")
    assert "gets the weekly" in (await visitor.post(path, {}))[1].text, "pressed twice"
    await WeeklyStore(front.database, clock).leave(MailboxHasher([OPTIONS.block_key]).all_of("ann@example.org"))
    assert (await visitor.post(path, {}))[0].status == 404, "an old link brings nobody back who left"
    clock.move(timedelta(days=1).total_seconds())
    await visitor.post("/en/weekly", {"to": "bob@example.org"})
    clock.move(timedelta(hours=1, minutes=1).total_seconds())
    await visitor.until_counted(_questions, 1)
    answered, waits = (f"m-{key}" for key in front.relay.letters)
    assert set(front.relay.forgotten) == {answered}
    front.relay.away = True
    clock.move(timedelta(days=3).total_seconds())
    await visitor.get("/en/weekly")
    assert await _questions(front) == 1, "its mail is still there"
    front.relay.away = False
    clock.move(timedelta(hours=1, minutes=1).total_seconds())
    await visitor.until_counted(_questions, 0)
    assert set(front.relay.forgotten) == {answered, waits}


async def _rows_of(front: Front, table: str) -> list[tuple[object, ...]]:
    return await front.database.read(lambda connection: list(connection.execute(f"SELECT * FROM {table}")))


async def _questions(front: Front) -> int:
    return len(await _rows_of(front, "web_question"))


async def test_what_was_taken_down_is_not_mailed(quiet: Front, clock: HandClock) -> None:
    front = quiet
    await publish(front, 1)
    to_sunday(clock)
    store = WeeklyStore(front.database, clock)
    assert await store.make("2026-W47", "en") == 1
    await front.store.keep_off_wall("l1")
    await keeper_of(front, clock).look()
    assert digests(front) == []
    assert (await store.owed(9), await store.posts("2026-W47", "en")) == ([], [])
    assert await store.weeks("en") == [], "no link to a week that shows nothing"
