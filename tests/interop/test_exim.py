"""A receiver that nobody here wrote: the real Exim with STARTTLS (GnuTLS), with and without CHUNKING."""

from __future__ import annotations

import pytest
import trustme

from relay.clock import SystemClock
from relay.egress.certificates import client_context
from relay.egress.contract import Session
from relay.egress.dialer import SmtpDialer
from relay.egress.opening import TlsMeans
from relay.policy.outcome import Outcome, Result
from relay.policy.route import Candidate
from relay.policy.tls import TlsDemand, operator_demand
from relay.smtp.transcript import Transcript
from tests.support.egress import PATIENT, SOURCE, anchors_of, message
from tests.support.exim_receiver import UNFIT, exim_receiver

CLOCK = SystemClock()
AUTHORITY = trustme.CA()
CERTIFICATE = AUTHORITY.issue_cert("mx.exim.test")
CHAIN = b"".join(pem.bytes() for pem in CERTIFICATE.cert_chain_pems)
KEY = CERTIFICATE.private_key_pem.bytes()
BODIES = (
    b".\r\n..\r\n.x\r\n\r\n.\r\n",
    b"no end of line",
    b"x" * 998 + b"\r\n." + b"y" * 997 + b"\r\n",
    b"line\r\n" * 100_000,
)

pytestmark = pytest.mark.skipif(bool(UNFIT), reason=UNFIT)


async def dial(port: int, demand: TlsDemand, exchanger: str = "mx.exim.test") -> Session | Outcome:
    dialer = SmtpDialer(TlsMeans(client_context(), anchors_of(AUTHORITY)), timeouts=PATIENT, clock=CLOCK)
    candidate = Candidate(exchanger, "127.0.0.1", port, operator_demand(demand))
    return await dialer.dial(candidate, SOURCE, Transcript(CLOCK.monotonic(), []))


@pytest.mark.parametrize("chunking", [False, True])
async def test_exim_takes_what_we_send_octet_by_octet(chunking: bool) -> None:  # A09 A10 A11 D05 D10 E01 E09
    async with exim_receiver(certificate=CHAIN, key=KEY, chunking=chunking) as receiver:
        session = await dial(receiver.port, TlsDemand.VERIFY)
        assert not isinstance(session, Outcome), session
        assert session.tls is not None
        assert session.tls.verified
        transcript = Transcript(CLOCK.monotonic(), [])
        for n, body in enumerate(BODIES):
            content = b"Subject: number %d\r\nMIME-Version: 1.0\r\n\r\n" % n + body
            (outcome,) = await session.send(message("ann@example.net", content=content), transcript)
            assert outcome.result is Result.DELIVERED, outcome
        assert any(line.text.startswith("BDAT") for line in transcript.exchanges) is chunking
        await session.quit()
        mails = {mail.partition(b"Subject: number ")[2][:1]: mail for mail in await receiver.mails(len(BODIES))}
        for n, body in enumerate(BODIES):
            kept = mails[b"%d" % n].partition(b"\r\n\r\n")[2]
            assert kept == (body if body.endswith(b"\r\n") else body + b"\r\n")


async def test_exim_under_a_demand_its_certificate_does_not_meet() -> None:  # E06
    async with exim_receiver(certificate=CHAIN, key=KEY) as receiver:
        refused = await dial(receiver.port, TlsDemand.VERIFY, "mx.other.test")
        assert isinstance(refused, Outcome)
        assert refused.result is Result.TEMPORARY
        taken = await dial(receiver.port, TlsDemand.ENCRYPT, "mx.other.test")
        assert not isinstance(taken, Outcome)
        await taken.quit()
