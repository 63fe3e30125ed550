"""The network to the providers: a `Dialer` and `Session`s without sockets, in simulated time.

Replies become outcomes through the relay's own table (`relay.egress.outcomes`); only the far side and the way to
it are simulated. A far side acts in the world, not in the life that talks to it: what was written before a life
ended arrives all the same.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Final

from relay.egress import outcomes
from relay.egress.contract import Session, StaleSessionError, Transaction
from relay.egress.outcomes import SessionBrokenError
from relay.mail.address import NullPath
from relay.policy.outcome import Host, Outcome, Phase, TlsFacts
from relay.policy.route import Candidate
from relay.policy.way import Source
from relay.smtp.reply import Reply, remote_reply
from relay.smtp.transcript import Transcript
from tests.simulation.ledger import Ledger, Take
from tests.simulation.loop import LIFE, WORLD, Life
from tests.simulation.provider import Provider

CONNECT_SECONDS: Final = 30.0
BANNER_SECONDS: Final = 300.0
DOT_SECONDS: Final = 600.0

_UNKNOWN: Final = remote_reply(550, ("5.1.1 no such user",))
_GREYLISTED: Final = remote_reply(451, ("4.7.1 greylisted, come back later",))
_CLOSING: Final = remote_reply(421, ("4.3.2 service shutting down",))
_DEFERRED: Final = remote_reply(451, ("4.3.0 could not be stored just now",))
_TAKEN: Final = remote_reply(250, ("2.0.0 taken",))


@dataclass(eq=False)
class Network:
    """All providers by address. Implements `relay.egress.contract.Dialer`."""

    random: Random
    ledger: Ledger
    providers: dict[str, Provider] = field(default_factory=dict)
    trace: Callable[[str], None] = lambda line: None
    is_final: Callable[[str], bool] = lambda delivery: False
    """Whether the spool holds a final state for a delivery, named as in the ledger."""
    under_way: dict[str, Life | None] = field(default_factory=dict)
    """Deliveries whose content is being sent, and by whom."""

    async def dial(self, candidate: Candidate, source: Source, transcript: Transcript) -> Session | Outcome:
        """As the contract says."""
        provider = self.providers[candidate.address]
        habits = provider.habits
        host = Host(candidate.exchanger, candidate.address)
        if habits.down == "silent":
            await asyncio.sleep(CONNECT_SECONDS)
            return outcomes.not_connected(TimeoutError(), host, binding=False)
        await asyncio.sleep(2 * habits.way)
        if habits.down == "refused":
            return outcomes.not_connected(ConnectionRefusedError(111, "Connection refused"), host, binding=False)
        if habits.down == "dark":
            await asyncio.sleep(BANNER_SECONDS)
            lost = SessionBrokenError(Phase.BANNER, TimeoutError())
            return outcomes.broken(lost, host, None, sent=False)
        refusal = provider.connects()
        if refusal is not None:
            await asyncio.sleep(habits.way)
            return outcomes.refused(refusal, Phase.BANNER, host, None)
        session = SimulatedSession(self, provider, candidate)
        try:
            await asyncio.sleep(2 * habits.way)  # banner and EHLO
        except asyncio.CancelledError:
            session.abort()
            raise
        return session


class SimulatedSession:
    """One session with one provider. Implements `relay.egress.contract.Session`."""

    def __init__(self, network: Network, provider: Provider, candidate: Candidate) -> None:
        self._network = network
        self._provider = provider
        self._candidate = candidate
        self._host = Host(candidate.exchanger, candidate.address)
        self._loop = asyncio.get_running_loop()
        self._life = LIFE.get()
        self._open = True
        self._last = self._loop.time()
        self._carried = 0
        if self._life is not None:
            self._life.sockets[self] = self.abort

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
        return self._carried

    async def send(self, transaction: Transaction, transcript: Transcript) -> tuple[Outcome, ...]:
        """As the contract says: MAIL, RCPT and DATA in one flight, then content and dot."""
        habits, now = self._provider.habits, self._loop.time()
        if not self._open or habits.down or now - self._last > habits.idle:
            if self._carried:
                raise StaleSessionError
            self.abort()
            lost = SessionBrokenError(Phase.MAIL, ConnectionResetError())
            return (outcomes.broken(lost, self._host, None, sent=False),) * len(transaction.recipients)
        self._carried += 1
        chance = self._network.random.random()
        await asyncio.sleep(habits.way)
        answers = self._envelope(transaction, chance)
        await asyncio.sleep(habits.way)
        self._last = self._loop.time()
        if isinstance(answers, SessionBrokenError):
            self.abort()
            return (outcomes.broken(answers, self._host, None, sent=False),) * len(transaction.recipients)
        if isinstance(answers, Reply):
            transcript.add(self._last, "they", str(answers))
            if answers.code == 421:
                self.abort()
            return (outcomes.refused(answers, Phase.MAIL, self._host, None),) * len(transaction.recipients)
        results: list[Outcome | None] = [
            None if answer is None else outcomes.refused(answer, Phase.RCPT, self._host, None) for answer in answers
        ]
        named = [i for i, result in enumerate(results) if result is None]
        if named:
            outcome = await self._content(transaction, named, transcript)
            results = [outcome if result is None else result for result in results]
        return tuple(result for result in results if result is not None)

    def _envelope(self, transaction: Transaction, chance: float) -> list[Reply | None] | Reply | SessionBrokenError:
        """What the far side says to MAIL and each RCPT: None is yes."""
        habits, now = self._provider.habits, self._loop.time()
        if chance < habits.ends:
            return _CLOSING
        if chance < habits.ends + habits.resets:
            return SessionBrokenError(Phase.MAIL, ConnectionResetError())
        refusal = self._provider.begins(now)
        if refusal is not None:
            return refusal
        answers: list[Reply | None] = []
        for recipient in transaction.recipients:
            address = str(recipient.address)
            notice = isinstance(transaction.reverse_path, NullPath)
            if not notice and self._network.is_final(address) and (self._life is None or not self._life.pauses):
                self._network.ledger.broken.append(f"{address} was attempted after its final state")
            if address.startswith("gone"):
                self._network.ledger.refused.add(address)
                answers.append(_UNKNOWN)
            elif habits.greylists and now - self._provider.seen.setdefault(address, now) < habits.greylists:
                answers.append(_GREYLISTED)
            else:
                answers.append(None)
        return answers

    async def _content(self, transaction: Transaction, named: list[int], transcript: Transcript) -> Outcome:
        """Content and dot for the recipients that were taken; one outcome for all of them."""
        if not transaction.may_finish() or (self._life is not None and not self._life.alive):
            self.abort()
            return outcomes.abandoned(self._host, None)
        digest = zlib.crc32(b"".join(transaction.content))
        deliveries = [str(transaction.recipients[i].address) for i in named]
        if isinstance(transaction.reverse_path, NullPath):
            deliveries = [f"{one}#{digest}" for one in deliveries]
        dot = _Dot(self._loop.create_future(), [Take(self._life, self._loop.time(), digest) for _ in named])
        self._begin(deliveries)
        self._loop.call_later(self._provider.habits.way, self._arrives, deliveries, dot, context=WORLD)
        try:
            async with asyncio.timeout(DOT_SECONDS):
                answer = await dot.answer
        except TimeoutError:
            return self._unheard(TimeoutError())
        except ConnectionResetError as error:
            return self._unheard(error)
        except asyncio.CancelledError:
            for take in dot.takes:
                take.cut_off = True
            raise
        finally:
            for one in deliveries:
                if self._network.under_way.get(one) is self._life:
                    del self._network.under_way[one]
        self._last = self._loop.time()
        if self._life is None or self._life.alive:
            for take in dot.takes:
                take.heard = True
        transcript.add(self._last, "they", str(answer))
        if answer.positive:
            return outcomes.delivered(answer, self._host, None)
        return outcomes.refused(answer, Phase.DOT, self._host, None)

    def _begin(self, deliveries: list[str]) -> None:
        for one in deliveries:
            other = self._network.under_way.get(one)
            stopped = [life for life in (other, self._life) if life is None or not life.alive or life.pauses]
            if one in self._network.under_way and not stopped:
                self._network.ledger.broken.append(f"{one} is attempted by {other} and {self._life} at once")
            self._network.under_way[one] = self._life

    def _arrives(self, deliveries: list[str], dot: _Dot) -> None:
        """Content and dot are at the far side, whatever became of the life that wrote them."""
        habits = self._provider.habits
        chance = self._network.random.random()
        if habits.down or chance < habits.defers:
            self._answers(dot, ConnectionResetError() if habits.down else _DEFERRED)
            return
        chance -= habits.defers
        self._provider.tally.delivered += len(deliveries)
        for one, take in zip(deliveries, dot.takes, strict=True):
            self._network.ledger.take(one, take)
            self._network.trace(f"taken {one} {take.life}")
        if chance < habits.drops:
            self._answers(dot, ConnectionResetError())
        elif chance >= habits.drops + habits.sulks:
            self._answers(dot, _TAKEN)

    def _answers(self, dot: _Dot, answer: Reply | Exception) -> None:
        def arrive() -> None:
            if dot.answer.done():
                return
            if isinstance(answer, Reply):
                dot.answer.set_result(answer)
            else:
                dot.answer.set_exception(answer)

        habits = self._provider.habits
        self._loop.call_later(habits.work + habits.way, arrive, context=WORLD)

    def _unheard(self, cause: Exception) -> Outcome:
        self.abort()
        return outcomes.broken(SessionBrokenError(Phase.DOT, cause), self._host, None, sent=True)

    async def quit(self) -> None:
        self.abort()

    def abort(self) -> None:
        if self._open:
            self._open = False
            self._provider.hangs_up()
            if self._life is not None:
                self._life.sockets.pop(self, None)


@dataclass(slots=True, eq=False)
class _Dot:
    """The answer to a final dot, and what the far side took if it took it."""

    answer: asyncio.Future[Reply]
    takes: list[Take]
