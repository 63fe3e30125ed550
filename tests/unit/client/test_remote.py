"""The client over HTTP and a far side that is no relay, or none any more: nothing is refused, forgotten or piled up."""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import web

from relay.client import line, remote
from relay.client.away import LONGEST, SHORTEST, Away
from relay.client.contract import Admission, Letter, LetterRefused, RelayAwayError
from relay.client.line import Way
from relay.client.remote import RemoteRelayClient
from relay.resolver.policy_host import https_context
from tests.support.certificates import make
from tests.support.hand_clock import HandClock
from tests.support.ports import free_port

KEY = "leak_secretsecretsecret"
LETTER = Letter("hello@leak.example", "A friend", "bob@example.net", "Hello", "Hello.\n", "", "letter", "letter-1")


@dataclass
class FarSide:
    """Answers every request alike, and remembers what it was asked."""

    answer: Callable[[web.Request], Awaitable[web.StreamResponse]]
    client: RemoteRelayClient
    clock: HandClock
    asked: list[web.Request] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        return await self.answer(request)


@asynccontextmanager
async def far_side(
    answer: Callable[[web.Request], Awaitable[web.StreamResponse]], tls: ssl.SSLContext | None = None
) -> AsyncIterator[FarSide]:
    clock = HandClock()
    application = web.Application()
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    far = FarSide(answer, RemoteRelayClient(Way(""), KEY, clock), clock)
    application.router.add_route("*", "/{rest:.*}", far.handle)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    far.client = RemoteRelayClient(Way(f"http://127.0.0.1:{runner.addresses[0][1]}"), KEY, clock)
    try:
        yield far
    finally:
        await far.client.close()
        await runner.cleanup()


def saying(status: int, text: str, **headers: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, text=text, headers=headers)

    return answer


@pytest.mark.parametrize(
    "answer",
    [
        saying(200, "<html>Welcome to your new server</html>"),
        saying(200, "{}"),
        saying(200, "[" * 100_000),
        saying(200, json.dumps({"yes": True, "padding": "x" * 100_000})),
        saying(204, ""),
        saying(302, "", Location="/elsewhere"),
        saying(307, "", Location="http://169.254.169.254/latest"),
        saying(400, "{}"),
        saying(401, "{}"),
        saying(403, "no"),
        saying(404, "no"),
        saying(413, "no"),
        saying(422, '{"refused": "for good"}'),
        saying(429, "{}"),
        saying(500, "{}"),
        saying(502, "bad gateway"),
        saying(503, "{}"),
        saying(507, "{}"),
    ],
)
async def test_what_is_no_answer_of_a_relay_ends_nothing(
    answer: Callable[[web.Request], Awaitable[web.StreamResponse]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with far_side(answer) as far:
        with pytest.raises(RelayAwayError) as raised:
            await far.client.suppressed("bob@example.net")
        assert len(far.asked) == 1, "no redirect is followed"
        far.clock.move(121)
        assert far.client.line.silence()[0] == 121, "a person is called also for a stranger's page in its place"
    told = caplog.text + str(raised.value)
    assert KEY not in told
    assert "bob@" not in told


async def test_a_letter_is_refused_by_the_relay_s_own_word_alone() -> None:
    for document in ({}, {"padding": 1}, {"refused": None}):
        async with far_side(saying(200, json.dumps(document))) as far:
            answer = await far.client.submit(LETTER)
            assert isinstance(answer, LetterRefused)
            assert answer.temporary
    async with far_side(saying(200, json.dumps({"refused": "never", "of a newer relay": 1}))) as far:
        assert await far.client.submit(LETTER) == LetterRefused(temporary=False, reason="never")


async def test_an_older_relay_is_rung_with_what_it_knows() -> None:
    """It refuses what it does not know: a threat to life is then a letter that waits, and somebody is called."""
    since = datetime(2026, 11, 21, tzinfo=UTC)
    rung: list[dict[str, object]] = []

    async def older(request: web.Request) -> web.StreamResponse:
        rung.append(await request.json())
        known = rung[-1].keys() <= {"letters", "oldest"}
        return web.Response(status=200 if known else 422, text='{"yes": true}')

    async with far_side(older) as far:
        await far.client.letters_wait(0, None)
        await far.client.letters_wait(2, since)
        assert rung == [{"letters": 0}, {"letters": 2, "oldest": "2026-11-21T00:00:00Z"}]
        for _ in range(2):
            await far.client.letters_wait(0, None, 3)
        assert [(one["letters"], "in_danger" in one) for one in rung[2:]] == [(0, True), (3, False), (3, False)]
        assert rung[-1]["oldest"], "without a moment nobody would be called"
        assert not far.client.line.silence()[0]
        far.clock.move(remote.PLAIN_SECONDS)
        await far.client.letters_wait(0, None, 3)
        assert [one.get("in_danger") for one in rung[-2:]] == [3, None], "it may be up to date by now"


async def test_a_relay_that_knows_no_requests_of_authorities_still_hears_of_a_threat_to_life() -> None:
    rung: list[dict[str, object]] = []

    async def older(request: web.Request) -> web.StreamResponse:
        rung.append(await request.json())
        known = rung[-1].keys() <= {"letters", "oldest", "in_danger"}
        return web.Response(status=200 if known else 422, text='{"yes": true}')

    async with far_side(older) as far:
        await far.client.letters_wait(0, None, 1, 2)
        assert [(one["letters"], one.get("in_danger"), one.get("requests_due")) for one in rung] == [
            (0, 1, 2),
            (2, 1, None),
        ]
        await far.client.letters_wait(0, None, 0, 2)
        assert (len(rung), rung[-1]["letters"]) == (3, 2)
        far.clock.move(remote.PLAIN_SECONDS)
        await far.client.letters_wait(0, None, 0, 2)
        assert [one.get("requests_due") for one in rung[-2:]] == [2, None]


async def test_a_relay_that_knows_no_piles_still_hears_of_requests_and_calls_somebody() -> None:
    rung: list[dict[str, object]] = []

    async def older(request: web.Request) -> web.StreamResponse:
        rung.append(await request.json())
        return web.Response(status=422 if "filled" in rung[-1] else 200, text='{"yes": true}')

    async with far_side(older) as far:
        await far.client.letters_wait(0, None, 0, 2, 85)
        assert [(one["letters"], one.get("requests_due"), one.get("filled")) for one in rung] == [
            (0, 2, 85),
            (1, 2, None),
        ]
        assert rung[-1]["oldest"], "without a moment nobody would be called"


async def test_an_older_relay_does_not_tell_how_many_refuse(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    for status in (404, 405):
        async with far_side(saying(status, "{}")) as far:
            assert await far.client.refusals("letters") is None
            assert await far.client.handed("letter-1") is None, "nor what was handed over"
            assert not far.client.line.silence()[0], "that is no sign that it is away"
    assert caplog.records == []
    async with far_side(saying(200, '{"addresses": 7}')) as far:
        assert await far.client.refusals("letters") == 7


async def test_letters_without_anything_unusual_say_nothing_an_older_relay_could_not_know() -> None:
    said: list[dict[str, object]] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        said.append(await request.json())
        return web.Response(text='{"id": "0"}')

    async with far_side(answer) as far:
        await far.client.submit(LETTER)
        await far.client.submit(replace(LETTER, unnamed=True))
    assert "unnamed" not in said[0]
    assert said[1]["unnamed"] is True


async def test_what_a_newer_relay_says_is_left_out_and_named_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    life = {
        "state": "waiting",
        "attempts": 1,
        "changed_at": "2026-11-21T00:00:00Z",
        "next_due": None,
        "mood": "bob@b.c",
    }
    async with far_side(saying(200, json.dumps({"letter": life, "weather": "fine"}))) as far:
        for _ in range(2):
            state = await far.client.state("0" * 26)
            assert state is not None
            assert state.state == "waiting"
    told = [vars(one)["facts"] for one in caplog.records if one.getMessage() == "field-unknown"]
    assert [one["field"] for one in told] == ["weather", "mood"]
    assert "bob" not in str(told)


async def test_an_older_relay_tells_no_ceiling() -> None:
    for told, ceiling in (("", 0), (', "ceiling": 50', 50)):
        async with far_side(saying(200, f'{{"remaining": 3, "provider": "google"{told}}}')) as far:
            room = await far.client.admission("hello@leak.example", "letter", "bob@example.net")
            assert room == Admission(3, None, "google", ceiling)


async def test_the_key_and_addresses_stand_in_no_url() -> None:
    async with far_side(saying(200, '{"yes": true, "mails": 1, "remaining": null}')) as far:
        await far.client.suppress("bob@example.net")
        await far.client.erase("bob@example.net")
        await far.client.admission("hello@leak.example", "letter", "bob@example.net")
        assert all(request.headers["Authorization"] == f"Bearer {KEY}" for request in far.asked)
        assert not any("bob" in str(request.url) or KEY in str(request.url) for request in far.asked)
        far.client.line.use_key("leak_another")
        await far.client.suppress("bob@example.net")
        assert far.asked[-1].headers["Authorization"] == "Bearer leak_another"


async def test_a_connection_closed_between_two_questions_is_no_absence() -> None:
    async def once(request: web.Request) -> web.StreamResponse:
        response = web.Response(text='{"yes": true}')
        transport = request.transport
        assert transport is not None
        asyncio.get_running_loop().call_soon(asyncio.get_running_loop().call_soon, transport.close)
        return response

    async with far_side(once) as far:
        for _ in range(5):
            assert await far.client.suppressed("bob@example.net")
            await asyncio.sleep(0)
        assert not far.client.line.is_away


async def test_while_the_relay_is_away_one_call_a_moment_tries() -> None:
    clock = HandClock()
    client = RemoteRelayClient(Way(f"http://127.0.0.1:{free_port()}"), KEY, clock)
    try:
        with pytest.raises(RelayAwayError, match="no connection"):
            await client.suppressed("bob@example.net")
        with pytest.raises(RelayAwayError, match=r"does not answer$"):
            await client.suppressed("bob@example.net")
        clock.move(SHORTEST)
        with pytest.raises(RelayAwayError, match="no connection"):
            await client.state("0" * 26)
        found = await client.check("bob@gmial.com")
        assert (found.ok, found.unknown, found.suggestion) == (True, True, "bob@gmail.com")
        assert not (await client.check("no address")).ok
    finally:
        await client.close()


async def test_a_silent_relay_holds_a_bounded_number_of_calls(monkeypatch: pytest.MonkeyPatch) -> None:  # S50
    monkeypatch.setattr(line, "CALLS", 3)
    silence = asyncio.Event()

    async def never(_: web.Request) -> web.StreamResponse:
        await silence.wait()
        return web.Response(text='{"yes": true}')

    async with far_side(never) as far:
        asking = [asyncio.create_task(far.client.suppressed("bob@example.net")) for _ in range(3)]
        async with asyncio.timeout(20):
            while len(far.asked) < 3:
                await asyncio.sleep(0.01)
        with pytest.raises(RelayAwayError):
            await far.client.suppressed("bob@example.net")
        silence.set()
        assert await asyncio.gather(*asking) == [True] * 3


async def test_whoever_posts_links_leaves_calls_to_letters(monkeypatch: pytest.MonkeyPatch) -> None:  # S50
    monkeypatch.setattr(line, "LINKS", 2)
    silence = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path.endswith("/opt-outs"):
            await silence.wait()
        return web.Response(text='{"yes": true}')

    async with far_side(answer) as far:
        posted = [asyncio.create_task(far.client.opt_out(f"u{n}")) for n in range(2)]
        async with asyncio.timeout(20):
            while len(far.asked) < 2:
                await asyncio.sleep(0.01)
        with pytest.raises(RelayAwayError):
            await far.client.opt_out("u2")
        assert await far.client.suppressed("bob@example.net")
        silence.set()
        assert await asyncio.gather(*posted) == [True] * 2
        assert await far.client.opt_out("u2")


def test_the_moments_between_two_tries() -> None:
    clock = HandClock()
    away = Away(clock)
    assert away.may_try()
    assert away.silent()
    assert not away.may_try()
    for _ in range(20):
        assert not away.silent()
    clock.move(LONGEST - 0.1)
    assert not away.may_try()
    clock.move(0.1)
    assert away.may_try()
    assert not away.may_try(), "one call took the turn"
    clock.move(LONGEST)
    assert away.may_try(), "a call that never ended keeps nobody out"
    assert away.answered()
    assert away.may_try()
    assert not away.answered()


async def test_the_relay_s_certificate_is_verified(tmp_path: Path) -> None:
    authority = make(authority=True, label="relay authority")
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    trusting = https_context(tmp_path / "ca.pem")
    for names, context, works in (
        (("localhost",), trusting, True),
        (("localhost",), https_context(), False),
        (("elsewhere.example",), trusting, False),
    ):
        made = make(*names, issuer=authority)
        (tmp_path / "relay.pem").write_bytes(made.pem + made.key_pem)
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(tmp_path / "relay.pem")
        async with far_side(saying(200, '{"yes": true}'), server) as far:
            url = str(far.client.line._way.url).replace("http://127.0.0.1", "https://localhost")
            client = RemoteRelayClient(Way(url, context), KEY, far.clock)
            try:
                if works:
                    assert await client.suppressed("bob@example.net")
                else:
                    with pytest.raises(RelayAwayError, match="certificate does not verify"):
                        await client.suppressed("bob@example.net")
                    assert far.asked == [], "no key was shown"
            finally:
                await client.close()
