"""An attempt: one parcel, the hosts of its plan in order, until a host has answered for the mail.

A host that cannot be reached, or that refuses the session, passes the parcel to the next one; what a host
says about the message or a recipient stands. The outcome is a value for each delivery; nothing here decides
what becomes of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from relay import metrics
from relay.clock import Clock
from relay.egress.contract import Dialer, Session, StaleSessionError, Transaction
from relay.egress.needs import waives_policies
from relay.engine.content import Outgoing
from relay.engine.gate import NoPermitError, Permit
from relay.engine.return_path import ReturnPaths
from relay.policy.diagnosis import Diagnoser
from relay.policy.outcome import Course, DecidedBy, Outcome, Passed, Phase, Result, Scope
from relay.policy.pressure import presses
from relay.policy.route import Candidate
from relay.policy.tls import PolicyType, TlsDemand
from relay.policy.way import Source, Way
from relay.smtp.reply import reply
from relay.smtp.transcript import Exchange, Transcript
from relay.spool.work import Parcel, Warmth

_BEFORE_RECIPIENTS: Final = frozenset(
    {Phase.CONNECT, Phase.BANNER, Phase.EHLO, Phase.STARTTLS, Phase.TLS, Phase.AUTH, Phase.MAIL}
)
_HANDSHAKE: Final = frozenset({Phase.STARTTLS, Phase.TLS})
_SESSION_SCOPES: Final = frozenset({Scope.HOST, Scope.SITE, Scope.SOURCE})


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """An outcome a duty, in order; the session if it can carry more; whether any host answered at all.

    `source` is the name of the egress source, "" when nothing was sent.
    """

    outcomes: tuple[Outcome, ...]
    session: Session | None
    reached: bool
    transcript: tuple[Exchange, ...]
    duration_ms: int
    broken: bool = False
    """It broke on our side: counted toward quarantine (`relay.policy.quarantine`)."""
    source: str = ""
    warmth: Warmth | None = None
    """The warm-up that it counts for, None where that is as it was."""

    @property
    def pressure(self) -> Outcome | None:
        """The outcome that means "too much" for the whole path, if there is one."""
        return next((outcome for outcome in self.outcomes if presses(outcome)), None)

    @property
    def unmet(self) -> bool:
        """Whether a host answered and had less TLS than this domain demands: that says nothing of other mail to it."""
        outcome = self.outcomes[0]
        if self.reached or outcome.tls is None or outcome.decided_by is not DecidedBy.RELAY:
            return False
        return outcome.phase in _HANDSHAKE and TlsDemand(outcome.tls.demand).requires

    @property
    def refusal_of_path(self) -> Outcome | None:
        """The outcome whose diagnosis says that the whole path should rest, if there is one."""
        for outcome in self.outcomes:
            diagnosis = outcome.diagnosis
            if diagnosis is not None and diagnosis.verdict is Course.REST and diagnosis.scope in _SESSION_SCOPES:
                return outcome
        return None


@dataclass(frozen=True, slots=True)
class _Errand:
    """What one attempt carries from host to host."""

    transaction: Transaction
    transcript: Transcript
    permit: Permit
    source: Source


class Attempter:
    """Makes attempts."""

    def __init__(
        self,
        dialer: Dialer,
        diagnoser: Diagnoser,
        clock: Clock,
        holds: Callable[[], bool],
        returns: ReturnPaths,
    ) -> None:
        self._dialer = dialer
        self._clock = clock
        self._holds = holds
        self.returns = returns
        self.diagnoser = diagnoser

    def explain(self, outcome: Outcome, domain: str) -> Outcome:
        """The outcome with its diagnosis, by the rules as they are now."""
        return self.diagnoser.explain(outcome, domain)

    async def attempt(
        self, parcel: Parcel, content: Outgoing, way: Way, session: Session | None, permit: Permit
    ) -> AttemptResult:
        """Try the parcel on `session` if one is open, else on the way's candidates in order.

        `permit` is taken right before MAIL, and asked with the lease right before content and final dot. Raises
        NoPermitError if the path has none for it: nothing was begun then.
        """
        begun = self._clock.monotonic()
        transcript = Transcript(begun, [])
        for note in way.notes:
            transcript.add(begun, "net", note)
        transaction = Transaction(
            reverse_path=self.returns.mail_from(parcel),
            recipients=parcel.envelope.recipients,
            content=(content.prelude, content.head),
            tail=content.tail,
            size=content.size,
            may_finish=lambda: self._holds() and permit.may_finish(),
            smtputf8=parcel.envelope.smtputf8,
            ret=parcel.envelope.ret,
            envid=parcel.envelope.envid,
        )
        errand = _Errand(transaction, transcript, permit, way.source)
        outcomes, session = await self._talk(errand, way, session)
        duration = self._clock.monotonic() - begun
        metrics.attempt_seconds.observe(duration)
        for outcome in outcomes:
            metrics.attempts.labels(outcome.result.value, outcome.phase.value).inc()
        domain = parcel.envelope.recipients[0].address.domain
        return AttemptResult(
            tuple(self.diagnoser.explain(outcome, domain) for outcome in outcomes),
            session,
            reached=not all(_unreached(outcome) for outcome in outcomes),
            transcript=tuple(transcript.exchanges),
            duration_ms=int(duration * 1000),
            source=way.source.name,
        )

    async def _talk(
        self, errand: _Errand, way: Way, session: Session | None
    ) -> tuple[tuple[Outcome, ...], Session | None]:
        outcomes: tuple[Outcome, ...] = ()
        transaction, transcript = errand.transaction, errand.transcript
        waived = bool(way.relaxed) and waives_policies(transaction.content)
        candidates = way.relaxed if waived else way.candidates
        if session is not None and session.candidate not in candidates:
            # It was opened for another domain of the site, whose TLS demand is another.
            await session.quit()
            session = None
        if session is not None:
            outcomes, session = await self._send(errand, session)
        elif not waived:
            for note in way.plan.notes:
                transcript.add(self._clock.monotonic(), "net", note)
            if not candidates and way.plan.refusal is not None:
                return (way.plan.refusal,) * len(transaction.recipients), None
        passed: list[Passed] = []
        for candidate in candidates:
            if outcomes and (not _may_try_next(outcomes) or self._presses(outcomes, errand)):
                break
            passed += _short_of_policy(outcomes)
            if session is not None:
                await session.quit()
            outcomes, session = await self._try(errand, candidate)
        if passed:
            outcomes = tuple(replace(outcome, passed=tuple(passed)) for outcome in outcomes)
        return outcomes, session

    def _presses(self, outcomes: tuple[Outcome, ...], errand: _Errand) -> bool:
        """Whether they mean "too much": another host of the site would say the same."""
        domain = errand.transaction.recipients[0].address.domain
        return any(presses(self.diagnoser.explain(outcome, domain)) for outcome in outcomes)

    async def _try(self, errand: _Errand, candidate: Candidate) -> tuple[tuple[Outcome, ...], Session | None]:
        await errand.permit.connect()
        dialled = await self._dialer.dial(candidate, errand.source, errand.transcript)
        if isinstance(dialled, Outcome):
            return (dialled,) * len(errand.transaction.recipients), None
        return await self._send(errand, dialled)

    async def _send(self, errand: _Errand, session: Session) -> tuple[tuple[Outcome, ...], Session | None]:
        """Send on a session; a stale one gives no outcomes at all, so that the candidates are tried."""
        try:
            await errand.permit.take()
        except NoPermitError:
            await session.quit()
            raise
        except BaseException:
            session.abort()
            raise
        try:
            outcomes = await session.send(errand.transaction, errand.transcript)
        except StaleSessionError:
            session.abort()
            return (), None
        except BaseException:
            session.abort()
            raise
        if session.usable:
            return outcomes, session
        await session.quit()
        return outcomes, None


def _may_try_next(outcomes: tuple[Outcome, ...]) -> bool:
    """Whether another host may still take the mail: every recipient failed for the host's sake alone."""
    return all(
        outcome.result in (Result.TEMPORARY, Result.PERMANENT) and outcome.scope in _SESSION_SCOPES
        for outcome in outcomes
    )


def _short_of_policy(outcomes: tuple[Outcome, ...]) -> list[Passed]:
    """The host behind these outcomes, if it is left because its TLS fell short of a policy."""
    first = outcomes[0] if outcomes else None
    if first is None or first.host is None or first.tls is None or first.tls.policy == PolicyType.NONE:
        return []
    return [Passed(first.host, first.tls)] if first.tls.failure else []


def _unreached(outcome: Outcome) -> bool:
    """Whether the host refused or lost the session itself, before any recipient was named."""
    return (
        outcome.result in (Result.TEMPORARY, Result.PERMANENT)
        and outcome.scope in _SESSION_SCOPES
        and outcome.phase in _BEFORE_RECIPIENTS
    )


def internal_failure(phase: Phase, words: str) -> Outcome:
    """The outcome of a failure of our own: temporary, our doing, the message's alone."""
    return Outcome(Result.TEMPORARY, Scope.MESSAGE, phase, DecidedBy.RELAY, reply(451, "4.3.0", words))
