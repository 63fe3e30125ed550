"""The recipient's page: GET asks, POST acts; refusals, reports and erasure hold, without an address in a table."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import aiohttp
import pytest

from relay.ids import SeededEntropy, SystemEntropy, base32
from relay.node_secrets import ensure_secrets, rotate_token_key
from tests.support.front import OPTIONS, running_front
from tests.support.hand_clock import HandClock
from tests.support.visitor import Visitor
from web.catalogue import Language
from web.decisions import Action, Decision
from web.links import Addressee, LinkKind, RecipientLinks
from web.mailbox import MailboxHasher
from web.reports import Outcome, ReportStore

ANN = Addressee(base32(b"i" * 20), "ann@example.org")


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
async def visitor(tmp_path: Path, clock: HandClock) -> AsyncIterator[Visitor]:
    async with running_front(tmp_path, clock) as front, aiohttp.ClientSession() as session:
        yield Visitor(front, session)


async def receive(visitor: Visitor, **changes: str) -> str:
    """Send a letter, and read the path of its recipient's page in the mail."""
    return await _received(visitor, await visitor.preview(**changes))


async def _received(visitor: Visitor, token: str) -> str:
    before = set(visitor.front.relay.letters)
    await visitor.send(token)
    (key,) = visitor.front.relay.letters.keys() - before
    letter = visitor.front.relay.letters[key]
    paths: set[str] = set(re.findall(r"http://leak\.lab\.test(/r/[\w-]+)#", letter.text))
    (path,) = paths
    assert path in letter.html
    return path


async def test_a_browser_that_asks_neither_language_gets_the_letters(visitor: Visitor) -> None:
    """Who got a French letter reads its page in French, on a machine in a library or behind Tor too."""
    token = await visitor.preview()
    _, page = await visitor.post("/fr/preview", {"token": token, "action": "translate"})
    theirs = await _received(visitor, page.fields["token"])
    for accepts, words in (
        ("", "À propos de la lettre reçue"),
        ("de-DE,de;q=0.9", "À propos de la lettre reçue"),
        ("en-GB", "About the letter you received"),
    ):
        assert words in (await visitor.get(theirs, Accept_Language=accepts))[1].text
    _, page = await visitor.post(theirs, {"action": "wall"}, Accept_Language="de")
    assert "C’est fait" in page.text
    english = await receive(visitor, message="An English one.")
    assert "About the letter" in (await visitor.get(english, Accept_Language="de"))[1].text
    assert "About the letter" not in (await visitor.get(english, Accept_Language="de, fr;q=0.1"))[1].text


def test_a_link_says_what_it_was_made_of_and_nothing_to_others() -> None:
    links = RecipientLinks([b"k" * 32], "https://x")
    token = links.token(LinkKind.RECIPIENT, ANN)
    assert token == links.token(LinkKind.RECIPIENT, ANN)
    assert links.open(LinkKind.RECIPIENT, token) == ANN
    assert links.open(LinkKind.READ, token) is None
    assert RecipientLinks([b"o" * 32], "https://x").open(LinkKind.RECIPIENT, token) is None
    for bad in ("", "é", token[:-1], token + "A", token.swapcase(), "A" * 5000, "=" * 8):
        assert links.open(LinkKind.RECIPIENT, bad) is None


async def test_the_page_keeps_its_letter_in_the_other_language(visitor: Visitor) -> None:
    path = await receive(visitor)
    response, page = await visitor.get(path)
    (switch,) = re.findall(r'class="switch" href="([^"]*)"', page.document)
    assert (response.status, switch) == (200, f"/fr{path}")
    there, french = await visitor.get(switch)
    assert (there.status, 'lang="fr"' in french.document, "ann" in french.text) == (200, True, False)


def test_old_links_work_after_a_rotation() -> None:
    old = RecipientLinks([b"k" * 32], "https://x").token(LinkKind.RECIPIENT, ANN)
    rotated = RecipientLinks([b"n" * 32, b"k" * 32], "https://x")
    assert rotated.open(LinkKind.RECIPIENT, old) == ANN
    assert rotated.token(LinkKind.RECIPIENT, ANN) != old


def test_links_and_refusals_are_good_for_two_years_of_rotations(tmp_path: Path) -> None:  # RCP 1
    first = ensure_secrets(tmp_path, SystemEntropy())
    token = RecipientLinks([first.link], "https://x").token(LinkKind.RECIPIENT, ANN)
    refusal = MailboxHasher([first.block_hash]).of(ANN.address)
    begun = date(2026, 11, 22)
    for days in (1, 366, 700):  # a new key each year or so, and the oldest goes when its time is over
        today = begun + timedelta(days=days)
        rotate_token_key(tmp_path, SystemEntropy(), today, only_prepare=False, ring="link")
        (tmp_path / "block-hash").rename(tmp_path / f"block-hash.{days}")
        now = ensure_secrets(tmp_path, SystemEntropy())
        assert RecipientLinks([now.link, *now.old_links], "https://x").open(LinkKind.RECIPIENT, token) == ANN
        mailboxes = MailboxHasher([now.block_hash, *now.old_block_hashes])
        assert refusal in mailboxes.all_of("Ann+x@example.org")
        assert refusal != mailboxes.of(ANN.address)
    rotate_token_key(tmp_path, SystemEntropy(), begun + timedelta(days=800), only_prepare=False, ring="link")
    over = ensure_secrets(tmp_path, SystemEntropy())
    assert RecipientLinks([over.link, *over.old_links], "https://x").open(LinkKind.RECIPIENT, token) is None


async def test_the_writer_never_sees_the_recipients_link(visitor: Visitor) -> None:
    _, page = await visitor.post("/en/preview", {"token": await visitor.preview()})
    assert "/r/…#never" in page.text
    assert not re.search(r"/r/\w", page.document)


async def test_looking_changes_nothing_and_never_again_holds(visitor: Visitor) -> None:  # RCP 1
    path = await receive(visitor)
    response, page = await visitor.get(path)
    assert response.status == 200
    assert response.headers["Cache-Control"] == "no-store"
    assert "a…\N{WORD JOINER}@example.org" in page.text
    assert "ann@example.org" not in page.text
    assert visitor.front.relay.refused == {}
    for _ in range(2):
        response, page = await visitor.post(path, {"action": "never"})
        assert response.status == 200
        assert "No letter from here will reach this address any more." in page.text
    assert visitor.front.relay.refused == {"ann@example.org": False}
    link = (await visitor.send(await visitor.preview(message="Again"))).headers["Location"]
    await visitor.until_told(link, "It could not be delivered")
    assert len(visitor.front.relay.letters) == 1


async def test_a_report_stops_mail_until_somebody_decides(visitor: Visitor, clock: HandClock) -> None:  # RCP 2
    path = await receive(visitor)
    response, page = await visitor.post(path, {"action": "report", "words": "You are <nothing>."})
    assert response.status == 422
    assert "You are &lt;nothing&gt;.</textarea>" in page.document
    assert "Choose what is wrong" in page.text
    _, page = await visitor.post("/fr" + path, {"action": "report", "rule": "bullying", "words": "Vous <êtes> nul."})
    assert "aucune lettre ne vous parvient" in page.text
    assert "une empreinte à clé) de votre adresse, pour qu’aucune lettre ne vous parvienne d’ici là" in page.text

    link = (await visitor.send(await visitor.preview(to="Ann+x@example.org", message="Again"))).headers["Location"]
    await visitor.until_told(link, "On its way")
    _, page = await visitor.get(link)
    assert "report" not in page.text.lower(), "no writer learns that somebody reported"

    reports = ReportStore(visitor.front.database, clock, SeededEntropy(8))
    (waiting,) = await reports.open_reports()
    assert waiting.report.words == "Vous <êtes> nul."
    decision = Decision(waiting.report.letter_id, Action.DISMISSED, "me", "no rule is broken")
    assert await reports.decide(decision, Outcome.DISMISSED)
    assert not await reports.decide(decision, Outcome.DISMISSED)
    assert len(visitor.front.relay.letters) == 1
    clock.move(600)
    await visitor.until_arrived(2)
    rows = await visitor.front.database.read(lambda c: list(c.execute("SELECT * FROM web_report")))
    assert "nul" not in repr(rows)


async def test_who_reports_a_letter_that_urges_to_self_harm_sees_who_helps(visitor: Visitor, clock: HandClock) -> None:
    urged, hurt, other = [await receive(visitor, message=f"A letter, number {n}.") for n in range(3)]
    _, page = await visitor.get(urged)
    assert "tel:3114" not in page.document
    assert 'href="/en/help#now"' in page.document
    for prefix, words in (("", "somebody listens now"), ("/fr", "quelqu’un vous écoute")):
        _, page = await visitor.post(prefix + urged, {"action": "report", "rule": "self-harm"})
        assert words in page.text
        assert 'href="tel:3114"' in page.document
    reports = ReportStore(visitor.front.database, clock, SeededEntropy(8))
    (waiting,) = await reports.open_reports()
    await reports.decide(Decision(waiting.report.letter_id, Action.DISMISSED, "me", "no rule"), Outcome.DISMISSED)
    assert "somebody listens now" in (await visitor.get(urged))[1].text, "whatever was decided"
    _, page = await visitor.post(hurt, {"action": "report", "rule": "bullying", "words": "Since then I want to die."})
    assert "somebody listens now" in page.text, "their own words say it, whatever the rule"
    _, page = await visitor.post(other, {"action": "report", "rule": "bullying", "words": "You are stupid."})
    assert "somebody listens now" not in page.text


async def test_a_whole_mail_may_be_reported_and_what_is_too_long_is_told(visitor: Visitor, clock: HandClock) -> None:
    path = await receive(visitor)
    form = {"action": "report", "rule": "threat"}
    typed = "word\r\n" * 4000 + "the end"
    response, page = await visitor.post(path, form | {"words": typed})
    assert response.status == 422
    assert page.text.count("too many, by 7 characters") == 2, "above, and at its field"
    assert "the end</textarea>" in page.document
    assert 'value="threat" required checked' in page.document
    assert "<title>To correct" in page.document
    mail = "Received: from mail.leak.example\r\n" * 400 + "\r\nI will find you."
    await visitor.post(path, form | {"words": mail})
    (waiting,) = await ReportStore(visitor.front.database, clock, SeededEntropy(8)).open_reports()
    assert waiting.report.words.endswith("I will find you.")


async def test_who_wants_a_letter_published_nowhere_is_asked_once(visitor: Visitor) -> None:  # RCP 3
    path = await receive(visitor)
    assert 'value="wall"' in (await visitor.get(path))[1].document
    _, page = await visitor.post(path, {"action": "wall"})
    assert "This letter will be published nowhere" in page.text
    assert 'value="wall"' not in page.document
    _, page = await visitor.get(path)
    assert "This letter is published nowhere, and will not be." in page.text
    assert 'value="wall"' not in page.document
    other = await receive(visitor, message="Another letter.")
    assert 'value="wall"' in (await visitor.get(other))[1].document, "each letter by itself"


async def test_words_that_come_later_are_kept_and_no_page_promises_more(visitor: Visitor, clock: HandClock) -> None:
    path = await receive(visitor)  # RCP 2
    reports = ReportStore(visitor.front.database, clock, SeededEntropy(8))
    kept = "no letter reaches you until a person has decided"

    async def report(words: str) -> str:
        _, page = await visitor.post(path, {"action": "report", "rule": "threat", "words": words})
        return page.text

    assert kept in await report("")
    page = await report("I will find you.")
    assert "added to your report" in page
    assert kept in page
    (waiting,) = await reports.open_reports()
    assert waiting.report.words == "I will find you."
    decision = Decision(waiting.report.letter_id, Action.DISMISSED, "me", "no rule is broken")
    assert await reports.decide(decision, Outcome.DISMISSED)
    page = await report("")
    assert "Copy in the words in question and a person looks once more" in page
    assert kept not in page
    page = await report("I know where you live.")
    assert "open again" in page
    assert kept in page
    assert await reports.decide(decision, Outcome.UPHELD)
    page = await report("Please!")
    assert "has already decided" in page
    assert kept not in page
    assert await reports.open_reports() == []


async def test_who_reported_reads_the_decision_and_nobody_else_does(visitor: Visitor, clock: HandClock) -> None:
    """DSA, articles 16(5) and 17; the reason is the log's, since it may speak of the writer."""
    link = (await visitor.send(await visitor.preview())).headers["Location"]
    (mail,) = visitor.front.relay.letters.values()
    path, other = re.findall(r"/r/[\w-]+", mail.text)[0], await receive(visitor, to="bob@example.org")
    before = (await visitor.get(link))[1].text
    assert "What they decide will be on this page" in (await visitor.get(path))[1].text
    await visitor.post(path, {"action": "report", "rule": "hate"})
    assert "Your report waits for a person" in (await visitor.get(path))[1].text
    reports = ReportStore(visitor.front.database, clock, SeededEntropy(8))
    (waiting,) = await reports.open_reports()

    async def decide(outcome: Outcome) -> str:
        decision = Decision(waiting.report.letter_id, Action(outcome), "me", "They have done it before.")
        assert await reports.decide(decision, outcome)
        return (await visitor.get(path))[1].text

    page = await decide(Outcome.DISMISSED)
    assert "We do not share your view of this letter" in page
    assert "Decided around 21 November" in page
    assert "You may also turn to a court" in page
    assert "a person looks once more" in page
    _, french = await visitor.post("/fr" + path, {"action": "report", "rule": "hate", "words": "Vous <êtes> nul."})
    assert "la décision sera sur cette page" in french.text
    assert "We do not share" not in (await visitor.get(path))[1].text
    page = await decide(Outcome.UPHELD)
    assert "We agree with you about this letter" in page
    assert "Report it" not in page, "it is opened no third time"
    assert "They have done it before." not in page
    assert "We agree" not in (await visitor.get(other))[1].text
    assert (await visitor.get(link))[1].text == before, "its writer learns nothing"


async def test_erasing_leaves_no_address(tmp_path: Path, clock: HandClock) -> None:  # RCP 3
    options = replace(OPTIONS, cool_down=OPTIONS.status_kept)
    async with running_front(tmp_path, clock, options) as front, aiohttp.ClientSession() as session:
        visitor = Visitor(front, session)
        link = (await visitor.send(await visitor.preview(to="Ann@example.org"))).headers["Location"]
        token = RecipientLinks([OPTIONS.link_key], "").token(LinkKind.RECIPIENT, ANN)
        _, page = await visitor.post(f"/r/{token}", {"action": "erase"})
        assert "Your address has been erased." in page.text
        assert front.relay.erased == ["ann@example.org"]
        rows = await front.database.read(lambda c: list(c.execute("SELECT * FROM web_handover")))
        assert "ann" not in repr(rows).lower()
        assert "Thank you" not in repr(rows)
        assert "Until it leaves, you can take it back" in (await visitor.get(link))[1].text


async def test_what_we_hold_is_told(visitor: Visitor) -> None:  # RCP 3
    path = await receive(visitor)
    _, page = await visitor.get(path)
    assert "encrypted, and in no table" in page.text
    assert "around 21 November" in page.text
    assert "keyed hash" not in page.text
    await visitor.post(path, {"action": "never"})
    assert "keyed hash" in (await visitor.get(path))[1].text


async def test_its_recipient_never_reads_when_a_letter_was_written(tmp_path: Path, clock: HandClock) -> None:  # SND 3
    async with (
        running_front(tmp_path, clock, replace(OPTIONS, cool_down=timedelta(hours=9))) as front,
        aiohttp.ClientSession() as session,
    ):
        visitor = Visitor(front, session)
        await visitor.post("/en/preview", {"token": await visitor.preview(), "action": "send"})
        clock.move(timedelta(hours=9, minutes=2).total_seconds())
        await visitor.until_arrived()
        (mail,) = front.relay.letters.values()
        path = re.findall(r"/r/[\w-]+", mail.text)[0]
        await visitor.until_told(path, "left around 21 November, 21:05 UTC")
        for language in Language:
            text = (await visitor.get(f"/{language.value}{path}"))[1].text
            assert not re.search(r"12[:\s]+h?\s*0\d", text), text


async def test_no_link_no_page(visitor: Visitor) -> None:
    for path in ("/r/", "/r/x", "/r/" + "A" * 80, "/fr/r/" + "é" * 9):
        assert (await visitor.get(path))[0].status == 404
    for path, told in {
        "/en/r/x": "take the whole address from the mail",
        "/fr/read/x": "reprenez l’adresse entière dans le mail",
        "/en/weekly/confirm/x": "its time is over",
        "/fr/weekly/leave/x": "écrivez-nous en joignant le mail",
    }.items():
        _, page = await visitor.get(path)
        assert told in page.text
        assert f'href="{path[:3]}/legal#contact"' in page.document, "whoever's link was cut still has their rights"
    assert (await visitor.post("/r/x", {"action": "never"}))[0].status == 404
    path = await receive(visitor)
    response, _ = await visitor.post(path, {"action": "never"}, Sec_Fetch_Site="cross-site")
    assert response.status == 403
    assert visitor.front.relay.refused == {}


async def test_the_front_keeps_no_address_of_a_letter_that_left(visitor: Visitor) -> None:
    path = await receive(visitor)
    await visitor.post(path, {"action": "report", "rule": "spam"})
    await visitor.post(path, {"action": "wall"})
    for table in ("web_letter", "web_handover", "web_report", "web_decision", "web_freeze", "web_count"):
        rows = await visitor.front.database.read(lambda c, t=table: list(c.execute(f"SELECT * FROM {t}")))  # type: ignore[misc]
        assert "example.org" not in repr(rows)
