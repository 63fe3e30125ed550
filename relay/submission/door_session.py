"""What every SMTP door says and does alike: greetings, small talk, STARTTLS, and reading content after DATA.

Between the wire and the commands that make one door differ from another. It guarantees that only CRLF.CRLF ends a
message (C04), that nothing said in clear outlives STARTTLS (S03), and that content is read within bounds of size,
memory and time.
"""

from __future__ import annotations

import asyncio
import re
from abc import abstractmethod
from collections.abc import Mapping
from functools import partial
from typing import ClassVar, Final

from relay import metrics
from relay.smtp.reply import Reply
from relay.submission import replies
from relay.submission.content import ContentDecoder, Defect, EndlessContentError, read_content
from relay.submission.context import DoorContext, log
from relay.submission.overflow import ContentRead, Overflow, Receive
from relay.submission.wire import WireSession

SAFE_NAME: Final = re.compile(r"[A-Za-z0-9._:\[\]\-]{1,255}")
_HTTP = frozenset({"GET", "POST", "PUT", "HEAD", "CONNECT", "OPTIONS", "DELETE", "PATCH", "TRACE", "PRI"})
_NOT_OFFERED = frozenset({"EXPN", "ETRN", "BDAT", "TURN", "ATRN", "SEND", "SOML", "SAML", "XCLIENT", "XFORWARD"})
_DRAIN_EXTRA: Final = 1024 * 1024

_DEFECTS: Final[Mapping[Defect, Reply]] = {
    Defect.TOO_BIG: replies.TOO_BIG,
    Defect.NO_ROOM: replies.NO_ROOM,
    Defect.BARE_LINE_END: replies.BARE_LINE_END,
    Defect.NUL: replies.NUL,
}


def _nowhere() -> None:
    """Content is held whole, however large."""


class DoorSession(WireSession):
    """One client of an SMTP door. `metric` is the door's name in the metrics."""

    metric: ClassVar[str]
    commands: ClassVar[frozenset[str]] = frozenset({"EHLO", "HELO", "RSET", "NOOP", "QUIT", "VRFY", "HELP", "STARTTLS"})
    """The verbs it knows; the method of one is its name in lower case after an underscore."""

    def __init__(self, context: DoorContext, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(context, loop)
        self._name = ""
        self._extended = False

    def greeting(self) -> bytes:
        return f"220 {self.hostname} ESMTP\r\n".encode()

    def forget(self) -> None:
        self._name = ""
        self._extended = False
        self.forget_transaction()

    @abstractmethod
    def extensions(self) -> list[str]:
        """What EHLO offers beside what every door does."""

    @property
    def client_name(self) -> str:
        """The EHLO argument if it may stand in a header, or ""."""
        return self._name if SAFE_NAME.fullmatch(self._name) else ""

    async def dispatch(self, verb: str, argument: str) -> None:
        command = getattr(self, f"_{verb.lower()}", None) if verb in self.commands else None
        if command is not None:
            await command(argument)
        elif verb in _HTTP:
            log.info("http-on-smtp", peer=self.peer)
            self.close(replies.NOT_HTTP)
        else:
            self.answer(replies.NOT_OFFERED if verb in _NOT_OFFERED else replies.UNKNOWN_COMMAND)

    def refuse(self, what: Reply) -> None:
        """Answer with a refusal that is counted and logged."""
        metrics.refused.labels(self.metric, what.status).inc()
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
        lines += self.extensions()
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

    # Content.

    async def read_after_data(self, holder: int | str | None, receive: Receive = _nowhere) -> ContentRead | None:
        """Say 354 and read; None when it was refused. Large content is written to what `receive` opens."""
        if self.talks_early:
            # Text sent before 354 would be content to one reader and commands to another (D09, S11).
            self.close(replies.TALKS_EARLY)
            return None
        await self.say_now(replies.SEND_CONTENT)
        limit = self.context.options.max_message_size
        decoder = ContentDecoder(limit, partial(self.context.reserve, holder))
        overflow = Overflow(decoder, receive, self.timer, partial(self.context.release, holder))
        self.timer.begin_content(self.buffered)
        try:
            drain = 2 * limit + _DRAIN_EXTRA
            await read_content(self._reader, decoder, drain, self.timer.progress, overflow.store)
            read = await overflow.finish()
        except EndlessContentError:
            overflow.discard()
            self.close(replies.TOO_BIG)
            return None
        except BaseException:
            # What is left of the content must not be read as commands.
            self.close()
            overflow.discard()
            raise
        finally:
            self.timer.end_content()
        if isinstance(read, ContentRead):
            return read
        overflow.discard()
        self.forget_transaction()
        self.refuse(read if isinstance(read, Reply) else _DEFECTS[read])
        return None

    async def answer_commit(self, commit: asyncio.Task[Reply]) -> None:
        """Wait for a commit under way, whoever leaves meanwhile, and say what it answered."""
        self.timer.begin_work()
        try:
            answer = await asyncio.shield(commit)
        finally:
            self.forget_transaction()
            self.timer.end_work()
        if answer.positive:
            self.forgive_errors()
            self.say(answer.wire())
        else:
            self.refuse(answer)
