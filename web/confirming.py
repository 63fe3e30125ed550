"""Confirming a writer's own mail address, where the operator asks for it: a code by mail, typed into the page.

Nothing is kept of a letter until its code was typed: the page holds it, signed, and what is never confirmed is simply
not there. The code follows from the letter, the address and a key, so none is stored. A confirmed address goes into
the sealed record alone; the mail that asked is erased from the relay an hour later. The page reads the same whether
the address exists, refuses our mail or has had many.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final

from relay.ids import base32
from relay.log import Log
from web.catalogue import Words
from web.code_mails import KEYED, CodeMails
from web.haste import Haste
from web.limits import LetterLimits
from web.mail import MailWriter
from web.mailbox import is_roundabout
from web.plain_text import clean_line
from web.token import TokenSigner

CODE_LIFETIME: Final = timedelta(hours=2)

_ADDRESS: Final = re.compile(r"[^@\s<>,;]+@[^@\s<>,;]+\.[^@\s<>,;.]+")
_LONGEST: Final = 254
_DIGITS: Final = 8
_PURPOSE: Final = "confirm"

_log = Log("front")


class SenderConfirmation(StrEnum):
    """Whose address has to be confirmed; the values of `web.sender_confirmation`."""

    OFF = "off"
    ABOVE_LIMIT = "above_limit"
    """Of who comes by the slow lane."""
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class Asking:
    """What the page asks for: an address, or with a `challenge` the code that went to `mail`."""

    mail: str = ""
    challenge: str = ""
    problem: str = ""
    typed: str = ""
    """The code that was typed already."""


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The address that was confirmed, "" where none is asked for."""

    mail: str = ""


@dataclass(frozen=True, slots=True)
class CodePost:
    """How codes go out: by which mails, within which limits, and how long a page waits where none goes."""

    mails: CodeMails
    limits: LetterLimits | None
    haste: Haste


class Confirming:
    """Asks, and checks what was typed. Raises SpoolUnavailableError."""

    def __init__(self, demand: SenderConfirmation, tokens: TokenSigner, writer: MailWriter, post: CodePost) -> None:
        self._demand = demand
        self._tokens = tokens
        self._writer = writer
        self._post = post

    def asks(self, *, has_ticket: bool) -> bool:
        """Whether a letter needs a confirmed address."""
        match self._demand:
            case SenderConfirmation.OFF:
                return False
            case SenderConfirmation.ABOVE_LIMIT:
                return has_ticket
            case SenderConfirmation.ALWAYS:
                return True

    async def settle(
        self, letter_id: str, fields: Mapping[str, str], network: bytes, words: Words
    ) -> Confirmed | Asking:
        """The confirmed address of a letter that needs one, or what to ask for next."""
        if not self.asks(has_ticket=bool(fields.get("ticket"))):
            return Confirmed()
        code = "".join(fields.get("code", "")[:40].split()).lower().replace("-", "")
        mail = self._challenged(letter_id, fields.get("challenge", ""))
        typed = clean_line(fields.get("sender_mail", ""), _LONGEST + 1).strip()
        if mail and code and typed in ("", mail):
            if hmac.compare_digest(code.encode(), self._code(letter_id, mail).encode()):
                return Confirmed(mail)
            return Asking(mail, fields["challenge"], "code")
        if mail and typed in ("", mail):
            return Asking(mail, fields["challenge"], "code")
        if not typed:
            return Asking(problem="mail")
        if len(typed) > _LONGEST or not _ADDRESS.fullmatch(typed) or is_roundabout(typed):
            return Asking(typed, problem="mail")
        await self._send(letter_id, typed, network, words)
        return Asking(typed, self._tokens.sign(_PURPOSE, {"letter": letter_id, "mail": typed}))

    async def _send(self, letter_id: str, mail: str, network: bytes, words: Words) -> None:
        """Mail the code; who had many gets none, and the page says the same."""
        if self._post.limits is not None and not await self._post.limits.take_question(network, mail):
            _log.info("confirmation-not-sent", why="too many")
            await self._post.haste.wait()
            return
        key = f"{KEYED}{base32(self._tokens.digest(_PURPOSE, 'key', letter_id, mail))}"
        try:
            async with self._post.haste.measured():
                await self._post.mails.send(self._writer.confirmation(mail, self._code(letter_id, mail), words, key))
        except ValueError:  # no address after all
            return

    def _challenged(self, letter_id: str, token: str) -> str:
        """The address that a code for this letter went to; "" if there is none that is still good."""
        opened = self._tokens.open(_PURPOSE, token) if token else None
        if opened is None or opened.age > CODE_LIFETIME or opened.payload["letter"] != letter_id:
            return ""
        return opened.payload["mail"]

    def _code(self, letter_id: str, mail: str) -> str:
        return base32(self._tokens.digest(_PURPOSE, "code", letter_id, mail))[:_DIGITS]
