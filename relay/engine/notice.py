"""Notices: the report to the sender of an SMTP submission about what became of it (RFC 3464).

Of a failure, of a delay, and of mail handed to a host that sends no reports of its own, each as the sender asked
(`relay.policy.notify`). A notice is a message of ours like any other: prepared by intake, signed, and accepted in the
transaction that settles what it tells of. It goes out with the null path, and the null path never gets one
(RFC 5321 §6.1).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from relay.account.identity import Identity
from relay.engine.submission import Refusal, Submission
from relay.errors import SpoolUnavailableError
from relay.log import Log
from relay.mail.address import NULL_PATH, Address
from relay.mail.envelope import Envelope, Recipient
from relay.policy.notify import NoticeRule, delay_owed, owed
from relay.policy.outcome import DecidedBy, Outcome
from relay.policy.state import State
from relay.report.dsn import Report, ReportRecipient, build_dsn, status_of
from relay.report.wording import Action
from relay.spool.contract import Spool
from relay.spool.work import Door, Duty, NewMessage, Parcel, Settlement

_log = Log("notice")

MAILER: Final = "mailer-daemon"


@dataclass(frozen=True, slots=True)
class Told:
    """What is told of a delivery: what was done, by which outcome, and when; None where another's attempt decided."""

    duty: Duty
    action: Action
    outcome: Outcome
    at: datetime | None = None


class Notices:
    """Writes DSNs. `prepare` is intake's: it adds what is missing and signs."""

    def __init__(
        self,
        node_name: str,
        spool: Spool,
        prepare: Callable[[Submission], Awaitable[NewMessage | Refusal]],
        rule: NoticeRule | None = None,
    ) -> None:
        self._node_name = node_name
        self._spool = spool
        self._prepare = prepare
        self._rule = rule or NoticeRule()

    def owed(self, parcel: Parcel, duty: Duty, settlement: Settlement) -> Action | None:
        """The report that is owed about an attempt that was just made."""
        if not _has_reader(parcel):
            return None
        attempt = settlement.attempt
        if settlement.state is State.WAITING and settlement.due is not None and attempt is not None:
            return Action.DELAYED if self.delay_owed(parcel, duty, attempt.at, settlement.due) else None
        confirms = attempt is not None and attempt.outcome.confirms
        return owed(settlement.state, duty.recipient.notify, confirms=confirms)

    def delay_owed(self, parcel: Parcel, duty: Duty, now: datetime, due: datetime) -> bool:
        """Whether the sender is to hear now that a delivery waits until `due`."""
        if duty.delay_told or not _has_reader(parcel):
            return False
        return delay_owed(self._rule, duty.recipient.notify, parcel.accepted_at, now, due)

    async def about(self, parcel: Parcel, told: Sequence[Told]) -> NewMessage | None:
        """One DSN about these deliveries; None when it could not be written."""
        try:
            return await self._write(parcel, told)
        except Exception:  # noqa: BLE001 - what it tells of must be settled whatever the notice meets
            _log.exception("notice-failed", id=parcel.id)
            return None

    async def _write(self, parcel: Parcel, told: Sequence[Told]) -> NewMessage | None:
        sender = parcel.reverse_path
        if not isinstance(sender, Address):
            return None
        report = Report(
            sender=("Mail delivery", Address(MAILER, self._node_name)),
            to=sender,
            reporting_mta=self._node_name,
            recipients=tuple(_report_recipient(one, parcel.expires_at) for one in told),
            original=await self._original(parcel),
            arrival=parcel.accepted_at,
            envid=parcel.envelope.envid,
            ret=parcel.envelope.ret,
        )
        submission = Submission(
            door=Door.NOTICE,
            identity=Identity(parcel.tenant, "", None, "notice", (self._node_name,)),
            envelope=Envelope(NULL_PATH, (Recipient(sender),), smtputf8=sender.needs_smtputf8),
            content=build_dsn(report),
        )
        notice = await self._prepare(submission)
        if isinstance(notice, Refusal):
            _log.error("notice-refused", id=parcel.id, reply=notice.reply)
            return None
        # It is accepted in a settlement, which grants no lease: the scheduler picks it up.
        return replace(notice, lease_to=None)

    async def _original(self, parcel: Parcel) -> bytes:
        """The message as it left: its prelude may have been written after it was claimed."""
        if parcel.content is not None and parcel.prelude is not None:
            return parcel.prelude + parcel.content
        try:
            return await self._spool.original(parcel.seq)
        except SpoolUnavailableError:
            return b""


def _has_reader(parcel: Parcel) -> bool:
    """Whether anybody reads reports: HTTP and the web have events, and the null path gets none."""
    return parcel.door is Door.SMTP and isinstance(parcel.reverse_path, Address)


def _report_recipient(told: Told, until: datetime) -> ReportRecipient:
    outcome, action = told.outcome, told.action
    remote = outcome.decided_by is DecidedBy.REMOTE
    return ReportRecipient(
        address=told.duty.recipient.address,
        action=action,
        status=status_of(action, outcome.reply),
        orcpt=told.duty.recipient.orcpt,
        remote_mta=outcome.host.exchanger if remote and outcome.host is not None else "",
        reply=outcome.reply,
        last_attempt=told.at,
        will_retry_until=until if action is Action.DELAYED else None,
    )
