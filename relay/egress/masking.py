"""Replies and transcripts without recipients' addresses: each becomes `<recipient>`, in any letter case.

Recipient addresses live in one table of the spool; what is kept of a conversation must not repeat them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from relay.mail.address import Address
from relay.smtp.reply import MAX_REPLY_BYTES, Reply

RECIPIENT: Final = "<recipient>"


class RecipientMask:
    """Masks the addresses of one transaction; the pattern is made at the first "@", which most replies lack."""

    def __init__(self, recipients: Sequence[Address]) -> None:
        self._recipients = recipients
        self._pattern: re.Pattern[str] | None = None

    def text(self, text: str) -> str:
        """`text` with every recipient's address replaced."""
        if "@" not in text or not self._recipients:
            return text
        if self._pattern is None:
            forms = {form for a in self._recipients for form in (str(a), a.key)}
            longest_first = "|".join(re.escape(form) for form in sorted(forms, key=len, reverse=True))
            self._pattern = re.compile(rf"<(?:{longest_first})>|(?:{longest_first})", re.IGNORECASE)
        return self._pattern.sub(RECIPIENT, text)

    def reply(self, reply: Reply) -> Reply:
        """`reply` masked, and cut to the octets that are kept of one (A08)."""
        first = reply.lines[0]
        if len(reply.lines) == 1 and len(first) <= MAX_REPLY_BYTES // 4 and "@" not in first:
            return reply
        if sum(map(len, reply.lines)) > MAX_REPLY_BYTES // 4:
            reply = _cut(reply)
        if not any("@" in line for line in reply.lines):
            return reply
        return Reply(reply.code, tuple(self.text(line) for line in reply.lines), reply.enhanced)


def _cut(reply: Reply) -> Reply:
    """At least one line, and no more than MAX_REPLY_BYTES octets of UTF-8 in all."""
    kept: list[str] = []
    room = MAX_REPLY_BYTES
    for line in reply.lines:
        octets = line.encode()[:room]
        kept.append(octets.decode("utf-8", "ignore"))
        room -= len(octets)
        if room <= 0:
            break
    return Reply(reply.code, tuple(kept), reply.enhanced)
