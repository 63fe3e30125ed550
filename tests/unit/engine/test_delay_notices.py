"""Reports of delays and of mail handed on: who is told, when, how often, and with what (rows G)."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from relay.clock import SystemClock
from relay.database.contract import Connection
from relay.ids import SpoolId
from relay.mail.address import parse_address
from relay.mail.envelope import Envelope, Notify, Recipient
from relay.policy.notify import NoticeRule
from relay.policy.state import State
from relay.report.reading import read_report
from relay.report.result import Said
from relay.smtp.reply import remote_reply
from tests.support.engine_bench import CONTENT, EngineBench, engine_bench
from tests.support.hand_clock import HandClock

ANN = parse_address("ann@sender.example")
LATER = remote_reply(451, ("4.7.1 not now",))
HOUR = 3600.0


@pytest.fixture(autouse=True)
def quick_heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.engine.lease.BEATS", 1200)  # 50 ms
    monkeypatch.setattr("relay.engine.scheduler.POLL", timedelta(milliseconds=20))


def to(*recipients: str, notify: Notify | None) -> Envelope:
    return Envelope(ANN, tuple(Recipient(parse_address(one), notify) for one in recipients))


def reports(bench: EngineBench) -> list[bytes]:
    return [one.content for one in bench.far.taken if one.exchanger == "mx.sender.example"]


async def attempted(bench: EngineBench, message: SpoolId, count: int) -> None:
    async with asyncio.timeout(20):
        while (await bench.view(message)).deliveries[0].attempts < count:
            await asyncio.sleep(0.01)


async def told(bench: EngineBench, count: int) -> list[bytes]:
    async with asyncio.timeout(20):
        while len(reports(bench)) < count:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    return reports(bench)


@pytest.mark.parametrize(
    ("notify", "unasked", "expected"),
    [
        (Notify.DELAY, False, 1),
        (Notify.DELAY | Notify.FAILURE, False, 1),
        (None, False, 0),
        (None, True, 1),
        (Notify.FAILURE, True, 0),
        (Notify.NEVER, True, 0),
    ],
)
async def test_a_delay_is_told_once_to_who_asked(
    tmp_path: Path, notify: Notify | None, unasked: bool, expected: int
) -> None:
    # G08
    clock = HandClock()
    rule = NoticeRule(timedelta(hours=4), unasked)
    async with engine_bench(tmp_path, clock, retry=timedelta(hours=1), notices=rule) as bench:
        bench.far.host("mx.b.example").reply_to = lambda _: LATER
        sent = await bench.send(envelope=to("a@b.example", "c@b.example", notify=notify))
        for hours in range(1, 8):
            await attempted(bench, sent, hours)
            if hours <= 3:
                assert reports(bench) == []
            clock.move(HOUR)
        await attempted(bench, sent, 8)
        found = await told(bench, expected)
        assert len(found) == expected
        for report in found:
            reading = read_report(report)
            assert [one.action for one in reading.recipients] == [Said.DELAYED] * 2
            # An attempt between a jump of the clock and the next heartbeat is given up for want of a lease.
            assert {one.status for one in reading.recipients} <= {"4.7.1", "4.3.0"}
            assert not any(one.failed for one in reading.recipients)
            assert b"Will-Retry-Until" in report


async def test_mail_for_a_dead_site_is_told_of_too(tmp_path: Path) -> None:
    """Its site rests, so it makes no attempts of its own."""
    clock = HandClock()
    async with engine_bench(tmp_path, clock, retry=timedelta(hours=1), rest=timedelta(hours=1)) as bench:
        bench.far.host("mx.b.example").reachable = False
        first = await bench.send(envelope=to("a@b.example", notify=Notify.DELAY))
        await attempted(bench, first, 1)
        await bench.send(envelope=to("c@b.example", notify=Notify.DELAY))
        for _ in range(5):
            clock.move(HOUR + 1)
            await asyncio.sleep(0.3)
        found = await told(bench, 2)
        assert {read_report(one).recipients[0].address for one in found} == {"a@b.example", "c@b.example"}
        assert len(found) == 2


async def test_late_waits_do_not_make_the_notice_late(tmp_path: Path) -> None:
    clock = HandClock()
    async with engine_bench(tmp_path, clock, retry=timedelta(hours=3)) as bench:
        bench.far.host("mx.b.example").reply_to = lambda _: LATER
        sent = await bench.send(envelope=to("a@b.example", notify=Notify.DELAY))
        await attempted(bench, sent, 1)
        clock.move(3 * HOUR)  # the next attempt would be after six hours
        assert len(await told(bench, 1)) == 1


@pytest.mark.parametrize(("dsn", "notify"), [(False, Notify.SUCCESS), (True, Notify.SUCCESS), (False, None)])
async def test_a_success_is_confirmed_where_the_next_host_will_not(
    tmp_path: Path, dsn: bool, notify: Notify | None
) -> None:
    # G02, G03
    async with engine_bench(tmp_path) as bench:
        bench.far.host("mx.b.example").dsn = dsn
        sent = await bench.send(envelope=to("a@b.example", notify=notify))
        await bench.until(sent, State.DELIVERED)
        expected = int(notify is not None and not dsn)
        found = await told(bench, expected)
        assert [read_report(one).recipients[0].action for one in found] == [Said.RELAYED] * expected


async def test_one_report_tells_of_all_recipients_of_an_attempt(tmp_path: Path) -> None:
    async with engine_bench(tmp_path) as bench:
        host = bench.far.host("mx.b.example")
        host.reply_to = lambda to: remote_reply(250, ("ok",)) if to.local == "ok" else remote_reply(550, ("5.1.1 no",))
        both = Notify.SUCCESS | Notify.FAILURE
        await bench.send(envelope=to("ok@b.example", "gone@b.example", "away@b.example", notify=both))
        (report,) = await told(bench, 1)
        actions = {one.address: one.action for one in read_report(report).recipients}
        assert actions == {
            "ok@b.example": Said.RELAYED,
            "gone@b.example": Said.FAILED,
            "away@b.example": Said.FAILED,
        }


async def test_the_returned_message_has_the_prelude_that_was_written_late(tmp_path: Path) -> None:
    """Accepted while nothing could leave, claimed, and given its Date and Message-ID only then."""
    clock = SystemClock()
    async with engine_bench(tmp_path, clock, start=False) as bench:
        bench.far.host("mx.b.example").reply_to = lambda _: remote_reply(550, ("5.1.1 no such user",))
        sent = await bench.send("a@b.example", content=CONTENT)

        def forget(connection: Connection) -> None:
            connection.execute("UPDATE message SET prelude = NULL WHERE id = ?", (sent,))

        await bench.database.write(forget)
        await bench.engine.start()
        await bench.until(sent, State.BOUNCED)
        (report,) = await told(bench, 1)
        returned = report.partition(b"Content-Type: text/rfc822-headers")[2]
        assert b"\r\nDate: " in returned
        assert b"\r\nMessage-ID: " in returned
        assert read_report(report).original.message_id


async def test_our_reports_in_utf8_are_read_too(tmp_path: Path) -> None:
    # RFC 6533
    async with engine_bench(tmp_path) as bench:
        bench.far.host("mx.b.example").reply_to = lambda _: remote_reply(550, ("5.1.1 no such user",))
        sender = parse_address("änne@sender.example")
        envelope = Envelope(
            sender, (Recipient(parse_address("zoë@b.example"), None, "utf-8;zoë@b.example"),), smtputf8=True
        )
        sent = await bench.send(envelope=envelope)
        await bench.until(sent, State.BOUNCED)
        (report,) = await told(bench, 1)
        assert b"message/global-delivery-status" in report
        (recipient,) = read_report(report).recipients
        assert (recipient.address, recipient.action, recipient.status) == ("zoë@b.example", Said.FAILED, "5.1.1")
