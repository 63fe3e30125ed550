"""The wall: offered by a letter's writer, shown when it arrived and a person approved, gone when its recipient says."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import aiohttp
import pytest

from relay.ids import SeededEntropy
from tests.support.front import MODERATORS, OPTIONS, Front, running_front
from tests.support.hand_clock import HandClock
from tests.support.moderator import Moderator, a_moderator
from tests.support.visitor import Visitor
from tests.unit.web.test_recipient import receive
from web.plain_text import beginning
from web.redaction import without_names
from web.reports import ReportStore
from web.wall import WallStore
from web.wall_keeper import LATE, BellRinger, WallKeeper

WORDS = "Dear Anna,\nwhen Paul died you sat with me all night."


def store_of(front: Front, clock: HandClock) -> WallStore:
    return WallStore(front.database, clock, SeededEntropy(3))


async def rows_of(front: Front, sql: str) -> list[Any]:
    return await front.database.read(lambda connection: list(connection.execute(sql)))


async def arrive(front: Front, clock: HandClock) -> None:
    """What was sent is delivered, and its delay is over."""
    front.relay.settle("delivered")
    clock.move(timedelta(days=8).total_seconds())
    await WallKeeper(store_of(front, clock), front.relay, clock).look()


async def offer(visitor: Visitor, ann: Moderator, clock: HandClock, **changes: str) -> tuple[str, str]:
    """An offered letter that arrived: its recipient's page, and its page on the desk."""
    theirs = await receive(visitor, wall="on", **changes)
    await arrive(visitor.front, clock)
    await ann.enter(MODERATORS["ann"])
    _, page = await ann.get("/desk/wall")
    (post,) = set(re.findall(r"/desk/post/\w+", page.document))
    return theirs, post


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (
            "Dear Anna,\nPaul and Mary said: call 06 12 34 56 78.\n\nJulie",
            "Dear […],\nPaul and […] said: call […].\n\n[…]",
        ),
        ("Cher Jean-Luc, je t’aime. I’m yours.", "Cher […], je t’aime. I’m yours."),
        ("Hello Anna Maria Rossi! In May I saw https://x.example/y", "Hello […]! In May I saw […]"),
        ("Merci pour tout", "Merci pour tout"),
        ("You left in June.\n\nI’ve missed you.", "You left in June.\n\nI’ve missed you."),
        ("You left.\nI miss you.\nI.", "You left.\nI miss you.\n[…]"),
        ("You left.\nI’m your Anna", "You left.\nI’m your […]"),
        ("", ""),
    ],
)
def test_a_proposal_has_gaps_for_names(written: str, shown: str) -> None:
    assert without_names(written) == shown


async def test_nothing_is_shown_unless_it_was_offered(visitor: Visitor, ann: Moderator, clock: HandClock) -> None:
    token = await visitor.preview(message=WORDS)
    assert "wall" not in (await visitor.post("/en/preview", {"token": token}))[1].document.split("<footer")[0]
    status = (await visitor.send(token)).headers["Location"]
    await arrive(visitor.front, clock)
    await ann.enter(MODERATORS["ann"])
    assert "Nothing waits here" in (await ann.get("/desk/wall"))[1].text
    assert "on the wall" not in (await visitor.get(f"/en{status}"))[1].text
    assert "There is nothing on the wall yet" in (await visitor.get("/en/wall"))[1].text


async def test_an_offered_letter_is_shown_without_names(visitor: Visitor, ann: Moderator, clock: HandClock) -> None:
    status = (await visitor.send(await visitor.preview(message=WORDS, wall="on"))).headers["Location"]
    assert "You offered this letter" in (await visitor.get(f"/en{status}"))[1].text
    assert "Nothing waits here" in (await ann.get("/desk/wall"))[1].text
    await arrive(visitor.front, clock)
    await ann.enter(MODERATORS["ann"])
    _, page = await ann.get("/desk/wall")
    (post,) = set(re.findall(r"/desk/post/\w+", page.document))
    _, page = await ann.get(post)
    assert page.fields["shown"] == without_names(WORDS)
    assert "when Paul died" in page.text
    assert (await ann.post(post, action="publish", shown="x"))[0].status == 422
    assert (await ann.post(post, action="publish", shown=" \n", reason="r"))[0].status == 422
    shown = {"shown": "You sat <b>with</b> me.\n\nAll night.", "reason": "Kind."}
    response, _ = await ann.post(post, action="publish", **shown)
    assert response.headers["Location"] == "/desk/wall?done=published"
    response, page = await visitor.get("/en/wall")
    assert "You sat <b>with</b> me." in page.text
    assert response.headers["X-Robots-Tag"] == "noindex, nofollow"
    assert "There is nothing" not in page.text
    assert "Il n’y a encore rien" in (await visitor.get("/fr/wall"))[1].text
    (address,) = set(re.findall(r"/en/wall/\w+", page.document))
    response, page = await visitor.get(address)
    assert response.status == 200
    assert post.rpartition("/")[2] not in page.document
    assert "Paul" not in page.document
    assert "This letter is on the wall" in (await visitor.get(f"/en{status}"))[1].text
    assert "21 November" not in page.text  # the day it was published, not the day it was written


async def test_its_recipient_takes_it_down_at_once(visitor: Visitor, ann: Moderator, clock: HandClock) -> None:  # RCP 3
    theirs, post = await offer(visitor, ann, clock)
    await ann.post(post, action="publish", shown="Shown.", reason="r")
    _, page = await visitor.get(f"/en{theirs}")
    assert "This letter is on the wall" in page.text
    (address,) = set(re.findall(r'href="http://leak.lab.test(/en/wall/\w+)"', page.document))
    links = re.findall(r'href="((?:mailto:|https://)[^"]+)"', page.document)
    assert len(links) >= 4
    for link in links:
        assert f"http://leak.lab.test{address}" in unquote(link)
        assert "example.org" not in link
        assert theirs.rpartition("/")[2] not in link
    assert (await visitor.get(address))[0].status == 200
    _, page = await visitor.post(f"/en{theirs}", {"action": "wall"})
    assert "published nowhere" in page.text
    assert (await visitor.get(address))[0].status == 404
    assert "Shown." not in (await visitor.get("/en/wall"))[1].text
    assert await rows_of(visitor.front, "SELECT words, shown FROM web_post") == [("", "")]


async def test_whether_its_recipient_keeps_it_private_is_told_to_nobody(
    visitor: Visitor, ann: Moderator, clock: HandClock
) -> None:
    status = (await visitor.send(await visitor.preview(wall="on"))).headers["Location"]
    (letter,) = visitor.front.relay.letters.values()
    (theirs,) = set(re.findall(r"http://leak\.lab\.test(/r/[\w-]+)#", letter.text))
    await visitor.post(theirs, {"action": "wall"})
    await arrive(visitor.front, clock)
    await ann.enter(MODERATORS["ann"])
    assert "Nothing waits here" in (await ann.get("/desk/wall"))[1].text
    assert "You offered this letter" in (await visitor.get(f"/en{status}"))[1].text


async def test_a_report_hides_it_until_it_is_dismissed(visitor: Visitor, ann: Moderator, clock: HandClock) -> None:
    theirs, post = await offer(visitor, ann, clock)
    await ann.post(post, action="publish", shown="Shown.", reason="r")
    await visitor.post(theirs, {"action": "report", "rule": "hate", "words": ""})
    assert "Shown." not in (await visitor.get("/en/wall"))[1].text
    await ann.post("/desk/reports", letter=post.rpartition("/")[2], action="dismissed", reason="r")
    assert "Shown." in (await visitor.get("/en/wall"))[1].text


async def test_a_report_that_is_upheld_takes_it_down_for_good(
    visitor: Visitor, ann: Moderator, clock: HandClock
) -> None:
    """Also once the report is forgotten."""
    theirs, post = await offer(visitor, ann, clock)
    await ann.post(post, action="publish", shown="Shown.", reason="r")
    await visitor.post(theirs, {"action": "report", "rule": "hate", "words": ""})
    await ann.post("/desk/reports", letter=post.rpartition("/")[2], action="upheld", reason="r")
    clock.move(timedelta(days=400).total_seconds())
    await ReportStore(visitor.front.database, clock, SeededEntropy(3)).forget()
    assert not await rows_of(visitor.front, "SELECT letter_id FROM web_report")
    assert "Shown." not in (await visitor.get("/en/wall"))[1].text
    assert await rows_of(visitor.front, "SELECT state, words, shown FROM web_post") == [("removed", "", "")]


async def test_its_writer_keeps_it_off_and_takes_it_down(visitor: Visitor, ann: Moderator, clock: HandClock) -> None:
    status = (await visitor.send(await visitor.preview(message=WORDS, wall="on"))).headers["Location"]
    _, page = await visitor.get(f"/en{status}")
    assert "Keep it off the wall" in page.text
    assert "Ne pas la montrer sur le mur" in (await visitor.get(f"/fr{status}"))[1].text
    response, _ = await visitor.post(f"/en{status}", {"action": "private"}, Sec_Fetch_Site="cross-site")
    assert response.status == 403
    response, _ = await visitor.post(f"/en{status}", {"action": "private"})
    assert response.headers["Location"] == f"/en{status}"
    _, page = await visitor.get(f"/en{status}")
    assert "You keep this letter off the wall." in page.text
    assert "Keep it off" not in page.text
    assert await rows_of(visitor.front, "SELECT state, words FROM web_post") == [("removed", "")]
    await arrive(visitor.front, clock)
    await ann.enter(MODERATORS["ann"])
    assert "Nothing waits here" in (await ann.get("/desk/wall"))[1].text

    status = (await visitor.send(await visitor.preview(message="Another one.", wall="on"))).headers["Location"]
    await arrive(visitor.front, clock)
    await ann.enter(MODERATORS["ann"])
    (post,) = set(re.findall(r"/desk/post/\w+", (await ann.get("/desk/wall"))[1].document))
    await ann.post(post, action="publish", shown="Shown.", reason="r")
    assert "Take it down now" in (await visitor.get(f"/en{status}"))[1].text
    await visitor.post(f"/en{status}", {"action": "private"})
    assert "Shown." not in (await visitor.get("/en/wall"))[1].text
    assert "You keep this letter off the wall." in (await visitor.get(f"/en{status}"))[1].text


async def test_its_writer_takes_it_down_after_the_letter_is_forgotten(
    visitor: Visitor, ann: Moderator, clock: HandClock
) -> None:
    status = (await visitor.send(await visitor.preview(message=WORDS, wall="on"))).headers["Location"]
    await arrive(visitor.front, clock)
    await ann.enter(MODERATORS["ann"])
    (post,) = set(re.findall(r"/desk/post/\w+", (await ann.get("/desk/wall"))[1].document))
    await ann.post(post, action="publish", shown="Shown.", reason="r")
    assert "If the letter is on the wall by then" in (await visitor.get(f"/en{status}"))[1].text
    clock.move(timedelta(days=100).total_seconds())
    await visitor.front.database.write(lambda connection: connection.execute("DELETE FROM web_letter"))
    _, page = await visitor.get(status)
    assert "Your letter is on the wall" in page.text
    assert "Votre lettre est sur le mur" in (await visitor.get(f"/fr{status}"))[1].text
    assert (await visitor.get(f"/en{status[:-1]}"))[0].status == 404
    assert (await visitor.post(f"/en{status}", {"action": "forget"}))[0].status == 303
    assert "Shown." in (await visitor.get("/en/wall"))[1].text
    response, _ = await visitor.post(f"/en{status}", {"action": "private"}, Sec_Fetch_Site="cross-site")
    assert response.status == 403
    _, page = await visitor.post(f"/en{status}", {"action": "private"})
    assert "It is not on the wall any more" in page.text
    assert "Shown." not in (await visitor.get("/en/wall"))[1].text
    assert (await visitor.get(f"/en{status}"))[0].status == 404
    assert await rows_of(visitor.front, "SELECT shown, secret_hash FROM web_post") in ([], [("", None)])
    await store_of(visitor.front, clock).forget()
    assert not await rows_of(visitor.front, "SELECT letter_id FROM web_post")


async def test_who_took_it_down_is_not_told_and_can_be_contested(
    visitor: Visitor, ann: Moderator, clock: HandClock
) -> None:  # DSA, article 17
    told = []
    for who in ("recipient", "moderator"):
        status = (await visitor.send(await visitor.preview(message=f"For the {who}.", wall="on"))).headers["Location"]
        mail = next(one for one in visitor.front.relay.letters.values() if who in one.text)
        await arrive(visitor.front, clock)
        await ann.enter(MODERATORS["ann"])
        (post,) = set(re.findall(r"/desk/post/\w+", (await ann.get("/desk/wall"))[1].document))
        await ann.post(post, action="publish", shown="Shown.", reason="r")
        if who == "recipient":
            await visitor.post(re.findall(r"/r/[\w-]+", mail.text)[0], {"action": "wall"})
        else:
            await ann.post("/desk/wall", letter=post.rpartition("/")[2], reason="r")
        page = (await visitor.get(f"/en{status}"))[1]
        told.append(page.text.partition("The wall")[2].partition("Keep the address")[0])
        assert 'href="/en/legal#redress"' in page.document
    assert told[0] == told[1]
    assert "which of them it was, we do not say" in told[0]


async def test_nobody_puts_a_letter_on_the_wall_by_keeping_it_off(visitor: Visitor) -> None:
    status = (await visitor.send(await visitor.preview())).headers["Location"]
    before = (await visitor.get(f"/en{status}"))[1].text
    await visitor.post(f"/en{status}", {"action": "private"})
    assert (await visitor.get(f"/en{status}"))[1].text == before


async def test_the_form_shows_how_the_latest_letters_begin(visitor: Visitor, ann: Moderator, clock: HandClock) -> None:
    assert "samples" not in (await visitor.get("/en/"))[1].document, "the wall is empty"
    long = [f"Number {number}: <b>what</b> nobody dared to say,\n\n" + f"word{number} & " * 150 for number in range(4)]
    theirs = []
    for number, message in enumerate(long):
        their_page, post = await offer(visitor, ann, clock, message="Thank you.", to=f"r{number}@example.org")
        assert (await visitor.get("/en/"))[1].document.count("<figure>") == min(3, number), "nothing before a person"
        await ann.post(post, action="publish", shown=message, reason="r")
        theirs.append(their_page)
    _, page = await visitor.get("/en/")
    assert [f"Number {number}:" in page.text for number in range(4)] == [False, True, True, True]
    assert "&lt;b&gt;what&lt;/b&gt; nobody dared to say, word1 &amp; word1" in page.document
    assert "data-nosnippet" in page.document, "unless search engines may list the wall"
    (first, *_) = re.findall(r"/en/wall/[0-9a-z]+", page.document)
    assert "Number 3: " in (await visitor.get(first))[1].text
    assert "<figure>" not in (await visitor.get("/fr/"))[1].document, "each language has its own"
    response, page = await visitor.get("/en/", Accept_Encoding="gzip")
    answers = [response, *[(await visitor.get(path, Accept_Encoding="gzip"))[0] for path in set(page.resources)]]
    heads = sum(len(name) + len(value) + 4 for answer in answers for name, value in answer.headers.items())
    assert heads + sum(int(answer.headers["Content-Length"]) for answer in answers) <= 14_000
    await visitor.post(theirs[3], {"action": "wall"})
    await visitor.post(theirs[2], {"action": "report", "rule": "hate", "words": ""})
    page = (await visitor.get("/en/"))[1]
    assert [f"Number {number}:" in page.text for number in range(4)] == [True, True, False, False]
    visitor.front.database.away = True
    response, page = await visitor.get("/en/")
    visitor.front.database.away = False
    assert (response.status, "<figure>" in page.document) == (200, False), "the form needs none"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Short.\n\nOne.", "Short. One."),
        ("one two three four", "one two three"),
        ("four five sixes", "four five sixes"),
        ("a verylongwordthatgoeson", "a verylongwordt"),
        ("語" * 20, "語" * 15),
    ],
)
def test_a_beginning_has_whole_words_if_it_can(text: str, shown: str) -> None:
    assert beginning(text, 15) == shown


async def test_declined_and_taken_down(visitor: Visitor, ann: Moderator, clock: HandClock) -> None:
    _, post = await offer(visitor, ann, clock)
    assert (await ann.post(post, action="decline", reason="Names."))[0].status == 303
    assert (await ann.get(post))[0].headers["Location"] == "/desk/wall?done=gone"
    _, post = await offer(visitor, ann, clock, message="Another one.")
    await ann.post(post, action="publish", shown="Shown.", reason="r")
    letter = post.rpartition("/")[2]
    assert "Shown." in (await ann.get("/desk/wall"))[1].text
    assert (await ann.post("/desk/wall", letter=letter))[0].status == 422
    assert (await ann.post("/desk/wall", letter=letter, reason="Asked."))[0].status == 303
    assert "Shown." not in (await visitor.get("/en/wall"))[1].text


async def test_what_never_arrived_or_waits_behind_a_doorbell_is_never_shown(tmp_path: Path, clock: HandClock) -> None:
    async with (
        running_front(tmp_path, clock, replace(OPTIONS, doorbell=True)) as front,
        aiohttp.ClientSession() as session,
    ):
        visitor = Visitor(front, session)
        await visitor.send(await visitor.preview(wall="on"))
        await arrive(front, clock)
        assert await store_of(front, clock).offered() == []
    (tmp_path / "other").mkdir()
    async with running_front(tmp_path / "other", clock) as front, aiohttp.ClientSession() as session:
        visitor = Visitor(front, session)
        await visitor.send(await visitor.preview(wall="on"))
        front.relay.settle("bounced")
        clock.move(timedelta(days=8).total_seconds())
        await WallKeeper(store_of(front, clock), front.relay, clock).look()
        assert await front.database.read(lambda connection: list(connection.execute("SELECT * FROM web_post"))) == []


async def test_pages_of_the_wall(visitor: Visitor, ann: Moderator, clock: HandClock) -> None:
    sql = "INSERT INTO web_post VALUES (?, 'published', 'en', 'friend', 0, '', ?, ?, ?, NULL)"
    rows = [(f"l{n}", f"Text {n}.", f"p{n}", n * 86_400_000) for n in range(21)]
    await visitor.front.database.write(lambda connection: connection.executemany(sql, rows))
    _, page = await visitor.get("/en/wall")
    assert ("Text 20." in page.text, "Text 11." in page.text, "Text 10." in page.text) == (True, True, False)
    assert "Page 1 of 3" in page.text
    _, page = await visitor.get("/en/wall?page=3")
    assert ("Text 0." in page.text, "Older" in page.text) == (True, False)
    for bad in ("0", "4", "-1", "x", "99999999", "²"):
        assert (await visitor.get(f"/en/wall?page={bad}"))[0].status == 404
    assert (await visitor.get("/en/wall/none"))[0].status == 404


async def test_what_is_no_address_of_a_post_asks_no_database(visitor: Visitor) -> None:  # PostgreSQL knows no NUL
    visitor.front.database.away = True
    for no_id in ("%00", "a%00", "%FF", "A" * 3000):
        assert (await visitor.get(f"/en/wall/{no_id}"))[0].status == 404


async def test_without_a_wall_there_is_none(tmp_path: Path, clock: HandClock) -> None:
    async with (
        running_front(tmp_path, clock, replace(OPTIONS, wall=False)) as front,
        aiohttp.ClientSession() as session,
    ):
        visitor = Visitor(front, session)
        _, page = await visitor.get("/en/")
        assert "wall" not in page.text.lower()
        assert (await visitor.get("/en/wall"))[0].status == 404
        status = (await visitor.send(await visitor.preview(wall="on"))).headers["Location"]
        assert "You offered" not in (await visitor.get(f"/en{status}"))[1].text


class Bell:
    """Notes what rings."""

    def __init__(self) -> None:
        self.heard: list[int] = []
        self.endangered: list[int] = []
        self.due: list[int] = []
        self.filled: list[int] = []

    async def letters_wait(
        self, letters: int, oldest: object, in_danger: int = 0, requests_due: int = 0, filled: int = 0
    ) -> None:
        self.heard.append(letters)
        self.endangered.append(in_danger)
        self.due.append(requests_due)
        self.filled.append(filled)


async def test_what_waits_too_long_rings(visitor: Visitor, clock: HandClock) -> None:
    theirs = await receive(visitor)
    await visitor.post(theirs, {"action": "report", "rule": "hate", "words": ""})
    bell = Bell()
    ringer = BellRinger(visitor.front.database, bell, clock)
    await ringer.ring()
    clock.move(LATE.total_seconds() + 1)
    await ringer.ring()
    async with a_moderator(visitor.front, "bob") as bob:
        _, page = await bob.get("/desk/reports")
        await bob.post("/desk/reports", letter=page.fields["letter"], action="dismissed", reason="r")
    await ringer.ring()
    assert bell.heard == [0, 1, 0]
