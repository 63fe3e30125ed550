"""The pages for reading: in both languages, with the operator's details, the rules, and counts of what is there."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest

from relay.client.contract import Admission
from tests.support.front import OPTIONS, Front, running_front
from tests.support.hand_clock import HandClock
from tests.support.moderation import the_moderator
from tests.support.moderator import Moderator
from tests.support.relay_in_memory import RelayInMemory
from tests.support.visitor import LETTER, Visitor
from tests.unit.web.test_desk import held
from tests.unit.web.test_ladder import FOREIGN, INSULT
from web.audit import REFUSE, Audit, Disclosure
from web.catalogue import Language, load_words
from web.documents import DECLARED, Document
from web.letters import HOLD_TIME
from web.moderation.figures import published_figures
from web.operator import Operator

OPERATOR = Operator(
    name="Letters & Co",
    address=("1 rue du Lac", "74000 Annecy"),
    mail="contact@leak.lab.test",
    phone="+33 4 00 00 00 00",
    publisher="Ann Example",
    registration="RCS 000 000 000",
    host="Letters & Co, Annecy",
)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
async def front(tmp_path: Path, clock: HandClock) -> AsyncIterator[Front]:
    async with running_front(tmp_path, clock, replace(OPTIONS, operator=OPERATOR)) as running:
        yield running


@pytest.fixture
async def visitor(front: Front) -> AsyncIterator[Visitor]:
    async with aiohttp.ClientSession() as session:
        yield Visitor(front, session)


async def test_every_page_is_there_in_both_languages_and_leads_only_to_pages_that_are(visitor: Visitor) -> None:
    targets: set[str] = set()
    for language in Language:
        titles = set()
        for document in Document:
            response, page = await visitor.get(f"/{language.value}/{document.value}")
            assert (response.status, page.language) == (200, language.value)
            titles.update(re.findall("<h1>(.*?)</h1>", page.document))
            targets.update(re.findall(r'href="(/[^"#]*)', page.document))
            assert "{{" not in page.document
        assert len(titles) == len(Document)
    for target in targets:
        assert (await visitor.get(target))[0].status == 200, target
    assert (await visitor.get("/privacy", Accept_Language="fr"))[1].language == "fr"


@pytest.mark.parametrize("language", list(Language))
async def test_the_operator_is_named_where_the_law_wants_it(visitor: Visitor, language: Language) -> None:
    legal = (await visitor.get(f"/{language.value}/legal"))[1].text
    for told in (OPERATOR.name, *OPERATOR.address, OPERATOR.mail, OPERATOR.publisher, OPERATOR.registration):
        assert told in legal
    assert OPERATOR.name in (await visitor.get(f"/{language.value}/privacy"))[1].text


@pytest.mark.parametrize("language", list(Language))
async def test_privacy_tells_of_doorbells_only_where_they_ring_or_left_something(
    visitor: Visitor, language: Language
) -> None:
    said = {Language.EN: "if the letter waits here", Language.FR: "si la lettre attend ici"}[language]
    path = f"/{language.value}/privacy"
    assert said not in (await visitor.get(path))[1].text
    known = "INSERT INTO web_known (mailbox, at) VALUES (x'01', 1)"
    await visitor.front.database.write(lambda connection: list(connection.execute(known)))
    assert said in (await visitor.get(path))[1].text


@pytest.mark.parametrize(("language", "state"), [("en", "not conforming"), ("fr", "non conforme")])
async def test_the_accessibility_statement_tells_state_contact_and_redress(
    visitor: Visitor, language: str, state: str
) -> None:
    assert f'href="/{language}/accessibility"' in (await visitor.get(f"/{language}/"))[1].document
    page = (await visitor.get(f"/{language}/accessibility"))[1]
    day = " ".join(load_words()[Language(language)].day(DECLARED).split())
    site = f"{OPTIONS.base_url} "
    for told in (state, "RGAA 4.1", "axe-core", OPERATOR.name, "Défenseur des droits", "2005-102", day, site):
        assert told in page.text
    assert 'href="https://formulaire.defenseurdesdroits.fr/"' in page.document
    assert f'href="mailto:{OPERATOR.mail}"' in page.document


async def test_an_operator_who_says_nothing_is_told_of_by_the_page(tmp_path: Path) -> None:
    async with running_front(tmp_path, HandClock()) as front, aiohttp.ClientSession() as session:
        assert "has not said yet who they are" in (await Visitor(front, session).get("/en/legal"))[1].text


@pytest.mark.parametrize("language", list(Language))
async def test_each_rule_has_its_anchor_and_its_own_words(visitor: Visitor, language: Language) -> None:
    page = (await visitor.get(f"/{language.value}/dos-and-donts"))[1]
    for rule, words in the_moderator().wording(language.value).rules.items():
        assert f'id="{rule.anchor}"' in page.document
        assert words.title in page.text
        assert " ".join(words.text.split()) in page.text


@pytest.mark.parametrize("language", list(Language))
async def test_a_number_to_call_is_said_once_and_its_link_calls_it(visitor: Visitor, language: Language) -> None:
    page = (await visitor.get(f"/{language.value}/help"))[1].document
    lines = page.partition('<ul class="helps">')[2].partition("</ul>")[0].split("<li>")[1:]
    assert len(lines) == len(the_moderator().wording(language.value).helps)
    for line in lines:
        assert all(re.fullmatch(r"[0-9+-]+", number) for number in re.findall(r'href="tel:([^"]*)"', line))
    assert not any(line.count("3114") > line.count("3114.fr") + line.count("tel:3114") + 1 for line in lines)


async def test_who_wants_no_letters_is_counted(tmp_path: Path) -> None:  # RCP 12
    relay = RelayInMemory()
    relay.refused = {f"somebody{n}@example.org": bool(n % 2) for n in range(7)}
    async with running_front(tmp_path, relay=relay) as front, aiohttp.ClientSession() as session:
        visitor = Visitor(front, session)
        await visitor.until_told("/en/transparency", "because their owners said so 5 to 9")
        assert "parce que leurs propriétaires l’ont demandé 5 à 9" in (await visitor.get("/fr/transparency"))[1].text


async def test_no_count_tells_what_became_of_one_letter(visitor: Visitor, clock: HandClock) -> None:
    """A report or a refusal changes nothing that week, and nothing later unless it makes five."""
    clock.move(60)  # the count of refusals is made anew once a minute at most

    async def counts() -> str:
        page = (await visitor.get("/en/transparency"))[1].text
        return page.partition("Reports by recipients")[2].partition("The numbers of this table")[0]

    async def report(count: int, first: int = 0) -> None:
        now = int(clock.now().timestamp() * 1000)
        rows = [(f"letter{first + n}", now, b"m", "hate", "", None) for n in range(count)]
        await visitor.front.database.write(
            lambda c: c.executemany("INSERT INTO web_report VALUES (?, ?, ?, ?, ?, ?)", rows)
        )

    await visitor.until_told("/en/transparency", "because their owners said so")
    before = await counts()
    assert before.startswith(" fewer than 5")
    await report(1)
    assert await counts() == before
    clock.move(86400)
    assert await counts() == before
    await report(3, first=1)
    clock.move((7 - clock.now().weekday()) * 86400)
    assert await counts() == before
    await report(1, first=4)
    assert await counts() == before
    clock.move(6 * 86400)
    assert await counts() == before, "nor does it tell by Sunday that one more came since Monday"
    clock.move(86400)
    assert (await counts()).startswith(" 5 to 9")


async def test_letters_are_counted_as_they_are(visitor: Visitor) -> None:  # RCP 12
    assert "Sent by their writers 0" in (await visitor.get("/en/transparency"))[1].text
    await visitor.send(await visitor.preview())
    await visitor.send(await visitor.preview(message="Merci pour tout, vraiment."))
    held = await visitor.send(await visitor.preview(message="Ich wollte dir nur sagen, dass ich dich sehr vermisse."))
    assert "1 waiting" in (await visitor.get("/en/status"))[1].text
    await visitor.post(held.headers["Location"], {"action": "cancel"})
    page = (await visitor.get("/en/transparency"))[1].text
    assert "Sent by their writers 3" in page
    assert "Taken back by them before departure 1" in page
    assert "none waiting" in (await visitor.get("/en/status"))[1].text


async def test_requests_to_know_who_wrote_are_counted(visitor: Visitor, clock: HandClock) -> None:  # RCP 12
    audit = Audit(visitor.front.database, clock)
    for case, action in (("1", "disclose"), ("2", REFUSE), ("2", REFUSE), ("3", REFUSE)):
        await audit.note(Disclosure("letter", case, "insult", "Ann", action=action))
    page = (await visitor.get("/en/transparency"))[1].text
    assert "Requests to know who wrote a letter fewer than 5 – granted fewer than 5 – refused fewer than 5" in page
    page = (await visitor.get("/fr/transparency"))[1].text
    assert "Demandes de savoir qui a écrit une lettre moins de 5 – accordées moins de 5" in page


async def test_what_the_program_refuses_is_counted_by_rule_and_how_long_people_take(
    visitor: Visitor, ann: Moderator, clock: HandClock
) -> None:  # RCP 12
    for message in (INSULT, f"{INSULT} Really."):
        _, page = await visitor.post("/en/preview", LETTER | {"message": message})
        await visitor.post("/fr/preview", {"token": page.fields["token"], "action": "translate"})
    await visitor.send(await visitor.preview(message=FOREIGN))
    (letter,) = await held(ann)
    clock.move(5 * 3600)
    await ann.post(f"/desk/letter/{letter}", action="release", reason="Kind.")
    await visitor.until_told("/en/transparency", "No bullying 2")
    _, page = await visitor.get("/en/transparency")
    assert "waited at most about 5 hours" in page.text or "waited at most 5 hours" in page.text
    _, page = await visitor.get("/fr/transparency")
    assert "Refusées au formulaire par un programme" in page.text
    rows = await visitor.front.database.read(lambda c: list(c.execute("SELECT rule, letters FROM web_ruling_count")))
    assert rows == [("bullying", 2)]


async def test_how_often_moderation_is_right_is_published_as_measured(visitor: Visitor) -> None:
    page = (await visitor.get("/en/transparency"))[1].text
    for language in Language:
        for letters in ("stranger", "sharp"):
            figures = published_figures()[letters][language.value]
            for share in (figures["insults and threats"]["stopped"], figures["to pass"]["stopped"]):
                assert f"{share['hits']:,} of {share['of']:,}" in page
    assert f"Of {published_figures()['mix']['letters']:,} harmless letters" in page


@pytest.mark.parametrize("why", ["unavailable", "away", "ceiling"])
async def test_letters_that_cannot_leave_are_told_as_late(
    visitor: Visitor, front: Front, clock: HandClock, why: str
) -> None:
    """Whether the relay breaks, cannot be asked or has no room today: only the first counts as an attempt."""
    front.relay.unavailable, front.relay.away = why == "unavailable", why == "away"
    if why == "ceiling":
        front.relay.room = Admission(0, clock.now() + timedelta(hours=5))
    await visitor.send(await visitor.preview())
    assert "leave as they should" in (await visitor.get("/en/status"))[1].text
    clock.move(3600)
    await visitor.until_told("/en/status", "Letters are taken, and wait here")
    told = (await visitor.get("/en/status"))[1].text
    assert "1 letter late, by up to an hour; the next try is around 21 November, 1" in told
    if why == "ceiling":
        assert re.search(r"around 21 November, 17:[012]\d UTC", told)
    assert "1 lettre en retard (une heure au plus)" in (await visitor.get("/fr/status"))[1].text


async def test_what_waits_as_it_was_told_to_is_not_late(
    visitor: Visitor, ann: Moderator, front: Front, clock: HandClock
) -> None:
    front.relay.away = True
    await visitor.send(await visitor.preview(leaves="morning"))
    await visitor.send(await visitor.preview(message=FOREIGN))
    clock.move(5 * 3600)
    (letter,) = await held(ann)
    await ann.post(f"/desk/letter/{letter}", action="release", reason="Kind.")
    assert "on time" in (await visitor.get("/en/status"))[1].text
    clock.move(16 * 60)
    # The one that was let go, counted from then; the other has its morning before it.
    assert "1 letter late" in (await visitor.get("/en/status"))[1].text
    clock.move(86400)
    assert "2 letters late" in (await visitor.get("/en/status"))[1].text


async def test_what_came_back_is_not_late(visitor: Visitor, clock: HandClock) -> None:
    link = (await visitor.send(await visitor.preview(message=FOREIGN))).headers["Location"]
    clock.move(HOLD_TIME.total_seconds() + 3600)
    await visitor.until_told(link, "It has come back to you")
    assert "on time" in (await visitor.get("/en/status"))[1].text


async def test_when_a_held_letter_was_sent_cannot_be_told(visitor: Visitor, clock: HandClock) -> None:  # SND 3
    clock.move(62)
    await visitor.send(await visitor.preview(message=FOREIGN))
    assert "1 waiting, the next decision by 23 November, 12:05 UTC" in (await visitor.get("/en/status"))[1].text
    assert "prochaine décision avant le 23 novembre, 12 h 05 UTC" in (await visitor.get("/fr/status"))[1].text


async def test_without_the_database_the_pages_still_stand(visitor: Visitor, front: Front) -> None:
    front.database.away = True
    told = (await visitor.get("/en/status"))[1].text
    assert "Letters cannot be taken just now" in told
    assert "we cannot look just now" in told
    assert "open" not in told.lower()
    assert "ne peuvent pas être prises à l’instant" in (await visitor.get("/fr/status"))[1].text
    assert "We cannot count just now" in (await visitor.get("/en/transparency"))[1].text
    assert (await visitor.get("/en/help"))[0].status == 200
