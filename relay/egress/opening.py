"""From the greeting to a session ready for MAIL: EHLO or HELO, STARTTLS, and EHLO again.

Stands between the dialer, which has a connection, and the session. Guarantees that nothing is said before the
greeting (A01), that HELO is tried only where EHLO is unknown (A03), and that what was learned in clear is
forgotten after the handshake (E02).
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from aiosmtplib import SMTPException, SMTPReadTimeoutError, SMTPServerDisconnected

from relay.clock import Clock
from relay.egress import outcomes
from relay.egress.capabilities import NO_CAPABILITIES, Capabilities, parse_capabilities
from relay.egress.certificates import TrustAnchors
from relay.egress.commands import encode_command
from relay.egress.dialogue import Dialogue
from relay.egress.outcomes import SessionBrokenError
from relay.egress.protocol import InjectedReplyError
from relay.egress.timeouts import Timeouts
from relay.policy.addresses import parse_ip
from relay.policy.outcome import Host, Outcome, Phase, TlsFacts
from relay.policy.tls import TlsDemand, shortfall
from relay.smtp.reply import Reply

_EHLO_UNKNOWN = frozenset({500, 502, 504, 550})


@dataclass(frozen=True, slots=True)
class TlsMeans:
    """What STARTTLS is done with, and how much of it is demanded."""

    context: ssl.SSLContext
    anchors: TrustAnchors
    demand: TlsDemand


@dataclass(frozen=True, slots=True)
class Opened:
    """A session ready for MAIL: what was offered in the last EHLO, and its TLS (None in clear)."""

    capabilities: Capabilities
    tls: TlsFacts | None


@dataclass(frozen=True, slots=True)
class TlsFailure:
    """STARTTLS was offered and did not come about: a new connection in clear may do (E05). `reason` in words."""

    reason: str
    phase: Phase


class Opening:
    """Opens one session; `host` is whom, `ehlo` the name we give."""

    def __init__(self, dialogue: Dialogue, host: Host, ehlo: str, timeouts: Timeouts, clock: Clock) -> None:
        self._dialogue = dialogue
        self._host = host
        self._ehlo = ehlo
        self._timeouts = timeouts
        self._clock = clock

    async def run(self, means: TlsMeans, *, upgrade: bool) -> Opened | TlsFailure | Outcome:
        """Greet; with `upgrade` use STARTTLS where it is offered. Every failure is a value."""
        tls: TlsFacts | None = None
        try:
            greeting = await self._dialogue.hear(Phase.BANNER, self._timeouts.banner)
            if not greeting.positive:
                return outcomes.refused(greeting, Phase.BANNER, self._host, None)
            offered = await self._greet()
            if isinstance(offered, Capabilities) and offered.starttls and upgrade:
                secured = await self._secure(means)
                if isinstance(secured, TlsFailure):
                    return secured
                tls = secured
                offered = await self._greet()
        except SessionBrokenError as error:
            return outcomes.broken(error, self._host, tls, sent=False)
        if isinstance(offered, Reply):
            return outcomes.refused(offered, Phase.EHLO, self._host, tls)
        lacking = shortfall(means.demand, encrypted=tls is not None, verified=tls is not None and tls.verified)
        if lacking:
            return outcomes.tls_refused(lacking, Phase.STARTTLS if tls is None else Phase.TLS, self._host, tls)
        return Opened(offered, tls)

    async def _greet(self) -> Capabilities | Reply:
        answer = await self._hello("EHLO")
        if answer.positive:
            return parse_capabilities(answer)
        if answer.code not in _EHLO_UNKNOWN:
            return answer
        answer = await self._hello("HELO")
        return NO_CAPABILITIES if answer.positive else answer

    async def _hello(self, verb: str) -> Reply:
        line = f"{verb} {self._ehlo}"
        self._dialogue.say(encode_command(line), line, Phase.EHLO)
        return await self._dialogue.hear(Phase.EHLO, self._timeouts.ehlo)

    async def _secure(self, means: TlsMeans) -> TlsFacts | TlsFailure:
        self._dialogue.say(b"STARTTLS\r\n", "STARTTLS", Phase.STARTTLS)
        try:
            answer = await self._dialogue.hear(Phase.STARTTLS, self._timeouts.starttls)
        except SessionBrokenError as error:
            # A host that falls silent at the word itself would strand its mail for ever.
            if isinstance(error.cause, SMTPServerDisconnected | SMTPReadTimeoutError):
                return TlsFailure("STARTTLS got no answer", Phase.STARTTLS)
            raise
        if answer.code != 220:
            return TlsFailure(f"STARTTLS was answered {answer.code}", Phase.STARTTLS)
        # SNI names the exchanger (E09); an address literal has no name to send (RFC 6066 §3).
        name = None if parse_ip(self._host.exchanger.strip("[]").removeprefix("IPv6:")) else self._host.exchanger
        try:
            session = await self._dialogue.line.upgrade(means.context, name, self._timeouts.handshake)
        except InjectedReplyError as error:
            raise SessionBrokenError(Phase.STARTTLS, error) from None
        except (ssl.SSLError, OSError, SMTPException) as error:
            reason = outcomes.handshake_reason(error)
            self._dialogue.note("net", f"TLS failed: {reason}")
            return TlsFailure(reason, Phase.TLS)
        trouble = means.anchors.judge(session, name or self._host.address, self._clock.now())
        cipher = session.cipher()
        facts = TlsFacts(session.version() or "", cipher[0] if cipher else "", not trouble, means.demand.value, trouble)
        verified = "verified" if facts.verified else f"not verified: {trouble}"
        self._dialogue.note("net", f"{facts.protocol} {facts.cipher}, certificate {verified}")
        return facts
