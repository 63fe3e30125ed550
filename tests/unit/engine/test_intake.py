"""Intake on a real spool: what it refuses and in which words, what it holds, what it promises."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from relay.account.identity import Identity
from relay.clock import SystemClock
from relay.engine.submission import Accepted, Refusal, Submission
from relay.mail.address import NULL_PATH, parse_address
from relay.mail.envelope import Envelope, Recipient
from relay.policy.state import State
from relay.smtp.reply import Reply
from relay.spool.work import Door, Idempotency
from tests.support.engine_bench import CONTENT, EngineBench, engine_bench, submission


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[EngineBench]:
    async with engine_bench(tmp_path) as bench:
        yield bench


def with_field(name: str, value: str) -> bytes:
    """The letter with one field changed or added."""
    fields = [line for line in CONTENT.partition(b"\r\n\r\n")[0].split(b"\r\n") if not line.startswith(name.encode())]
    return b"\r\n".join([*fields, f"{name}: {value}".encode(), b"", b"A line.\r\n"])


TWO_OF_OURS = with_field("From", "ann@sender.example, bob@sender.example") + b""


@pytest.mark.parametrize(
    ("letter", "code", "status", "field"),
    [
        (submission(), 554, "5.5.1", "to"),
        (submission(*(f"u{n}@b.example" for n in range(101))), 550, "5.5.3", "to"),
        (submission("a@b.example", content=CONTENT + b"x" * 1_000_000), 552, "5.3.4", "raw"),
        (
            submission(
                envelope=Envelope(parse_address("ann@other.example"), (Recipient(parse_address("a@b.example")),))
            ),
            550,
            "5.7.1",
            "from",
        ),
        (submission("a@b.example", content=with_field("From", "ann@other.example")), 550, "5.7.1", "from"),
        (submission("a@b.example", content=with_field("Sender", "eve@other.example")), 550, "5.7.1", "from"),
        (submission("a@b.example", identity=Identity(1, "one", 7, "x", ())), 550, "5.7.1", "from"),
    ],
    ids=["no recipient", "too many", "too large", "reverse-path", "From", "Sender", "no rights at all"],
)
async def test_what_may_not_be_sent_is_refused(
    bench: EngineBench, letter: Submission, code: int, status: str, field: str
) -> None:
    answer = await bench.engine.intake.submit(letter)
    assert isinstance(answer, Refusal)
    assert (answer.reply.code, answer.reply.status, answer.field) == (code, status, field)
    assert await bench.spool.next_due() is None


@pytest.mark.parametrize(
    "content",
    [
        CONTENT + b"bare\nline",  # S01
        CONTENT.replace(b"Subject", b"From: eve@other.example\r\nSubject"),
        b"Subject: nobody wrote this\r\n\r\nA line.\r\n",
        CONTENT.replace(b"hello", b"x" * 1200),
    ],
    ids=["bare LF", "two Froms", "no From", "long line"],
)
async def test_unlawful_content_is_refused_with_its_field(bench: EngineBench, content: bytes) -> None:
    answer = await bench.engine.intake.submit(submission("a@b.example", content=content))
    assert isinstance(answer, Refusal)
    assert answer.reply.permanent
    assert bench.far.taken == []


async def test_a_mailbox_right_is_no_domain_right(bench: EngineBench) -> None:
    only_ann = Identity(1, "one", 7, "ann", ("ann@sender.example",))
    intake = bench.engine.intake
    assert intake.may_send_from(only_ann, "ann@sender.example") is None
    assert intake.may_send_from(only_ann, "") is None
    assert intake.may_send_from(only_ann, "bob@sender.example") is not None
    assert isinstance(await intake.submit(submission("a@b.example", identity=only_ann)), Accepted)
    as_bob = submission("a@b.example", identity=only_ann, content=with_field("From", "bob@sender.example"))
    assert isinstance(await intake.submit(as_bob), Refusal)


async def test_the_null_path_may_be_used_but_the_author_is_checked(bench: EngineBench) -> None:
    envelope = Envelope(NULL_PATH, (Recipient(parse_address("a@b.example")),))
    assert isinstance(await bench.engine.intake.submit(submission(envelope=envelope)), Accepted)
    forged = submission(envelope=envelope, content=with_field("From", "ann@other.example"))
    assert isinstance(await bench.engine.intake.submit(forged), Refusal)


async def test_too_much_at_once_is_told_to_come_back(bench: EngineBench) -> None:
    # S31: bounded memory; three of a million octets fit into the bench's intake
    letters = [submission("a@b.example", content=CONTENT + b"x" * 990 + b"\r\n" + b"y\r\n" * 300_000)] * 5
    answers = await asyncio.gather(*map(bench.engine.intake.submit, letters))
    codes = [answer.reply.code for answer in answers if isinstance(answer, Refusal)]
    assert codes
    assert set(codes) == {452}
    assert isinstance(await bench.engine.intake.submit(letters[0]), Accepted)


async def test_no_room_on_the_disk_is_452(tmp_path: Path) -> None:
    # R04, S32
    async with engine_bench(tmp_path) as bench:
        bench.spool._minimum_free = 1 << 60
        answer = await bench.engine.intake.submit(submission("a@b.example"))
    assert isinstance(answer, Refusal)
    assert (answer.reply.code, answer.reply.status) == (452, "4.3.1")


async def test_a_spool_that_is_gone_is_451(tmp_path: Path) -> None:
    async with engine_bench(tmp_path) as bench:
        bench.database.away = True
        answer = await bench.engine.intake.submit(submission("a@b.example"))
        assert isinstance(answer, Refusal)
        assert (answer.reply.code, answer.reply.status) == (451, "4.3.0")
        bench.database.away = False
        assert isinstance(await bench.engine.intake.submit(submission("a@b.example")), Accepted)


async def test_mail_whose_key_is_lost_is_held_with_an_alarm(tmp_path: Path) -> None:
    # R31
    async with engine_bench(tmp_path, signed=["sender.example"]) as bench:
        message = await bench.send("a@b.example")
        assert await bench.states(message) == [State.HELD]
        (alarm,) = await bench.spool.alarms()
        assert (alarm.kind, alarm.subject) == ("dkim-key", "sender.example")
        assert bench.far.taken == []


async def test_a_client_that_did_not_hear_our_250_sends_a_second_message(bench: EngineBench) -> None:
    # R14, case (d) of docs/spool.md: SMTP has no key, and two letters may well be the same on purpose
    answers = [await bench.engine.intake.submit(submission("a@b.example")) for _ in range(2)]
    taken = [answer for answer in answers if isinstance(answer, Accepted)]
    assert len({answer.id for answer in taken}) == 2
    assert not any(answer.duplicate for answer in taken)


async def test_a_repeated_key_gets_the_first_answer_and_other_content_a_conflict(bench: EngineBench) -> None:
    # R13
    letter = submission("a@b.example", door=Door.HTTP, idempotency=Idempotency("k", b"one"))
    answers = await asyncio.gather(*(bench.engine.intake.submit(letter) for _ in range(20)))
    accepted = [answer for answer in answers if isinstance(answer, Accepted)]
    assert len(accepted) == 20
    assert len({answer.id for answer in accepted}) == 1
    assert sum(not answer.duplicate for answer in accepted) == 1
    assert len({answer.deliveries for answer in accepted}) == 1
    other = replace(letter, idempotency=Idempotency("k", b"two"))
    refused = await bench.engine.intake.submit(other)
    assert isinstance(refused, Refusal)
    assert refused.conflict
    await bench.until(accepted[0].id, State.DELIVERED)
    assert bench.far.counted() == {"a@b.example": 1}


@pytest.mark.parametrize("days", [367, 700_000, None], ids=["over a year", "far", "the end of time"])
async def test_a_time_too_far_ahead_is_refused_for_good(bench: EngineBench, days: int | None) -> None:  # S31
    end = datetime.max.replace(tzinfo=timezone(timedelta(hours=-12)))
    later = end if days is None else SystemClock().now() + timedelta(days=days)
    answer = await bench.engine.intake.submit(submission("a@b.example", send_at=later))
    assert isinstance(answer, Refusal)
    assert (answer.reply.code, answer.reply.status, answer.field) == (554, "5.6.0", "send_at")


async def test_a_year_ahead_is_taken_and_the_past_is_now(bench: EngineBench) -> None:
    later = SystemClock().now() + timedelta(days=365)
    assert isinstance(await bench.engine.intake.submit(submission("a@b.example", send_at=later)), Accepted)
    past = datetime.min.replace(tzinfo=timezone(timedelta(hours=12)))
    message = await bench.send("a@b.example", send_at=past)
    await bench.until(message, State.DELIVERED)


async def test_mail_for_later_is_written_when_it_leaves(bench: EngineBench) -> None:
    later = SystemClock().now() + timedelta(seconds=1.5)
    message = await bench.send("a@b.example", send_at=later)
    assert await bench.states(message) == [State.WAITING]
    await bench.until(message, State.DELIVERED)
    (taken,) = bench.far.taken
    assert taken.content.startswith(b"Date: ")


LINES = b"A line of an attachment that fills a few pieces of the spool's.\r\n" * 12_000


@pytest.mark.parametrize("cut", [1_000_000, 70_001])
async def test_large_content_is_stored_while_it_comes_in_and_sent_as_it_is(bench: EngineBench, cut: int) -> None:
    # R08: whole, or in pieces, it is one message; what is sent has every octet of the body
    content = CONTENT.partition(b"\r\n\r\n")[0] + b"\r\nBcc: eve@rcpt.example\r\n\r\n" + LINES
    incoming = bench.engine.intake.receive()
    for start in range(0, len(content), cut):
        assert await incoming.write(content[start : start + cut]) is None
    large = await incoming.finish()
    assert not isinstance(large, Reply)
    answer = await bench.engine.intake.submit(submission("a@rcpt.example", content=large.head, body=large.body))
    assert isinstance(answer, Accepted)
    await bench.until(answer.id, State.DELIVERED)
    taken = bench.far.taken[-1].content
    assert taken.endswith(b"\r\n\r\n" + LINES)
    assert b"Bcc" not in taken
    assert not await bench.spool.remove_orphan(10)


async def test_large_8_bit_content_is_converted_and_what_it_was_is_removed(bench: EngineBench) -> None:
    content = CONTENT.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" + LINES + "à la fin\r\n".encode()
    answer = await bench.engine.intake.submit(submission("a@rcpt.example", content=content))
    assert isinstance(answer, Accepted)
    await bench.until(answer.id, State.DELIVERED)
    taken = bench.far.taken[-1].content
    assert taken.isascii()
    assert b"Content-Transfer-Encoding: quoted-printable\r\n" in taken
    assert taken.endswith(b"\r\n=C3=A0 la fin\r\n")
    async with asyncio.timeout(20):
        while await bench.spool.remove_orphan(10):
            await asyncio.sleep(0)


async def test_large_content_that_is_refused_leaves_nothing(bench: EngineBench) -> None:
    bad = with_field("From", "eve@other.example").partition(b"\r\n\r\n")[0] + b"\r\n\r\n" + LINES
    before = await bench.spool.store_piece(bench.engine.lease.incarnation, None, 0, b"x")
    answer = await bench.engine.intake.submit(submission("a@rcpt.example", content=bad))
    assert isinstance(answer, Refusal)
    assert answer.reply.code == 550
    incoming = bench.engine.intake.receive()
    assert await incoming.write(LINES[: 300 * 1024]) is not None  # no header, and no end of it in sight
    incoming.discard()
    async with asyncio.timeout(20):
        while await bench.spool.next_piece(before + 1, -1) is not None:
            await asyncio.sleep(0.01)
