"""What a judge remembers: rulings, so that nobody has one letter read again and again; never a word."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest

from relay.ids import SeededEntropy
from tests.support.front import OPTIONS, running_front, with_limits
from tests.support.hand_clock import HandClock
from tests.support.moderation import the_moderator
from tests.support.visitor import Visitor
from web import judgement
from web.catalogue import Language
from web.draft import Draft
from web.judgement import Judge
from web.limits import PREVIEWS
from web.moderation.ruling import Step
from web.preview import Preview, PreviewTokens
from web.signature import Signature

INSULT = "You are a pathetic loser."


def _draft(message: str, pseudonym: str = "") -> Draft:
    return Draft("ann@example.org", Signature.FRIEND, pseudonym, message)


def test_a_letter_is_read_once_and_its_words_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = HandClock()
    judge = Judge(the_moderator(), clock, SeededEntropy(1))
    insult = _draft(INSULT)
    assert not judge.knows(insult)
    ruling = judge.rule_on(insult)
    assert ruling.step is Step.REFUSE
    assert judge.knows(insult)
    assert judge.rule_on(insult) is ruling
    assert judge.rule_on_words(INSULT) is ruling
    assert not judge.knows(_draft(INSULT, "Max")), "an invented name is read too"
    assert judge.rule_on(_draft("Thank you.")).step is Step.PASS
    assert "pathetic" not in repr({key: value for key, value in vars(judge).items() if key != "_moderator"})
    clock.move(2 * 3600)
    assert not judge.knows(insult)

    monkeypatch.setattr(judgement, "REMEMBERED", 2)
    for n in range(3):
        judge.rule_on(_draft(f"Thank you {n}."))
    assert [judge.knows(_draft(f"Thank you {n}.")) for n in range(3)] == [False, True, True]


async def test_tokens_that_are_read_anew_are_counted_as_previews(tmp_path: Path) -> None:
    """One that was read is no work; of many that were shown elsewhere, or long ago, each is a preview."""
    clock = HandClock()
    tokens = PreviewTokens(OPTIONS, clock, SeededEntropy(2))
    async with running_front(tmp_path, clock, with_limits()) as front, aiohttp.ClientSession() as session:
        visitor = Visitor(front, session)

        async def press(message: str) -> int:
            token = tokens.sign(Preview(_draft(message), Language.EN, "nonce"))
            return (await visitor.post("/en/preview", {"token": token, "action": "send"}))[0].status

        for n in range(PREVIEWS.count):
            assert await press(f"{INSULT} {n}.") == 422
        for _ in range(5):
            assert await press(f"{INSULT} 0.") == 422, "it is remembered"
        response, page = await visitor.post(
            "/en/preview",
            {"token": tokens.sign(Preview(_draft(INSULT), Language.EN, "nonce")), "action": "send"},
        )
        assert response.status == 429
        assert int(response.headers["Retry-After"]) > 0
        assert page.fields["message"] == INSULT, "nothing of it is lost"
        clock.move(600)
        assert await press(INSULT) == 422
