"""The lab's people and programs who write back: a later bounce, a reader who complains or replies, a vacation.

Stands behind the mail hosts. What programs write goes to the reverse-path of what they got (complaints to the feedback
address of its domain), what a person replies to where the mail says; by the lab's own DNS, as the world's mail would.
No program answers the null path.
"""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import aiosmtplib

from relay.clock import Clock
from relay.lab.mailbox import Posting
from relay.lab.reading import first_field, header_fields, read, summarise
from relay.lab.zone import ZoneResolver
from relay.log import Log
from relay.mail.date import format_date

MAX_WAITING: Final = 1000
MAX_RETURNED: Final = 20_000
TRIES: Final = 5
_QUOTED: Final = 2000
"""Lines of a mail that a reply quotes."""
TRY_AGAIN_SECONDS: Final = 0.5
_SEND_SECONDS: Final = 10.0
_BOUNCE_LATER = re.compile(r"bounce-later\+(\d{1,4})")

_log = Log("lab.mail")


@dataclass(frozen=True, slots=True)
class _Answer:
    to: str
    content: bytes
    after: float = 0.0
    sender: str = ""
    """The reverse-path; a program's answer has the null path."""


class Correspondents:
    """Owns a task an answer; `port_of` tells where a host name's SMTP listens."""

    def __init__(self, resolver: ZoneResolver, clock: Clock, port_of: Callable[[str], int]) -> None:
        self._resolver = resolver
        self._clock = clock
        self._port_of = port_of
        self._tasks: set[asyncio.Task[None]] = set()

    def consider(self, posting: Posting) -> None:
        """Answer a mail that was just taken, where its recipient is one who does."""
        if not posting.reverse_path:
            return
        for recipient in posting.recipients:
            answer = self._answer(posting, recipient)
            if answer is not None and len(self._tasks) < MAX_WAITING:
                self._start(answer)

    def reply(self, posting: Posting, words: str) -> str:
        """Let the first recipient of a mail answer it, as mail programs do; to which address, "" for none."""
        shown = summarise(posting.content, posting.recipients)
        to = next((box.address for box in (*shown.reply_to, shown.sender) if "@" in box.address), "")
        if to and posting.recipients and len(self._tasks) < MAX_WAITING:
            author = posting.recipients[0]
            self._start(_Answer(to, self._replied(posting, author, to, words), sender=author))
        return to

    def _start(self, answer: _Answer) -> None:
        task = asyncio.get_running_loop().create_task(self._send(answer), name="lab answer")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """Forget who still wanted to write."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _answer(self, posting: Posting, recipient: str) -> _Answer | None:
        local = recipient.rpartition("@")[0].lower().strip('"')
        if later := _BOUNCE_LATER.fullmatch(local):
            return _Answer(posting.reverse_path, self._bounce(posting, recipient), float(later[1]))
        if local == "complain":
            feedback = f"feedback@{posting.reverse_path.rpartition('@')[2]}"
            return _Answer(feedback, self._complaint(posting, feedback))
        if local == "vacation":
            return _Answer(posting.reverse_path, self._vacation(posting, recipient))
        return None

    def _bounce(self, posting: Posting, recipient: str) -> bytes:
        """A delivery report of RFC 3464, as the mailbox behind a gateway that took everything would give."""
        return _mail(
            f"From: Mail Delivery System <MAILER-DAEMON@{posting.host}>\r\nTo: <{posting.reverse_path}>\r\n"
            f"Subject: Undelivered Mail Returned to Sender\r\nDate: {format_date(self._clock.now())}\r\n"
            "Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n"
            'Content-Type: multipart/report; report-type=delivery-status; boundary="=later"\r\n',
            f"--=later\r\nContent-Type: text/plain\r\n\r\n"
            f"The mail could not be put into its mailbox:\r\n\r\n<{recipient}>: no mailbox here by that name\r\n"
            f"\r\n--=later\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; {posting.host}\r\n\r\n"
            f"Final-Recipient: rfc822; {recipient}\r\nAction: failed\r\nStatus: 5.1.1\r\n"
            "Diagnostic-Code: smtp; 550 5.1.1 no mailbox here by that name\r\n"
            "\r\n--=later\r\nContent-Type: text/rfc822-headers\r\n\r\n",
            _header_of(posting.content),
            b"\r\n--=later--\r\n",
        )

    def _complaint(self, posting: Posting, feedback: str) -> bytes:
        """A feedback report of RFC 5965 whose complainer is hidden, as the large providers send them."""
        mail = posting.content[:MAX_RETURNED]
        for recipient in posting.recipients:
            mail = mail.replace(recipient.encode(), b"redacted@redacted.invalid")
        return _mail(
            f"From: <complaints@{posting.host}>\r\nTo: <{feedback}>\r\nSubject: complaint\r\n"
            f"Date: {format_date(self._clock.now())}\r\nMIME-Version: 1.0\r\n"
            'Content-Type: multipart/report; report-type=feedback-report; boundary="=complaint"\r\n',
            "--=complaint\r\nContent-Type: text/plain\r\n\r\nSomebody called this mail unwanted.\r\n"
            "\r\n--=complaint\r\nContent-Type: message/feedback-report\r\n\r\n"
            f"Feedback-Type: abuse\r\nUser-Agent: lab/1\r\nVersion: 1\r\nSource-IP: {posting.client.address}\r\n"
            "\r\n--=complaint\r\nContent-Type: message/rfc822\r\n\r\n",
            f"Return-Path: <{posting.reverse_path}>\r\n".encode() + mail,
            b"\r\n--=complaint--\r\n",
        )

    def _vacation(self, posting: Posting, recipient: str) -> bytes:
        """An answer by RFC 3834 to the reverse-path."""
        return _mail(
            f"From: <{recipient}>\r\nTo: <{posting.reverse_path}>\r\nSubject: Auto: away until Monday\r\n"
            f"Date: {format_date(self._clock.now())}\r\nAuto-Submitted: auto-replied\r\n",
            "I am away and cannot read your mail before Monday; it was not delivered to anybody else.\r\n",
        )

    def _replied(self, posting: Posting, author: str, to: str, words: str) -> bytes:
        """A person's reply above the mail it answers, which it quotes."""
        fields = header_fields(posting.content)
        answered = first_field(fields, "message-id").strip()[:500]
        quoted = "".join(f"> {line}\n" for line in read(posting.content).text.splitlines()[:_QUOTED])
        said = f"{words}\n\nOn {format_date(self._clock.now())}, <{to}> wrote:\n{quoted}"
        body = base64.encodebytes(said.replace("\r\n", "\n").encode("utf-8", "replace")).replace(b"\n", b"\r\n")
        threading = f"In-Reply-To: {answered}\r\nReferences: {answered}\r\n" if answered else ""
        return _mail(
            f"From: <{author}>\r\nTo: <{to}>\r\nSubject: Re: {first_field(fields, 'subject').strip()[:500]}\r\n"
            f"Date: {format_date(self._clock.now())}\r\n{threading}MIME-Version: 1.0\r\n"
            "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n",
            body,
        )

    async def _send(self, answer: _Answer) -> None:
        await asyncio.sleep(answer.after)
        for attempt in range(TRIES):
            try:
                await self._try(answer)
            except (OSError, aiosmtplib.SMTPException, TimeoutError) as error:
                _log.info("answer-failed", error=error, attempt=attempt + 1)
                await asyncio.sleep(TRY_AGAIN_SECONDS)
            else:
                return

    async def _try(self, answer: _Answer) -> None:
        """One transaction with the first exchanger of the domain."""
        domain = answer.to.rpartition("@")[2]
        exchangers = sorted(
            (int(p), name) for p, name in map(str.split, (await self._resolver.ask(domain, "MX")).records)
        )
        host = exchangers[0][1] if exchangers else domain
        (address, *_) = (await self._resolver.ask(host, "A")).records or ("",)
        if not address:
            _log.info("answer-undeliverable", domain=domain)
            return
        client = aiosmtplib.SMTP(
            hostname=address,
            port=self._port_of(host),
            local_hostname="world.lab.test",
            validate_certs=False,
            timeout=_SEND_SECONDS,
        )
        async with client:
            await client.sendmail(answer.sender, [answer.to], answer.content)


def _mail(header: str, *pieces: str | bytes) -> bytes:
    octets = (piece if isinstance(piece, bytes) else piece.encode() for piece in pieces)
    return header.encode() + b"\r\n" + b"".join(octets)


def _header_of(content: bytes) -> bytes:
    return content.partition(b"\r\n\r\n")[0] + b"\r\n"
