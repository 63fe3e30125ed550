"""A receiver that nobody here wrote: the real OpenSMTPD, whose STARTTLS is offered and fails (with OpenSSL 3)."""

from __future__ import annotations

import pytest
import trustme

from relay.clock import SystemClock
from relay.egress.certificates import client_context
from relay.egress.contract import Session
from relay.egress.dialer import SmtpDialer
from relay.egress.opening import TlsMeans
from relay.policy.outcome import Outcome, Phase, Result, Scope
from relay.policy.route import Candidate
from relay.policy.tls import TlsDemand, operator_demand
from relay.smtp.transcript import Exchange, Transcript
from tests.support.egress import PATIENT, SOURCE, anchors_of, message
from tests.support.opensmtpd_receiver import UNFIT, opensmtpd_receiver

CLOCK = SystemClock()
AUTHORITY = trustme.CA()
CERTIFICATE = AUTHORITY.issue_cert("mx.opensmtpd.test")
CHAIN = b"".join(pem.bytes() for pem in CERTIFICATE.cert_chain_pems)
BODIES = (
    b".\r\n..\r\n.x\r\n\r\n.\r\n",
    b"no end of line",
    b"x" * 998 + b"\r\n." + b"y" * 997 + b"\r\n",
    b"line\r\n" * 100_000,
)

pytestmark = pytest.mark.skipif(bool(UNFIT), reason=UNFIT)


async def test_opensmtpd_takes_our_mail_and_its_broken_tls_strands_none() -> None:  # A09 A11 A17 D05 E01 E05 E06
    async with opensmtpd_receiver(certificate=CHAIN, key=CERTIFICATE.private_key_pem.bytes()) as receiver:
        dialer = SmtpDialer(TlsMeans(client_context(), anchors_of(AUTHORITY)), timeouts=PATIENT, clock=CLOCK)

        async def dial(demand: TlsDemand) -> tuple[Session | Outcome, list[Exchange]]:
            said: list[Exchange] = []
            candidate = Candidate("mx.opensmtpd.test", "127.0.0.1", receiver.port, operator_demand(demand))
            return await dialer.dial(candidate, SOURCE, Transcript(CLOCK.monotonic(), said)), said

        for demand in (TlsDemand.ENCRYPT, TlsDemand.VERIFY):
            refused, _ = await dial(demand)
            assert isinstance(refused, Outcome), "its TLS works: take this case for one that does"
            assert (refused.result, refused.scope, refused.phase) == (Result.TEMPORARY, Scope.HOST, Phase.TLS)

        tried, said = await dial(TlsDemand.MAY)
        assert not isinstance(tried, Outcome), tried
        assert tried.tls is None
        assert [line.text for line in said].count("STARTTLS") == 1, "one connection with it, the next in clear"
        for n, body in enumerate(BODIES):
            content = b"Subject: number %d\r\n\r\n" % n + body
            outcomes = await tried.send(message(f"r{n}@example.net", content=content), Transcript(0.0, []))
            assert [outcome.result for outcome in outcomes] == [Result.DELIVERED], outcomes
        await tried.quit()

        again, said = await dial(TlsDemand.MAY)
        assert not isinstance(again, Outcome), again
        assert not any(line.text == "STARTTLS" for line in said), "what failed is remembered"
        await again.quit()

        mails = {mail.partition(b"Subject: number ")[2][:1]: mail for mail in await receiver.mails(len(BODIES))}
        for n, body in enumerate(BODIES):
            kept = mails[b"%d" % n].partition(b"\r\n\r\n")[2]
            assert kept == (body if body.endswith(b"\r\n") else body + b"\r\n")
