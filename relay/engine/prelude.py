"""The prelude: what we write above a message, once (Received, Date, Message-ID, Feedback-ID, DKIM).

It is written at accept when the message may leave at once, otherwise when it first gets a permit, so that no
letter leaves with a stale date, an old `t=` or a retired key. Later attempts send the same bytes.
"""

from __future__ import annotations

from datetime import datetime

from relay.clock import Clock
from relay.engine.return_path import KEPT, ReturnPaths, Sent
from relay.ids import Entropy, new_message_id
from relay.mail.body_hash import BodyHash
from relay.mail.date import format_date
from relay.mail.header import fold_field, parse_fields, split_content
from relay.signing.contract import Signer
from relay.spool.work import Door


class PreludeWriter:
    """Adds what is missing and signs. Raises KeyUnavailableError when the domain's keys cannot be read."""

    def __init__(self, signer: Signer, clock: Clock, entropy: Entropy, returns: ReturnPaths = KEPT) -> None:
        self._signer = signer
        self._clock = clock
        self._entropy = entropy
        self._returns = returns

    async def write(self, content: bytes, sent: Sent, domain: str, body_hash: BodyHash | None = None) -> bytes:
        """The prelude of the content of `sent`; `domain` is where an added Message-ID lives.

        Of large content its beginning is enough, with the whole header, and the hash of its body.
        """
        header, body = split_content(content)
        now = self._clock.now()
        above = sent.received + self._missing(header, sent, domain, now)
        if sent.sign_as is None:
            return above
        return (
            await self._signer.sign(sent.sign_as, above + header, body if body_hash is None else body_hash, now) + above
        )

    def _missing(self, header: bytes, sent: Sent, domain: str, now: datetime) -> bytes:
        names = {field.name.lower() for field in parse_fields(header)}
        added = b""
        if b"date" not in names:
            # A letter's date tells its minute and no more: seconds would help to match a sender's clock.
            moment = now.replace(second=0, microsecond=0) if sent.door is Door.WEB else now
            added += f"Date: {format_date(moment)}\r\n".encode()
        if b"message-id" not in names:
            added += f"Message-ID: {new_message_id(domain, self._entropy)}\r\n".encode()
        feedback = self._returns.feedback_id(sent)
        if feedback and b"feedback-id" not in names:
            added += fold_field("Feedback-ID", feedback)
        return added
