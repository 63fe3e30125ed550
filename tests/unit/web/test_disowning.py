"""What a writer deletes of a letter that ended: its page and its words; never what its recipient and the law need."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.front import OPTIONS, Front, running_front
from tests.support.hand_clock import HandClock
from tests.support.visitor import Visitor
from tests.unit.web.test_ladder import FOREIGN
from tests.unit.web.test_sealed import make_keys
from web.letters import HOLD_TIME

ASK, ACT = "?ask=forget", {"action": "forget"}


@pytest.fixture
async def front(tmp_path: Path, clock: HandClock) -> AsyncIterator[Front]:
    """One that seals records, and tells failures late."""
    keys = make_keys(tmp_path / "keys", "2026-11") / "public"
    options = replace(OPTIONS, sealed_keys=keys, failure_delay=timedelta(minutes=30))
    async with running_front(tmp_path, clock, options) as running:
        yield running


async def test_words_and_page_go_and_the_sealed_record_stays(visitor: Visitor, clock: HandClock) -> None:
    link = (await visitor.send(await visitor.preview(message=FOREIGN, wall="on"))).headers["Location"]
    clock.move(HOLD_TIME.total_seconds())
    await visitor.until_told(link, "It has come back to you")
    sealed = await _rows(visitor.front, "SELECT * FROM web_sealed")
    _, status = await visitor.get(link)
    assert f'href="/en{link}{ASK}"' in status.document
    for language, told, kept in (
        ("en", "The words that came back to you.", "The sealed record"),
        ("fr", "Les mots qui vous sont revenus.", "Le relevé scellé"),
    ):
        response, page = await visitor.get(f"/{language}{link}{ASK}")
        assert (response.status, response.headers["Cache-Control"]) == (200, "no-store")
        assert page.text.index(told) < page.text.index(kept)
    assert FOREIGN in (await visitor.get(link))[1].text, "to ask deletes nothing"
    response, page = await visitor.post(f"/en{link}", ACT)
    assert (response.status, "It is deleted" in page.text) == (200, True)
    for method in (visitor.get(link), visitor.post(link, ACT)):
        assert (await method)[0].status == 404
    assert len(sealed) == 1
    assert await _rows(visitor.front, "SELECT * FROM web_sealed") == sealed
    for table in ("web_handover", "web_post", "web_letter"):
        assert "vermisse" not in repr(await _rows(visitor.front, f"SELECT * FROM {table}"))


async def test_a_letter_that_arrived_can_still_be_reported(visitor: Visitor) -> None:  # RCP 2
    link = (await visitor.send(await visitor.preview(wall="on"))).headers["Location"]
    visitor.front.relay.settle("delivered")
    assert "they are taken down" in (await visitor.get(f"{link}{ASK}"))[1].text
    await visitor.post(link, ACT)
    assert (await visitor.get(link))[0].status == 404
    assert await _rows(visitor.front, "SELECT state, words FROM web_post") == [("removed", "")]
    (mail,) = visitor.front.relay.letters.values()
    theirs = "/r/" + mail.text.partition("/r/")[2].split()[0]
    assert "That one letter was written to the holder of this link" in (await visitor.get(theirs))[1].text
    _, page = await visitor.post(theirs, {"action": "report", "rule": "hate"})
    assert await _rows(visitor.front, "SELECT rule FROM web_report") == [("hate",)], page.text


@pytest.mark.parametrize("state", ["waiting", "bounced", "held"])
async def test_what_has_not_ended_yet_is_not_deleted(visitor: Visitor, clock: HandClock, state: str) -> None:
    """A failure that is not told yet reads like a letter on its way, and is treated like one."""
    message = FOREIGN if state == "held" else "Thank you."
    link = (await visitor.send(await visitor.preview(message=message))).headers["Location"]
    if state != "held":
        visitor.front.relay.settle(state, changed_at=clock.now())
    _, before = await visitor.get(link)
    assert "ask=forget" not in before.document
    assert (await visitor.get(f"{link}{ASK}"))[1].text == before.text
    assert (await visitor.post(link, ACT))[0].status == 303
    assert (await visitor.get(link))[1].text == before.text


async def test_nobody_else_deletes(visitor: Visitor) -> None:  # S41
    link = (await visitor.send(await visitor.preview())).headers["Location"]
    visitor.front.relay.settle("delivered")
    assert (await visitor.post(link, ACT, Sec_Fetch_Site="cross-site"))[0].status == 403
    assert (await visitor.get(link))[0].status == 200


async def test_the_same_form_sent_again_makes_no_second_letter(visitor: Visitor) -> None:
    token = await visitor.preview()
    link = (await visitor.send(token)).headers["Location"]
    visitor.front.relay.settle("delivered")
    await visitor.post(link, ACT)
    assert (await visitor.send(token)).headers["Location"] == link
    assert visitor.front.relay.arrivals == 1
    assert (await visitor.get(link))[0].status == 404


async def _rows(front: Front, sql: str) -> list[Any]:
    return await front.database.read(lambda connection: list(connection.execute(sql)))
