"""The inbound session: mail from strangers, for addresses of ours alone, promised only after its commit.

A door like submission's without AUTH. It guarantees that `250` follows the commit (C05), that a recipient which is
not ours is refused at once (C07), and that nothing is ever answered by mail from here: what came in is stored, and
what follows is decided later (S18).
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from typing import Final

from relay.inbound.context import InboundContext
from relay.mail.address import ReversePath
from relay.smtp.parameters import MailArguments, parse_mail, parse_rcpt
from relay.smtp.reply import Reply, reply
from relay.spool.inbound_values import InboundAddress, NewInbound
from relay.submission import replies
from relay.submission.door_session import DoorSession

TOO_FAST: Final = reply(451, "4.7.1", "too much mail from your address just now, try again later")
_POSTMASTER = re.compile(r"TO: *<postmaster>", re.IGNORECASE)


@dataclass(slots=True)
class Transaction:
    """From MAIL to the final reply."""

    mail: MailArguments
    addresses: list[InboundAddress] = field(default_factory=list)


class InboundSession(DoorSession):
    """One stranger."""

    metric = "inbound"
    commands = DoorSession.commands | {"MAIL", "RCPT", "DATA"}
    context: InboundContext

    def __init__(self, context: InboundContext, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(context, loop)
        self.transaction: Transaction | None = None

    @property
    def in_transaction(self) -> bool:
        return self.transaction is not None

    def forget_transaction(self) -> None:
        self.transaction = None

    def extensions(self) -> list[str]:
        return []

    async def _mail(self, arg: str) -> None:
        if not self._name:
            self.refuse(replies.SEND_EHLO)
        elif self.transaction is not None:
            self.answer(replies.OUT_OF_ORDER)
        else:
            mail = parse_mail(arg, extended=self._extended)
            if isinstance(mail, Reply):
                self.refuse(mail)
            elif mail.size is not None and mail.size > self.context.options.max_message_size:
                self.refuse(replies.TOO_BIG)
            elif not self.context.rate.take(self.peer):
                self.refuse(TOO_FAST)
            else:
                self.transaction = Transaction(mail)
                self.say(replies.SENDER_OK)

    async def _rcpt(self, arg: str) -> None:
        transaction = self.transaction
        if transaction is None:
            self.answer(replies.NEEDS_MAIL)
            return
        if len(transaction.addresses) >= self.context.options.max_recipients:
            self.refuse(replies.TOO_MANY_RECIPIENTS)
            return
        judged = await self._judge(arg, transaction)
        if isinstance(judged, Reply):
            self.refuse(judged)
            return
        if judged not in transaction.addresses:
            transaction.addresses.append(judged)
        self.say(replies.RECIPIENT_OK)

    async def _judge(self, arg: str, transaction: Transaction) -> InboundAddress | Reply:
        if _POSTMASTER.fullmatch(arg):
            return self.context.addresses.bare_postmaster()
        recipient = parse_rcpt(arg, smtputf8=transaction.mail.smtputf8, extended=self._extended)
        return recipient if isinstance(recipient, Reply) else await self.context.addresses.judge(recipient.address)

    async def _data(self, arg: str) -> None:
        transaction = self.transaction
        if transaction is None or not transaction.addresses:
            self.answer(replies.NEEDS_RECIPIENT)
        elif arg:
            self.answer(replies.NO_ARGUMENT)
        else:
            read = await self.read_after_data(self.peer)
            if read is not None:
                mail = self._taken(transaction.mail.reverse_path, transaction, read.content)
                await self.answer_commit(self.context.commit(mail, read.reserved))

    def _taken(self, path: ReversePath, transaction: Transaction, content: bytes) -> NewInbound:
        return NewInbound(self.peer, self.client_name, self.secure, path, tuple(transaction.addresses), content)
