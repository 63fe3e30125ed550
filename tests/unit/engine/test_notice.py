"""Who is told of a failure: the sender of an SMTP submission, unless nobody asked or nobody is there to tell."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from relay.engine.assess import Assessor
from relay.engine.attempt import AttemptResult
from relay.engine.lease import Lease
from relay.engine.notice import Notices
from relay.engine.settler import Settler
from relay.engine.submission import Refusal, Submission
from relay.ids import SeededEntropy
from relay.mail.address import NULL_PATH, ReversePath, parse_address
from relay.mail.envelope import Envelope, Notify, Recipient
from relay.policy.outcome import DecidedBy, Outcome, Phase, Result, Scope
from relay.policy.retry import RetrySchedule
from relay.policy.state import State
from relay.smtp.reply import remote_reply
from relay.spool.work import Door, NewMessage
from tests.support.engine_bench import EngineBench, engine_bench
from tests.support.hand_clock import HandClock

GONE = remote_reply(550, ("5.1.1 no such user",))


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[EngineBench]:
    async with engine_bench(tmp_path) as bench:
        bench.far.host("mx.b.example").reply_to = lambda _: GONE
        yield bench


def envelope(sender: ReversePath, *notify: Notify | None) -> Envelope:
    to = tuple(Recipient(parse_address(f"u{n}@b.example"), wish) for n, wish in enumerate(notify))
    return Envelope(sender, to)


async def notices(bench: EngineBench) -> list[str]:
    """Whom the relay wrote to, once it is done."""
    return [one.recipient for one in bench.far.taken if one.exchanger == "mx.sender.example"]


async def test_the_sender_hears_of_those_who_asked(bench: EngineBench) -> None:
    sender = parse_address("ann@sender.example")
    message = await bench.send(envelope=envelope(sender, None, Notify(0), Notify.FAILURE, Notify.DELAY))
    await bench.until(message, State.BOUNCED)
    async with asyncio.timeout(10):
        while not await notices(bench):
            await asyncio.sleep(0.01)
    (notice,) = (one for one in bench.far.taken if one.exchanger == "mx.sender.example")
    assert notice.recipient == "ann@sender.example"
    assert b"multipart/report" in notice.content
    assert b"u0@b.example" in notice.content
    assert b"u2@b.example" in notice.content
    assert b"Final-Recipient: rfc822; u1@b.example" not in notice.content
    assert b"Final-Recipient: rfc822; u3@b.example" not in notice.content


@pytest.mark.parametrize(
    ("sender", "notify", "door"),
    [
        (NULL_PATH, None, Door.SMTP),
        (parse_address("ann@sender.example"), Notify(0), Door.SMTP),
        (parse_address("ann@sender.example"), Notify.SUCCESS, Door.SMTP),
        (parse_address("ann@sender.example"), None, Door.HTTP),
        (parse_address("ann@sender.example"), None, Door.WEB),
    ],
    ids=["null path", "NOTIFY=NEVER", "NOTIFY=SUCCESS", "HTTP", "web"],
)
async def test_nobody_else_is_written_to(
    bench: EngineBench, sender: ReversePath, notify: Notify | None, door: Door
) -> None:
    message = await bench.send(envelope=envelope(sender, notify), door=door)
    await bench.until(message, State.BOUNCED)
    marker = await bench.send("a@c.example")
    await bench.until(marker, State.DELIVERED)
    assert await notices(bench) == []


async def test_a_notice_that_cannot_be_delivered_gets_none(bench: EngineBench) -> None:
    # B15, B17, RFC 5321 §6.1: or two relays would write to each other for ever
    bench.far.host("mx.sender.example").reply_to = lambda _: GONE
    message = await bench.send(envelope=envelope(parse_address("ann@sender.example"), None))
    await bench.until(message, State.BOUNCED)
    async with asyncio.timeout(10):
        while bench.far.host("mx.sender.example").dials == 0:
            await asyncio.sleep(0.01)
    await bench.until(await bench.send("a@c.example"), State.DELIVERED)
    assert await bench.spool.next_due() is None
    assert bench.far.host("mx.sender.example").dials == 1


async def test_what_was_delivered_stays_so_when_a_notice_is_cut_short(tmp_path: Path) -> None:
    """Stopping while a DSN is being signed: the delivered is settled, the failed goes back to be told of later."""
    clock = HandClock()
    async with engine_bench(tmp_path, clock, start=False) as bench:
        lease = Lease(bench.spool, clock, lambda _: None)
        await lease.start("relay.example", 9)
        message = await bench.send("ok@b.example", "gone@b.example")
        (parcel,) = await bench.spool.claim(lease.incarnation, 10)
        signing = asyncio.Event()

        async def sign_for_ever(_: Submission) -> NewMessage | Refusal:
            signing.set()
            await asyncio.Event().wait()
            raise AssertionError

        settler = Settler(bench.spool, lease, lambda _: None)
        settler.start()
        schedule = RetrySchedule((), 0.0)
        writer = Notices("relay.example", bench.spool, sign_for_ever)
        assessor = Assessor(settler, writer, schedule, clock=clock, entropy=SeededEntropy(1))
        good = Outcome(Result.DELIVERED, Scope.RECIPIENT, Phase.DOT, DecidedBy.REMOTE, remote_reply(250, ("ok",)))
        bad = Outcome(Result.PERMANENT, Scope.RECIPIENT, Phase.RCPT, DecidedBy.REMOTE, GONE)
        result = AttemptResult((good, bad), None, reached=True, transcript=(), duration_ms=1)
        assessing = asyncio.create_task(assessor.assess(parcel, result))
        await signing.wait()
        assessing.cancel()
        await asyncio.gather(assessing, return_exceptions=True)
        await settler.flush(10)
        assert await bench.states(message) == [State.DELIVERED, State.WAITING]
        await settler.stop()
        await lease.stop()
