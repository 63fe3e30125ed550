"""Receivers that nobody here wrote: the real Postfix with STARTTLS, and its smtp-sink misbehaving by its options."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import trustme

from relay.clock import SystemClock
from relay.egress.certificates import client_context
from relay.egress.contract import Session
from relay.egress.dialer import SmtpDialer
from relay.egress.opening import TlsMeans
from relay.egress.timeouts import Timeouts
from relay.policy.dane import usable
from relay.policy.outcome import Outcome, Phase, Result, Scope
from relay.policy.route import Candidate
from relay.policy.tls import HostDemand, PolicyType, TlsDemand, operator_demand
from relay.smtp.transcript import Transcript
from tests.support.egress import PATIENT, SOURCE, anchors_of, message
from tests.support.ports import free_port
from tests.support.postfix_receiver import PATHS, UNFIT, postfix_receiver

CLOCK = SystemClock()
SINK = shutil.which("smtp-sink", path=PATHS)
AUTHORITY = trustme.CA()
CERTIFICATE = AUTHORITY.issue_cert("mx.postfix.test")
CHAIN = b"".join(pem.bytes() for pem in CERTIFICATE.cert_chain_pems)
KEY = CERTIFICATE.private_key_pem.bytes()

BODIES = (
    b".\r\n..\r\n.x\r\n\r\n.\r\n",
    b"no end of line",
    b"x" * 998 + b"\r\n." + b"y" * 997 + b"\r\n",
    "Größe, 日本語\r\n".encode(),
    b"line\r\n" * 200_000,
)


async def dial(
    port: int, demand: HostDemand, *, exchanger: str = "mx.postfix.test", timeouts: Timeouts = PATIENT
) -> Session | Outcome:
    dialer = SmtpDialer(TlsMeans(client_context(), anchors_of(AUTHORITY)), timeouts=timeouts, clock=CLOCK)
    candidate = Candidate(exchanger, "127.0.0.1", port, demand)
    return await dialer.dial(candidate, SOURCE, Transcript(CLOCK.monotonic(), []))


@pytest.mark.skipif(bool(UNFIT), reason=UNFIT)
async def test_postfix_takes_what_we_send_octet_by_octet() -> None:  # A09 A10 A11 D05 D14 E01 E09
    async with postfix_receiver(certificate=CHAIN, key=KEY) as receiver:
        session = await dial(receiver.port, operator_demand(TlsDemand.VERIFY))
        assert not isinstance(session, Outcome), session
        assert session.tls is not None
        assert session.tls.verified
        transcript = Transcript(CLOCK.monotonic(), [])
        for n, body in enumerate(BODIES):
            content = b"Subject: number %d\r\nMIME-Version: 1.0\r\n\r\n" % n + body
            (outcome,) = await session.send(message("ann@example.net", content=content), transcript)
            assert outcome.result is Result.DELIVERED, outcome
        many = await session.send(message(*(f"r{n}@example.net" for n in range(150))), transcript)
        assert {outcome.result for outcome in many} == {Result.DELIVERED}
        await session.quit()
        mails = {mail.partition(b"Subject: number ")[2][:1]: mail for mail in await receiver.mails(len(BODIES) + 150)}
        for n, body in enumerate(BODIES):
            kept = mails[b"%d" % n].partition(b"\r\n\r\n")[2]
            assert kept == (body if body.endswith(b"\r\n") else body + b"\r\n")


@pytest.mark.skipif(bool(UNFIT), reason=UNFIT)
async def test_postfix_under_each_demand() -> None:  # E06 E05 H05
    leaf = trustme.CA().issue_cert("mx.postfix.test")
    chain = b"".join(pem.bytes() for pem in leaf.cert_chain_pems)
    async with postfix_receiver(certificate=chain, key=leaf.private_key_pem.bytes()) as receiver:
        for demand, delivered in (
            (operator_demand(TlsDemand.NONE), True),
            (operator_demand(TlsDemand.MAY), True),
            (operator_demand(TlsDemand.ENCRYPT), True),
            (operator_demand(TlsDemand.VERIFY), False),
            (HostDemand(TlsDemand.STS, policy=PolicyType.STS), False),
            (HostDemand(TlsDemand.DANE, tlsa=usable(["3 1 1 " + "ab" * 32]), names=("mx.postfix.test",)), False),
        ):
            opened = await dial(receiver.port, demand)
            assert isinstance(opened, Outcome) is not delivered, demand
            if isinstance(opened, Outcome):
                assert (opened.result, opened.phase) == (Result.TEMPORARY, Phase.TLS)
            else:
                assert (opened.tls is None) is (demand.level is TlsDemand.NONE)
                await opened.quit()


@pytest.mark.skipif(bool(UNFIT), reason=UNFIT)
async def test_postfixs_limits_are_understood() -> None:  # A14 D04 A17
    options = ("message_size_limit = 20000", "smtpd_recipient_limit = 10", "smtpd_reject_unlisted_recipient = no")
    async with postfix_receiver(*options) as receiver:
        session = await dial(receiver.port, operator_demand(TlsDemand.MAY))
        assert not isinstance(session, Outcome)
        transcript = Transcript(CLOCK.monotonic(), [])
        outcomes = await session.send(message(*(f"r{n}@example.net" for n in range(37))), transcript)
        assert [outcome.result for outcome in outcomes] == [Result.DELIVERED] * 37
        (large,) = await session.send(message(content=b"A: b\r\n\r\n" + b"x\r\n" * 10_000), transcript)
        assert (large.result, large.scope, large.reply.status) == (Result.PERMANENT, Scope.MESSAGE, "5.3.4")
        await session.quit()


@contextlib.asynccontextmanager
async def sink(*options: str) -> AsyncIterator[int]:
    """Postfix's smtp-sink with `options`; its port."""
    port = free_port()
    assert SINK is not None
    user = () if os.geteuid() else ("-u", "nobody")
    process = await asyncio.create_subprocess_exec(SINK, *user, *options, f"127.0.0.1:{port}", "64")
    try:
        async with asyncio.timeout(10):
            while True:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    await writer.wait_closed()
                    break
                await asyncio.sleep(0.05)
        yield port
    finally:
        process.terminate()
        await process.wait()


@pytest.mark.skipif(SINK is None, reason="smtp-sink is not installed")
@pytest.mark.parametrize(
    ("options", "result", "phase"),
    [
        ((), Result.DELIVERED, Phase.DOT),
        (("-p",), Result.DELIVERED, Phase.DOT),
        (("-e",), Result.DELIVERED, Phase.DOT),
        (("-f", "connect"), Result.PERMANENT, Phase.BANNER),
        (("-r", "connect"), Result.TEMPORARY, Phase.BANNER),
        (("-r", "mail"), Result.TEMPORARY, Phase.MAIL),
        (("-f", "mail"), Result.PERMANENT, Phase.MAIL),
        (("-r", "rcpt"), Result.TEMPORARY, Phase.RCPT),
        (("-f", "rcpt"), Result.PERMANENT, Phase.RCPT),
        (("-r", "data"), Result.TEMPORARY, Phase.DATA),
        (("-f", "data"), Result.PERMANENT, Phase.DATA),
        (("-r", "."), Result.TEMPORARY, Phase.DOT),
        (("-f", "."), Result.PERMANENT, Phase.DOT),
        (("-q", "ehlo"), Result.TEMPORARY, Phase.EHLO),
        (("-q", "mail"), Result.TEMPORARY, Phase.MAIL),
        (("-q", "rcpt"), Result.TEMPORARY, Phase.RCPT),
        (("-q", "data"), Result.TEMPORARY, Phase.DATA),
        (("-q", "."), Result.UNKNOWN, Phase.DOT),
        (("-Q", "rcpt"), Result.TEMPORARY, Phase.RCPT),
        (("-Q", "."), Result.TEMPORARY, Phase.DOT),
        (("-W", "."), Result.UNKNOWN, Phase.DOT),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
async def test_smtp_sink_in_its_moods(options: tuple[str, ...], result: Result, phase: Phase) -> None:  # A02 A16 A21
    silent = options[:1] == ("-W",)
    given = ("-W", ".:30") if silent else options
    timeouts = replace(PATIENT, dot=0.5) if silent else PATIENT
    async with sink(*given) as port:
        opened = await dial(port, operator_demand(TlsDemand.MAY), timeouts=timeouts)
        if isinstance(opened, Outcome):
            outcome = opened
        else:
            (outcome,) = await opened.send(message(), Transcript(CLOCK.monotonic(), []))
            opened.abort()
    assert (outcome.result, outcome.phase) == (result, phase), outcome
