"""Notices: the DSN to the sender of an SMTP submission when a delivery failed for good (RFC 3464).

A notice is a message of ours like any other: prepared by intake, signed, and accepted in the transaction
that settles the failure. It goes out with the null path, and the null path never gets one (RFC 5321 §6.1).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Final

from relay.account.identity import Identity
from relay.engine.submission import Refusal, Submission
from relay.errors import SpoolUnavailableError
from relay.log import Log
from relay.mail.address import NULL_PATH, Address
from relay.mail.envelope import Envelope, Notify, Recipient
from relay.policy.outcome import DecidedBy
from relay.report.dsn import Report, ReportRecipient, build_dsn, status_of
from relay.report.wording import Action
from relay.spool.contract import Door, Duty, NewMessage, Parcel, Settlement, Spool

_log = Log("notice")

MAILER: Final = "mailer-daemon"


class Notices:
    """Writes DSNs. `prepare` is intake's: it adds what is missing and signs."""

    def __init__(
        self,
        node_name: str,
        spool: Spool,
        prepare: Callable[[Submission], Awaitable[NewMessage | Refusal]],
    ) -> None:
        self._node_name = node_name
        self._spool = spool
        self._prepare = prepare

    async def about(self, parcel: Parcel, failed: Sequence[tuple[Duty, Settlement]]) -> NewMessage | None:
        """The DSN about these failures, None when nobody asked for one or there is nobody to tell."""
        wanted = [(duty, settlement) for duty, settlement in failed if _asked(duty.recipient)]
        if parcel.door is not Door.SMTP or not isinstance(parcel.reverse_path, Address) or not wanted:
            return None
        try:
            return await self._write(parcel, parcel.reverse_path, wanted)
        except Exception:  # noqa: BLE001 - the failure itself must be settled whatever its notice meets
            _log.exception("notice-failed", id=parcel.id)
            return None

    async def _write(
        self, parcel: Parcel, sender: Address, failed: Sequence[tuple[Duty, Settlement]]
    ) -> NewMessage | None:
        try:
            original = parcel.content if parcel.content is not None else await self._spool.content(parcel.seq)
        except (KeyError, SpoolUnavailableError):
            original = b""
        report = Report(
            sender=("Mail delivery", Address(MAILER, self._node_name)),
            to=sender,
            reporting_mta=self._node_name,
            recipients=tuple(_report_recipient(duty, settlement) for duty, settlement in failed),
            original=(parcel.prelude or b"") + original,
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


def _report_recipient(duty: Duty, settlement: Settlement) -> ReportRecipient:
    attempt = settlement.attempt
    reply = attempt.outcome.reply if attempt is not None else None
    remote = attempt is not None and attempt.outcome.decided_by is DecidedBy.REMOTE
    host = attempt.outcome.host if attempt is not None else None
    return ReportRecipient(
        address=duty.recipient.address,
        action=Action.FAILED,
        status=status_of(Action.FAILED, reply),
        orcpt=duty.recipient.orcpt,
        remote_mta=host.exchanger if remote and host is not None else "",
        reply=reply,
        last_attempt=attempt.at if attempt is not None else None,
    )


def _asked(recipient: Recipient) -> bool:
    return recipient.notify is None or Notify.FAILURE in recipient.notify
