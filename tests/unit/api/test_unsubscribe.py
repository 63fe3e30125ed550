"""The page behind a one-click link at a front that stands alone, also while its relay is away and much is kept."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import ClientSession, web

from relay.api.app import Alone, add_front_s_own
from relay.api.probes import ShownMetrics
from relay.client.contract import Followed
from tests.support.form import PageReader
from tests.support.hand_clock import HandClock

TOKEN = "u" + "a" * 40


@pytest.mark.parametrize(
    ("followed", "status", "words"),
    [
        (Followed.DONE, 200, {"en": "You are unsubscribed", "fr": "C’est fait"}),
        (Followed.UNKNOWN, 404, {"en": "This link is not valid", "fr": "pas valable"}),
        (Followed.TOO_MANY, 429, {"en": "from your network", "fr": "depuis votre réseau"}),
        (Followed.BUSY, 503, {"en": "press again in an hour", "fr": "réessayez dans une heure"}),
    ],
)
async def test_what_a_link_answers(followed: Followed, status: int, words: dict[str, str]) -> None:  # N05, S50
    asked: list[str] = []

    async def opt_out(token: str, request: web.Request) -> Followed:
        asked.append(f"{token} {request.remote}")
        return followed

    nothing: Any = None
    application = web.Application()
    add_front_s_own(application, Alone(nothing, nothing, HandClock(), (), ShownMetrics(None), opt_out))
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/u/{TOKEN}"
        async with ClientSession() as session:
            async with session.get(url) as answer:
                assert answer.status == 200
            async with session.get(f"{url}?language=fr") as answer:
                text = await answer.text()
                assert "Ne plus recevoir ces messages\u00a0?" in text, "whatever the browser asks for"
                assert answer.headers["Content-Language"] == "fr"
                assert '<a href="?language=en"' in text
            for header, language in (
                ("fr;q=0.3, en-GB;q=0.8", "en"),
                ("de, en;q=0.2, fr-CH;q=0.9", "fr"),
                ("fr;q=0", "en"),
            ):
                async with session.get(url, headers={"Accept-Language": header}) as answer:
                    assert PageReader(await answer.text()).language == language
            assert asked == [], "a look changes nothing"
            for language, said in words.items():
                async with session.post(url, headers={"Accept-Language": language}) as answer:
                    assert answer.status == status
                    assert said in PageReader(await answer.text()).text
                    assert ("Retry-After" in answer.headers) == (status in (429, 503))
        assert asked == [f"{TOKEN} 127.0.0.1"] * 2
    finally:
        await runner.cleanup()
