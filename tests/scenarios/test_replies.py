"""A reply by mail reaches the page of whoever wrote the letter; what is no reply of its recipient's reaches nobody."""

from __future__ import annotations

import asyncio
import email
import email.policy
import re
import smtplib
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest

from relay.engine.answering import Answers
from relay.engine.feedback import TRIES
from relay.lab.mailbox import Arrival
from relay.lab.zone import Fault, Trouble
from relay.spool.inbound_values import InboundFilter, InboundItem, InboundView
from tests.support.form import PageReader
from tests.support.whole_relay import WholeRelay, whole_relay

RECIPIENT = "carol@inbox.lab.test"
WORDS = "I had no idea. Thank you."


class Correspondence:
    """A letter that arrived, its writer's page, and what its recipient's programs may do."""

    def __init__(self, relay: WholeRelay, session: aiohttp.ClientSession) -> None:
        self.relay = relay
        self._session = session
        self.link = ""

    async def write(self) -> Arrival:
        """Write a letter and send it; what came to the inbox."""
        fields = {
            "to": RECIPIENT,
            "signature": "friend",
            "pseudonym": "",
            "message": "Thank you for all.",
            "rules": "on",
        }
        _, page = await self._post("/en/preview", fields)
        self.link, _ = await self._post("/en/preview", {"token": page.fields["token"], "action": "send"})
        (arrival,) = await self.relay.arrivals(RECIPIENT)
        return arrival

    async def _post(self, path: str, fields: dict[str, str]) -> tuple[str, PageReader]:
        async with self._session.post(self.relay.http + path, data=fields, allow_redirects=False) as response:
            return response.headers.get("Location", ""), PageReader(await response.text())

    async def page(self) -> str:
        """What its writer reads."""
        async with self._session.get(self.relay.http + self.link) as response:
            return PageReader(await response.text()).text

    async def press_reply(self, arrival: Arrival, words: str) -> str:
        """The lab's button below a mail."""
        url = f"{self.relay.lab.inbox_url}/message/{arrival.id}/reply"
        async with self._session.post(url, data={"text": words}) as response:
            return PageReader(await response.text()).text

    async def signed_fields(self, arrival: Arrival) -> set[str]:
        """The fields under a signature that verifies, in lower case."""
        async with self._session.get(f"{self.relay.lab.inbox_url}/api/v1/message/{arrival.id}/verdict") as response:
            verdict = await response.json()
        assert {one["result"] for one in verdict["dkim"]} == {"pass"}
        header = email.message_from_bytes(arrival.posting.content, policy=email.policy.default)
        (named,) = re.findall(r"\bh=([^;]+)", str(header["DKIM-Signature"]))
        return {name.strip().lower() for name in named.split(":")}

    async def mail(self, to: str, *fields: str, author: str = RECIPIENT, path: str | None = None) -> tuple[int, str]:
        """A mail of somebody's making at the inbound door: the reply to RCPT or to the dot."""
        lines = [f"From: <{author}>", f"To: <{to}>", "Subject: Re: letter", *fields, "", "Words of mine.", ""]

        def send() -> tuple[int, str]:
            with smtplib.SMTP("127.0.0.1", self.relay.inbound_port, local_hostname="inbox.lab.test") as client:
                client.ehlo()
                client.mail(author if path is None else path)
                code, text = client.rcpt(to)
                if code == 250:
                    code, text = client.data("\r\n".join(lines).encode())
                return code, text.decode()

        return await asyncio.to_thread(send)

    async def heard(self, count: int) -> list[InboundView]:
        """What followed from the mails that came in, the first on top, once so many are sorted."""
        async with asyncio.timeout(30):
            while True:
                views = (await self.relay.stores.inbound.listing(InboundFilter(waiting=False)))[::-1]
                if len(views) >= count and all(view.followed for view in views):
                    return views
                await asyncio.sleep(0.02)


@pytest.fixture
async def letters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Correspondence]:
    monkeypatch.setattr("web.courier._WATCH_EVERY", 0.1)
    inbound = {
        "listen": ["127.0.0.1:0"],
        "domain": "bounces.leak.lab.test",
        "tls": {"certificate": "relay.pem", "key": "relay.key"},
    }
    async with (
        whole_relay(tmp_path, inbound=inbound, web=WEB) as relay,
        aiohttp.ClientSession() as session,
        asyncio.timeout(90),
    ):
        yield Correspondence(relay, session)


WEB = {
    "listen": "127.0.0.1:0",
    "limits": False,
    "cool_down": "0s",
    "jitter": "0s",
    "failure_delay": "0s",
    "replies": True,
}


async def test_a_reply_comes_to_the_page_and_leaves_nothing_else_behind(letters: Correspondence) -> None:  # RCP 10
    arrival = await letters.write()
    assert "You may answer this mail" in arrival.posting.content.decode()
    (box,) = arrival.summary.reply_to
    assert (box.name, box.address.rpartition("@")[2]) == ("A friend", "bounces.leak.lab.test")
    assert await letters.signed_fields(arrival) > {"from", "reply-to"}, "nobody can lead replies elsewhere"
    assert "Your reply is on its way to" in await letters.press_reply(arrival, WORDS)
    async with asyncio.timeout(30):
        while WORDS not in (text := await letters.page()):
            await asyncio.sleep(0.05)
    assert "A reply to your letter" in text
    assert "Thank you for all." not in text, "the letter that the reply quotes"
    (heard,) = await letters.heard(1)
    assert (heard.followed, heard.peer, heard.size) == ("passed-on", "", 0)
    assert not {"from", "subject"} & set(heard.detail)
    assert "inbox.lab.test" not in repr(heard.detail)
    await letters.press_reply(arrival, "And another thing.")
    (_, second) = await letters.heard(2)
    assert second.followed == "answered"
    assert "the letter has its reply" in str(second.detail["why"])
    (_, answer) = await letters.relay.arrivals(RECIPIENT, 2)
    assert b"Auto-Submitted: auto-replied" in answer.posting.content
    assert b"letter@leak.lab.test" in answer.posting.content
    async with asyncio.timeout(30):
        while [row async for row in _words(letters.relay)]:
            await asyncio.sleep(0.02)
    assert "another thing" not in await letters.page()


async def _words(relay: WholeRelay) -> AsyncIterator[str]:
    sql = "SELECT words FROM letter_reply WHERE words IS NOT NULL"
    for (words,) in await relay.stores.database.read(lambda connection: list(connection.execute(sql))):
        yield words


async def test_only_its_recipient_s_own_words_come_to_the_page(letters: Correspondence) -> None:  # S18, S22, RCP 10
    (box,) = (await letters.write()).summary.reply_to
    to = box.address
    local, _, domain = to.rpartition("@")
    for wrong in (f"{local[:-1]}{'a' if local[-1] != 'a' else 'b'}@{domain}", f"r{local[1:]}@{domain}"):
        assert (await letters.mail(wrong))[0] == 550, "who does not hold the letter knows no address of it"
    letters.relay.lab.zone.publish("plain.lab.test", "TXT", "v=spf1 -all")
    for fields, author, path in (
        (("Auto-Submitted: auto-replied",), RECIPIENT, None),
        (("Precedence: bulk",), RECIPIENT, None),
        (("List-Id: <x.lab.test>",), RECIPIENT, None),
        ((), RECIPIENT, ""),
        ((), RECIPIENT, "eve@inbox.lab.test"),
        ((), "carol@plain.lab.test", None),
        ((), "eve@inbox.lab.test", None),
    ):
        code, text = await letters.mail(to, *fields, author=author, path=path)
        assert code == 250, text
    views = await letters.heard(7)
    assert [view.followed for view in views] == ["kept"] * 6 + ["answered"]
    assert not [view for view in views if view.shown or view.peer or view.size]
    assert "somebody else wrote it" in str(views[6].detail["why"])
    assert [row async for row in _words(letters.relay)] == []
    for _ in range(4):
        assert (await letters.mail(to, "Precedence: bulk"))[0] == 250
    await letters.heard(10)
    assert (await letters.mail(to.upper(), author="Carol+tag@inbox.lab.test"))[0] == 250, "strangers keep nobody out"
    async with asyncio.timeout(30):
        while "Words of mine." not in await letters.page():
            await asyncio.sleep(0.05)
    code, text = await letters.mail(to)
    assert (code, "no more replies" in text) == (550, True)


async def test_a_reply_waits_for_the_dns_and_is_not_lost(
    letters: Correspondence, monkeypatch: pytest.MonkeyPatch
) -> None:  # C05, R33, RCP 10
    for name, seconds in (("engine.feedback.SWEEP_SECONDS", 0.1), ("engine.answering.LATER_SECONDS", 0.1)):
        monkeypatch.setattr(f"relay.{name}", seconds)
    monkeypatch.setattr("relay.engine.feedback.ABANDONED", timedelta())
    monkeypatch.setattr("relay.resolver.resolver.FAILURE_TTL", 0.05)
    (box,) = (await letters.write()).summary.reply_to
    zone = letters.relay.lab.zone
    zone.break_name("inbox.lab.test", Fault(Trouble.SERVFAIL), "TXT")
    assert (await letters.mail(box.address))[0] == 250
    judged: list[int] = []
    put_off = Answers._put_off

    def noted(self: Answers, item: InboundItem) -> None:
        judged.append(item.id)
        put_off(self, item)

    monkeypatch.setattr(Answers, "_put_off", noted)
    async with asyncio.timeout(30):
        while len(judged) < TRIES + 2:  # more often than a mail may end its reader
            await asyncio.sleep(0.02)
    (view,) = await letters.relay.stores.inbound.listing(InboundFilter(waiting=False))
    assert view.followed == "", "nothing is decided about it"
    zone.mend("inbox.lab.test", "TXT")
    async with asyncio.timeout(30):
        while "Words of mine." not in await letters.page():
            await asyncio.sleep(0.05)
