"""A scripted far side behind the contracts of dialer, session and resolver: hosts without sockets.

For tests of the engine, and for whatever runs it in simulated time: it needs no network and no clock. It remembers
what every host was asked and took, and how many sessions were open.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from relay.egress.contract import Session, StaleSessionError, Transaction
from relay.mail.address import Address
from relay.policy.outcome import DecidedBy, Host, Outcome, Phase, Result, Scope, TlsFacts
from relay.policy.route import Candidate
from relay.policy.way import Source
from relay.resolver.contract import DnsAnswer, DnsFailure
from relay.smtp.reply import Reply, remote_reply, reply
from relay.smtp.transcript import Transcript

ACCEPTED = remote_reply(250, ("2.0.0 taken",))


@dataclass
class HostScript:
    """How one exchanger behaves; change it at any time."""

    reachable: bool = True
    most_sessions: int = 1000
    """Further ones are greeted with 421."""
    source_fails: bool = False
    """Our own address cannot be used: the outcome has scope SOURCE."""
    reply_to: Callable[[Address], Reply] = lambda _: ACCEPTED
    """The answer for a recipient after the dot."""
    gate: asyncio.Event | None = None
    """Transactions wait for it before they are answered."""
    dsn: bool = False
    """It offers DSN, so the duty to report passes to it."""
    answers_dot: bool = True
    """False: the connection ends after the dot without an answer."""
    transactions: int = 1000
    """A session is stale after so many: the host has closed it by then."""
    dials: int = 0
    waiting: int = 0
    open: int = 0
    peak: int = 0


@dataclass(frozen=True, slots=True)
class Taken:
    """A recipient's mail that a host answered 250 for."""

    exchanger: str
    recipient: str
    content: bytes


@dataclass
class FarSide:
    """Implements `Dialer` and `Resolver`: the exchanger of a domain is `mx.` and its name, unless `domains` differs."""

    hosts: dict[str, HostScript] = field(default_factory=dict)
    domains: dict[str, DnsAnswer] = field(default_factory=dict)
    taken: list[Taken] = field(default_factory=list)
    asked: Counter[tuple[str, str]] = field(default_factory=Counter)
    dns_gate: asyncio.Event | None = None
    ipv6: dict[str, str] = field(default_factory=dict)
    """AAAA records by exchanger; IPv6 addresses are black holes unless `ipv6_answers`, IPv4 ones answer."""
    ipv6_answers: bool = False
    broken_sources: set[str] = field(default_factory=set)
    """Sources whose address cannot be bound."""
    cut_off_sources: set[str] = field(default_factory=set)
    """Sources from which nobody can be reached."""
    dialled: list[tuple[str, str, str]] = field(default_factory=list)
    """Exchanger, address and source's name of every connection that was tried."""

    def host(self, exchanger: str) -> HostScript:
        """The script of an exchanger, to read and to change."""
        return self.hosts.setdefault(exchanger, HostScript())

    def counted(self) -> Counter[str]:
        """How often each recipient's mail was taken."""
        return Counter(one.recipient for one in self.taken)

    @property
    def open(self) -> int:
        """Sessions that nobody has closed."""
        return sum(host.open for host in self.hosts.values())

    async def ask(self, name: str, kind: str) -> DnsAnswer:
        """As the contract says."""
        self.asked[name, kind] += 1
        if self.dns_gate is not None:
            await self.dns_gate.wait()
        if kind == "MX":
            return self.domains.get(name, DnsAnswer((f"10 mx.{name}",)))
        if kind == "A":
            return DnsAnswer(("198.51.101.7",))
        if kind == "AAAA" and name in self.ipv6:
            return DnsAnswer((self.ipv6[name],))
        return DnsAnswer((), DnsFailure.NODATA)

    async def dial(self, candidate: Candidate, source: Source, transcript: Transcript) -> Session | Outcome:
        """As the contract says."""
        script = self.host(candidate.exchanger)
        script.dials += 1
        self.dialled.append((candidate.exchanger, candidate.address, source.name))
        host = Host(candidate.exchanger, candidate.address)
        await asyncio.sleep(0)
        if script.source_fails or source.name in self.broken_sources:
            words = reply(451, "4.3.0", "no descriptors left")
            return Outcome(Result.TEMPORARY, Scope.SOURCE, Phase.CONNECT, DecidedBy.RELAY, words, host)
        black_hole = ":" in candidate.address and not self.ipv6_answers
        if not script.reachable or black_hole or source.name in self.cut_off_sources:
            words = reply(451, "4.4.1", "no connection")
            return Outcome(Result.TEMPORARY, Scope.HOST, Phase.CONNECT, DecidedBy.NETWORK, words, host)
        if script.open >= script.most_sessions:
            words = remote_reply(421, ("4.7.0 too many sessions",))
            return Outcome(Result.TEMPORARY, Scope.HOST, Phase.BANNER, DecidedBy.REMOTE, words, host)
        script.open += 1
        script.peak = max(script.peak, script.open)
        return _ScriptedSession(self, script, candidate, host)


class _ScriptedSession:
    """Implements `Session`."""

    def __init__(self, far: FarSide, script: HostScript, candidate: Candidate, host: Host) -> None:
        self._far = far
        self._script = script
        self._candidate = candidate
        self._host = host
        self._open = True
        self._transactions = 0

    @property
    def host(self) -> Host:
        return self._host

    @property
    def candidate(self) -> Candidate:
        return self._candidate

    @property
    def tls(self) -> TlsFacts | None:
        return None

    @property
    def usable(self) -> bool:
        return self._open

    @property
    def transactions(self) -> int:
        return self._transactions

    async def send(self, transaction: Transaction, transcript: Transcript) -> tuple[Outcome, ...]:
        if self._transactions >= self._script.transactions:
            raise StaleSessionError
        self._transactions += 1
        await asyncio.sleep(0)
        if self._script.gate is not None:
            self._script.waiting += 1
            try:
                await self._script.gate.wait()
            finally:
                self._script.waiting -= 1
        if not transaction.may_finish():
            self.abort()
            words = reply(451, "4.3.0", "given up before the content was sent")
            lost = Outcome(Result.TEMPORARY, Scope.MESSAGE, Phase.DATA, DecidedBy.RELAY, words, self._host)
            return (lost,) * len(transaction.recipients)
        content = b"".join(transaction.content)
        if transaction.tail is not None:
            content += b"".join([piece async for piece in transaction.tail.pieces()])
        return tuple(self._answer(recipient.address, content) for recipient in transaction.recipients)

    def _answer(self, recipient: Address, content: bytes) -> Outcome:
        answer = self._script.reply_to(recipient)
        if answer.positive:
            self._far.taken.append(Taken(self._host.exchanger, str(recipient), content))
        if not self._script.answers_dot:
            self.abort()
            words = reply(451, "4.4.2", "the message was sent and no answer came")
            return Outcome(Result.UNKNOWN, Scope.MESSAGE, Phase.DOT, DecidedBy.NETWORK, words, self._host)
        result = Result.DELIVERED if answer.positive else Result.PERMANENT if answer.permanent else Result.TEMPORARY
        confirms = self._script.dsn and result is Result.DELIVERED
        return Outcome(result, Scope.RECIPIENT, Phase.DOT, DecidedBy.REMOTE, answer, self._host, confirms=confirms)

    async def quit(self) -> None:
        self.abort()

    def abort(self) -> None:
        if self._open:
            self._open = False
            self._script.open -= 1
