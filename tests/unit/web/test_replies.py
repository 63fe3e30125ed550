"""A letter's recipient may answer by mail, and its writer sees the words: once, screened, without anybody's address."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from relay.client.contract import LetterReply
from tests.support.front import OPTIONS, Front, running_front
from tests.support.hand_clock import HandClock
from tests.support.moderator import Moderator
from tests.support.visitor import LETTER, Visitor
from tests.unit.web.test_ladder import FOREIGN
from tests.unit.web.test_recipient import receive
from web.letters import HOLD_TIME
from web.replies import REFUSED_KEPT
from web.reply_keeper import MOST_CHARACTERS, UNKNOWN_SECONDS, readable

NUDGED = "You can call me on 06 12 34 56 78."
THREAT = "I will kill you tonight."
CRISIS = "I want to kill myself, I cannot go on."


@pytest.fixture
async def front(tmp_path: Path, clock: HandClock) -> AsyncIterator[Front]:
    async with running_front(tmp_path, clock, replace(OPTIONS, replies=True)) as running:
        yield running


async def sent(visitor: Visitor, **changes: str) -> tuple[str, str]:
    """A letter that was delivered: its status link, and the relay's id of it."""
    before = set(visitor.front.relay.letters)
    link = (await visitor.send(await visitor.preview(**changes))).headers["Location"]
    visitor.front.relay.settle("delivered")
    (key,) = visitor.front.relay.letters.keys() - before
    return link, f"m-{key}"


async def reply(visitor: Visitor, clock: HandClock, message: str, words: str) -> None:
    """A reply comes to the relay; returns once the front has asked for it, and the relay let it go."""
    relay = visitor.front.relay
    relay.waiting_replies = [*relay.waiting_replies, LetterReply(message, "Ann+x@example.org", words)]
    clock.move(61)

    async def waiting(front: Front) -> int:
        return len(front.relay.waiting_replies)

    await visitor.until_counted(waiting, 0)


async def rows(front: Front, sql: str = "SELECT * FROM web_reply") -> list[tuple[Any, ...]]:
    return await front.database.read(lambda connection: list(connection.execute(sql)))


async def test_a_reply_is_shown_once_on_the_page_of_its_letter(visitor: Visitor, clock: HandClock) -> None:  # RCP 10
    (link, message), (other, _) = await sent(visitor), await sent(visitor, message="Another letter, to the same.")
    assert "may answer it once" in (await visitor.get(link))[1].text
    await reply(visitor, clock, message, "I had no idea.\n\nThank you <3")
    _, page = await visitor.get(link)
    assert "A reply to your letter" in page.text
    assert "It came on 21 November 2026" in page.text
    assert "I had no idea." in page.text
    assert "Thank you <3" in page.text
    assert '<p dir="auto">Thank you &lt;3</p>' in page.document
    assert "may answer it once" not in page.text
    assert "Une réponse à votre lettre" in (await visitor.get(f"/fr{link}"))[1].text
    assert "no idea" not in (await visitor.get(other))[1].text
    await reply(visitor, clock, message, "And another thing.")
    assert "another thing" not in (await visitor.get(link))[1].text
    stored = repr(await rows(visitor.front))
    assert "example" not in stored, "no address, not the recipient's either"


async def test_letters_say_that_they_may_be_answered_and_doorbells_do_not(
    tmp_path: Path, visitor: Visitor
) -> None:  # RCP 10
    _, page = await visitor.post("/en/preview", {**LETTER, "action": "preview"})
    assert "You may answer this mail, and need not" in page.text
    await sent(visitor)
    (letter,) = visitor.front.relay.letters.values()
    assert letter.answerable
    for part in (letter.text, letter.html):
        assert "You may answer this mail, and need not" in part
    bell, off = replace(OPTIONS, replies=True, doorbell=True), replace(OPTIONS, replies=False)
    for name, options in (("bell", bell), ("off", off)):
        folder = tmp_path / name
        folder.mkdir()
        async with running_front(folder, options=options) as front, aiohttp.ClientSession() as session:
            mute = Visitor(front, session)
            link = (await mute.send(await mute.preview())).headers["Location"]
            (mail,) = front.relay.letters.values()
            assert (mail.answerable, "You may answer" in mail.text + mail.html) == (False, False)
            if name == "off":
                front.relay.settle("delivered")
                assert "may answer" not in (await mute.get(link))[1].text


async def test_what_moderation_says_of_a_letter_it_says_of_a_reply(
    visitor: Visitor, clock: HandClock, ann: Moderator
) -> None:  # RCP 7, RCP 10
    (hurt, one), (ill, two), (gone, three) = [
        await sent(visitor, to=f"ann{n}@example.org", message=f"Letter number {n}, thank you.") for n in range(3)
    ]
    await reply(visitor, clock, one, NUDGED)
    _, page = await visitor.get(hurt)
    assert "Our form would have asked its writer to think again. Show it" in page.text
    assert page.document.index("<details>") < page.document.index("06 12 34 56 78") < page.document.index("</details>")
    await reply(visitor, clock, two, CRISIS)
    _, page = await visitor.get(ill)
    assert "Whoever wrote it may not be well" in page.text
    assert 'href="tel:' in page.document
    letters = visitor.front.relay.letters.values()
    pages = {one.recipient: "/r/" + one.text.partition("/r/")[2].partition("#")[0] for one in letters}
    assert "somebody listens now" in (await visitor.get(pages["ann1@example.org"]))[1].text, "on their own page too"
    assert "somebody listens now" not in (await visitor.get(pages["ann0@example.org"]))[1].text
    await reply(visitor, clock, three, THREAT)
    _, page = await visitor.get(gone)
    assert "tonight" not in page.text
    assert "A reply" not in page.text, "nobody is told that there was one"
    assert "may answer it once" in page.text
    await reply(visitor, clock, three, "I am sorry, I was angry.")
    assert "angry" not in (await visitor.get(gone))[1].text, "nor is another taken, so that nobody tries the rules out"
    assert "Held replies" not in (await ann.get("/desk"))[1].text


async def test_a_held_reply_waits_for_a_person(
    visitor: Visitor, clock: HandClock, ann: Moderator
) -> None:  # RCP 7, RCP 10
    letters = [
        await sent(visitor, to=f"ann{n}@example.org", message=f"Letter number {n}, thank you.") for n in range(3)
    ]
    for _, message in letters:
        await reply(visitor, clock, message, FOREIGN)
    (shown, _), (refused, _), (left, _) = letters
    for link, _ in letters:
        _, page = await visitor.get(link)
        assert "vermisse" not in page.text
        assert "may answer it once" in page.text, "nobody is told that it waits"
    _, desk = await ann.get("/desk/replies")
    ids = [
        row[0] for row in await rows(visitor.front, "SELECT letter_id FROM web_reply ORDER BY held_until, letter_id")
    ]
    assert "vermisse" in desk.text
    assert "example.org" not in desk.text
    assert "3 Held replies" in " ".join((await ann.get("/desk"))[1].text.split())
    for why in ("Retenue pour : En français ou en anglais", "Held for: English or French"):
        await ann.post("/desk/language")
        _, page = await ann.get("/desk/replies")
        ann.proof = page.fields["proof"]
        assert why in page.text
    response, page = await ann.post("/desk/replies", letter=ids[0], action="show", reason=" ")
    assert (response.status, "Say why" in page.text) == (422, True)
    response, _ = await ann.post("/desk/replies", letter=ids[0], action="show", reason="I read German.")
    assert response.headers["Location"] == "/desk/replies?done=reply-shown"
    response, _ = await ann.post("/desk/replies", letter=ids[1], action="refuse", reason="No.")
    assert response.headers["Location"] == "/desk/replies?done=reply-refused"
    for again in ("show", "refuse"):
        response, _ = await ann.post("/desk/replies", letter=ids[1], action=again, reason="Once more.")
        assert response.headers["Location"] == "/desk/replies?done=gone"
    texts = [(await visitor.get(link))[1].text for link in (shown, refused, left)]
    assert sum("vermisse" in text for text in texts) == 1
    log = (await ann.get("/desk/log"))[1].text
    assert "Let a reply be shown" in log
    assert "Refused a reply" in log
    clock.move(HOLD_TIME.total_seconds())

    async def held(front: Front) -> int:
        return len(await rows(front, "SELECT 1 FROM web_reply WHERE state = 'held'"))

    await visitor.until_counted(held, 0)
    assert len(await rows(visitor.front, "SELECT 1 FROM web_reply WHERE state = 'lapsed' AND words = ''")) == 1


async def test_who_answered_reads_why_it_was_stopped_and_asks_a_person(
    visitor: Visitor, clock: HandClock, ann: Moderator
) -> None:  # RCP 7, RCP 10
    """They have nothing but the mail: its link leads there, and the letter says so."""
    page_of = await receive(visitor)
    visitor.front.relay.settle("delivered")
    ((key, letter),) = visitor.front.relay.letters.items()
    assert "What becomes of it is on your page" in letter.text
    assert "Your reply" not in (await visitor.get(page_of))[1].text
    await reply(visitor, clock, f"m-{key}", THREAT)
    _, page = await visitor.get(page_of)
    assert "Your reply is shown to nobody" in page.text
    assert 'href="/en/dos-and-donts#threat"' in page.document
    assert "tonight" not in page.text, "whoever holds the link need not be who wrote it"
    _, page = await visitor.post(f"/fr{page_of}", {"action": "appeal"})
    assert "Merci. Quelqu’un regarde votre réponse" in page.text
    assert "Demander à quelqu’un" not in page.text
    _, desk = await ann.get("/desk/replies")
    assert "Contested" in desk.text
    assert "tonight" in desk.text
    ((letter_id,),) = await rows(visitor.front, "SELECT letter_id FROM web_reply")
    await ann.post("/desk/replies", letter=letter_id, action="refuse", reason="It threatens.")
    _, page = await visitor.get(page_of)
    for words in (
        "Your reply is shown to nobody",
        "It threatens.",
        "a person has looked at it and decided so",
        "give the address of this page",
    ):
        assert words in page.text
    assert "Ask a person" not in page.text
    assert "tonight" not in repr(await rows(visitor.front)), "decided for good"
    await visitor.post(page_of, {"action": "appeal"})
    assert not await rows(visitor.front, "SELECT 1 FROM web_reply WHERE state = 'held'")


async def test_a_refused_reply_is_kept_for_a_week_for_that_question(visitor: Visitor, clock: HandClock) -> None:
    _, message = await sent(visitor)
    await reply(visitor, clock, message, THREAT)
    assert "tonight" in repr(await rows(visitor.front))
    clock.move(REFUSED_KEPT.total_seconds())

    async def kept(front: Front) -> int:
        return len(await rows(front, "SELECT 1 FROM web_reply WHERE words <> ''"))

    await visitor.until_counted(kept, 0)
    assert (await rows(visitor.front, "SELECT rules FROM web_reply")) == [("threat",)]
    page_of = await receive(visitor, message="Another letter to Ann.")
    await visitor.post(page_of, {"action": "erase"})
    assert (await rows(visitor.front, "SELECT rules, reason FROM web_reply WHERE rules <> ''")) == []


async def test_no_more_replies_are_held_than_people_can_read(tmp_path: Path, clock: HandClock, ann: Moderator) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    options = replace(OPTIONS, replies=True, most_waiting=1)
    async with running_front(folder, clock, options) as front, aiohttp.ClientSession() as session:
        visitor = Visitor(front, session)
        letters = [await sent(visitor, to=f"ann{n}@example.org", message=f"Letter {n}, thank you.") for n in range(3)]
        front.relay.waiting_replies = [LetterReply(id_, "ann@example.org", FOREIGN) for _, id_ in letters[:2]]
        front.relay.waiting_replies.append(LetterReply(letters[2][1], "ann@example.org", "Thank you too."))
        clock.move(61)
        await visitor.until_told(letters[2][0], "Thank you too.")
        assert [one.message_id for one in front.relay.waiting_replies] == [letters[1][1]], "it waits at the relay"
        assert len(await rows(front, "SELECT 1 FROM web_reply WHERE state = 'held'")) == 1


async def test_either_side_may_delete_it(visitor: Visitor, clock: HandClock) -> None:  # RCP 3, RCP 10
    """Its writer with the letter's page, its author by the letter's link; and then none is taken any more."""
    link, message = await sent(visitor, to="bob@example.net")
    await reply(visitor, clock, message, "A first one.")
    assert "The reply to your letter" in (await visitor.get(f"{link}?ask=forget"))[1].text
    await visitor.post(f"/en{link}", {"action": "forget"})
    await reply(visitor, clock, message, "A second one.")
    assert "one." not in repr(await rows(visitor.front))

    page_of = await receive(visitor)
    visitor.front.relay.settle("delivered")
    key = next(key for key, letter in visitor.front.relay.letters.items() if page_of in letter.text)
    assert "Your reply" not in (await visitor.get(page_of))[1].text
    await reply(visitor, clock, f"m-{key}", "A third one.")
    _, page = await visitor.get(page_of)
    assert "Delete my reply" in page.text
    assert "The words of your reply, with a scrambled mark" in page.text
    _, page = await visitor.post(page_of, {"action": "unreply"})
    assert "Your reply is deleted" in page.text
    assert "Delete my reply" not in page.text
    await reply(visitor, clock, f"m-{key}", "A fourth one.")
    assert "one." not in repr(await rows(visitor.front))


async def test_who_has_themself_erased_takes_every_reply_along(visitor: Visitor, clock: HandClock) -> None:  # RCP 3
    _, first = await sent(visitor)
    other, stranger = await sent(visitor, message="Another one to Ann."), await sent(visitor, to="bob@example.net")
    for _, message in ((None, first), other):
        await reply(visitor, clock, message, "Some words of Ann.")
    visitor.front.relay.waiting_replies = [LetterReply(stranger[1], "bob@example.net", "Words of Bob.")]
    clock.move(61)
    await visitor.until_told(stranger[0], "Words of Bob.")
    page_of = await receive(visitor, message="A third letter to Ann.")
    await visitor.post(page_of, {"action": "erase"})
    kept = await rows(visitor.front, "SELECT words FROM web_reply WHERE words <> ''")
    assert kept == [("Words of Bob.",)]
    assert not await rows(visitor.front, "SELECT 1 FROM web_reply WHERE mailbox IS NOT NULL AND words = ''")


async def test_a_reply_that_is_faster_than_our_own_note_waits_for_it(visitor: Visitor, clock: HandClock) -> None:
    """The relay had the letter and we died before we noted so: it is handed over again, then it has its reply."""
    link, message = await sent(visitor)
    front = visitor.front

    async def known_as(new: str, old: str) -> None:
        note = "UPDATE web_letter SET message_id = ? WHERE message_id = ?"
        await front.database.write(lambda connection: list(connection.execute(note, (new, old))))

    async def look(*replies: LetterReply) -> None:
        front.relay.waiting_replies = list(replies)
        asked = front.relay.asked_for_replies
        clock.move(61)
        async with asyncio.timeout(30):
            while front.relay.asked_for_replies == asked:
                await asyncio.sleep(0.01)

    await known_as("not yet", message)
    early = LetterReply(message, "ann@example.org", "So soon.")
    await look(early)
    assert front.relay.waiting_replies == [early], "told again"
    await known_as(message, "not yet")
    clock.move(61)
    await visitor.until_told(link, "So soon.")
    elsewhere = LetterReply("m-elsewhere", "ann@example.org", "Another process takes it.")
    await look(elsewhere)
    await look()
    await look(LetterReply("m-unknown", "ann@example.org", "To nobody here."))
    assert front.relay.waiting_replies
    clock.move(UNKNOWN_SECONDS)
    async with asyncio.timeout(30):
        while front.relay.waiting_replies:
            clock.move(61)  # the reader may have looked at its clock only after that
            await asyncio.sleep(0.01)
    clock.move(2 * UNKNOWN_SECONDS)
    await look(elsewhere)
    assert front.relay.waiting_replies == [elsewhere], "what was told long ago is not remembered"


async def test_the_pages_for_reading_say_so(visitor: Visitor, tmp_path: Path) -> None:  # RCP 10, S53
    folder = tmp_path / "off"
    folder.mkdir()
    async with running_front(folder, options=OPTIONS) as front, aiohttp.ClientSession() as session:
        for somebody, is_on in ((visitor, True), (Visitor(front, session), False)):
            privacy = (await somebody.get("/en/privacy"))[1].text
            assert ("The words of your first reply" in privacy, "A mail, if you answered" in privacy) == (
                is_on,
                not is_on,
            )
            assert ("Les mots de votre première réponse" in (await somebody.get("/fr/privacy"))[1].text) == is_on
            assert ("answer the mail as you would any other" in (await somebody.get("/en/help"))[1].text) == is_on
            assert ("répondez au mail comme à tout autre" in (await somebody.get("/fr/help"))[1].text) == is_on


async def test_it_goes_with_its_letter(visitor: Visitor, clock: HandClock) -> None:
    link, message = await sent(visitor)
    await reply(visitor, clock, message, "Some words.")
    assert "Some words." in (await visitor.get(link))[1].text
    clock.move(OPTIONS.status_kept.total_seconds() + 3600)

    async def kept(front: Front) -> int:
        return len(await rows(front))

    await visitor.until_counted(kept, 0)
    assert (await visitor.get(link))[0].status == 404


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("Write to bob@example.org, or see https://evil.example/?who=1 now.", "Write to […], or see […] now."),
        ("<https://leak.example/r/\nAbCd-efGH_ijkl0123456789mnopQRSTuvwx>", "[…]"),
        ("mailto:bob@x.example www.x.example HTTP://X.example", "[…]"),
        ("Thank you.\r\n\x00\u202eBob", "Thank you.\nBob"),
        ("anticonstitutionnellement, 06 12 34 56 78", "anticonstitutionnellement, 06 12 34 56 78"),
        ("é " * 3000, ("é " * 1000).strip()),
    ],
)
def test_no_address_and_no_link_is_shown(written: str, shown: str) -> None:  # SND, S08
    assert readable(written) == shown
    assert len(readable(written)) <= MOST_CHARACTERS
