"""The dialer: from a candidate to a session ready for MAIL, or to the outcome that kept us from one.

Stands between the plan and the session. It makes its own socket, so that the source address is bound, the
connect has a time-out of its own and TLS may name another host than the address. Opportunistic TLS that fails
is tried once more in clear on a new connection, and the host is remembered for a while (E05); where TLS is
demanded, its failure defers.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections import OrderedDict
from dataclasses import replace
from typing import Final

from relay.clock import Clock
from relay.egress import outcomes
from relay.egress.certificates import TrustAnchors
from relay.egress.contract import Session
from relay.egress.dialogue import Dialogue
from relay.egress.opening import Opened, Opening, TlsFailure, TlsMeans
from relay.egress.protocol import PipelinedProtocol
from relay.egress.session import SmtpSession
from relay.egress.timeouts import Timeouts
from relay.log import Log
from relay.policy.outcome import Host, Outcome, TlsFacts
from relay.policy.route import Candidate, Source
from relay.policy.tls import TlsDemand
from relay.smtp.transcript import Transcript

REMEMBER_FAILED_TLS: Final = 600.0
"""Seconds during which a host whose TLS failed is spoken to in clear at once."""
MAX_REMEMBERED: Final = 10_000

_IP_BIND_ADDRESS_NO_PORT: Final = 24
"""Linux: choose the port at connect, when the destination is known, so one source has 28,000 ports a host."""

_log = Log("egress")


class SmtpDialer:
    """Opens sessions; one a worker. `demand` is how much TLS each must have."""

    def __init__(
        self,
        *,
        tls_context: ssl.SSLContext,
        anchors: TrustAnchors,
        timeouts: Timeouts,
        clock: Clock,
        demand: TlsDemand = TlsDemand.MAY,
    ) -> None:
        self._means = TlsMeans(tls_context, anchors, demand)
        self._timeouts = timeouts
        self._clock = clock
        self._failed_tls: OrderedDict[Candidate, tuple[float, str]] = OrderedDict()

    async def dial(self, candidate: Candidate, source: Source, transcript: Transcript) -> Session | Outcome:
        """A session ready for MAIL, or an outcome of scope HOST or SOURCE."""
        demand = self._means.demand
        known = "" if demand.requires else self._known_failure(candidate)
        opened = await self._open(candidate, source, transcript, known, upgrade=demand.wants and not known)
        if not isinstance(opened, TlsFailure):
            return opened
        host = Host(candidate.exchanger, candidate.address)
        if demand.requires:
            return outcomes.tls_refused(f"TLS is required and failed: {opened.reason}", opened.phase, host, None)
        self._remember(candidate, opened.reason)
        _log.warning("tls-failed", host=candidate.exchanger, address=candidate.address, reason=opened.reason)
        again = await self._open(candidate, source, transcript, opened.reason, upgrade=False)
        assert not isinstance(again, TlsFailure), "no upgrade was asked for"  # noqa: S101 - narrows the type
        return again

    async def _open(
        self, candidate: Candidate, source: Source, transcript: Transcript, missed: str, *, upgrade: bool
    ) -> Session | TlsFailure | Outcome:
        host = Host(candidate.exchanger, candidate.address)
        line = await self._connect(candidate, source, host, transcript)
        if isinstance(line, Outcome):
            return line
        dialogue = Dialogue(line, transcript, self._clock)
        opening = Opening(dialogue, host, source.ehlo, self._timeouts, self._clock)
        try:
            opened = await opening.run(self._means, upgrade=upgrade)
        except BaseException:
            line.abort()
            raise
        facts = TlsFacts("", "", verified=False, demand=self._means.demand.value, error=missed) if missed else None
        match opened:
            case Opened():
                return SmtpSession(line, host, opened, self._timeouts, self._clock, facts)
            case TlsFailure():
                self._farewell(line)
                return opened
            case Outcome():
                self._farewell(line)
                return opened if opened.tls or facts is None else replace(opened, tls=facts)

    async def _connect(
        self, candidate: Candidate, source: Source, host: Host, transcript: Transcript
    ) -> PipelinedProtocol | Outcome:
        loop = asyncio.get_running_loop()
        timeouts = self._timeouts
        limit = min(timeouts.connect, timeouts.connect_ipv6) if ":" in candidate.address else timeouts.connect
        binding = True
        try:
            connection = _bound_socket(candidate.address, source.address)
            try:
                binding = False
                async with asyncio.timeout(limit):
                    await loop.sock_connect(connection, (candidate.address, candidate.port))
                    _, line = await loop.create_connection(lambda: PipelinedProtocol(loop), sock=connection)
            except BaseException:
                connection.close()
                raise
        except OSError as error:  # a time-out is one too
            outcome = outcomes.not_connected(error, host, binding=binding)
            transcript.add(self._clock.monotonic(), "net", f"{candidate.address}: {outcome.reply.text}")
            return outcome
        transcript.add(self._clock.monotonic(), "net", f"connected to {candidate.exchanger} [{candidate.address}]")
        return line

    def _farewell(self, line: PipelinedProtocol) -> None:
        """QUIT without waiting for its answer: what it would say changes nothing (A02, A20)."""
        if line.healthy:
            line.send(b"QUIT\r\n", 1)
        line.close()

    def _known_failure(self, candidate: Candidate) -> str:
        """Why TLS with this host failed lately, empty if it did not."""
        until, reason = self._failed_tls.get(candidate, (0.0, ""))
        return reason if until > self._clock.monotonic() else ""

    def _remember(self, candidate: Candidate, reason: str) -> None:
        self._failed_tls[candidate] = (self._clock.monotonic() + REMEMBER_FAILED_TLS, reason)
        if len(self._failed_tls) > MAX_REMEMBERED:
            self._failed_tls.popitem(last=False)


def _bound_socket(address: str, source: str) -> socket.socket:
    """A non-blocking socket of the address's family, bound to `source` unless that is empty. Raises OSError."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    connection = socket.socket(family, socket.SOCK_STREAM)
    try:
        connection.setblocking(False)
        if source:
            if family == socket.AF_INET and ipaddress.ip_address(source).version == 4:
                connection.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
            connection.bind((source, 0))
    except BaseException:
        connection.close()
        raise
    return connection
