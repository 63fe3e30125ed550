"""Plays every `NN_name/scenario.toml` of this folder on a whole relay against the lab; see README.md."""

from __future__ import annotations

import asyncio
import email
import email.policy
import tomllib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from relay.lab.mailbox import Arrival
from relay.mail.address import parse_address
from relay.policy.state import State
from relay.policy.suppress import Reason
from relay.spool.explaining import Obstacles, ceilings_of, waiting
from relay.spool.inbound_values import InboundFilter
from relay.spool.inquiry import DeliveryView, MessageView
from relay.suppression.contract import NewSuppression
from tests.support.postgres_server import PostgresServer
from tests.support.whole_relay import WholeRelay, whole_relay

FOLDERS = sorted(path.parent for path in Path(__file__).parent.glob("*/scenario.toml"))
ON_POSTGRES = [
    folder for folder in FOLDERS if folder.name[:2] in ("01", "03", "04", "07", "14", "17", "20", "22", "30")
]
"""A handful on the other database, where it could make a difference: retries, DSNs, duplicates, holds."""
SECONDS = 45


@dataclass
class Sent:
    """A mail of the scenario under its id, with the sender it came from."""

    sender: str
    recipients: list[str]
    message: str


@dataclass
class Play:
    """A scenario being played."""

    relay: WholeRelay
    sent: list[Sent] = field(default_factory=list)

    async def send(self, order: dict[str, Any]) -> None:
        sender = order.get("from", "ann@leak.lab.test")
        text = order.get("text", "Nobody knows who wrote this.")
        header = f"From: Ann <{sender}>\r\nTo: {', '.join(order['to'])}\r\nSubject: A letter\r\n"
        header += f"{order['header']}\r\n" if "header" in order else ""
        mime = 'MIME-Version: 1.0\r\nContent-Type: text/plain; charset="utf-8"\r\nContent-Transfer-Encoding: 8bit\r\n'
        content = (header + mime + "\r\n" + text + "\r\n").encode()
        mail = ["BODY=8BITMIME", *order.get("mail", ())]
        message = await self.relay.send(sender, order["to"], content, mail=mail, rcpt=order.get("rcpt", []))
        self.sent.append(Sent(sender, order["to"], message))

    async def suppress(self, order: dict[str, Any]) -> None:
        stores = self.relay.stores
        tenant = 0 if order.get("everywhere") else await stores.accounts.ensure_tenant("lab")
        address, reason = parse_address(order["address"]), Reason(order["reason"])
        await stores.suppressions.add([NewSuppression(tenant, address, reason, order.get("stream", ""))])

    async def rests(self, to: str) -> None:
        """Wait until the delivery to this recipient is final, or was tried and waits."""
        sent = next(sent for sent in self.sent if to in sent.recipients)
        while True:
            view = await self.relay.view(sent.message)
            delivery = next(one for one in view.deliveries if one.recipient == to)
            if delivery.state.final or (delivery.state is State.WAITING and delivery.attempts):
                return
            await asyncio.sleep(0.02)

    async def settled(self, expected: dict[str, Any]) -> tuple[Sent, MessageView, DeliveryView]:
        """Wait until the recipient's delivery is where it should be."""
        sent = next(sent for sent in self.sent if expected["to"] in sent.recipients)
        wanted = State[expected.get("until", expected.get("state", "")).upper()]
        least = expected.get("min_attempts", 1 if wanted is State.WAITING else 0)
        while True:
            view = await self.relay.view(sent.message)
            delivery = next(one for one in view.deliveries if one.recipient == expected["to"])
            told = "waits" not in expected or delivery.attempts or delivery.warmth is not None
            if delivery.state is wanted and delivery.attempts >= least and told:
                return sent, view, delivery
            # What was delivered may still come back.
            hopeless = delivery.state.final and not (wanted is State.RETURNED and delivery.state is State.DELIVERED)
            assert not hopeless, f"{expected['to']} is {delivery.state.label}: {view.events}"
            await asyncio.sleep(0.02)

    async def heard(self, expected: str, delivery: str) -> None:
        """Wait until mail from outside about a delivery is sorted: what it was, and what followed."""
        while True:
            found = await self.relay.stores.inbound.listing(InboundFilter(waiting=False))
            about = [one for one in found if one.delivery == delivery and one.followed]
            if about:
                assert [f"{one.kind} {one.followed}" for one in about] == [expected], about
                return
            await asyncio.sleep(0.05)

    def copies(self, recipient: str) -> list[Arrival]:
        return [one for one in self.relay.lab.inbox.newest_first() if recipient in one.posting.recipients]

    async def dsn(self, sent: Sent, recipient: str) -> EmailMessage:
        """The one DSN about a recipient; a second one is an error."""
        await self.relay.arrivals(sent.sender, seconds=SECONDS)
        await asyncio.sleep(0.2)
        found = [read(one) for one in self.copies(sent.sender)]
        about = [mail for mail in found if f"rfc822; {recipient}" in mail.as_string()]
        assert len(about) == 1, f"{len(about)} DSNs about {recipient}"
        assert all(one.posting.reverse_path == "" for one in self.copies(sent.sender))  # G06
        return about[0]


def read(arrival: Arrival) -> EmailMessage:
    return email.message_from_bytes(arrival.posting.content, policy=email.policy.default)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
async def test_scenario(folder: Path, tmp_path: Path) -> None:
    await perform(folder, tmp_path)


@pytest.mark.parametrize("folder", ON_POSTGRES, ids=lambda folder: folder.name)
async def test_scenario_on_postgres(folder: Path, tmp_path: Path, postgres_server: PostgresServer) -> None:
    await perform(folder, tmp_path, spool={"url": await postgres_server.create()})


async def perform(folder: Path, home: Path, **sections: dict[str, Any]) -> None:
    scenario = tomllib.loads((folder / "scenario.toml").read_text(encoding="utf-8"))
    if "providers" in scenario:
        (home / "providers.toml").write_text(scenario["providers"], encoding="utf-8")
    async with (
        whole_relay(home, scenario.get("keyless", ""), **scenario.get("settings", {}), **sections) as relay,
        asyncio.timeout(SECONDS),
    ):
        play = Play(relay)
        for order in scenario.get("suppress", ()):
            await play.suppress(order)
        for order in scenario["send"]:
            if order.get("after"):
                await play.rests(order["after"])
            await play.send(order)
        for expected in scenario["expect"]:
            await check(play, expected)


async def check_waiting(play: Play, expected: dict[str, Any], message: str, number: int) -> None:
    """Why the delivery waits, as `leak message` and the API tell it, once whatever holds it is written down.

    It is looked at anew each time: between two tries it may be under way, or wait for its turn after another.
    """
    stores = play.relay.stores
    while True:
        view, now = await play.relay.view(message), datetime.now(UTC)
        (delivery,) = (one for one in view.deliveries if one.n == number)
        ceilings = await stores.warm_ups.reasons(ceilings_of(view))
        why = waiting(view, delivery, now, Obstacles(await stores.spool.suspensions(), ceilings))
        if why.cause == expected["waits"] and why.until > now:
            break
        await asyncio.sleep(0.02)
    assert all(words in why.sentence for words in expected.get("because", ())), why


async def check(play: Play, expected: dict[str, Any]) -> None:
    sent, view, delivery = await play.settled(expected)
    if "heard" in expected:
        await play.heard(expected["heard"], f"{view.id}.{delivery.n}")
        sent, view, delivery = await play.settled(expected)
    check_history(expected, view, delivery)
    copies = play.copies(expected["to"])
    if "copies" in expected:
        assert len(copies) == expected["copies"]
    if "min_copies" in expected:
        assert len(copies) >= expected["min_copies"]
    if "return_domain" in expected:
        check_return_path(expected, play, copies)
    if "authentication" in expected:
        await check_authentication(expected["authentication"], copies[0])
    if "tls" in expected:
        assert bool(copies[0].posting.client.tls_version) is expected["tls"]
    if "text" in expected:
        assert read(copies[0]).get_content().strip() == expected["text"]
    if "dsn" in expected:
        dsn = await play.dsn(sent, expected["to"])
        assert f"Status: {expected['dsn']}" in dsn.as_string()
        assert dsn["Auto-Submitted"] == "auto-replied"
        for line in expected.get("report", ()):
            assert line in dsn.as_string()
    if expected.get("no_dsn"):
        await asyncio.sleep(0.5)
        assert play.copies(sent.sender) == []
    if "waits" in expected:
        await check_waiting(play, expected, view.id, delivery.n)
    if "alarm" in expected:
        assert expected["alarm"] in {alarm.kind for alarm in await play.relay.stores.spool.alarms()}


def check_return_path(expected: dict[str, Any], play: Play, copies: list[Arrival]) -> None:
    """Every copy of one delivery has one return path, and no other delivery has it where it is ours (G14)."""
    (mine,) = {one.posting.reverse_path for one in copies}
    assert mine.rpartition("@")[2] == expected["return_domain"]
    if expected["return_domain"] == play.relay.settings.inbound.domain:
        others = {one.posting.reverse_path for one in play.relay.lab.inbox.newest_first() if one not in copies}
        assert mine not in others
        assert all(len(one.posting.recipients) == 1 for one in copies)


def check_history(expected: dict[str, Any], view: MessageView, delivery: DeliveryView) -> None:
    mine = [event for event in view.events if event.n in (None, delivery.n)]
    if "events" in expected:
        check_events(expected["events"], [event.kind.label for event in mine])
    if "source" in expected:
        assert mine[-1].detail["source"] == expected["source"]
    if "attempts" in expected:
        assert delivery.attempts == expected["attempts"]
    if "reply" in expected:
        assert mine[-1].detail["reply"].startswith(expected["reply"])
    if "facts" in expected:
        told = mine[-1].detail["tls"]
        assert {key: told.get(key) for key in expected["facts"]} == expected["facts"], told
    if "passed" in expected:
        passed = [f"{one['host']} {one['tls']['failure']}" for one in mine[-1].detail["passed"]]
        assert passed == expected["passed"]
    if "results" in expected:
        assert [one.detail["result"] for one in view.attempts if one.n == delivery.n] == expected["results"]


def check_events(expected: list[str], happened: list[str]) -> None:
    """Compare; "…" stands for any number of further `deferred` events."""
    if "…" in expected:
        gap = expected.index("…")
        tail = expected[gap + 1 :]
        assert happened[:gap] == expected[:gap]
        assert happened[len(happened) - len(tail) :] == tail
        assert set(happened[gap : len(happened) - len(tail)]) <= {"deferred"}
    else:
        assert happened == expected


async def check_authentication(expected: dict[str, Any], arrival: Arrival) -> None:
    async with asyncio.timeout(SECONDS):
        while arrival.verdict is None:
            await asyncio.sleep(0.02)
    verdict = arrival.verdict
    assert verdict.spf.result == expected["spf"], verdict.spf
    assert [one.result for one in verdict.dkim] == expected["dkim"], verdict.dkim
    assert verdict.dmarc.result == expected["dmarc"], verdict.dmarc
