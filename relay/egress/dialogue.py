"""What is said on one session: commands out, replies in, both written down in the transcript.

Stands between the wire and whoever leads the conversation (opening, transaction). Guarantees that each wait
has the time-out of its phase, that whatever ends the session becomes one SessionBrokenError with that phase,
and that transcripts and kept replies hold no recipient's address.
"""

from __future__ import annotations

from typing import Final

from aiosmtplib import SMTPException

from relay.clock import Clock
from relay.egress.masking import RecipientMask
from relay.egress.outcomes import SessionBrokenError
from relay.egress.protocol import PipelinedProtocol, ReplySyntaxError
from relay.policy.outcome import Phase
from relay.smtp.reply import Reply
from relay.smtp.transcript import Transcript

_CONTINUE: Final = {Phase.DATA: 354, Phase.AUTH: 334}


class Dialogue:
    """One conversation over `line`, written to `transcript`."""

    def __init__(
        self, line: PipelinedProtocol, transcript: Transcript, clock: Clock, mask: RecipientMask | None = None
    ) -> None:
        self.line = line
        self._transcript = transcript
        self._clock = clock
        self._mask = mask or RecipientMask(())

    def note(self, speaker: str, text: str) -> None:
        """Write a line of the transcript; the caller keeps addresses out of it."""
        self._transcript.add(self._clock.monotonic(), speaker, text)

    def say(self, command: bytes, shown: str, phase: Phase) -> None:
        """Write one command; `shown` is how the transcript has it."""
        self.send(command, 1, phase)
        self.note("we", shown)

    def send(self, data: bytes, replies: int, phase: Phase) -> None:
        """Write octets to which `replies` replies are expected. Raises SessionBrokenError."""
        try:
            self.line.send(data, replies)
        except (SMTPException, OSError) as error:
            raise SessionBrokenError(phase, error) from None

    async def hear(self, phase: Phase, timeout: float) -> Reply:
        """The next reply: 2xx, 4xx or 5xx, to DATA 354 and to AUTH 334 too.

        Raises SessionBrokenError for all else, and for 421.
        """
        try:
            reply = await self.line.read_reply(timeout)
        except (SMTPException, OSError) as error:
            self.note("net", f"{phase.value}: {_words(error)}")
            raise SessionBrokenError(phase, error) from None
        reply = self._mask.reply(reply)
        self.note("they", f"{reply.code} {reply.text}")
        if reply.code == 421:
            self.line.close()
            raise SessionBrokenError(phase, reply=reply)
        if 300 <= reply.code < 400 and reply.code != _CONTINUE.get(phase):
            self.line.abort()
            raise SessionBrokenError(phase, ReplySyntaxError(f"{reply.code} answers no such command"))
        return reply

    async def room(self, phase: Phase, timeout: float, *, or_answered: bool = False) -> None:
        """Wait until the socket takes more. Raises SessionBrokenError."""
        try:
            await self.line.drained(timeout, or_answered=or_answered)
        except (SMTPException, OSError) as error:
            self.note("net", f"{phase.value}: {_words(error)}")
            raise SessionBrokenError(phase, error) from None


def _words(error: Exception) -> str:
    return error.message if isinstance(error, SMTPException) else "connection lost"
