"""The submission session: the commands of SMTP as RFC 6409 wants them, from AUTH to the promise after the dot.

It stands at step 1 of a message's path: it reads the protocol, makes a `Submission` and sends what intake
answers. It guarantees that `250 2.0.0 accepted ID` is sent only after intake's commit, that nobody who is
neither authenticated nor trusted gets past MAIL (S14).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from relay.account.identity import Identity
from relay.engine.submission import Origin, Submission
from relay.mail.envelope import Envelope, Recipient
from relay.smtp.parameters import MailArguments, parse_mail, parse_rcpt
from relay.smtp.reply import Reply
from relay.spool.work import Door
from relay.submission import replies, sasl
from relay.submission.auth import authenticate
from relay.submission.context import SubmissionContext
from relay.submission.door_session import DoorSession
from relay.submission.options import MAX_AUTH_FAILURES
from relay.submission.overflow import ContentRead


@dataclass(slots=True)
class Transaction:
    """From MAIL to the final reply."""

    identity: Identity
    mail: MailArguments
    recipients: list[Recipient] = field(default_factory=list)


class SubmissionSession(DoorSession):
    """One client of the submission door."""

    metric = "smtp"
    commands = DoorSession.commands | {"AUTH", "MAIL", "RCPT", "DATA"}
    context: SubmissionContext

    def __init__(self, context: SubmissionContext, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(context, loop)
        self.identity: Identity | None = None
        self.transaction: Transaction | None = None
        self._wrong_passwords = 0

    @property
    def in_transaction(self) -> bool:
        return self.transaction is not None

    def forget_transaction(self) -> None:
        self.transaction = None

    def forget(self) -> None:
        super().forget()
        self.identity = None

    def extensions(self) -> list[str]:
        return [f"AUTH {' '.join(sasl.MECHANISMS)}"] if self._may_authenticate else []

    # Authentication.

    @property
    def _may_authenticate(self) -> bool:
        return self.secure or self.trusted

    async def _auth(self, arg: str) -> None:
        if not self._name or not self._extended:
            self.answer(replies.SEND_EHLO)
        elif not self._may_authenticate:
            self.answer(replies.AUTH_NEEDS_TLS)
        elif self.identity is not None or self.in_transaction:
            self.answer(replies.OUT_OF_ORDER)
        elif not arg:
            self.answer(replies.NEEDS_ARGUMENT)
        else:
            await self._settle_auth(arg)

    async def _settle_auth(self, argument: str) -> None:
        answer = await authenticate(self, self.context, argument)
        if isinstance(answer, Identity):
            self.identity = answer
            self.say(replies.AUTHENTICATED)
            return
        if answer is sasl.WRONG:
            self._wrong_passwords += 1
            if self._wrong_passwords >= MAX_AUTH_FAILURES:
                answer = replies.TOO_MANY_GUESSES
        self.refuse(answer)

    # The transaction.

    def _submitter(self) -> Identity | Reply:
        """Who submits, or why nobody may (F01, C14)."""
        if not self._name:
            return replies.SEND_EHLO
        if self.identity is not None:
            return self.identity
        if self.trusted:
            return self.context.trusted_identity
        return replies.AUTH_REQUIRED if self.context.options.require_auth else replies.RELAYING_DENIED

    async def _mail(self, arg: str) -> None:
        identity = self._submitter()
        if isinstance(identity, Reply):
            self.refuse(identity)
            return
        if self.transaction is not None:
            self.answer(replies.OUT_OF_ORDER)
            return
        mail = parse_mail(arg, extended=self._extended)
        if isinstance(mail, Reply):
            self.refuse(mail)
            return
        if mail.size is not None and mail.size > self.context.options.max_message_size:
            self.refuse(replies.TOO_BIG)
            return
        intake = self.context.intake
        refusal = intake.may_send_from(identity, str(mail.reverse_path)) or intake.has_room(mail.size or 0)
        if refusal is not None:
            self.refuse(refusal.reply)
            return
        self.transaction = Transaction(identity, mail)
        self.say(replies.SENDER_OK)

    async def _rcpt(self, arg: str) -> None:
        identity = self._submitter()
        if isinstance(identity, Reply):
            self.refuse(identity)
        elif self.transaction is None:
            self.answer(replies.NEEDS_MAIL)
        elif len(self.transaction.recipients) >= self.context.options.max_recipients:
            self.refuse(replies.TOO_MANY_RECIPIENTS)
        else:
            recipient = parse_rcpt(arg, smtputf8=self.transaction.mail.smtputf8, extended=self._extended)
            if isinstance(recipient, Reply):
                self.refuse(recipient)
            else:
                self.transaction.recipients.append(recipient)
                self.say(replies.RECIPIENT_OK)

    async def _data(self, arg: str) -> None:
        identity = self._submitter()
        if isinstance(identity, Reply):
            self.refuse(identity)
        elif self.transaction is None or not self.transaction.recipients:
            self.answer(replies.NEEDS_RECIPIENT)
        elif arg:
            self.answer(replies.NO_ARGUMENT)
        else:
            await self._receive(self.transaction)

    async def _receive(self, transaction: Transaction) -> None:
        read = await self.read_after_data(transaction.identity.id, self.context.intake.receive)
        if read is not None:
            await self.answer_commit(self.context.commit(self._submission(transaction, read), read.reserved))

    def _submission(self, transaction: Transaction, read: ContentRead) -> Submission:
        mail = transaction.mail
        return Submission(
            door=Door.SMTP,
            identity=transaction.identity,
            envelope=Envelope(
                mail.reverse_path, tuple(transaction.recipients), smtputf8=mail.smtputf8, ret=mail.ret, envid=mail.envid
            ),
            content=read.content,
            body=read.body,
            origin=Origin(self.peer, self.client_name, self._protocol(mail.smtputf8)),
        )

    def _protocol(self, smtputf8: bool) -> str:
        """The `with` word of the Received field (RFC 3848, RFC 6531 §4.3; C09)."""
        if not self._extended:
            return "SMTP"
        word = "UTF8SMTP" if smtputf8 else "ESMTP"
        return word + ("S" if self.secure else "") + ("A" if self.identity is not None else "")
