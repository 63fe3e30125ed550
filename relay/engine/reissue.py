"""Re-issue: what is reported later of a mail whose return path was ours, as a DSN to whoever submitted it.

The far side reported to our return token; the sender would hear of nothing. Written like any notice of ours, sent
with the null path, and never to the null path (RFC 5321 §6.1). Accepted under an idempotency key of the delivery,
so a crash between this and the settlement of the report makes no second one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

from relay.account.identity import Identity
from relay.engine.notice import MAILER
from relay.engine.submission import Refusal, Submission
from relay.log import Log
from relay.mail.address import NULL_PATH, Address, AddressError, parse_address
from relay.mail.envelope import Envelope, Notify, Recipient
from relay.policy.hearing import masked
from relay.report.dsn import Report, ReportRecipient, build_dsn, status_of
from relay.report.result import Reading, Said
from relay.report.result import Recipient as Told
from relay.report.wording import Action
from relay.smtp.reply import Reply, remote_reply
from relay.spool.contract import Spool
from relay.spool.inbound_values import SentDelivery
from relay.spool.work import Door, Idempotency, NewMessage

_log = Log("feedback")

_ASKED: Final = {
    Said.FAILED: Notify.FAILURE,
    Said.DELAYED: Notify.DELAY,
    Said.DELIVERED: Notify.SUCCESS,
    Said.RELAYED: Notify.SUCCESS,
    Said.EXPANDED: Notify.SUCCESS,
}
"""What somebody must have asked for to be told of it (RFC 3461 §4.1)."""
DEFAULT: Final = Notify.FAILURE
_ACTIONS: Final = {
    Said.FAILED: Action.FAILED,
    Said.DELAYED: Action.DELAYED,
    Said.DELIVERED: Action.DELIVERED,
    Said.RELAYED: Action.RELAYED,
    Said.EXPANDED: Action.RELAYED,
}
_NO_WORDS: Final = "the host that had taken the mail reported later that it cannot be delivered"


class Reissues:
    """Writes and accepts them. `prepare` is intake's: it adds what is missing and signs."""

    def __init__(
        self, node_name: str, spool: Spool, prepare: Callable[[Submission], Awaitable[NewMessage | Refusal]]
    ) -> None:
        self._node_name = node_name
        self._spool = spool
        self._prepare = prepare

    async def about(self, sent: SentDelivery, reading: Reading, told: Told) -> bool:
        """Pass on what was told of a delivery; False if nobody asked for it. Raises SpoolUnavailableError."""
        sender = sent.reverse_path
        if sent.door is not Door.SMTP or not isinstance(sender, Address) or sent.recipient is None:
            return False
        if told.action not in _ASKED or _ASKED[told.action] not in (DEFAULT if sent.notify is None else sent.notify):
            return False
        try:
            address = parse_address(sent.recipient, allow_literal=True)
        except AddressError:
            return False
        report = Report(
            sender=("Mail delivery", Address(MAILER, self._node_name)),
            to=sender,
            reporting_mta=self._node_name,
            recipients=(_recipient(sent, address, reading, told),),
            original=await self._original(sent),
            arrival=sent.accepted_at,
            envid=sent.envid,
            ret=sent.ret,
        )
        submission = Submission(
            door=Door.NOTICE,
            identity=Identity(sent.tenant, "", None, "notice", (self._node_name,)),
            envelope=Envelope(NULL_PATH, (Recipient(sender),), smtputf8=sender.needs_smtputf8),
            content=build_dsn(report),
        )
        notice = await self._prepare(submission)
        if isinstance(notice, Refusal):
            _log.error("notice-refused", id=sent.message, reply=notice.reply)
            return False
        key = f"relay: {told.action.value} {sent.message}.{sent.n}"
        idempotency = Idempotency(key, hashlib.sha256(key.encode()).digest())
        receipt = await self._spool.accept(replace(notice, lease_to=None, idempotency=idempotency))
        return not receipt.duplicate

    async def _original(self, sent: SentDelivery) -> bytes:
        try:
            return (sent.prelude or b"") + await self._spool.content(sent.seq)
        except KeyError:
            return b""  # forgotten, as it should be: the report then has no third part


def _recipient(sent: SentDelivery, address: Address, reading: Reading, told: Told) -> ReportRecipient:
    action = _ACTIONS[told.action]
    words = masked(told.diagnostic)
    reply: Reply | None = None
    if told.code is not None:
        reply = remote_reply(told.code, (words or _NO_WORDS,))
    elif action is Action.FAILED:
        reply = Reply(550, (words or _NO_WORDS,))
    known = status_of(action, None)
    return ReportRecipient(
        address=address,
        action=action,
        status=told.status if told.status[:2] == known[:2] else known,
        orcpt=sent.orcpt,
        remote_mta=told.remote_mta or reading.reporting_mta,
        reply=reply,
    )
