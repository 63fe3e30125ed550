"""The mail: two parts that say the same, nothing of the writer, nothing that is fetched."""

from __future__ import annotations

import html
import re
from dataclasses import replace

import pytest

from relay.ids import base32
from tests.support.front import OPTIONS
from web.catalogue import Language, load_words
from web.draft import Draft
from web.links import RecipientLinks
from web.mail import MailWriter
from web.operator import Operator
from web.plain_text import clean_message
from web.render import make_templates
from web.signature import Signature

TEMPLATES, LINKS = make_templates(), RecipientLinks([OPTIONS.link_key], OPTIONS.base_url)
WRITER = MailWriter(OPTIONS, TEMPLATES, LINKS)
WORDS = load_words()


def _words_of(document: str) -> list[str]:
    body = document[document.index("<body") :]
    return html.unescape(re.sub(r"<[^>]+>", " ", body)).split()


@pytest.mark.parametrize("language", list(Language))
@pytest.mark.parametrize("signature", list(Signature))
def test_both_parts_say_the_same(language: Language, signature: Signature) -> None:
    draft = Draft("ann@example.org", signature, "", "One <b>&amp;\n two\n\nthree “four”")
    mail = WRITER.compose(draft, WORDS[language])
    letter = WRITER.letter(mail, "id")
    assert _words_of(letter.html) == re.sub(r"(?m)^http.*$|─{12}", "", letter.text).split()
    assert letter.subject == WORDS[language](f"signature.{signature.value}.subject")
    assert "<b>" not in letter.html


def test_signatures_of_2014() -> None:
    friend = Draft("ann@example.org", Signature.FRIEND, "", "Hello")
    english, french = (WRITER.compose(friend, WORDS[language]) for language in Language)
    assert (english.sender_name, english.subject) == ("A friend", "From a friend, anonymously.")
    assert (french.sender_name, french.subject) == ("Un·e ami·e", "De la part d’un·e ami·e, anonymement.")
    names = {WRITER.compose(Draft("a@b.test", s, "", "x"), WORDS[Language.EN]).subject for s in Signature}
    assert len(names) == 5


def test_a_pseudonym_takes_the_place_of_the_name_only() -> None:
    mail = WRITER.compose(Draft("a@b.test", Signature.FAMILY, "M. X", "x"), WORDS[Language.EN])
    assert (mail.sender_name, mail.subject) == ("M. X", "From a family member, anonymously.")
    assert mail.sender == "letter@leak.lab.test"


def test_two_writers_of_one_text_make_one_mail() -> None:  # S53
    draft = Draft("ann@example.org", Signature.SOMEONE, "", "Hello")
    first, second = (WRITER.letter(WRITER.compose(draft, WORDS[Language.EN]), key) for key in ("a", "b"))
    assert (first.text, first.html, first.sender, first.headers) == (second.text, second.html, second.sender, {})


def test_the_html_is_small_and_fetches_nothing() -> None:
    longest = Draft("ann@example.org", Signature.SOMEONE, "", "\n\n".join("é" * 60 for _ in range(32)))
    document = WRITER.letter(WRITER.compose(longest, WORDS[Language.FR]), "id").html
    assert len(document.encode()) < 15_000
    assert not re.search(
        r"src=|href=\"(?!http://leak.lab.test/(?:r/|fr/privacy))|url\(|<img|<link|<script|@import", document
    )
    assert "max-width:600px" in document
    assert not re.search(r"background|(?<!border-)(?<!-)color:", document.replace("color-scheme", ""))


@pytest.mark.parametrize("text", ["a\n\n", "'\n\n", "&\n", "é", "😀", "&"])
def test_no_letter_of_2000_characters_makes_a_large_mail(text: str) -> None:
    draft = Draft("ann@example.org", Signature.SOMEONE, "", clean_message((text * 2000)[:2000]))
    letter = WRITER.letter(WRITER.compose(draft, WORDS[Language.FR], base32(b"i" * 20)), "id")
    assert len(letter.html.encode()) < 15_000
    assert len(letter.text.encode()) < 15_000


def test_blanks_stay_and_paragraphs_in_another_direction_are_shown_in_it() -> None:
    draft = Draft("ann@example.org", Signature.SOMEONE, "", "One   two\n  three\n\nשלום")
    document = WRITER.letter(WRITER.compose(draft, WORDS[Language.EN]), "id").html
    assert 'white-space:pre-wrap"><p>One   two<br>  three</p><p dir="auto">שלום</p></div>' in document


def test_markup_stays_text() -> None:  # S42
    draft = Draft("ann@example.org", Signature.FRIEND, "", "<script>alert(1)</script> {{ 7*7 }} \"x\" 'y'")
    document = WRITER.letter(WRITER.compose(draft, WORDS[Language.EN]), "id").html
    assert "<script" not in document
    assert "{{ 7*7 }}" in document


def test_a_first_mail_says_who_runs_the_site_and_where_ones_rights_are() -> None:  # GDPR 14
    options = replace(OPTIONS, operator=Operator(name="Leak & sons"))
    writer = MailWriter(options, TEMPLATES, LINKS)
    for language, by in (
        (Language.EN, "Run by Leak & sons. Why we have"),
        (Language.FR, "assuré par Leak & sons. Pourquoi"),
    ):
        draft = Draft("ann@example.org", Signature.FRIEND, "", "Hello")
        for make in (writer.compose, writer.ring):
            letter = writer.letter(make(draft, WORDS[language], base32(b"i" * 20)), "id")
            assert by in letter.text
            assert f"http://leak.lab.test/{language}/privacy" in letter.text
            assert "Leak &amp; sons" in letter.html
