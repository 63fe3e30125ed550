"""Moderation on the form: pass, nudge, hold, care, refuse; appeals; the life of a held letter; taking one back."""

from __future__ import annotations

import html
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest

from relay.client.contract import Admission
from relay.clock import to_millis
from relay.database.contract import Connection
from relay.ids import SeededEntropy
from tests.support.front import OPTIONS, Front, errands_of, running_front
from tests.support.hand_clock import HandClock
from tests.support.visitor import LETTER, Visitor
from web.catalogue import Language, load_words
from web.decisions import Action, Decision
from web.errand_table import Errand
from web.freezes import FREEZE
from web.holds import HoldStore
from web.letters import HOLD_TIME, HeldFor
from web.preview_page import tell_ahead
from web.row import SPREAD

INSULT = "You are a pathetic loser."
FOREIGN = "Ich möchte dir heute sagen, dass ich dich sehr vermisse und immer an dich denke, mein lieber Freund."
DESPAIR = "I want to kill myself tonight."
NUDGED = "Write to me at ann.other@example.org."


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
async def visitor(tmp_path: Path, clock: HandClock) -> AsyncIterator[Visitor]:
    async with running_front(tmp_path, clock) as front, aiohttp.ClientSession() as session:
        yield Visitor(front, session)


@pytest.fixture
async def patient(tmp_path: Path, clock: HandClock) -> AsyncIterator[Visitor]:
    """A visitor of a front that lets letters wait, and tells failures late."""
    options = replace(
        OPTIONS,
        cool_down=timedelta(minutes=5),
        jitter=timedelta(minutes=10),
        failure_delay=timedelta(minutes=30),
        hand_over_every=timedelta(milliseconds=5),
    )
    async with running_front(tmp_path, clock, options) as front, aiohttp.ClientSession() as session:
        yield Visitor(front, session)


def holds_of(front: Front, clock: HandClock) -> HoldStore:
    return HoldStore(front.database, clock, SeededEntropy(5))


async def test_a_nudge_marks_the_words_and_asks_once_more(visitor: Visitor) -> None:  # RCP 7
    response, page = await visitor.post("/en/preview", LETTER | {"message": NUDGED})
    assert response.status == 200
    assert "Read this once more" in page.text
    assert "<mark>ann.other@example.org" in page.document
    assert "/en/dos-and-donts#private-information" in page.document
    assert not visitor.front.relay.arrivals
    assert (await visitor.send(page.fields["token"])).status == 303
    await visitor.until_arrived()


@pytest.mark.parametrize(
    ("language", "button", "told"),
    [
        ("en", "Send it in 10 minutes", "It leaves around 21 November, 12:10 UTC"),
        ("fr", "L’envoyer dans 10 minutes", "Elle part autour du 21 novembre, 12 h 10 UTC"),
    ],
)
async def test_who_is_nudged_may_wait_ten_minutes(
    visitor: Visitor, clock: HandClock, language: str, button: str, told: str
) -> None:  # RCP 7
    _, page = await visitor.post(f"/{language}/preview", LETTER | {"message": NUDGED})
    assert button in page.text
    waiting = {"token": page.fields["token"], "action": "wait"}
    response, _ = await visitor.post(f"/{language}/preview", waiting)
    link = response.headers["Location"]
    _, status = await visitor.get(link)
    assert told in status.text
    assert "place in the row" not in status.text
    assert "sa place dans la file" not in status.text
    clock.move(9 * 60)
    assert 'value="cancel"' in (await visitor.get(link))[1].document
    assert not visitor.front.relay.arrivals
    # A second thought about the second thought leads to the same letter.
    assert (await visitor.post(f"/{language}/preview", waiting | {"action": "send"}))[0].headers["Location"] == link
    clock.move(61)
    await visitor.until_arrived()
    assert len(visitor.front.relay.letters) == 1


async def test_while_it_waits_who_was_nudged_takes_it_back(visitor: Visitor, clock: HandClock) -> None:  # RCP 7
    token = await visitor.preview(message=NUDGED)
    response, _ = await visitor.post("/en/preview", {"token": token, "action": "wait"})
    clock.move(9 * 60)
    await visitor.post(response.headers["Location"], {"action": "cancel"})
    assert "You took it back" in (await visitor.get(response.headers["Location"]))[1].text
    assert await _count(visitor.front) == 0
    assert not visitor.front.relay.arrivals


async def test_only_who_is_nudged_is_asked_to_wait(visitor: Visitor) -> None:
    for changes in ({}, {"message": FOREIGN}, {"message": DESPAIR}, {"message": NUDGED, "leaves": "morning"}):
        _, page = await visitor.post("/en/preview", LETTER | changes)
        assert 'value="send"' in page.document
        assert 'value="wait"' not in page.document


async def test_an_insult_is_refused_by_name_and_never_kept(visitor: Visitor) -> None:  # RCP 7
    response, page = await visitor.post("/en/preview", LETTER | {"message": INSULT})
    assert response.status == 422
    assert "/en/dos-and-donts#bullying" in page.document
    assert "No bullying" in page.text
    assert 'value="send"' not in page.document
    assert (await visitor.send(page.fields["token"])).status == 422
    assert not visitor.front.relay.arrivals
    assert await _count(visitor.front) == 0
    _, again = await visitor.post("/en/preview", {"token": page.fields["token"], "action": "edit"})
    assert again.fields["message"] == INSULT


async def test_the_invented_name_is_read_too(visitor: Visitor) -> None:
    response, _ = await visitor.post("/fr/preview", LETTER | {"message": "Merci pour tout.", "pseudonym": "Connard"})
    assert response.status == 422


async def test_help_comes_first_then_the_choice(visitor: Visitor) -> None:  # RCP 9
    response, page = await visitor.post("/en/preview", LETTER | {"message": DESPAIR})
    assert response.status == 200
    assert page.text.index("988") < page.text.index(DESPAIR)
    assert (await visitor.send(page.fields["token"])).status == 303
    _, page = await visitor.post("/fr/preview", LETTER | {"message": "Je veux me tuer ce soir."})
    assert page.text.index("3114") < page.text.index("Je veux me tuer")
    assert "3018" in page.text


@pytest.mark.parametrize(
    ("language", "message", "line"),
    [
        ("en", "I'm scared you'll hurt yourself. Please call me.", "988 Suicide & Crisis Lifeline"),
        ("fr", "J'ai peur que tu te fasses du mal.", "3114, numéro national de prévention du suicide (France)."),
    ],
)
async def test_a_letter_that_worries_about_its_reader_brings_the_crisis_line(
    visitor: Visitor, language: str, message: str, line: str
) -> None:  # RCP 9
    _, page = await visitor.post(f"/{language}/preview", LETTER | {"message": message})
    token = {"token": page.fields["token"], "action": "send"}
    assert page.text.index(message) < page.text.index(line)
    assert (await visitor.post(f"/{language}/preview", token))[0].status == 303
    await visitor.until_arrived()
    (mail,) = visitor.front.relay.letters.values()
    for part in (mail.text, html.unescape(mail.html)):
        assert part.index(message) < part.index(line)
        assert "https://3114.fr" in part
    _, footer = mail.text.split("\N{BOX DRAWINGS LIGHT HORIZONTAL}" * 12)
    lines = [" ".join(one.split()) for one in footer.split("\n") if "/r/" not in one]
    assert [one for one in lines if one not in " ".join(page.text.split())] == [], "the preview shows what is sent"
    _, page = await visitor.post(f"/{language}/preview", LETTER)
    assert line not in page.text


async def test_an_appeal_is_read_by_a_person_who_lets_it_go(visitor: Visitor, clock: HandClock) -> None:
    _, page = await visitor.post("/en/preview", LETTER | {"message": INSULT})
    response, _ = await visitor.post("/en/preview", {"token": page.fields["token"], "action": "appeal"})
    link = response.headers["Location"]
    _, status = await visitor.get(link)
    assert "A person reads it first" in status.text
    assert "You asked for a person" in status.text
    holds = holds_of(visitor.front, clock)
    (held,) = await holds.held()
    assert (held.message, held.recipient, held.rules) == (INSULT, "ann@example.org", ("bullying",))
    assert await holds.release(Decision(held.id, Action.RELEASE, "me", "a joke between friends"), clock.now())
    assert not await holds.release(Decision(held.id, Action.RELEASE, "me", "twice"), clock.now())
    await visitor.until_arrived()
    (logged,) = await holds.decisions()
    assert (logged.decision.action, logged.decision.reason) == ("release", "a joke between friends")


async def test_a_held_letter_goes_back_after_two_days_and_never_departs(
    visitor: Visitor, clock: HandClock
) -> None:  # RCP 7
    link = (await visitor.send(await visitor.preview(message=FOREIGN))).headers["Location"]
    assert "A person reads it first" in (await visitor.get(link))[1].text
    (held,) = await holds_of(visitor.front, clock).held()
    clock.move(HOLD_TIME.total_seconds())
    await visitor.until_told(link, "It has come back to you")
    response, status = await visitor.get(link)
    assert FOREIGN in status.text
    assert "Refresh" not in response.headers
    late = Decision(held.id, Action.RELEASE, "me", "too late")
    assert not await holds_of(visitor.front, clock).release(late, clock.now())
    clock.move(400 * 86400)
    assert not visitor.front.relay.arrivals


async def test_the_words_of_a_returned_letter_go_after_a_week(visitor: Visitor, clock: HandClock) -> None:
    link = (await visitor.send(await visitor.preview(message=FOREIGN))).headers["Location"]
    clock.move(HOLD_TIME.total_seconds())
    await visitor.until_told(link, "It has come back to you")
    clock.move(8 * 86400)
    await visitor.front.store.forget(clock.now(), clock.now() - timedelta(days=90), 9)
    _, status = await visitor.get(link)
    assert FOREIGN not in status.text
    assert "It has come back to you" in status.text


async def test_a_refusal_tells_rule_reason_and_redress(visitor: Visitor, clock: HandClock) -> None:
    link = (await visitor.send(await visitor.preview(message=FOREIGN))).headers["Location"]
    holds = holds_of(visitor.front, clock)
    (held,) = await holds.held()
    assert await holds.refuse(Decision(held.id, Action.REFUSE, "me", "It <threatens> her.", ("threat",)))
    _, status = await visitor.get(link)
    for told in ("It was refused", "A program had held it", "No threats", "It <threatens> her.", "out-of-court"):
        assert told in status.text  # DSA, article 17(3): by whom and with which means, why, and what one may do
    assert 'href="/en/legal#redress"' in status.document
    assert 'id="redress"' in (await visitor.get("/en/legal"))[1].document
    assert await _count(visitor.front) == 0
    assert await holds.held() == []
    rows = await visitor.front.database.read(lambda c: list(c.execute("SELECT * FROM web_decision")))
    assert FOREIGN not in repr(rows)


async def test_a_letter_waits_and_can_be_taken_back_until_it_leaves(
    patient: Visitor, clock: HandClock
) -> None:  # SND 3
    link = (await patient.send(await patient.preview())).headers["Location"]
    _, status = await patient.get(link)
    assert "It waits before it leaves" in status.text
    assert "It leaves around 21 November, " in status.text
    clock.move(4 * 60)
    assert (await patient.post(link, {"action": "cancel"}))[0].status == 303
    assert "You took it back" in (await patient.get(link))[1].text
    clock.move(3600)
    other = (await patient.send(await patient.preview(message="Another one."))).headers["Location"]
    clock.move(20 * 60)
    await patient.until_arrived()
    (left,) = patient.front.relay.letters.values()
    assert "Another" in left.text
    await patient.post(other, {"action": "cancel"})
    assert "On its way" in (await patient.get(other))[1].text


@pytest.mark.parametrize("language", list(Language))
def test_nothing_is_said_of_a_hold_that_follows_from_others(language: Language) -> None:  # RCP 2 and 6
    """Else whoever writes from a second network learns that the recipient reports, or that others wrote to them."""
    told = {why for why in HeldFor if f"held.{why.value}" in load_words()[language].texts}
    assert told == {why for why in HeldFor if why.is_told} == set(HeldFor) - {HeldFor.REPORT, HeldFor.PILE_ON}


async def test_a_held_letter_can_be_taken_back(patient: Visitor, clock: HandClock) -> None:
    link = (await patient.send(await patient.preview(message=FOREIGN))).headers["Location"]
    await patient.post(link, {"action": "cancel"})
    assert "You took it back" in (await patient.get(link))[1].text
    assert await holds_of(patient.front, clock).held() == []


async def test_nobody_else_takes_a_letter_back(patient: Visitor) -> None:
    link = (await patient.send(await patient.preview())).headers["Location"]
    response, _ = await patient.post(link, {"action": "cancel"}, Sec_Fetch_Site="cross-site")
    assert response.status == 403
    assert "It waits before it leaves" in (await patient.get(link))[1].text


async def test_refusals_and_failures_are_told_alike_and_late(patient: Visitor, clock: HandClock) -> None:
    """A recipient who wants no letters, and an address that does not exist, look the same at every moment."""
    patient.front.relay.refused["blocked@example.org"] = False
    links = [
        (await patient.send(await patient.preview(to=to))).headers["Location"]
        for to in ("blocked@example.org", "unknown@example.org")
    ]
    clock.move(15 * 60)
    await patient.until_counted(_count, 0)  # both are noted, before time goes on
    patient.front.relay.settle("bounced", changed_at=clock.now())
    for link in links:
        await patient.until_told(link, "On its way")
    clock.move(30 * 60)
    shown = [(await patient.get(link))[1].text.replace(link, "") for link in links]
    assert shown[0] == shown[1]
    assert "It could not be delivered" in shown[0]


async def test_a_held_letter_says_nothing_of_its_recipient(patient: Visitor, clock: HandClock) -> None:  # RCP 1
    """To who refuses, whose pair is frozen, or who does not exist: one page at every moment, one fate."""
    front = patient.front
    front.relay.refused["blocked@example.org"] = False
    links = {
        name: (await patient.send(await patient.preview(to=f"{name}@example.org", message=FOREIGN, wall="on"))).headers[
            "Location"
        ]
        for name in ("unknown", "blocked", "frozen")
    }
    holds = holds_of(front, clock)
    ids = {one.recipient.partition("@")[0]: one.id for one in await holds.held()}
    assert set(ids) == set(links), "a person is asked about each of them"
    await freeze(front, ids["frozen"], clock)

    async def shown(title: str) -> str:
        pages = {(await patient.get(link))[1].text.replace(link, "") for link in links.values()}
        assert len(pages) == 1
        (text,) = pages
        assert title in text
        return text

    assert "A person decides by 23 November" in await shown("A person reads it first")
    clock.move(30 * 3600)  # longer than any of them may be given up before
    await front.store.end_holds(clock.now())
    await shown("A person reads it first")
    for letter_id in ids.values():
        assert await holds.release(
            Decision(letter_id, Action.RELEASE, "me", "harmless"), clock.now() + timedelta(minutes=5)
        )
    await shown("It waits before it leaves")
    clock.move(300)
    await patient.until_counted(_count, 0)
    front.relay.settle("bounced", changed_at=clock.now())
    await shown("On its way")
    clock.move(30 * 60)
    await shown("It could not be delivered")
    assert front.relay.arrivals == 1


async def test_a_ceiling_holds_every_letter_back_alike(tmp_path: Path, clock: HandClock) -> None:  # RCP 1
    """While no more may leave today, nobody learns whose recipient wants none; and those take nobody's place."""
    options = replace(OPTIONS, failure_delay=timedelta(minutes=30), admission_per_day=1)
    async with running_front(tmp_path, clock, options) as front, aiohttp.ClientSession() as session:
        visitor = Visitor(front, session)
        front.relay.refused["blocked@example.org"] = False
        front.relay.room = Admission(0, clock.now() + timedelta(days=1))
        names = ("unknown", "blocked", "frozen", "asked")
        links = {
            name: (await visitor.send(await visitor.preview(to=f"{name}@example.org"))).headers["Location"]
            for name in names
        }
        ids = dict(
            await front.database.read(lambda c: list(c.execute("SELECT recipient, letter_id FROM web_handover")))
        )
        await freeze(front, ids["frozen@example.org"], clock)
        front.relay.away = True
        assert await errands_of(front.relay, front.database, clock).do(Errand.REFUSE, "asked@example.org")

        async def shown() -> str:
            pages = [(await visitor.get(link))[1].text.replace(link, "") for link in links.values()]
            (text,) = {re.sub(r"\d\d:\d\d UTC", "", page) for page in pages}
            return text

        assert "It leaves by 22 November" in await shown()
        clock.move(86400 + 30 * 60)
        for link in links.values():  # nor does a relay that is away tell
            await visitor.until_told(link, "It waits before it leaves")
        await shown()
        front.relay.away = False
        front.relay.room = Admission(None)
        clock.move(60)
        await visitor.until_counted(_count, 0)
        assert front.relay.arrivals == 1, "three that do not leave take no room"
        front.relay.settle("bounced", changed_at=clock.now())
        assert "On its way" in await shown()
        clock.move(30 * 60)
        assert "It could not be delivered" in await shown()


@pytest.mark.parametrize("language", list(Language))
async def test_a_ceiling_is_told_before_the_letter_is_sent(
    patient: Visitor, clock: HandClock, language: Language
) -> None:
    relay, words = patient.front.relay, load_words()[language]
    departs = clock.now() + timedelta(hours=9)
    day = words.day_here(departs + SPREAD)
    minutes = " ".join(words("preview.cool_down").split())
    late = " ".join(words("preview.late_day", day=day, before=tell_ahead(words, 0)).split())

    async def told(**changes: str) -> bool:
        page = (await patient.post(f"/{language.value}/preview", LETTER | changes))[1]
        assert not (late in page.text and minutes in page.text), "it cannot be both"
        return late in page.text

    assert not await told()
    relay.room = Admission(0, departs)
    assert await told()
    assert not await told(message=FOREIGN), "a person decides when it leaves"
    assert not await told(leaves="morning"), "it leaves later anyway"
    link = (await patient.send(await patient.preview())).headers["Location"]
    page = (await patient.get(f"/{language.value}{link}"))[1].text
    assert " ".join(words("status.departs_day", day=day).split()) in page, "what the preview said"
    assert " ".join(f"{words('status.ceiling')} {tell_ahead(words, 0)}".split()) in page, "at once"
    assert words("status.cancel") in page
    clock.move(31 * 60)
    assert "1 letter late" in (await patient.get("/en/status"))[1].text, "what a ceiling keeps is not on time"
    assert not relay.arrivals
    relay.room = Admission(None)
    clock.move(9 * 3600)
    await patient.until_arrived()


async def test_a_relay_that_cannot_be_asked_about_ceilings_keeps_nobody_from_writing(patient: Visitor) -> None:
    patient.front.relay.away = True
    response, page = await patient.post("/en/preview", LETTER)
    assert response.status == 200
    assert "no room just now" not in page.text
    assert (await patient.send(page.fields["token"])).status == 303


async def test_who_refused_since_it_was_written_gets_nothing(patient: Visitor, clock: HandClock) -> None:  # RCP 1
    await patient.send(await patient.preview())
    patient.front.relay.refused["ann@example.org"] = False
    clock.move(15 * 60)
    await patient.until_counted(_count, 0)
    assert not patient.front.relay.arrivals


async def freeze(front: Front, letter_id: str, clock: HandClock) -> None:
    """As if the recipient of this letter had reported its writer's network."""

    def work(connection: Connection) -> None:
        connection.execute("UPDATE web_letter SET pair = ? WHERE id = ?", (b"p" * 16, letter_id))
        connection.execute(FREEZE, (to_millis(clock.now()), letter_id))

    await front.database.write(work)


async def _count(front: Front) -> int:
    rows = await front.database.read(lambda c: list(c.execute("SELECT count(*) FROM web_handover")))
    return int(rows[0][0])
