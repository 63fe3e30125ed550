"""One SMTP session as a lab host holds it: RFC 5321 with the host's behaviour woven in.

Stands between the wire and the inbox. A mail is stored before its 250 is written, so what the sender was told
is never more than the truth; the scripted exceptions (a reset after the dot, `drop-after-dot@`) store and stay
silent. Every wait has a limit, every list a bound.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NoReturn

from relay.clock import Clock
from relay.lab.arguments import declared_size, is_address, path_of
from relay.lab.behaviour import Manner, Manners, Mishap, Step, Tls, Treatment, Triplet
from relay.lab.hosts import LabHost
from relay.lab.mailbox import Client, Posting
from relay.lab.wire import PeerGoneError, TooMuchError, Wire, has_bare_line_end
from relay.smtp.reply import Reply, reply
from relay.smtp.transcript import Exchange, Transcript

COMMAND_TIMEOUT: Final = 300.0  # RFC 5321 §4.5.3.2.7
DATA_TIMEOUT: Final = 120.0
HANDSHAKE_TIMEOUT: Final = 15.0
MAX_RECIPIENTS: Final = 1000
MAX_BAD_COMMANDS: Final = 20


_OK = reply(250, "2.0.0", "ok")
_BYE = reply(221, "2.0.0", "bye")
_BAD_SYNTAX = reply(501, "5.5.4", "syntax error in the arguments")
_NO_ORDER = reply(503, "5.5.1", "not in this order")
_CLOSING = reply(421, "4.3.2", "closing, as scripted")
_TOO_BIG = reply(552, "5.3.4", "the message is too big")


class EndedError(Exception):
    """The session is over by our own decision; the connection is already closing."""


@dataclass(frozen=True, slots=True)
class HostParts:
    """What a session needs of its host; `store` takes a posting and gives the name under which it is kept."""

    host: LabHost
    manners: Manners
    tls: ssl.SSLContext | None
    clock: Clock
    store: Callable[[Posting], str]


@dataclass(slots=True)
class _Mail:
    """The transaction in progress."""

    reverse_path: str | None = None
    recipients: list[str] = field(default_factory=list)
    parameters: list[str] = field(default_factory=list)
    drop_after_dot: bool = False


class Session:
    """Serves one connection until either side ends it; `run` raises only cancellation."""

    def __init__(self, wire: Wire, parts: HostParts) -> None:
        self._wire = wire
        self._parts = parts
        self._behaviour = parts.host.behaviour
        self._mishap: Mishap | None = None
        self._greeted = ""
        self._extended = False
        self._mail = _Mail()
        self._late = 0
        self._bad = 0
        self._pending = bytearray()
        self._transcript = Transcript(parts.clock.monotonic(), [])
        self._preface: tuple[Exchange, ...] = ()

    async def run(self) -> None:
        """The whole session, from banner to close."""
        try:
            self._mishap = self._parts.manners.next_mishap()
            self._note("net", f"{self._wire.peer} connected")
            await self._stumble(Step.BANNER)
            await self._say(Reply(220, (f"{self._parts.host.name} ESMTP lab",)))
            while True:
                await self._command()
        except (EndedError, PeerGoneError, ssl.SSLError, OSError, TimeoutError, TooMuchError):
            await self._flush_quietly()
        finally:
            self._wire.close()

    async def _command(self) -> None:
        if not self._wire.has_line:
            await self._flush()
        try:
            raw = await self._wire.read_line(COMMAND_TIMEOUT)
        except TimeoutError:
            await self._end(reply(421, "4.4.2", "no command came in time"))
        except TooMuchError:
            await self._end(reply(421, "4.5.2", "the command line is too long"))
        line = raw.decode("utf-8", "replace")
        self._note("they", line)
        verb, _, argument = line.partition(" ")
        match verb.upper():
            case "EHLO" | "HELO" as verb:
                await self._greet(verb, argument.strip())
            case "STARTTLS":
                await self._starttls()
            case "MAIL":
                await self._on_mail(argument)
            case "RCPT":
                await self._on_rcpt(argument)
            case "DATA":
                await self._on_data()
            case "RSET":
                self._mail = _Mail()
                await self._say(_OK)
            case "NOOP":
                await self._say(_OK)
            case "VRFY":
                await self._say(reply(252, "2.1.5", "send mail and see"))
            case "QUIT":
                await self._end(_BYE)
            case _:
                await self._refuse(reply(500, "5.5.1", "unknown command"))

    async def _greet(self, verb: str, name: str) -> None:
        await self._stumble(Step.EHLO)
        if verb == "EHLO" and not self._behaviour.esmtp:
            await self._refuse(Reply(502, ("EHLO is not implemented",)))
            return
        if not name:
            await self._refuse(_BAD_SYNTAX)
            return
        self._greeted = name[:255]
        self._extended = verb == "EHLO"
        self._mail = _Mail()
        lines = [f"{self._parts.host.name} greets {self._wire.peer}"]
        if self._extended:
            lines += ["PIPELINING", f"SIZE {self._behaviour.max_size}", "8BITMIME", "SMTPUTF8", "DSN"]
            lines += ["STARTTLS"] if self._offers_tls else []
            lines += ["ENHANCEDSTATUSCODES"]
        await self._say(Reply(250, tuple(lines)))

    @property
    def _offers_tls(self) -> bool:
        return self._behaviour.tls is not Tls.NONE and self._wire.tls() is None

    async def _starttls(self) -> None:
        if not self._offers_tls or not self._extended:
            await self._refuse(reply(502, "5.5.1", "STARTTLS is not offered"))
            return
        await self._say(reply(220, "2.0.0", "go ahead"))
        await self._flush()
        if self._behaviour.tls is Tls.BROKEN or self._parts.tls is None:
            self._note("net", "closed instead of a TLS handshake")
            raise EndedError
        await self._wire.start_tls(self._parts.tls, HANDSHAKE_TIMEOUT)
        version, cipher = self._wire.tls() or ("", "")
        self._note("net", f"{version} {cipher}")
        # What was said in clear counts no more (RFC 3207 §4.2).
        self._greeted, self._extended, self._mail = "", False, _Mail()

    async def _on_mail(self, argument: str) -> None:
        if not self._preface:
            self._preface = tuple(self._transcript.exchanges[:-1])
        self._transcript.exchanges = [*self._preface, self._transcript.exchanges[-1]]
        await self._stumble(Step.MAIL)
        parsed = path_of(argument, "FROM:")
        if not self._greeted or self._mail.reverse_path is not None:
            await self._refuse(_NO_ORDER)
        elif parsed is None or (parsed[1] and not self._extended):
            await self._refuse(_BAD_SYNTAX)
        elif parsed[0] and not is_address(parsed[0]):
            await self._refuse(reply(553, "5.1.7", "not an address"))
        elif declared_size(parsed[1]) > self._behaviour.max_size:
            await self._refuse(_TOO_BIG)
        else:
            self._mail = _Mail(parsed[0], parameters=list(parsed[1]))
            await self._say(reply(250, "2.1.0", "sender ok"))

    async def _on_rcpt(self, argument: str) -> None:
        await self._stumble(Step.RCPT)
        parsed = path_of(argument, "TO:")
        if self._mail.reverse_path is None:
            await self._refuse(_NO_ORDER)
        elif parsed is None or not parsed[0] or (parsed[1] and not self._extended):
            await self._refuse(_BAD_SYNTAX)
        elif not is_address(parsed[0]):
            await self._refuse(reply(553, "5.1.3", "not an address"))
        elif len(self._mail.recipients) >= MAX_RECIPIENTS:
            await self._say(reply(452, "4.5.3", "too many recipients"))
        else:
            await self._treat(parsed[0], parsed[1])

    async def _treat(self, recipient: str, parameters: list[str]) -> None:
        who = Triplet(self._wire.peer, self._mail.reverse_path or "", recipient)
        treatment: Treatment = self._parts.manners.receive(who)
        self._late = max(self._late, treatment.late)
        if treatment.refusal is not None:
            if treatment.refusal.code == 421:
                await self._end(treatment.refusal)
            await self._say(treatment.refusal)
            return
        self._mail.recipients.append(recipient)
        self._mail.parameters += parameters
        self._mail.drop_after_dot |= treatment.drop_after_dot
        await self._say(reply(250, "2.1.5", "recipient ok"))

    async def _on_data(self) -> None:
        await self._stumble(Step.DATA)
        if not self._mail.recipients:
            await self._refuse(reply(503, "5.5.1", "no recipient") if self._greeted else _NO_ORDER)
            return
        await self._say(Reply(354, ("go ahead, end with a lone dot",)))
        await self._flush()
        try:
            content = await self._wire.read_data(self._behaviour.max_size, DATA_TIMEOUT)
        except TooMuchError:
            await self._end(reply(421, "4.5.2", "a line or the message does not end"))
        mail, self._mail = self._mail, _Mail()
        if content is None:
            await self._say(_TOO_BIG)
        elif has_bare_line_end(content):
            await self._say(reply(550, "5.5.2", "a CR or LF stands alone in the content"))
        else:
            self._note("they", f"({len(content)} octets and the dot)")
            await self._keep(mail, content)
        self._late = 0

    async def _keep(self, mail: _Mail, content: bytes) -> None:
        if self._mishap == Mishap(Step.DOT, Manner.CLOSE_421):
            await self._end(_CLOSING)
        silent = mail.drop_after_dot or self._mishap == Mishap(Step.DOT, Manner.RESET)
        if silent:
            self._note("net", "stored, and closed without an answer")
            self._parts.store(self._posting(mail, content, answered=False))
            self._wire.reset()
            raise EndedError
        accepted = reply(250, "2.0.0", "taken")
        self._note("we", str(accepted))
        self._parts.store(self._posting(mail, content, answered=True))
        await self._say(accepted, noted=True)

    def _posting(self, mail: _Mail, content: bytes, *, answered: bool) -> Posting:
        version, cipher = self._wire.tls() or ("", "")
        return Posting(
            host=self._parts.host.name,
            client=Client(self._wire.peer, self._greeted, version, cipher),
            reverse_path=mail.reverse_path or "",
            recipients=tuple(mail.recipients),
            content=content,
            transcript=tuple(self._transcript.exchanges),
            parameters=tuple(mail.parameters),
            answered=answered,
        )

    async def _stumble(self, step: Step) -> None:
        if self._mishap is None or self._mishap.step is not step or step is Step.DOT:
            return
        if self._mishap.manner is Manner.RESET:
            await self._flush()
            self._wire.reset()
            raise EndedError
        await self._end(_CLOSING)

    async def _refuse(self, refusal: Reply) -> None:
        """A protocol error; a peer that makes twenty of them is sent away."""
        self._bad += 1
        if self._bad >= MAX_BAD_COMMANDS:
            await self._end(reply(421, "4.7.0", "too many errors"))
        await self._say(refusal)

    async def _end(self, last: Reply) -> NoReturn:
        await self._say(last)
        await self._flush()
        raise EndedError

    async def _say(self, answer: Reply, *, noted: bool = False) -> None:
        if self._late:
            await self._flush()
            await asyncio.sleep(self._late)
        if not noted:
            self._note("we", f"{answer.code} {answer.text}" if answer.enhanced is None else str(answer))
        self._pending += answer.wire() if self._extended else Reply(answer.code, answer.lines).wire()
        if len(self._pending) > 16_384:
            await self._flush()

    async def _flush(self) -> None:
        if self._pending:
            data, self._pending = bytes(self._pending), bytearray()
            await self._wire.write(data)

    async def _flush_quietly(self) -> None:
        try:
            await self._flush()
        except (PeerGoneError, OSError, TimeoutError):
            return

    def _note(self, speaker: str, text: str) -> None:
        self._transcript.add(self._parts.clock.monotonic(), speaker, text)
