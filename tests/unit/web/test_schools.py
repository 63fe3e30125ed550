"""Letters to schools: held for a person, refused or delivered, as the operator says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from tests.support.front import OPTIONS, running_front
from tests.support.hand_clock import HandClock
from tests.support.moderator import a_moderator
from tests.support.visitor import LETTER, Visitor
from tests.unit.web.test_desk import held
from web.schools import SchoolMail, is_school

PUPIL = "camille@lyc-hugo.ac-paris.fr"


@pytest.mark.parametrize(
    "address",
    [PUPIL, "a@AC-Lyon.fr", "a@monlycee.net", "a@eleves.monlycee.net", "a@hill.leeds.sch.uk"],
)
def test_schools(address: str) -> None:
    assert is_school(address)


@pytest.mark.parametrize(
    "address", ["a@example.org", "a@ac-paris.fr.example", "a@univ-paris.fr", "a@school.example", "ac-paris.fr@b.test"]
)
def test_others(address: str) -> None:
    assert not is_school(address)


async def test_a_letter_to_a_school_is_read_first(tmp_path: Path) -> None:
    async with running_front(tmp_path, HandClock()) as front, aiohttp.ClientSession() as session:
        visitor = Visitor(front, session)
        response = await visitor.send(await visitor.preview(to=PUPIL))
        _, page = await visitor.get(response.headers["Location"])
        assert "It is for an address at a school" in page.text
        assert not front.relay.letters
        async with a_moderator(front) as ann:
            assert "an address at a school" in (await ann.get("/desk/letters"))[1].text
            (letter,) = await held(ann)
            assert "an address at a school" in (await ann.get(f"/desk/letter/{letter}"))[1].text


async def test_or_refused_or_delivered(tmp_path: Path) -> None:
    options = replace(OPTIONS, school_domains=SchoolMail.REFUSE)
    async with running_front(tmp_path, HandClock(), options) as front, aiohttp.ClientSession() as session:
        response, page = await Visitor(front, session).post("/en/preview", LETTER | {"to": PUPIL})
        assert response.status == 422
        assert "This address is at a school." in page.text
    options = replace(OPTIONS, school_domains=SchoolMail.DELIVER)
    (tmp_path / "other").mkdir()
    async with running_front(tmp_path / "other", HandClock(), options) as front, aiohttp.ClientSession() as session:
        visitor = Visitor(front, session)
        await visitor.send(await visitor.preview(to=PUPIL))
        await visitor.until_arrived()
