"""The languages say the same things, and every word a page asks for exists."""

from __future__ import annotations

import re
import string
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from markupsafe import Markup

import web
from tests.support.visitor import Visitor
from web.catalogue import Language, choose_language, french_spaces, load_words
from web.decisions import Action
from web.desk.frame import Place
from web.documents import Document
from web.draft import Field
from web.letters import Ending, HeldFor
from web.pseudonym import PseudonymFault
from web.reports import Outcome
from web.signature import Signature
from web.timeline import Stage
from web.wall import WallState
from web.weekly import DAYS

WORDS = load_words()
FOLDER = Path(web.__file__).parent


def _placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_languages_have_the_same_keys_and_placeholders() -> None:
    english, french = WORDS[Language.EN], WORDS[Language.FR]
    assert english.texts.keys() == french.texts.keys()
    for key, text in english.texts.items():
        assert _placeholders(text) == _placeholders(french.texts[key]), key
        assert text.strip()
        assert french.texts[key].strip()
    assert len(english.months) == len(french.months) == 12


def test_words_that_pages_ask_for_exist() -> None:
    sources = [*FOLDER.rglob("templates/**/*.html"), *FOLDER.rglob("*.py")]
    literal = {
        key for source in sources for key in re.findall(r'\b(?:t|words)\("([a-z_.-]+)"[,)]', source.read_text("utf-8"))
    }
    made = {f"problem.to-{reason}" for reason in ("missing", "syntax", "no-domain", "null-mx", "no-host")}
    made |= {f"problem.{field.value}-missing" for field in Field if field is not Field.PSEUDONYM}
    assert len(literal) > 40
    missing = (literal | made) - WORDS[Language.EN].texts.keys()
    assert not missing


def test_french_spaces_do_not_break() -> None:
    for key, text in WORDS[Language.FR].texts.items():
        assert not re.search(r"« | [»;:!?%]", text), key


def test_a_french_number_stays_with_its_unit_and_in_one_piece() -> None:
    said = french_spaces("J’ai 18 ans, à 9 h 30 : 2 000 caractères, 09 72 39 40 50, 3 amis.")
    assert WORDS[Language.FR].about(timedelta(minutes=10)) == "10\u00a0minutes"
    noon = WORDS[Language.FR].moment(datetime(2026, 11, 21, 12, 5, tzinfo=UTC))
    assert noon.replace("\u00a0", "~") == "21~novembre, 12~h~05 UTC"
    assert said.replace("\u00a0", "~") == "J’ai 18~ans, à 9~h~30~: 2~000~caractères, 09~72~39~40~50, 3 amis."


@pytest.mark.parametrize("document", list(Document))
async def test_french_prose_and_rules_have_spaces_that_do_not_break(visitor: Visitor, document: Document) -> None:
    page = (await visitor.get(f"/fr/{document.value}"))[1].document
    prose = re.sub(r"<[^>]*>", "", page.partition('<article class="document">')[2].partition("</article>")[0])
    assert prose.strip()
    assert not re.search(r"« | [»;:!?%]", prose)


def test_markup_and_its_addresses_are_not_typeset() -> None:
    prose = Markup('<a href="/x ; y" title="a : b">« Oui » ?</a> : 5 %')
    assert WORDS[Language.FR].typeset(prose) == Markup(
        '<a href="/x ; y" title="a : b">«\u00a0Oui\u00a0»\u00a0?</a>\u00a0: 5\u00a0%'
    )
    assert WORDS[Language.EN].typeset(prose) == prose


def test_a_week_reads_as_people_say_it() -> None:
    assert WORDS[Language.EN].week("2026-W07") == "Week 7 of 2026"
    assert WORDS[Language.FR].week("2026-W47") == "Semaine 47 de 2026"


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", Language.EN),
        ("fr", Language.FR),
        ("fr-CA,fr;q=0.8,en;q=0.5", Language.FR),
        ("en-GB,en;q=0.9,fr;q=0.8", Language.EN),
        ("de,fr;q=0.3,en;q=0.7", Language.EN),
        ("de;q=1.0, fr;q=0.001", Language.FR),
        ("fr;q=nonsense", Language.EN),
        ("*", Language.EN),
        ("fr;q=0", Language.EN),
        ("x" * 100_000, Language.EN),
    ],
)
def test_language_of_a_browser(header: str, language: Language) -> None:
    assert choose_language(header) is language


def test_times_and_spans_read_naturally() -> None:
    at = datetime(2026, 11, 1, 9, 5, tzinfo=UTC)
    assert WORDS[Language.EN].moment(at) == "1 November, 09:05 UTC"
    assert WORDS[Language.FR].moment(at) == "1er\u00a0novembre, 9\u00a0h\u00a005 UTC"
    for zone, english, french in (
        ("Europe/Paris", "10:05 (Paris time)", "10\u00a0h\u00a005 (heure locale à Paris)"),
        (
            "America/Argentina/Buenos_Aires",
            "06:05 (Buenos Aires time)",
            "6\u00a0h\u00a005 (heure locale à Buenos Aires)",
        ),
        ("Etc/GMT-3", "12:05 Etc/GMT-3", "12\u00a0h\u00a005 Etc/GMT-3"),
    ):
        there = load_words(ZoneInfo(zone))
        assert there[Language.EN].moment(at) == f"1 November, {english}"
        assert there[Language.FR].moment(at) == f"1er\u00a0novembre, {french}"
    assert WORDS[Language.FR].day(at) == "1er\u00a0novembre 2026"
    assert WORDS[Language.FR].date(at.date() + timedelta(days=1)) == "2\u00a0novembre"
    spans = [1, 61, 299, 301, 3500, 3700, 47 * 3600, 7 * 86_400]
    assert [WORDS[Language.EN].about(timedelta(seconds=s)) for s in spans] == [
        "a minute",
        "2 minutes",
        "5 minutes",
        "10 minutes",
        "an hour",
        "2 hours",
        "47 hours",
        "7 days",
    ]


@pytest.mark.parametrize(
    ("members", "keys"),
    [
        (Action, "desk.action_{}"),
        (Document, "document.{}"),
        (Ending, "stage.{}.title"),
        ([why for why in HeldFor if why.is_told], "held.{}"),
        (HeldFor, "held_short.{}"),
        (Outcome, "notice.{}"),
        (Outcome, "desk.done_{}"),
        (Outcome, "desk.done_notice-{}"),
        (Place, "desk.{}"),
        (Place, "desk.{}_text"),
        (PseudonymFault, "problem.pseudonym-{}"),
        (Signature, "signature.{}.label"),
        (Signature, "signature.{}.name"),
        (Signature, "signature.{}.signed"),
        (Signature, "signature.{}.subject"),
        (Stage, "stage.{}.text"),
        (Stage, "stage.{}.title"),
    ],
)
def test_every_member_of_an_enum_that_pages_speak_of_has_its_words(members: Iterable[StrEnum], keys: str) -> None:
    for words in WORDS.values():
        assert all(words(keys.format(member.value)) for member in members)


def test_the_wall_and_the_weekly_have_words_for_their_states_and_days() -> None:
    for words in WORDS.values():
        assert all(words(f"wall.state_{state}") for state in WallState if state is not WallState.NONE)
        assert all(words(f"weekly.on_{day}") for day in DAYS)


def test_a_missing_word_is_an_error() -> None:
    with pytest.raises(KeyError):
        WORDS[Language.EN]("no.such")
