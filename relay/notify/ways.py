"""The ways an alarm takes to a person: a command, ntfy, a webhook, a mail server of somebody else's.

None of them leads through the relay's own queue. Each has an end in time, gives "" or why nobody was told, and raises
nothing but cancellation. What strangers wrote into the evidence reaches none of them as anything but text.
"""

from __future__ import annotations

import asyncio
import json
import shlex
import smtplib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from relay.log import Log
from relay.notify.poster import Poster
from relay.policy.alarms import remedy_of
from relay.policy.calling import Call

MAX_EVIDENCE: Final = 1000
_log = Log("alarm")


@dataclass(frozen=True, slots=True)
class Told:
    """A call in the words that reach a person."""

    node: str
    call: Call

    @property
    def title(self) -> str:
        """One line."""
        state = "over" if self.call.ended is not None else "alarm"
        more = f" and {len(self.call.more)} more" if self.call.more else ""
        return one_line(f"[{self.node}] {state}: {self.call.kind} {self.call.subject}{more}")[:200]

    @property
    def text(self) -> str:
        """What was seen, since when, and what to do."""
        call = self.call
        lines = [one_line(call.evidence)[:MAX_EVIDENCE], "", f"since {call.since:%Y-%m-%d %H:%M} UTC"]
        if call.ended is not None:
            lines.append(f"over at {call.ended:%Y-%m-%d %H:%M} UTC")
        elif remedy := remedy_of(call.kind):
            lines.append(f"What to do: {remedy}")
        if call.more:
            lines += ["", "Also:", *(one_line(f"{kind} {subject}")[:200] for kind, subject in call.more[:50])]
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """The call for programs; `text` is what chat programs show."""
        call = self.call
        return {
            "action": "ended" if call.ended is not None else "raised",
            "node": self.node,
            "kind": call.kind,
            "subject": call.subject,
            "since": call.since.isoformat(timespec="seconds"),
            "ended": call.ended.isoformat(timespec="seconds") if call.ended is not None else None,
            "evidence": call.evidence[:MAX_EVIDENCE],
            "remedy": remedy_of(call.kind),
            "more": [{"kind": kind, "subject": subject} for kind, subject in call.more[:200]],
            "text": f"{self.title}\n{self.text}",
        }


def one_line(text: str) -> str:
    """`text` without anything that could begin a line or a header."""
    return "".join(character if character.isprintable() else " " for character in text)


class Way(Protocol):
    """One way to a person."""

    @property
    def name(self) -> str:
        """What the book of calls knows it by."""
        ...

    async def tell(self, told: Told) -> str:
        """Tell; "" or why nobody was told."""
        ...


class CommandWay:
    """Runs a program, without a shell, with the alarm as one JSON object on standard input."""

    name = "command"

    def __init__(self, command: str, seconds: float) -> None:
        self._words = shlex.split(command)
        self._seconds = seconds

    async def tell(self, told: Told) -> str:
        try:
            process = await asyncio.create_subprocess_exec(
                *self._words,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            return f"{self._words[0]}: {error.strerror or error}"
        try:
            async with asyncio.timeout(self._seconds):
                await process.communicate(json.dumps(told.as_json()).encode() + b"\n")
        except TimeoutError:
            return f"{self._words[0]}: not done within {self._seconds:.0f} s"
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return f"{self._words[0]}: exit status {process.returncode}" if process.returncode else ""


class NtfyWay:
    """Publishes to a topic as JSON, so that no evidence can become a header."""

    name = "ntfy"

    def __init__(self, poster: Poster, topic: str, token: str) -> None:
        parts = urlsplit(topic)
        self._url = f"{parts.scheme}://{parts.netloc}/"
        self._topic = parts.path.strip("/")
        self._poster = poster
        self._token = token

    async def tell(self, told: Told) -> str:
        over = told.call.ended is not None
        body = {
            "topic": self._topic,
            "title": told.title,
            "message": told.text,
            "priority": 3 if over else 4,
            "tags": ["white_check_mark" if over else "rotating_light"],
        }
        answer = await self._poster.post(self._url, _headers(self._token), json.dumps(body).encode())
        return answer.error


class WebhookWay:
    """Posts the call as JSON."""

    name = "webhook"

    def __init__(self, poster: Poster, url: str, token: str) -> None:
        self._poster = poster
        self._url = url
        self._token = token

    async def tell(self, told: Told) -> str:
        answer = await self._poster.post(self._url, _headers(self._token), json.dumps(told.as_json()).encode())
        return answer.error


def _headers(token: str) -> Mapping[str, str]:
    bearer = {"Authorization": f"Bearer {token}"} if token else {}
    return {"Content-Type": "application/json", **bearer}


@dataclass(frozen=True, slots=True)
class Smarthost:
    """Somebody else's mail server, and how to speak to it; with a user nothing is said before TLS."""

    host: str
    port: int
    tls: bool
    sender: str
    recipients: tuple[str, ...]
    user: str = ""
    password: str = ""


class SmarthostWay:
    """Hands a plain mail to another server, in a thread."""

    name = "smarthost"

    def __init__(self, server: Smarthost, context: ssl.SSLContext, ehlo: str, seconds: float) -> None:
        self._server = server
        self._context = context
        self._ehlo = ehlo
        self._seconds = seconds

    async def tell(self, told: Told) -> str:
        try:
            async with asyncio.timeout(4 * self._seconds):
                await asyncio.to_thread(self._send, self._mail(told))
        except TimeoutError:
            return f"{self._server.host}: no answer in time"
        except (OSError, smtplib.SMTPException) as error:
            return f"{self._server.host}: {one_line(str(error))[:200]}"
        return ""

    def _mail(self, told: Told) -> EmailMessage:
        mail = EmailMessage(policy=SMTP)
        mail["From"] = self._server.sender
        mail["To"] = ", ".join(self._server.recipients)
        mail["Subject"] = told.title
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(told.text)
        return mail

    def _send(self, mail: EmailMessage) -> None:
        server = self._server
        if server.tls:
            client: smtplib.SMTP = smtplib.SMTP_SSL(
                server.host, server.port, self._ehlo, timeout=self._seconds, context=self._context
            )
        else:
            client = smtplib.SMTP(server.host, server.port, self._ehlo, timeout=self._seconds)
        with client:
            client.ehlo()
            if not server.tls and (server.user or client.has_extn("starttls")):
                client.starttls(context=self._context)
                client.ehlo()
            if server.user:
                client.login(server.user, server.password)
            client.send_message(mail, server.sender, server.recipients)
