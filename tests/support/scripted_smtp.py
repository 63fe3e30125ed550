"""A far side on loopback that does exactly what a script says: the host of other people that tests send to.

Without a script it is a friendly server that takes everything:

    async with ScriptedSmtp() as far:
        ...send to far.address ("127.0.0.1", far.port)...
        assert far.messages[0].content == b"..."

A script maps a step to what is answered there. Steps are "banner", "EHLO", "HELO", "STARTTLS", "MAIL", "RCPT", "DATA",
"DOT" (the answer to the content, after BDAT too), "RSET", "NOOP", "QUIT", "AUTH" and "*" for all else. An answer is
a string without its CRLF ("\\n" stands for one between lines), or a `Say`, which can also wait, drip or hang up.
A list is used up one answer a time, and its last one stays; it counts over all sessions. A function gets (session,
command line) and returns an answer.

    script = {
        "RCPT": ["250 ok", "550 5.1.1 no such user", "450 later"],
        "DOT": Say("250 ok", delay=0.5, then="close"),
        "MAIL": lambda session, line: "451 busy" if session.number == 1 else "250 ok",
    }
    async with ScriptedSmtp(script, extensions=("PIPELINING", "SIZE 1000")) as far: ...

What can go wrong, for any step:
    Say("250 ok", delay=1.0)             answer after a second
    Say("250 ok", drip=0.001)            octet by octet, with that pause
    Say("250 ok\\n250 surprise")           two replies in one packet; a long reply is "250-one\\n250 two"
    Say(b"250 o")                        octets as they are, here without an end
    Say(None)                            no answer at all; the session goes on reading
    Say("", then="close") / then="reset"      hang up, politely or with RST; with text: after it
    Say("220 go", then="tls")            what STARTTLS does by default; `tls=certificate_authority` is needed

With `tls=trustme.CA()` it offers STARTTLS with a certificate for `tls_names`; `tls` may be a
context of its own. `extensions_clear` are those offered in
clear when they differ from those inside TLS. `far.sessions` holds every connection with the `commands` it sent, its
`received` octets (after decryption), whether it is `encrypted` and whether it `ended`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self

import trustme

End = Literal["go on", "close", "reset", "tls"]

DEFAULT_EXTENSIONS = ("PIPELINING", "8BITMIME", "SMTPUTF8", "DSN", "SIZE 50000000", "ENHANCEDSTATUSCODES")


@dataclass(frozen=True, slots=True)
class Say:
    """One answer: `text` (None = silence), when and how it is sent, and what happens `then`."""

    text: str | bytes | None
    delay: float = 0.0
    drip: float | None = None
    then: End = "go on"
    raw: bool = False
    """`text` is a whole stream of replies: "\\n" becomes CRLF, and nothing else is added or read into it."""

    def octets(self) -> bytes:
        """What is written."""
        if self.text is None or isinstance(self.text, bytes):
            return self.text or b""
        return "".join(f"{line}\r\n" for line in self.text.split("\n")).encode() if self.text else b""

    @property
    def code(self) -> str:
        """The code of the last line."""
        return self.octets().rstrip(b"\r\n").rpartition(b"\n")[2][:3].decode("latin-1")


Answer = str | Say
Step = Answer | Sequence[Answer] | Callable[["Session", str], Answer]


@dataclass(slots=True)
class Message:
    """One message taken with a 2xx: the command lines as they came, and the content without dot-stuffing."""

    session: int
    mail: str
    recipients: list[str]
    content: bytes
    raw: bytes
    """The octets between the 354 and the final dot, as they came."""

    @property
    def to(self) -> list[str]:
        """The recipients' addresses."""
        return [line.partition("<")[2].partition(">")[0] for line in self.recipients]


@dataclass(slots=True)
class Session:
    """One connection as the far side saw it; `number` counts from 1."""

    number: int
    peer: tuple[str, int]
    commands: list[str] = field(default_factory=list)
    received: bytearray = field(default_factory=bytearray)
    encrypted: bool = False
    server_name: str | None = None
    ended: bool = False
    mail: str = ""
    recipients: list[str] = field(default_factory=list)

    def verbs(self) -> list[str]:
        """The commands' first words, in upper case."""
        return [line.split(" ", 1)[0].partition(":")[0].upper() for line in self.commands]


class ScriptedSmtp:
    """Serves until the `async with` block ends. `receive_buffer` makes the socket's buffers small (D07)."""

    def __init__(
        self,
        script: Mapping[str, Step] | None = None,
        *,
        extensions: Sequence[str] = DEFAULT_EXTENSIONS,
        extensions_clear: Sequence[str] | None = None,
        tls: trustme.CA | ssl.SSLContext | None = None,
        tls_names: Sequence[str] = ("localhost",),
        host: str = "127.0.0.1",
        port: int = 0,
        receive_buffer: int = 0,
    ) -> None:
        self.script: dict[str, Step] = dict(script or {})
        self.extensions = tuple(extensions)
        self.extensions_clear = self.extensions if extensions_clear is None else tuple(extensions_clear)
        self.host = host
        self.port = port
        self.sessions: list[Session] = []
        self.messages: list[Message] = []
        self.context: ssl.SSLContext | None = None
        self.sni: Callable[[ssl.SSLObject, str | None, ssl.SSLContext], None] | None = None
        """Called at each handshake with the name the client sent; may choose another context."""
        self._used: dict[str, int] = {}
        self._receive_buffer = receive_buffer
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        if isinstance(tls, ssl.SSLContext):
            self.context = tls
        elif tls is not None:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.issue_cert(*tls_names).configure_cert(self.context)

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        return (self.host, self.port)

    @property
    def octets(self) -> bytes:
        """Everything that came in over all sessions, for scans of the wire (A10)."""
        return b"".join(bytes(session.received) for session in self.sessions)

    async def __aenter__(self) -> Self:
        listener = socket.socket(socket.AF_INET6 if ":" in self.host else socket.AF_INET)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self._receive_buffer:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._receive_buffer)
        listener.bind((self.host, self.port))
        self.port = listener.getsockname()[1]
        self._server = await asyncio.start_server(self._connected, sock=listener, limit=1 << 26)
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._server:
            self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._server:
            await self._server.wait_closed()
        await asyncio.sleep(0)

    def answer(self, step: str, session: Session, line: str, default: Answer) -> Say:
        """What the script says to `line` at `step`."""
        entry: Any = self.script.get(step, default)
        if callable(entry):
            entry = entry(session, line)
        elif not isinstance(entry, str | Say):
            used = self._used.get(step, 0)
            self._used[step] = used + 1
            entry = entry[min(used, len(entry) - 1)]
        return entry if isinstance(entry, Say) else Say(entry)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        session = Session(len(self.sessions) + 1, writer.get_extra_info("peername")[:2])
        self.sessions.append(session)
        try:
            await _Conversation(self, session, reader, writer).run()
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError, asyncio.CancelledError):
            pass  # the end of the session, or of the server: asyncio complains of a cancelled callback
        finally:
            session.ended = True
            self._tasks.discard(task)
            writer.close()
            with contextlib.suppress(Exception):
                await asyncio.wait_for(writer.wait_closed(), 1)


class _HangUpError(ConnectionError):
    """The script ended the session."""


class _Conversation:
    def __init__(
        self, far: ScriptedSmtp, session: Session, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._far = far
        self._session = session
        self._reader = reader
        self._writer = writer

    async def run(self) -> None:
        await self._say(self._far.answer("banner", self._session, "", "220 far.test ESMTP"))
        while line := await self._line():
            await self._command(line.decode("utf-8", "replace").removesuffix("\n").removesuffix("\r"))

    async def _command(self, line: str) -> None:
        session = self._session
        session.commands.append(line)
        verb = line.split(" ", 1)[0].partition(":")[0].upper()
        if verb == "BDAT":
            await self._chunk(line)
            return
        say = self._far.answer(verb if verb in _DEFAULTS else "*", session, line, self._default(verb))
        positive = say.code.startswith("2")
        if verb == "MAIL" and positive:
            session.mail, session.recipients = line, []
        elif verb == "RCPT" and positive:
            session.recipients.append(line)
        elif verb in {"RSET", "EHLO", "HELO"}:
            session.mail, session.recipients = "", []
        await self._say(say)
        if verb == "DATA" and say.code == "354":
            await self._content()
        elif verb == "QUIT":
            raise _HangUpError

    def _default(self, verb: str) -> Answer:
        far, session = self._far, self._session
        if verb == "EHLO":
            offered = far.extensions if session.encrypted or far.context is None else far.extensions_clear
            starttls = ("STARTTLS",) if far.context and not session.encrypted else ()
            names = ["far.test", *starttls, *offered]
            return "\n".join(f"250{'-' if n < len(names) - 1 else ' '}{name}" for n, name in enumerate(names))
        if verb == "STARTTLS":
            return Say("220 2.0.0 go ahead", then="tls")
        if verb == "RCPT" and not session.mail:
            return "503 5.5.1 MAIL first"
        if verb == "DATA" and not session.recipients:
            return "554 5.5.1 no valid recipients"
        return _DEFAULTS.get(verb, "500 5.5.2 what?")

    async def _content(self) -> None:
        session = self._session
        raw = bytearray()
        while (line := await self._line()) != b".\r\n":
            if not line:
                raise _HangUpError
            raw += line
        content = b"".join(part.removeprefix(b".") + b"\r\n" for part in bytes(raw).split(b"\r\n")[:-1])
        say = self._far.answer("DOT", session, ".", "250 2.0.0 taken")
        if say.code.startswith("2"):
            message = Message(session.number, session.mail, session.recipients, content, bytes(raw))
            self._far.messages.append(message)
        session.mail, session.recipients = "", []
        await self._say(say)

    async def _chunk(self, line: str) -> None:
        """A chunk of RFC 3030: its octets are consumed whatever is answered; only whole messages are understood."""
        session, (_, size, last) = self._session, line.split(" ")
        assert last == "LAST"
        if "CHUNK" in self._far.script:
            session.received += await self._reader.readexactly(1000)
            await self._say(self._far.answer("CHUNK", session, line, "250 ok"))
        content = await self._reader.readexactly(int(size))
        session.received += content
        say = self._far.answer("DOT", session, line, "250 2.0.0 taken")
        if say.code.startswith("2"):
            self._far.messages.append(Message(session.number, session.mail, session.recipients, content, content))
        session.mail, session.recipients = "", []
        await self._say(say)

    async def _line(self) -> bytes:
        line = await self._reader.readline()
        self._session.received += line
        return line

    async def _say(self, say: Say) -> None:
        if say.delay:
            await asyncio.sleep(say.delay)
        octets = say.octets()
        if say.drip is None:
            self._writer.write(octets)
        else:
            for octet in octets:
                self._writer.write(bytes([octet]))
                await asyncio.sleep(say.drip)
        await self._writer.drain()
        match say.then:
            case "close":
                raise _HangUpError
            case "reset":
                self._writer.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                )
                self._writer.transport.abort()
                raise _HangUpError
            case "tls":
                await self._start_tls()
            case "go on":
                pass

    async def _start_tls(self) -> None:
        context = self._far.context
        assert context is not None, "STARTTLS needs tls=trustme.CA()"
        chosen = self._far.sni

        def named(connection: Any, name: str | None, context: ssl.SSLContext) -> None:
            self._session.server_name = name
            if chosen is not None:
                chosen(connection, name, context)

        context.sni_callback = named
        await self._writer.start_tls(context, ssl_handshake_timeout=5)
        self._session.encrypted = True


_DEFAULTS: dict[str, Answer] = {
    "EHLO": "250 far.test",
    "HELO": "250 far.test",
    "STARTTLS": "502 5.5.1 not here",
    "MAIL": "250 2.1.0 ok",
    "RCPT": "250 2.1.5 ok",
    "DATA": "354 go on",
    "RSET": "250 2.0.0 ok",
    "NOOP": "250 2.0.0 ok",
    "QUIT": "221 2.0.0 bye",
    "AUTH": "502 5.5.1 not here",
}
