"""The client of webhooks: where it goes and where it does not, and that everything has an end (S36, S37)."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence

import pytest
import trustme

from relay.clock import SystemClock
from relay.notify.poster import Poster, PostRules, UrlError
from tests.support.policy_server import PolicyServer
from tests.support.webhook_receiver import WebhookReceiver


def make_poster(*addresses: str, private: bool = False, clear: bool = False, timeout: float = 20.0) -> Poster:
    async def lookup(_host: str) -> Sequence[str]:
        return addresses

    rules = PostRules(timeout, private=private, clear=clear)
    return Poster(lookup, ssl.create_default_context(), SystemClock(), rules)


@pytest.fixture
async def receiver() -> AsyncIterator[WebhookReceiver]:
    async with WebhookReceiver() as running:
        yield running


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example/",
        "ftp://hooks.example/",
        "https://",
        "https://ann:secret@hooks.example/",
        "https://hooks.example/#part",
        "https://127.0.0.1/",
        "https://10.1.2.3/",
        "https://169.254.169.254/latest/meta-data/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[fe80::1]/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0x7f.1/",
        "https://127.1/",
        "https://127.0.0.1./",
        "https://localhost/",
        "https://intranet/",
        "https://hooks.example:99999/",
        "https://hooks.example/\r\nHost: x",
        "https://hooks.example/" + "a" * 2000,
        "//hooks.example/",
        "javascript:alert(1)",
        "",
    ],
)
def test_what_is_not_posted_to(url: str) -> None:
    with pytest.raises(UrlError):
        make_poster("192.0.2.1").check(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example/a?b=c",
        "https://hooks.example:8443/",
        "https://8.8.8.8/",
        "https://xn--bcher-kva.example/",
    ],
)
def test_what_is_posted_to(url: str) -> None:
    assert str(make_poster().check(url)) == url


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "::1", "::ffff:10.0.0.1", "169.254.169.254"])
async def test_a_name_that_leads_to_a_neighbour_is_not_followed(address: str) -> None:
    poster = make_poster(address)
    answer = await poster.post("https://hooks.example/", {}, b"x")
    assert (answer.taken, answer.status, answer.error) == (False, None, "its host has no public address")
    await poster.close()


async def test_an_address_literal_is_judged_again_at_each_post(receiver: WebhookReceiver) -> None:
    # The setting may have changed since the webhook was made.
    poster = make_poster(clear=True)
    answer = await poster.post(receiver.url, {}, b"x")
    assert (answer.error, receiver.posts) == ("this address is not public", [])
    await poster.close()


async def test_only_addresses_that_were_judged_are_connected_to(receiver: WebhookReceiver) -> None:
    poster = make_poster("127.0.0.1", private=True, clear=True)
    url = f"http://hooks.example:{receiver.port}/x"
    answer = await poster.post(url, {"X-Signature": "s"}, b"body")
    assert (answer.taken, answer.status) == (True, 200)
    (post,) = receiver.posts
    assert (post.body, post.headers["X-Signature"]) == (b"body", "s")
    assert post.headers["Host"] == f"hooks.example:{receiver.port}"
    await poster.close()


async def test_no_redirect_is_followed(receiver: WebhookReceiver) -> None:
    poster = make_poster(private=True, clear=True)
    receiver.headers = {"Location": receiver.url}
    receiver.judge = lambda _: 307
    answer = await poster.post(receiver.url, {}, b"x")
    assert (answer.status, answer.error) == (307, "HTTP status 307: redirects are not followed")
    assert len(receiver.posts) == 1
    await poster.close()


async def test_silence_has_an_end(receiver: WebhookReceiver) -> None:
    poster = make_poster(private=True, clear=True, timeout=0.2)
    receiver.delay = 10
    assert (await poster.post(receiver.url, {}, b"x")).error == "no answer in time"
    await poster.close()


async def test_an_endless_answer_is_cut_off() -> None:
    sent = 0

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
        try:
            while sent < 50_000_000:
                writer.write(b"x" * 65536)
                sent += 65536
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(pour, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        poster = make_poster(private=True, clear=True)
        answer = await poster.post(f"http://127.0.0.1:{port}/", {}, b"x")
        assert (answer.taken, answer.status) == (True, 200)
        await poster.close()
    assert sent < 50_000_000


async def test_a_certificate_must_verify() -> None:
    async with PolicyServer(trustme.CA(), "hooks.example") as server:
        poster = make_poster("127.0.0.1", private=True)
        answer = await poster.post(f"https://hooks.example:{server.port}/", {}, b"x")
        assert (answer.status, answer.error) == (None, "the certificate does not verify")
        assert server.requests == []
        await poster.close()


async def test_nobody_there(receiver: WebhookReceiver) -> None:
    poster = make_poster(private=True, clear=True)
    receiver.judge = lambda _: 0
    assert (await poster.post(receiver.url, {}, b"x")).error == "the connection broke off"
    assert (await poster.post("http://127.0.0.1:1/", {}, b"x")).error == "no connection"
    assert (await poster.post("http://hooks.example/", {}, b"x")).error == "its host has no address"
    await poster.close()


async def test_a_pause_is_heard_and_bounded(receiver: WebhookReceiver) -> None:
    poster = make_poster(private=True, clear=True)
    receiver.judge = lambda _: 503
    for text, pause in (("30", 30.0), ("999999", 3600.0), ("Wed, 21 Oct 2026 07:28:00 GMT", None), ("-1", None)):
        receiver.headers = {"Retry-After": text}
        assert (await poster.post(receiver.url, {}, b"x")).retry_after == pause
    await poster.close()
