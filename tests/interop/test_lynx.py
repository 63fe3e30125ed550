"""lynx writes a letter and reports one: no script, no style sheet, no picture; pages read as text, and forms work."""

from __future__ import annotations

import shutil
from pathlib import Path
from urllib.parse import urlencode

import aiohttp
import pytest

from tests.support.command import program
from tests.support.form import PageReader
from tests.support.front import Front, running_front
from tests.support.hand_clock import HandClock
from tests.support.visitor import LETTER, Visitor
from tests.unit.web.test_recipient import receive
from web.catalogue import Language
from web.documents import Document

pytestmark = pytest.mark.skipif(shutil.which("lynx") is None, reason="lynx is not installed")


async def _lynx(*words: str, fields: dict[str, str] | None = None, status: int = 0) -> str:
    """What lynx prints; `fields` are posted as it posts a form. It ends with 1 where a page came with an error."""
    common = ("lynx", "-nolist", "-width=100", "-assume_charset=utf-8", "-display_charset=utf-8", "-cookies=off")
    given = urlencode(fields).encode() + b"\n---\n" if fields is not None else b""
    post = ("-post_data",) if fields is not None else ()
    done = await program(*common, *post, *words, given=given, environment={"LANG": "C.UTF-8", "TERM": "dumb"})
    assert done.status == status, done.err
    return done.out


def _words(text: str) -> str:
    return " ".join(text.split())


async def _send(front: Front, language: Language) -> str:
    preview = f"{front.url}/{language.value}/preview"
    form = PageReader(await _lynx("-source", f"{front.url}/{language.value}/"))
    source = await _lynx("-source", preview, fields=form.fields | LETTER)
    shown = await _lynx("-dump", preview, fields=form.fields | LETTER)
    assert "Thank you." in shown
    token = PageReader(source).fields["token"]
    return await _lynx("-dump", preview, fields={"token": token, "action": "send"})


async def test_a_letter_by_lynx_in_both_languages(tmp_path: Path) -> None:
    async with running_front(tmp_path, HandClock()) as front:
        page = _words(await _lynx("-dump", f"{front.url}/en/"))
        for words in ("Who is it for?", "Your letter", "See it before it leaves", "( ) a friend", "(*) someone"):
            assert words in page, words
        sent = _words(await _send(front, Language("en")))
        assert "Your letter" in sent
        assert "On its way" in sent
        (letter,) = front.relay.letters.values()
        assert letter.recipient == LETTER["to"]
        assert "Votre lettre" in _words(await _send(front, Language("fr")))
        assert len(front.relay.letters) == 2


async def test_every_document_and_the_notice_form_read_as_text(tmp_path: Path) -> None:
    async with running_front(tmp_path, HandClock()) as front:
        for document in Document:
            page = await _lynx("-dump", f"{front.url}/fr/{document.value}")
            assert len(page) > 400, document
        for form, labels in {
            "notice": ("What is it?", "Your name", "Your mail address"),
            "weekly": ("Your mail address",),
        }.items():
            lines = [line.strip() for line in (await _lynx("-dump", f"{front.url}/en/{form}")).splitlines()]
            assert set(labels) <= set(lines), "each label on a line of its own"
        notice = {"item": "A", "grounds": "B", "name": "C", "mail": "d@e.example", "faith": "on"}
        assert "We received your notice" in _words(await _lynx("-dump", f"{front.url}/en/notice", fields=notice))


async def test_no_rule_is_reported_that_nobody_chose(tmp_path: Path) -> None:
    """lynx presses the first button of a choice that has none pressed."""
    async with running_front(tmp_path, HandClock()) as front, aiohttp.ClientSession() as session:
        theirs = f"{front.url}/en{await receive(Visitor(front, session))}"
        page = _words(await _lynx("-dump", theirs))
        assert page.count("(*)") == 1
        assert "(*) nothing chosen yet ( ) Sexual words or demands" in page
        untouched = {"rule": "", "words": "They know me.", "action": "report"}
        asked = _words(await _lynx("-dump", theirs, fields=untouched, status=1))
        assert "Choose what is wrong with the letter." in asked
        assert "They know me." in asked, "nothing that was written is lost"
        sent = _words(await _lynx("-dump", theirs, fields=untouched | {"rule": "private-information"}))
        assert "Thank you. Your report has been kept" in sent
