"""One-click unsubscribe on a whole relay: offered under the signature, acted on by POST and by mail, never by GET."""

from __future__ import annotations

import asyncio
import email
import email.policy
import re
import smtplib
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from relay.event import EventKind
from relay.lab.mailbox import Arrival
from relay.mail.address import parse_address
from relay.policy.state import State
from tests.support.whole_relay import WholeRelay, whole_relay

SENDER = "ann@leak.lab.test"
PEOPLE = ["one@inbox.lab.test", "two@inbox.lab.test"]
NEWS = (
    b"From: Ann <ann@leak.lab.test>\r\nTo: readers@inbox.lab.test\r\nSubject: news\r\n"
    b"X-Leak-Stream: news\r\n\r\nA line.\r\n"
)


def read(arrival: Arrival) -> EmailMessage:
    return email.message_from_bytes(arrival.posting.content, policy=email.policy.default)


def ways(arrival: Arrival) -> tuple[str, str]:
    """The token of the link, and the mailto address."""
    field = read(arrival)["List-Unsubscribe"]
    match = re.fullmatch(r"<https://news\.leak\.lab\.test/u/([a-z0-9]+)>, <mailto:([^?]+)\?subject=unsubscribe>", field)
    assert match, field
    return match[1], match[2]


async def links(relay: WholeRelay) -> list[tuple[str, str]]:
    """Send news to everybody; each one's ways out."""
    await relay.send(SENDER, PEOPLE, NEWS)
    return [ways((await relay.arrivals(person))[-1]) for person in PEOPLE]


async def stopped(relay: WholeRelay, person: str, stream: str) -> bool:
    tenant = await relay.stores.accounts.ensure_tenant("lab")
    return bool(await relay.stores.suppressions.find(tenant, stream, [parse_address(person)]))


SETTINGS: dict[str, dict[str, Any]] = {
    "unsubscribe": {"base_url": "https://news.leak.lab.test", "streams": ["news"]},
    "inbound": {"domain": "bounces.leak.lab.test"},
}


async def test_one_click(tmp_path: Path) -> None:  # N03, N04, N05, N06
    async with whole_relay(tmp_path, "", **SETTINGS) as relay, asyncio.timeout(90):
        (first, _), (second, _) = await links(relay)
        assert first != second  # one recipient a message, a link for each
        (arrival,) = await relay.arrivals(PEOPLE[0])
        mail = read(arrival)
        assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        assert mail["X-Leak-Stream"] is None
        assert "one@" not in mail["List-Unsubscribe"]
        for signature in mail.get_all("DKIM-Signature", []):
            signed = re.sub(r"\s", "", signature).lower()
            assert ":list-unsubscribe:" in signed.partition(";h=")[2]
            assert ":list-unsubscribe-post:" in signed.partition(";h=")[2]
        while arrival.verdict is None:
            await asyncio.sleep(0.02)
        assert [one.result for one in arrival.verdict.dkim] == ["pass", "pass"]

        async with aiohttp.ClientSession(relay.http) as client:
            for language, words in (("fr-FR,fr;q=0.9,en", "Me désabonner"), ("en", "Unsubscribe"), ("", "Unsubscribe")):
                async with client.get(f"/u/{first}", headers={"Accept-Language": language}) as page:
                    text = await page.text()
                    assert (page.status, words in text, "<script" in text) == (200, True, False)
                    assert not page.cookies
            assert not await stopped(relay, PEOPLE[0], "news")  # looking is not acting
            broken = first[:-1] + ("0" if first[-1] != "0" else "1")
            for method in ("GET", "POST"):
                async with client.request(method, f"/u/{broken}") as page:
                    assert page.status == 404
            for body in ({"List-Unsubscribe": "One-Click"}, aiohttp.FormData({"List-Unsubscribe": "One-Click"}), None):
                async with client.post(f"/u/{first.upper()}", data=body, allow_redirects=False) as page:
                    assert (page.status, "unsubscribed" in await page.text()) == (200, True)
        assert await stopped(relay, PEOPLE[0], "news")
        assert not await stopped(relay, PEOPLE[0], "letters")
        assert not await stopped(relay, PEOPLE[1], "news")

        again = await relay.send(SENDER, PEOPLE, NEWS)
        (suppressed,) = (await relay.until(again)).deliveries  # the first recipient's message is its own
        assert suppressed.state is State.SUPPRESSED
        await relay.arrivals(PEOPLE[1], count=2)
        assert len(await relay.arrivals(PEOPLE[0])) == 1
        message = await relay.view(await _message_of(relay, EventKind.OPTED_OUT))
        assert [event.kind for event in message.events].count(EventKind.OPTED_OUT) == 1


async def _message_of(relay: WholeRelay, kind: EventKind) -> str:
    from relay.event.feed import BEGINNING, EventFilter

    page = await relay.stores.spool.events(EventFilter(BEGINNING, 1000, kinds=frozenset({kind})))
    return page.events[0].message


async def test_a_message_asks_for_it_or_brings_its_own(tmp_path: Path) -> None:
    async with whole_relay(tmp_path, "", **SETTINGS) as relay, asyncio.timeout(60):
        header = {"Authorization": "Bearer lab"}
        document = {"from": SENDER, "to": PEOPLE, "subject": "x", "text": "y", "stream": "offers", "unsubscribe": True}
        async with aiohttp.ClientSession(relay.http, headers=header) as client:
            key = {"Idempotency-Key": "once"}
            answers = []
            for _ in range(2):  # repeated, it is the same messages
                async with client.post("/api/v1/messages", json=document, headers=key) as answer:
                    assert answer.status == 202, await answer.text()
                    answers.append(await answer.json())
            assert answers[0] == answers[1]
            ids = [one["delivery_id"].partition(".")[0] for one in answers[0]["recipients"]]
            assert len(set(ids)) == 2
            for n, person in enumerate(PEOPLE):
                (arrival,) = await relay.arrivals(person)
                assert ways(arrival)
                assert (await relay.view(ids[n])).stream == "offers"
            own = {**document, "headers": {"List-Unsubscribe": "<https://acme.example/bye>"}}
            async with client.post("/api/v1/messages", json=own) as answer:
                assert len({one["delivery_id"][:26] for one in (await answer.json())["recipients"]}) == 1
            (_, arrival) = await relay.arrivals(PEOPLE[0], count=2)
            assert read(arrival)["List-Unsubscribe"] == "<https://acme.example/bye>"
        with pytest.raises(AssertionError, match="malformed header: X-Leak-Stream"):
            await relay.send(SENDER, PEOPLE, NEWS.replace(b"Stream: news", b"Stream: a b"))


async def test_the_mailto_form(tmp_path: Path) -> None:
    settings = {**SETTINGS, "inbound": {"domain": "bounces.leak.lab.test", "listen": ["127.0.0.1:0"]}}
    async with whole_relay(tmp_path, "", **settings) as relay, asyncio.timeout(60):
        (_, first), _ = await links(relay)

        def write() -> None:
            with smtplib.SMTP("127.0.0.1", relay.inbound_port, timeout=10) as client:
                content = f"From: one@inbox.lab.test\r\nTo: {first}\r\nSubject: unsubscribe\r\n\r\n"
                client.sendmail("one@inbox.lab.test", [first], content)

        await asyncio.to_thread(write)
        while not await stopped(relay, PEOPLE[0], "news"):
            await asyncio.sleep(0.05)
        assert not await stopped(relay, PEOPLE[1], "news")
        sql = "SELECT m.content, m.reverse_path, m.helo FROM inbound_mail m JOIN inbound i ON i.mail = m.id"
        while not (
            kept := await relay.stores.database.read(lambda c: list(c.execute(f"{sql} WHERE i.result = 'opted-out'")))
        ):
            await asyncio.sleep(0.05)
        assert kept == [(None, None, "")], "the wish is kept, and nothing of the mail that brought it"
