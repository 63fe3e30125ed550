"""Mails that are no letters, on a whole relay: doorbell and weekly have domains and streams of their own, signed."""

from __future__ import annotations

import asyncio
import email
import email.policy
import re
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import aiohttp

from relay.account.identity import FRONT_TENANT
from relay.lab.mailbox import Arrival
from relay.mail.address import parse_address
from tests.support.form import PageReader
from tests.support.visitor import LETTER
from tests.support.whole_relay import WholeRelay, whole_relay

WORDS = "Words that are in no doorbell."
SELECTORS = ["lab-rsa", "lab-ed25519"]
HOME = "https://leak.lab.test"
SETTINGS: dict[str, dict[str, Any]] = {
    "signing": {
        "domain": [
            {"domain": "leak.lab.test", "selectors": SELECTORS},
            {"domain": "doorbell.leak.lab.test", "selectors": SELECTORS, "return_domain": "bounces.leak.lab.test"},
            {"domain": "weekly.leak.lab.test", "selectors": SELECTORS, "return_domain": "bounces.leak.lab.test"},
        ]
    },
    "web": {
        "base_url": HOME,
        "first_contact": "doorbell",
        "doorbell_domain": "doorbell.leak.lab.test",
        "weekly_domain": "weekly.leak.lab.test",
    },
    "unsubscribe": {"streams": ["letters", "doorbells"], "base_url": HOME},
    "inbound": {"domain": "bounces.leak.lab.test"},
}


def read(arrival: Arrival) -> EmailMessage:
    return email.message_from_bytes(arrival.posting.content, policy=email.policy.default)


async def write(client: aiohttp.ClientSession, recipient: str) -> str:
    """Send a letter through the pages; where its status is."""
    async with client.post("/en/preview", data={**LETTER, "to": recipient, "message": WORDS}) as answer:
        page = PageReader(await answer.text())
    fields = {"token": page.fields["token"], "action": "send"}
    async with client.post("/en/preview", data=fields, allow_redirects=False) as answer:
        assert answer.status == 303, await answer.text()
        return answer.headers["Location"]


async def verdict(arrival: Arrival) -> list[tuple[str, str]]:
    """Domain and result of each signature, as the lab's receiver found them."""
    while arrival.verdict is None:
        await asyncio.sleep(0.02)
    return [(one.domain, one.result) for one in arrival.verdict.dkim]


async def refuses(relay: WholeRelay, person: str, stream: str) -> bool:
    tenant = await relay.stores.accounts.ensure_tenant(FRONT_TENANT)
    return bool(await relay.stores.suppressions.find(tenant, stream, [parse_address(person)]))


async def test_doorbell_and_weekly_end_to_end(tmp_path: Path) -> None:  # RCP 4, RCP 1
    async with (
        whole_relay(tmp_path, "", **SETTINGS) as relay,
        asyncio.timeout(90),
        aiohttp.ClientSession(relay.http) as client,
    ):
        await write(client, "ann@inbox.lab.test")
        (bell,) = await relay.arrivals("ann@inbox.lab.test")
        mail = read(bell)
        assert mail["From"] == "Leak <doorbell@doorbell.leak.lab.test>"
        assert await verdict(bell) == [("doorbell.leak.lab.test", "pass")] * 2
        assert bell.posting.reverse_path.endswith("@bounces.leak.lab.test")
        text = mail.get_body(("plain",)).get_content()  # type: ignore[union-attr]
        assert WORDS not in bell.posting.content.decode()
        assert f"letter at {HOME}." in text
        async with client.post(re.findall(rf"{HOME}(/read/\S+)", text)[0], data={"action": "read"}) as answer:
            assert WORDS in PageReader(await answer.text()).text

        await write(client, "ann@inbox.lab.test")  # known by now
        (_, letter) = await relay.arrivals("ann@inbox.lab.test", count=2)
        assert read(letter)["From"] == "A friend <letter@leak.lab.test>"
        assert await verdict(letter) == [("leak.lab.test", "pass")] * 2

        async with client.post("/en/weekly", data={"to": "cid@inbox.lab.test"}) as answer:
            assert answer.status == 200
        (asked,) = await relay.arrivals("cid@inbox.lab.test")
        assert read(asked)["From"] == "Leak <weekly@weekly.leak.lab.test>"
        assert await verdict(asked) == [("weekly.leak.lab.test", "pass")] * 2
        assert asked.posting.reverse_path.endswith("@bounces.leak.lab.test")

        await write(client, "bob@inbox.lab.test")
        (bell,) = await relay.arrivals("bob@inbox.lab.test")
        (click,) = re.findall(rf"<{HOME}(/u/\w+)>", read(bell)["List-Unsubscribe"])
        async with client.post(click, data={"List-Unsubscribe": "One-Click"}) as answer:
            assert answer.status == 200
        assert await refuses(relay, "bob@inbox.lab.test", "doorbells")
        status = await write(client, "bob@inbox.lab.test")
        while True:
            async with client.get(status) as answer:
                if "could not be delivered" in await answer.text():
                    break
            await asyncio.sleep(0.02)
        assert len(await relay.arrivals("bob@inbox.lab.test")) == 1
        assert await _learnt(relay) == [(None, "opted_out")], "a keyed hash alone, also once the event has been read"


async def _learnt(relay: WholeRelay) -> list[Any]:
    """Address and detail of what is refused, once the learner has read why."""
    sql = "SELECT address, detail FROM suppression"
    while True:
        rows = await relay.stores.database.read(lambda connection: list(connection.execute(sql)))
        if rows and all(detail.startswith("opted_out") for _, detail in rows):
            return rows
        await asyncio.sleep(0.05)
