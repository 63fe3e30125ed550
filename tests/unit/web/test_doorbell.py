"""First contact by doorbell: the mail asks, GET asks, POST shows, and who has read one gets the next directly."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest

from tests.support.front import OPTIONS, running_front
from tests.support.hand_clock import HandClock
from tests.support.visitor import Visitor

SECRET = "Words that are in no doorbell."


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
async def visitor(tmp_path: Path, clock: HandClock) -> AsyncIterator[Visitor]:
    options = replace(OPTIONS, doorbell=True)
    async with running_front(tmp_path, clock, options) as front, aiohttp.ClientSession() as session:
        yield Visitor(front, session)


async def ring(visitor: Visitor, **changes: str) -> tuple[str, str]:
    """Send a letter; the text of the mail that came, and the path where it can be read."""
    before = set(visitor.front.relay.letters)
    await visitor.send(await visitor.preview(message=SECRET, **changes))
    (key,) = visitor.front.relay.letters.keys() - before
    text = visitor.front.relay.letters[key].text
    found = re.search(r"http://leak\.lab\.test(/read/[\w-]+)", text)
    return text, found[1] if found else ""


async def test_a_letter_is_shown_to_who_asks_for_it_and_the_next_comes_directly(visitor: Visitor) -> None:
    _, preview = await visitor.post("/en/preview", {"token": await visitor.preview(message=SECRET)})
    assert "a short mail asks them first" in preview.text
    assert preview.text.index("Somebody wrote you a letter") < preview.text.index(SECRET), "both mails"
    assert re.findall(r"/read/([^\s<]+)", preview.document) == ["…"], "no link to read it, or to refuse mail"
    assert "a short mail that asks them first" in (await visitor.get("/en/"))[1].text
    assert "if the letter waits here until you ask for it" in (await visitor.get("/en/privacy"))[1].text
    text, path = await ring(visitor)
    theirs = re.findall(r"/r/[\w-]+", text)[0]
    held = (await visitor.get(theirs))[1].text
    assert "so that you can read them on our page: for 14 days" in held
    assert "a letter from here was read by its link" not in held
    assert SECRET not in text
    assert "#never" in text
    assert "A friend" not in text
    (mail,) = visitor.front.relay.letters.values()
    link = f"http://leak.lab.test{path}"
    assert f">{link}</a>" in mail.html, "a link that shows where it leads"
    assert f'<a href="{link}"' in mail.html
    assert "theirs, not ours" not in text, "they are ours"
    assert "somebody wrote a letter for you" in " ".join(text.split())
    for _ in range(2):  # a mail scanner opens the link
        response, page = await visitor.get(path)
        assert response.status == 200
        assert SECRET not in page.text
        assert "we have not shown it to you yet" in page.text
        assert "a…\N{WORD JOINER}@example.org" in page.text
        assert f'class="switch" href="/fr{path}"' in page.document
    _, page = await visitor.post("/fr" + path, {"action": "read"})
    assert SECRET in page.text
    assert "From a friend, anonymously." in page.text
    assert "a letter from here was read by its link" in (await visitor.get(theirs))[1].text
    _, page = await visitor.get(path)
    assert "we have not shown it" not in page.text
    assert "a…\N{WORD JOINER}@example.org" in page.text
    assert SECRET in (await visitor.post(path, {"action": "read"}))[1].text
    text, path = await ring(visitor, to="Ann+x@example.org", pseudonym="M. X")
    assert SECRET in text
    assert path == ""
    rows = await visitor.front.database.read(lambda c: [*c.execute("SELECT * FROM web_waiting, web_known")])
    assert rows
    assert "example.org" not in repr(rows)


async def test_a_browser_that_asks_neither_language_gets_the_letters(visitor: Visitor) -> None:
    _, path = await ring(visitor)
    await visitor.front.database.write(lambda connection: connection.execute("UPDATE web_letter SET language = 'fr'"))
    assert '<html lang="fr">' in (await visitor.get(path, Accept_Language="de"))[1].document
    assert '<html lang="fr">' in (await visitor.post(path, {"action": "read"}))[1].document
    assert '<html lang="en">' in (await visitor.get(path, Accept_Language="en"))[1].document


async def test_a_writer_learns_nothing_of_who_read(visitor: Visitor) -> None:  # SND 1
    first = (await visitor.send(await visitor.preview(message=SECRET))).headers["Location"]
    (mail,) = visitor.front.relay.letters.values()
    visitor.front.relay.settle("delivered")
    told = (await visitor.get(first))[1].text
    assert "this was the short mail that asks them" in told
    await visitor.post(re.findall(r"/read/[\w-]+", mail.text)[0], {"action": "read"})
    token = await visitor.preview(message="Now it comes directly.")
    assert "a short mail asks them first" in (await visitor.post("/en/preview", {"token": token}))[1].text
    second = (await visitor.send(token)).headers["Location"]
    visitor.front.relay.settle("delivered")
    assert (await visitor.get(second))[1].text.replace(second, first) == told


async def test_a_letter_nobody_asks_for_goes_after_two_weeks(visitor: Visitor, clock: HandClock) -> None:
    _, path = await ring(visitor)
    clock.move(timedelta(days=14).total_seconds())
    assert "it has been deleted" in (await visitor.get(path))[1].text
    assert SECRET not in (await visitor.post(path, {"action": "read"}))[1].text
    await visitor.until_counted(_waiting, 0)


async def test_erasing_deletes_what_waits_to_be_read(visitor: Visitor) -> None:
    text, path = await ring(visitor)
    theirs = text.partition("/r/")[2].partition("#")[0]
    await visitor.post(f"/r/{theirs}", {"action": "erase"})
    _, page = await visitor.get(path)
    assert "it has been deleted" in page.text
    assert "days are over" not in page.text, "they are not"


async def test_a_recipients_link_reads_nothing(visitor: Visitor) -> None:
    text, path = await ring(visitor)
    theirs = text.partition("/r/")[2].partition("#")[0]
    assert (await visitor.get(f"/read/{theirs}"))[0].status == 404
    assert (await visitor.post("/read/x", {"action": "read"}))[0].status == 404
    assert (await visitor.post(path, {}, Sec_Fetch_Site="cross-site"))[0].status == 403


async def _waiting(front: object) -> int:
    database = front.database  # type: ignore[attr-defined]
    rows = await database.read(lambda c: list(c.execute("SELECT count(*) FROM web_waiting")))
    return int(rows[0][0])


async def test_doorbells_have_a_brake_of_their_own(tmp_path: Path, clock: HandClock) -> None:  # RCP 4
    options = replace(OPTIONS, doorbell=True, doorbell_domain="doorbell.leak.lab.test", doorbells_per_day=2)
    async with running_front(tmp_path, clock, options) as front, aiohttp.ClientSession() as session:
        visitor = Visitor(front, session)
        _, path = await ring(visitor)
        await visitor.post(path, {"action": "read"})
        await ring(visitor, to="bob@example.org")
        third = await visitor.send(await visitor.preview(message=SECRET, to="cid@example.org"))
        _, page = await visitor.get(third.headers["Location"])
        assert "leave" in page.text
        assert len(front.relay.letters) == 2
        text, _ = await ring(visitor)  # a letter to who has read one leaves all the same
        assert SECRET in text
        await ring(visitor, to="dan@example.net")  # and so does a doorbell at another provider
        streams = [(one.stream, one.sender) for one in front.relay.letters.values()]
        assert streams.count(("doorbells", "doorbell@doorbell.leak.lab.test")) == 3
        assert streams.count(("letters", "letter@leak.lab.test")) == 1
        waits = "SELECT w.until - h.due FROM web_waiting w JOIN web_handover h ON h.letter_id = w.letter_id"
        assert await front.database.read(lambda c: list(c.execute(waits))) == [(14 * 86_400_000,)]
        clock.move(timedelta(days=1, minutes=30).total_seconds())
        await visitor.until_arrived(5)


async def test_who_refused_doorbells_gets_no_letters_either(visitor: Visitor) -> None:
    relay = visitor.front.relay
    relay.refused_streams["ann@example.org"] = "doorbells"
    await visitor.send(await visitor.preview(message=SECRET))
    await visitor.until_counted(_undeliverable, 1)
    assert not relay.letters


async def _undeliverable(front: object) -> int:
    database = front.database  # type: ignore[attr-defined]
    rows = await database.read(lambda c: list(c.execute("SELECT count(*) FROM web_letter WHERE refused = 1")))
    return int(rows[0][0])


async def test_a_worried_letter_brings_the_crisis_line_where_it_is_read_and_not_in_the_doorbell(
    visitor: Visitor,
) -> None:  # RCP 9
    await visitor.send(await visitor.preview(message="I'm scared you'll hurt yourself."))
    (mail,) = visitor.front.relay.letters.values()
    assert "3114" not in mail.text + mail.html
    found = re.search(r"http://leak\.lab\.test(/read/[\w-]+)", mail.text)
    assert found
    _, page = await visitor.post("/fr" + found[1], {"action": "read"})
    assert page.text.index("hurt yourself") < page.text.index("3114, numéro national")
