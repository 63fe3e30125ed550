"""From the greeting to a session ready for MAIL: EHLO or HELO, STARTTLS, EHLO again, and AUTH where it is owed.

Stands between the dialer, which has a connection, and the session. Guarantees that nothing is said before the
greeting (A01), that HELO is tried only where EHLO is unknown (A03), that what was learned in clear is forgotten
after the handshake (E02), that no demand of TLS is passed over (E06), and that no password leaves in clear (S05).
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from aiosmtplib import SMTPException, SMTPReadTimeoutError, SMTPServerDisconnected

from relay.clock import Clock
from relay.egress import auth, outcomes
from relay.egress.capabilities import NO_CAPABILITIES, Capabilities, parse_capabilities
from relay.egress.certificates import TrustAnchors, judge_dane
from relay.egress.chain import chain_of
from relay.egress.commands import encode_command
from relay.egress.dialogue import Dialogue
from relay.egress.facts import facts_in_clear, facts_of
from relay.egress.outcomes import SessionBrokenError
from relay.egress.protocol import InjectedReplyError
from relay.egress.timeouts import Timeouts
from relay.policy.addresses import parse_ip
from relay.policy.outcome import Host, Outcome, Phase, TlsFacts
from relay.policy.route import Login
from relay.policy.tls import Fault, HostDemand, TlsDemand, TlsResult, shortfall
from relay.smtp.reply import Reply

_EHLO_UNKNOWN = frozenset({500, 502, 504, 550})
NOT_OFFERED = Fault("STARTTLS was not offered", TlsResult.STARTTLS_NOT_SUPPORTED)


@dataclass(frozen=True, slots=True)
class TlsMeans:
    """What STARTTLS is done with."""

    context: ssl.SSLContext
    anchors: TrustAnchors


@dataclass(frozen=True, slots=True)
class Terms:
    """What this session needs: its TLS demand, and the login of a next hop that wants AUTH."""

    demand: HostDemand
    login: Login | None = None
    missed: Fault | None = None
    """Why STARTTLS is not even tried: it failed lately, and the demand lets mail go in clear (E05)."""

    @property
    def upgrade(self) -> bool:
        """Whether STARTTLS is used where it is offered."""
        return self.demand.level.wants and self.missed is None


@dataclass(frozen=True, slots=True)
class Opened:
    """A session ready for MAIL: what was offered in the last EHLO, and what came of its TLS."""

    capabilities: Capabilities
    tls: TlsFacts


@dataclass(frozen=True, slots=True)
class TlsFailure:
    """STARTTLS was offered and did not come about: a new connection in clear may do (E05)."""

    fault: Fault
    phase: Phase


class Opening:
    """Opens one session; `host` is whom, `ehlo` the name we give."""

    def __init__(self, dialogue: Dialogue, host: Host, ehlo: str, timeouts: Timeouts, clock: Clock) -> None:
        self._dialogue = dialogue
        self._host = host
        self._ehlo = ehlo
        self._timeouts = timeouts
        self._clock = clock

    async def run(self, means: TlsMeans, terms: Terms) -> Opened | TlsFailure | Outcome:
        """Greet; use STARTTLS where it is offered and wanted; log in. Every failure is a value."""
        tls = facts_in_clear(terms.demand, terms.missed)
        try:
            greeting = await self._dialogue.hear(Phase.BANNER, self._timeouts.banner)
            if not greeting.positive:
                return outcomes.refused(greeting, Phase.BANNER, self._host, tls if terms.missed else None)
            offered = await self._greet()
            if isinstance(offered, Capabilities) and terms.upgrade:
                secured = await self._secure(means, terms.demand) if offered.starttls else NOT_OFFERED
                if isinstance(secured, TlsFailure):
                    return secured
                tls = facts_in_clear(terms.demand, secured) if isinstance(secured, Fault) else secured
            lacking = shortfall(terms.demand.level, encrypted=bool(tls.protocol), verified=tls.verified)
            if lacking and isinstance(offered, Capabilities):
                return self._refused(lacking, tls)
            if tls.protocol:
                offered = await self._greet()
            if isinstance(offered, Reply):
                return outcomes.refused(offered, Phase.EHLO, self._host, tls)
            refusal = await self._log_in(offered, terms.login, tls)
        except SessionBrokenError as error:
            return outcomes.broken(error, self._host, tls, sent=False)
        return refusal or Opened(offered, tls)

    def _refused(self, lacking: str, tls: TlsFacts) -> Outcome:
        phase = Phase.TLS if tls.protocol else Phase.STARTTLS
        return outcomes.tls_refused(f"{lacking}: {tls.error}", phase, self._host, tls)

    async def _log_in(self, offered: Capabilities, login: Login | None, tls: TlsFacts) -> Outcome | None:
        if login is None:
            return None
        if not tls.protocol:
            return outcomes.tls_refused("a password is never sent in clear", Phase.AUTH, self._host, tls)
        chosen = auth.mechanism(offered)
        if not chosen:
            return outcomes.no_login(self._host, tls)
        answer = await auth.authenticate(self._dialogue, chosen, login, self._timeouts.auth)
        return None if answer.code == 235 else outcomes.login_refused(answer, self._host, tls)

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

    async def _secure(self, means: TlsMeans, demand: HostDemand) -> TlsFacts | TlsFailure:
        self._dialogue.say(b"STARTTLS\r\n", "STARTTLS", Phase.STARTTLS)
        try:
            answer = await self._dialogue.hear(Phase.STARTTLS, self._timeouts.starttls)
        except SessionBrokenError as error:
            # A host that falls silent at the word itself would strand its mail for ever.
            if isinstance(error.cause, SMTPServerDisconnected | SMTPReadTimeoutError):
                fault = Fault("STARTTLS got no answer", TlsResult.STARTTLS_NOT_SUPPORTED)
                return TlsFailure(fault, Phase.STARTTLS)
            raise
        if answer.code != 220:
            fault = Fault(f"STARTTLS was answered {answer.code}", TlsResult.STARTTLS_NOT_SUPPORTED)
            return TlsFailure(fault, Phase.STARTTLS)
        try:
            session = await self._dialogue.line.upgrade(means.context, self._sni(demand), self._timeouts.handshake)
        except InjectedReplyError as error:
            raise SessionBrokenError(Phase.STARTTLS, error) from None
        except (ssl.SSLError, OSError, SMTPException) as error:
            reason = outcomes.handshake_reason(error)
            self._dialogue.note("net", f"TLS failed: {reason}")
            return TlsFailure(Fault(reason, TlsResult.VALIDATION_FAILURE), Phase.TLS)
        facts = facts_of(demand, session, self._judge(means, demand, session))
        verified = "verified" if facts.verified else f"not verified: {facts.error}"
        self._dialogue.note("net", f"{facts.protocol} {facts.cipher}, certificate {verified}")
        return facts

    def _sni(self, demand: HostDemand) -> str | None:
        """The TLSA base domain (H10), else the exchanger (E09); a literal has no name to send (RFC 6066 §3)."""
        if demand.names:
            return demand.names[0]
        return None if parse_ip(self._host.exchanger.strip("[]").removeprefix("IPv6:")) else self._host.exchanger

    def _judge(self, means: TlsMeans, demand: HostDemand, session: ssl.SSLObject) -> Fault | None:
        chain, now = chain_of(session), self._clock.now()
        if demand.level is TlsDemand.DANE:
            return judge_dane(chain, demand, now)
        return means.anchors.judge(chain, self._sni(demand) or self._host.address, now)
