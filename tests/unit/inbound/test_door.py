"""The inbound door on a whole relay: whom it takes mail for, what it refuses, and what is on disk after its 250."""

from __future__ import annotations

import asyncio
import smtplib
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from relay.clock import SystemClock
from relay.ids import SeededEntropy, new_spool_id
from relay.inbound.rate import Rate
from relay.node_secrets import token_keys
from relay.policy.hearing import Purpose
from relay.policy.state import State
from relay.receiving import inbound_options
from relay.spool.inbound_values import InboundFilter, InboundView
from relay.submission.connections import Connections
from relay.tokens import TokenKey, TokenKind, Tokens, delivery_subject
from tests.support.whole_relay import WholeRelay, whole_relay

DOMAIN = "bounces.leak.lab.test"
LETTER = b"From: Ann <ann@leak.lab.test>\r\nTo: ok@inbox.lab.test\r\nSubject: Hi\r\n\r\nHello.\r\n"
INBOUND = {
    "listen": ["127.0.0.1:0"],
    "domain": DOMAIN,
    "tls": {"certificate": "relay.pem", "key": "relay.key"},
    "max_message_size": 100_000,
}
DSN = (
    "From: MAILER-DAEMON@mx.example\r\nSubject: Undelivered\r\nMIME-Version: 1.0\r\n"
    'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\r\n\r\n'
    "--b\r\nContent-Type: text/plain\r\n\r\nno\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n"
    "Reporting-MTA: dns; mx.example\r\n\r\nFinal-Recipient: rfc822; ok@inbox.lab.test\r\nAction: failed\r\n"
    "Status: 5.1.1\r\nDiagnostic-Code: smtp; 550 5.1.1 nobody\r\n\r\n--b--\r\n"
)


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncIterator[WholeRelay]:
    async with whole_relay(tmp_path, inbound=INBOUND) as running:
        yield running


def _talk(relay: WholeRelay, recipients: list[str], content: str, tls: bool = True) -> list[tuple[int, str]]:
    """The answers to each RCPT, and to the dot if any was taken."""
    answers = []
    with smtplib.SMTP("127.0.0.1", relay.inbound_port, timeout=10) as client:
        client.ehlo("mx.example")
        if tls:
            client.starttls(context=relay.trust())
            client.ehlo("mx.example")
        assert client.mail("")[0] == 250
        for recipient in recipients:
            client.putcmd("rcpt", f"TO:<{recipient}>")
            answers.append(client.getreply())
        if any(code == 250 for code, _ in answers):
            answers.append(client.data(content.encode()))
    return [(code, text.decode()) for code, text in answers]


async def talk(relay: WholeRelay, recipients: list[str], content: str = "Subject: x\r\n\r\nHello\r\n") -> list[int]:
    return [code for code, _ in await asyncio.to_thread(_talk, relay, recipients, content)]


async def sorted_items(relay: WholeRelay, count: int) -> list[InboundView]:
    async with asyncio.timeout(30):
        while True:
            found = await relay.stores.inbound.listing(InboundFilter(waiting=False))
            if sum(bool(one.followed) for one in found) >= count:
                return found
            await asyncio.sleep(0.02)


def forger() -> Tokens:
    return Tokens([TokenKey(b"f" * 32)], SystemClock())


async def test_it_takes_its_own_addresses_and_refuses_all_others(relay: WholeRelay) -> None:  # C07, C14, S14, S22
    now = SystemClock().now()
    subject = delivery_subject(new_spool_id(1_790_000_000_000, SeededEntropy(1)), 0)
    forged = forger().mint(TokenKind.RETURN, subject, now + timedelta(days=9))
    ours = Tokens(token_keys(relay.settings.path(relay.settings.node.secrets)), SystemClock())
    header_only = ours.mint(TokenKind.FEEDBACK, subject, now + timedelta(days=9))
    expired = ours.mint(TokenKind.RETURN, subject, now - timedelta(days=2))
    good = ours.mint(TokenKind.RETURN, subject, now + timedelta(days=9)).upper()
    table = {
        "postmaster": 250,
        "PostMaster@mail.leak.lab.test": 250,
        f"postmaster@{DOMAIN}": 250,
        "abuse@leak.lab.test": 250,
        f"feedback@{DOMAIN}": 250,
        f"dmarc-reports@{DOMAIN}": 250,
        f"tls-reports@{DOMAIN}": 250,
        f"{good}@{DOMAIN}": 250,
        f"{forged}@{DOMAIN}": 550,
        f"{expired}@{DOMAIN}": 550,
        f"{header_only}@{DOMAIN}": 550,
        f"{good[:-1]}@{DOMAIN}": 550,
        f"{good}@elsewhere.example": 550,
        "ann@leak.lab.test": 550,
        "victim@example.org": 550,
        f"victim%example.org@{DOMAIN}": 550,
        f'"victim@example.org"@{DOMAIN}': 550,
        "postmaster@[127.0.0.1]": 501,
    }
    answers = await talk(relay, list(table))
    assert dict(zip(table, answers, strict=False)) == table
    assert answers[-1] == 250


async def test_an_address_in_many_spellings_is_one(relay: WholeRelay) -> None:  # S28
    spellings = ["postmaster", "POSTMASTER", "PostMaster", "pOsTmAsTeR"]
    assert await talk(relay, [f"{name}@{DOMAIN}" for name in spellings]) == [250] * 5
    await sorted_items(relay, 1)
    found = await relay.stores.inbound.listing(InboundFilter(waiting=False))
    assert [one.address for one in found] == [f"postmaster@{DOMAIN}"]


def test_a_client_owns_the_whole_block_around_its_address() -> None:  # S25
    rate = Rate(2, SystemClock())
    taken = [rate.take(peer) for peer in ("2001:db8::1", "2001:db8::ffff", "2001:db8::2:0:1", "2001:db8:0:1::1")]
    assert taken == [True, True, False, True]
    assert [rate.take("192.0.2.1"), rate.take("192.0.2.2"), rate.take("::ffff:192.0.2.1")] == [True] * 3
    assert not rate.take("192.0.2.1")


class _Session:
    """One that does nothing."""

    waits_for_client = True

    def give_way(self) -> None:
        """Nothing."""


def test_a_block_of_addresses_has_the_sessions_of_one_client(relay: WholeRelay) -> None:  # S25
    options = replace(inbound_options(relay.settings), max_connections_per_address=2)
    room = Connections(options)
    first, *others = (_Session() for _ in range(5))
    assert room.admit("2001:db8::1", first) is None
    taken = [room.admit(peer, one) is None for peer, one in zip(("2001:db8::2", "2001:db8::3"), others, strict=False)]
    assert taken == [True, False]
    assert room.admit("2001:db8:0:1::1", others[2]) is None
    room.leave(first)
    assert room.admit("2001:db8::4", others[3]) is None


async def test_a_failure_report_settles_the_delivery_its_token_names(relay: WholeRelay) -> None:  # G14
    message = await relay.send("ann@leak.lab.test", ["ok@inbox.lab.test"], LETTER)
    await relay.until(message, State.DELIVERED)
    (arrival,) = await relay.arrivals("ok@inbox.lab.test")
    path = arrival.posting.reverse_path
    assert await talk(relay, [path], DSN) == [250, 250]
    view = await relay.until(message, State.RETURNED)
    event = view.events[-1]
    assert event.kind.label == "returned"
    assert (event.detail["reason"], event.detail["permanent"]) == ("unknown-user", True)
    assert event.detail["rule"]
    # The sender is told once, whatever comes after (G06, S18).
    await relay.arrivals("ann@leak.lab.test")
    assert await talk(relay, [path.upper()], DSN) == [250, 250]
    items = await sorted_items(relay, 2)
    assert [one.followed for one in items] == ["recorded", "returned"]
    assert [event.kind.label for event in (await relay.view(message)).events] == ["accepted", "delivered", "returned"]
    assert len(await relay.arrivals("ann@leak.lab.test")) == 1


async def test_a_report_without_a_token_waits_for_a_person(relay: WholeRelay) -> None:  # S22, G16
    message = await relay.send("ann@leak.lab.test", ["ok@inbox.lab.test"], LETTER)
    await relay.until(message, State.DELIVERED)
    assert await talk(relay, [f"postmaster@{DOMAIN}", f"feedback@{DOMAIN}"], DSN) == [250, 250, 250]
    items = await sorted_items(relay, 2)
    assert {(one.kind, one.followed, one.shown) for one in items} == {("bounce", "shown", True)}
    assert {one.delivery for one in items} == {""}
    assert (await relay.view(message)).deliveries[0].state is State.DELIVERED
    alarms = {(alarm.kind, alarm.subject) for alarm in await relay.stores.spool.alarms()}
    assert ("postmaster-mail", DOMAIN) in alarms
    count, since = await relay.stores.inbound.waiting(Purpose.POSTMASTER)
    assert count == 1
    assert since is not None


async def test_a_from_address_takes_mail_once_it_was_used_and_answers_nobody(relay: WholeRelay) -> None:
    message = await relay.send("ann@leak.lab.test", ["ok@inbox.lab.test"], LETTER)
    await relay.until(message, State.DELIVERED)
    async with asyncio.timeout(10):
        while not await relay.stores.senders.has("ann@leak.lab.test"):
            await asyncio.sleep(0.02)
    assert await talk(relay, ["Ann@leak.lab.test"]) == [250, 250]
    (item,) = await sorted_items(relay, 1)
    assert (item.purpose, item.followed) == (Purpose.SENDER, "kept")


async def test_too_big_a_mail_is_refused_and_nothing_is_kept(relay: WholeRelay) -> None:
    assert await talk(relay, ["postmaster"], "Subject: x\r\n\r\n" + "x" * 70 * 2000) == [250, 552]
    assert await relay.stores.inbound.listing(InboundFilter(waiting=False)) == []


async def test_starttls_is_offered_and_auth_is_not(relay: WholeRelay) -> None:
    def look() -> tuple[bool, bool, int]:
        with smtplib.SMTP("127.0.0.1", relay.inbound_port, timeout=10) as client:
            client.ehlo()
            offered = client.has_extn("starttls"), client.has_extn("auth")
            return *offered, client.docmd("AUTH", "PLAIN AGxhYgBsYWI=")[0]

    assert await asyncio.to_thread(look) == (True, False, 500)


async def test_an_aggregate_report_is_stored_once(relay: WholeRelay) -> None:  # M08
    report = (
        "From: dmarc@x.example\r\nSubject: Report Domain: leak.lab.test Submitter: x.example Report-ID: 1\r\n"
        "MIME-Version: 1.0\r\nContent-Type: application/xml; "
        'name="x.example!leak.lab.test!1790000000!1790086400.xml"\r\n\r\n<feedback>'
        "<policy_published><domain>leak.lab.test</domain></policy_published></feedback>\r\n"
    )
    for _ in range(2):
        assert await talk(relay, [f"dmarc-reports@{DOMAIN}"], report) == [250, 250]
    items = await sorted_items(relay, 2)
    assert {one.followed for one in items} == {"stored"}
    rows = await relay.stores.database.read(
        lambda connection: list(connection.execute("SELECT form, domain FROM aggregate_report"))
    )
    assert rows == [("dmarc", "leak.lab.test")]


@pytest.mark.parametrize("others", [[], ["bob@inbox.lab.test"]])
async def test_a_complaint_whose_paths_are_hidden_is_matched_by_feedback_id(
    relay: WholeRelay, others: list[str]
) -> None:  # N01, S22
    message = await relay.send("ann@leak.lab.test", ["ok@inbox.lab.test", *others], LETTER)
    await relay.until(message, State.DELIVERED)
    (arrival,) = await relay.arrivals("ok@inbox.lab.test")
    header = arrival.posting.content.partition(b"\r\n\r\n")[0].decode()
    assert ":feedback-id" in "".join(header.split()).lower(), "signed"
    line = next(line for line in header.split("\r\n") if line.startswith("Feedback-ID:"))
    report = (
        "From: staff@hotmail.com\r\nSubject: complaint\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/report; report-type=feedback-report; boundary="b"\r\n\r\n'
        "--b\r\nContent-Type: text/plain\r\n\r\nno\r\n--b\r\nContent-Type: message/feedback-report\r\n\r\n"
        "Feedback-Type: abuse\r\nUser-Agent: x/1\r\nVersion: 1\r\n\r\n--b\r\n"
        f"Content-Type: text/rfc822-headers\r\n\r\n{line}\r\nSubject: Hi\r\n\r\n--b--\r\n"
    )
    await relay.stores.loops.enrol("Microsoft")
    assert await talk(relay, [f"feedback@{DOMAIN}"], report) == [250, 250]
    (item,) = await sorted_items(relay, 1)
    # Every recipient knows the header's token: of several it proves nothing about one.
    assert (item.followed, item.delivery) == ("complained", message if others else f"{message}.0")
    event = (await relay.view(message)).events[-1]
    assert (event.kind.label, event.n) == ("complained", None if others else 0)
    (loop,) = await relay.stores.loops.listing()
    assert (loop.name, loop.reports) == ("Microsoft", 1)
    assert loop.enrolled_at is not None
    assert loop.first_at == loop.last_at


@pytest.mark.parametrize(("notify", "told"), [("NOTIFY=SUCCESS,FAILURE", 1), ("NOTIFY=NEVER", 0), ("", 0)])
async def test_a_report_of_delivery_is_passed_on_to_who_asked(relay: WholeRelay, notify: str, told: int) -> None:  # G02
    options = {"rcpt": [notify]} if notify else {}
    message = await relay.send("ann@leak.lab.test", ["ok@inbox.lab.test"], LETTER, **options)
    await relay.until(message, State.DELIVERED)
    (arrival,) = await relay.arrivals("ok@inbox.lab.test")
    report = DSN.replace("Action: failed", "Action: delivered").replace("Status: 5.1.1", "Status: 2.0.0")
    report = report.replace("Diagnostic-Code: smtp; 550 5.1.1 nobody\r\n", "")
    for _ in range(2):
        assert await talk(relay, [arrival.posting.reverse_path], report) == [250, 250]
    items = await sorted_items(relay, 2)
    assert {one.followed for one in items} == {"kept"}
    mails = await relay.arrivals("ann@leak.lab.test", told)
    assert len(mails) == told
    assert all(b"Action: delivered" in one.posting.content for one in mails)
    assert (await relay.view(message)).deliveries[0].state is State.DELIVERED
