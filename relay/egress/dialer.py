"""The dialer: from a candidate to a session ready for MAIL, or to the outcome that kept us from one.

Stands between the plan and the session. It makes its own socket, so that the source address is bound, the
connect has a time-out of its own and TLS may name another host than the address. Opportunistic TLS that fails
is tried once more in clear on a new connection, and the host is remembered for a while (E05); where TLS is
demanded, its failure defers.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
from collections import OrderedDict
from dataclasses import replace
from typing import Final

from relay.clock import Clock
from relay.egress import outcomes
from relay.egress.contract import Session
from relay.egress.dialogue import Dialogue
from relay.egress.facts import facts_in_clear
from relay.egress.opening import Opened, Opening, Terms, TlsFailure, TlsMeans
from relay.egress.protocol import PipelinedProtocol
from relay.egress.reach import ReachMemory
from relay.egress.session import SmtpSession
from relay.egress.timeouts import Timeouts
from relay.log import Log
from relay.policy.outcome import Host, Outcome
from relay.policy.route import Candidate
from relay.policy.tls import Fault, HostDemand, TlsDemand, over_floor
from relay.policy.way import Source
from relay.smtp.transcript import Transcript

REMEMBER_FAILED_TLS: Final = 600.0
"""Seconds during which a host whose TLS failed is spoken to in clear at once."""
MAX_REMEMBERED: Final = 10_000

_IP_BIND_ADDRESS_NO_PORT: Final = 24
"""Linux: choose the port at connect, when the destination is known, so one source has 28,000 ports a host."""

_SILENCE: Final = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ETIMEDOUT})
"""Errors of connecting that say that nobody is there, or no way."""

_log = Log("egress")


class SmtpDialer:
    """Opens sessions; one a worker. Each candidate says how much TLS its session must have."""

    def __init__(
        self,
        means: TlsMeans,
        *,
        timeouts: Timeouts,
        clock: Clock,
        reach: ReachMemory | None = None,
        chunking: bool = True,
    ) -> None:
        self._means = means
        self._timeouts = timeouts
        self._clock = clock
        self._reach = reach or ReachMemory(clock)
        self._chunking = chunking
        self._failed_tls: OrderedDict[tuple[str, str, int], tuple[float, Fault]] = OrderedDict()

    async def dial(self, candidate: Candidate, source: Source, transcript: Transcript) -> Session | Outcome:
        """A session ready for MAIL, or an outcome of scope HOST or SOURCE."""
        demand = candidate.tls
        if candidate.login is not None:
            demand = over_floor(demand, TlsDemand.ENCRYPT)
        requires = demand.level.requires
        terms = Terms(demand, candidate.login, None if requires else self._known_failure(candidate, demand))
        opened = await self._open(candidate, source, transcript, terms)
        if not isinstance(opened, TlsFailure):
            return opened
        host = Host(candidate.exchanger, candidate.address)
        fault = opened.fault
        _log.warning("tls-failed", host=candidate.exchanger, address=candidate.address, reason=fault.words)
        if requires:
            facts = facts_in_clear(demand, fault)
            return outcomes.tls_refused(f"TLS is required and failed: {facts.error}", opened.phase, host, facts)
        self._remember(candidate, fault)
        again = await self._open(candidate, source, transcript, replace(terms, missed=fault))
        assert not isinstance(again, TlsFailure), "no upgrade was asked for"  # noqa: S101 - narrows the type
        return again

    async def _open(
        self, candidate: Candidate, source: Source, transcript: Transcript, terms: Terms
    ) -> Session | TlsFailure | Outcome:
        host = Host(candidate.exchanger, candidate.address)
        line = await self._connect(candidate, source, host, transcript)
        if isinstance(line, Outcome):
            return line
        dialogue = Dialogue(line, transcript, self._clock)
        opening = Opening(dialogue, host, source.ehlo, self._timeouts, self._clock)
        try:
            opened = await opening.run(self._means, terms)
        except BaseException:
            line.abort()
            raise
        match opened:
            case Opened():
                if not self._chunking:
                    opened = replace(opened, capabilities=replace(opened.capabilities, chunking=False))
                return SmtpSession(line, candidate, opened, self._timeouts, self._clock)
            case TlsFailure() | Outcome():
                self._farewell(line)
                return opened

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
            if isinstance(error, TimeoutError) or error.errno in _SILENCE:
                self._reach.silent(candidate.address)
            outcome = outcomes.not_connected(error, host, binding=binding)
            transcript.add(self._clock.monotonic(), "net", f"{candidate.address}: {outcome.reply.text}")
            return outcome
        self._reach.answered(candidate.address)
        transcript.add(self._clock.monotonic(), "net", f"connected to {candidate.exchanger} [{candidate.address}]")
        return line

    def _farewell(self, line: PipelinedProtocol) -> None:
        """QUIT without waiting for its answer: what it would say changes nothing (A02, A20)."""
        if line.healthy:
            line.send(b"QUIT\r\n", 1)
        line.close()

    def _known_failure(self, candidate: Candidate, demand: HostDemand) -> Fault | None:
        """Why TLS with this host failed lately, None if it did not or nobody wants it."""
        until, fault = self._failed_tls.get(_peer(candidate), (0.0, None))
        return fault if demand.level.wants and until > self._clock.monotonic() else None

    def _remember(self, candidate: Candidate, fault: Fault) -> None:
        self._failed_tls[_peer(candidate)] = (self._clock.monotonic() + REMEMBER_FAILED_TLS, fault)
        if len(self._failed_tls) > MAX_REMEMBERED:
            self._failed_tls.popitem(last=False)


def _peer(candidate: Candidate) -> tuple[str, str, int]:
    """What is remembered of a host: it is the same one whatever is demanded of it."""
    return candidate.exchanger, candidate.address, candidate.port


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
