"""The submission session: the commands of SMTP as RFC 6409 wants them, from EHLO to the promise after the dot.

It stands at step 1 of a message's path: it reads the protocol, makes a `Submission` and sends what intake
answers. It guarantees that `250 2.0.0 accepted ID` is sent only after intake's commit, that nobody who is
neither authenticated nor trusted gets past MAIL (S14), and that only CRLF.CRLF ends a message (C04).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from relay import metrics
from relay.account.identity import Identity
from relay.engine.submission import Origin, Submission
from relay.mail.envelope import Envelope, Recipient
from relay.smtp.parameters import MailArguments, parse_mail, parse_rcpt
from relay.smtp.reply import Reply
from relay.spool.contract import Door
from relay.submission import replies, sasl
from relay.submission.auth import authenticate
from relay.submission.content import ContentDecoder, Defect, EndlessContentError, read_content
from relay.submission.context import SubmissionContext, log
from relay.submission.options import MAX_AUTH_FAILURES
from relay.submission.wire import WireSession

_SAFE_NAME = re.compile(r"[A-Za-z0-9._:\[\]\-]{1,255}")
_HTTP = frozenset({"GET", "POST", "PUT", "HEAD", "CONNECT", "OPTIONS", "DELETE", "PATCH", "TRACE", "PRI"})
_NOT_OFFERED = frozenset({"EXPN", "ETRN", "BDAT", "TURN", "ATRN", "SEND", "SOML", "SAML", "XCLIENT", "XFORWARD"})
_DRAIN_EXTRA: Final = 1024 * 1024

_DEFECTS: Final[Mapping[Defect, Reply]] = {
    Defect.TOO_BIG: replies.TOO_BIG,
    Defect.NO_ROOM: replies.NO_ROOM,
    Defect.BARE_LINE_END: replies.BARE_LINE_END,
    Defect.NUL: replies.NUL,
}


@dataclass(slots=True)
class Transaction:
    """From MAIL to the final reply."""

    identity: Identity
    mail: MailArguments
    recipients: list[Recipient] = field(default_factory=list)


class SubmissionSession(WireSession):
    """One client of the submission door."""

    def __init__(self, context: SubmissionContext, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(context, loop)
        self.identity: Identity | None = None
        self.transaction: Transaction | None = None
        self._name = ""
        self._extended = False
        self._wrong_passwords = 0

    @property
    def in_transaction(self) -> bool:
        return self.transaction is not None

    def greeting(self) -> bytes:
        return f"220 {self.hostname} ESMTP\r\n".encode()

    def forget_transaction(self) -> None:
        self.transaction = None

    def forget(self) -> None:
        self._name = ""
        self._extended = False
        self.identity = None
        self.transaction = None

    async def dispatch(self, verb: str, argument: str) -> None:
        command = _COMMANDS.get(verb)
        if command is not None:
            await command(self, argument)
        elif verb in _HTTP:
            log.info("http-on-smtp", peer=self.peer)
            self.close(replies.NOT_HTTP)
        else:
            self.answer(replies.NOT_OFFERED if verb in _NOT_OFFERED else replies.UNKNOWN_COMMAND)

    def refuse(self, what: Reply) -> None:
        """Answer with a refusal that is counted and logged."""
        metrics.refused.labels("smtp", what.status).inc()
        log.info("refused", peer=self.peer, reply=what)
        self.answer(what)

    # Greetings and small talk.

    async def _helo(self, hostname: str) -> None:
        if self._meet(hostname, extended=False):
            self.say(f"250 {self.hostname}\r\n".encode())

    async def _ehlo(self, hostname: str) -> None:
        if not self._meet(hostname, extended=True):
            return
        lines = [
            self.hostname,
            "PIPELINING",
            f"SIZE {self.context.options.max_message_size}",
            "8BITMIME",
            "ENHANCEDSTATUSCODES",
            "SMTPUTF8",
            "DSN",
        ]
        if self.context.tls is not None and not self.secure:
            lines.append("STARTTLS")
        if self._may_authenticate:
            lines.append(f"AUTH {' '.join(sasl.MECHANISMS)}")
        self.say(("250-" + "\r\n250-".join(lines[:-1]) + f"\r\n250 {lines[-1]}\r\n").encode())

    def _meet(self, name: str, *, extended: bool) -> bool:
        """Whether the client has introduced itself; a new EHLO also ends a transaction (RFC 5321 §4.1.4)."""
        if self.talks_early:
            # PIPELINING is not offered yet, and EHLO ends a group in any case (RFC 2920 §3.1).
            self.close(replies.TALKS_EARLY)
            return False
        if not name or " " in name or len(name) > 255:
            self.answer(replies.NEEDS_NAME)
            return False
        self.forget_transaction()
        self._name = name
        self._extended = extended
        return True

    async def _noop(self, arg: str) -> None:
        self.say(replies.OK)

    async def _rset(self, arg: str) -> None:
        if arg:
            self.answer(replies.NO_ARGUMENT)
            return
        self.forget_transaction()
        self.say(replies.OK)

    async def _quit(self, arg: str) -> None:
        if arg:
            self.answer(replies.NO_ARGUMENT)
            return
        self.say(replies.BYE)
        self.close()

    async def _vrfy(self, arg: str) -> None:
        self.answer(replies.CANNOT_VERIFY if arg else replies.NEEDS_ARGUMENT)

    async def _help(self, arg: str) -> None:
        self.say(replies.HELP)

    # TLS and authentication.

    async def _starttls(self, arg: str) -> None:
        if arg:
            self.answer(replies.NO_ARGUMENT)
        elif self.secure or self.in_transaction:
            self.answer(replies.OUT_OF_ORDER)
        elif self.context.tls is None or not self.context.may_handshake(self.peer):
            self.answer(replies.TLS_NOT_NOW)
        else:
            if not self.talks_early:
                await self.say_now(replies.START_TLS)
            if self.talks_early:
                # What came in clear behind STARTTLS must never be read as if TLS had protected it (S03).
                log.warning("injection-before-tls", peer=self.peer)
                self.close(replies.TALKS_EARLY)
                return
            await self.start_tls()

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
        answer = await authenticate(self, argument)
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
        elif self.talks_early:
            # Text sent before 354 would be content to one reader and commands to another (D09, S11).
            self.close(replies.TALKS_EARLY)
        else:
            await self.say_now(replies.SEND_CONTENT)
            await self._receive(self.transaction)

    async def _receive(self, transaction: Transaction) -> None:
        limit = self.context.options.max_message_size
        identity = transaction.identity
        decoder = ContentDecoder(limit, partial(self.context.reserve, identity))
        self.timer.begin_content(self.buffered)
        try:
            await read_content(self._reader, decoder, 2 * limit + _DRAIN_EXTRA, self.timer.progress)
        except EndlessContentError:
            self.context.release(identity, decoder.reserved)
            self.close(replies.TOO_BIG)
            return
        except BaseException:
            # What is left of the content must not be read as commands.
            self.close()
            self.context.release(identity, decoder.reserved)
            raise
        finally:
            self.timer.end_content()
        if decoder.defect is not None:
            self.context.release(identity, decoder.reserved)
            self.forget_transaction()
            self.refuse(_DEFECTS[decoder.defect])
            return
        submission = self._submission(transaction, decoder.content())
        self.timer.begin_work()
        try:
            answer = await asyncio.shield(self.context.commit(submission, decoder.reserved))
        finally:
            self.forget_transaction()
            self.timer.end_work()
        if answer.positive:
            self.forgive_errors()
            self.say(answer.wire())
        else:
            self.refuse(answer)

    def _submission(self, transaction: Transaction, content: bytes) -> Submission:
        mail = transaction.mail
        return Submission(
            door=Door.SMTP,
            identity=transaction.identity,
            envelope=Envelope(
                mail.reverse_path, tuple(transaction.recipients), smtputf8=mail.smtputf8, ret=mail.ret, envid=mail.envid
            ),
            content=content,
            origin=Origin(
                self.peer, self._name if _SAFE_NAME.fullmatch(self._name) else "", self._protocol(mail.smtputf8)
            ),
        )

    def _protocol(self, smtputf8: bool) -> str:
        """The `with` word of the Received field (RFC 3848, RFC 6531 §4.3; C09)."""
        if not self._extended:
            return "SMTP"
        word = "UTF8SMTP" if smtputf8 else "ESMTP"
        return word + ("S" if self.secure else "") + ("A" if self.identity is not None else "")


_COMMANDS: Final[Mapping[str, Callable[[Any, str], Awaitable[None]]]] = {
    "EHLO": SubmissionSession._ehlo,
    "HELO": SubmissionSession._helo,
    "MAIL": SubmissionSession._mail,
    "RCPT": SubmissionSession._rcpt,
    "DATA": SubmissionSession._data,
    "RSET": SubmissionSession._rset,
    "NOOP": SubmissionSession._noop,
    "QUIT": SubmissionSession._quit,
    "VRFY": SubmissionSession._vrfy,
    "HELP": SubmissionSession._help,
    "AUTH": SubmissionSession._auth,
    "STARTTLS": SubmissionSession._starttls,
}
