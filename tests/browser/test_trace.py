"""Two letters from two browsers at two places are one mail but for what is drawn by lot (SND 1 and 2)."""

from __future__ import annotations

import re
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import aiohttp

from tests.support.form import PageReader
from tests.support.whole_relay import WholeRelay, whole_relay

LETTER = {"signature": "someone", "pseudonym": "", "message": "Thank you for the evening.", "rules": "on"}
BROWSERS = (
    {
        "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        "Accept-Language": "en-GB",
        "X-Forwarded-For": "203.0.113.17",
        "Cookie": "session=s3cr3t",
    },
    {
        "User-Agent": "Lynx/2.9.2 libwww-FM/2.14",
        "Accept-Language": "en;q=0.5,fr;q=0.1",
        "Forwarded": 'for="[2001:db8::77]:4711"',
        "Referer": "https://elsewhere.example/page",
    },
)
BY_LOT = {"message-id", "date", "dkim-signature", "feedback-id", "list-unsubscribe", "to", "content-type"}
"""Fields whose values hold random tokens, the time of departure, or the recipient."""


async def _write(relay: WholeRelay, browser: dict[str, str], recipient: str) -> bytes:
    """Write a letter with `browser`; the mail as the recipient's host took it."""
    async with aiohttp.ClientSession(headers=browser) as session:

        async def post(fields: dict[str, str]) -> aiohttp.ClientResponse:
            async with session.post(f"{relay.http}/en/preview", data=fields, allow_redirects=False) as response:
                await response.read()
                return response

        page = PageReader(await (await post(LETTER | {"to": recipient})).text())
        assert (await post({"token": page.fields["token"], "action": "send"})).status == 303
    (arrival,) = await relay.arrivals(recipient)
    return arrival.posting.content


def _without_lot(text: str, recipient: str) -> str:
    """`text` without what is drawn by lot: the recipient's link, and their address."""
    return re.sub(r"/r/[\w-]+", "/r/TOKEN", text.replace(recipient, "RECIPIENT"))


def _parts(message: Message) -> list[str]:
    return [str(part.get_payload(decode=True), "utf-8") for part in message.walk() if not part.is_multipart()]  # type: ignore[arg-type]


async def test_two_letters_from_two_browsers_differ_by_lot_alone(tmp_path: Path) -> None:
    recipients = ("ann@inbox.lab.test", "bob@inbox.lab.test")
    async with whole_relay(tmp_path, web={"trusted_proxies": ["127.0.0.1/32"]}) as relay:
        sent = [
            await _write(relay, browser, recipient) for browser, recipient in zip(BROWSERS, recipients, strict=True)
        ]
    first, second = (message_from_bytes(content) for content in sent)
    assert first.keys() == second.keys(), "the same fields in the same order"
    for (name, value), other in zip(first.items(), second.values(), strict=True):
        if name.lower() not in BY_LOT:
            assert value == other, name
    assert not {"received", "x-originating-ip", "x-mailer", "user-agent"} & {
        name.lower() for name in dict(first.items())
    }
    tags = [dict(re.findall(r"\b(\w+)=([^;]*)", one["DKIM-Signature"])) for one in (first, second)]
    assert (tags[0]["s"], tags[0]["d"], tags[0]["h"].split()) == (tags[1]["s"], tags[1]["d"], tags[1]["h"].split())
    for message in (first, second):
        assert re.fullmatch(r"<[0-9a-z]{20,}@[\w.]+>", message["Message-ID"])
        assert message["Date"].endswith("+0000")
        assert re.search(r'boundary="=_[0-9a-z]+"', message["Content-Type"])
    bodies = [
        [_without_lot(part, recipient) for part in _parts(message)]
        for message, recipient in zip((first, second), recipients, strict=True)
    ]
    assert bodies[0] == bodies[1]
    for content, browser in zip(sent, BROWSERS, strict=True):
        for trace in (*browser.values(), "203.0.113", "2001:db8", "4711"):
            assert trace.encode() not in content
