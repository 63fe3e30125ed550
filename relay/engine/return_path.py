"""Return paths: what a delivery says in MAIL FROM, so that whatever comes back names it (step 7 of a message's path).

With `return_path = "ours"` that is a return token at the signing domain's return domain: one for each delivery,
the same at every attempt, and in the From's organisational domain, so that SPF aligns for DMARC. The path that was
submitted stays in the spool: reports about the message go there. Notices keep the null path (RFC 5321 §4.5.5).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, Protocol

from relay.ids import SpoolId
from relay.mail.address import Address, ReversePath
from relay.spool.work import Door, Parcel
from relay.tokens import TokenKind, Tokens, delivery_subject

RETURN_LIFE: Final = timedelta(days=366)
"""How long after its message a return token is good: a complaint may come after many months."""


_NOT_WORD = re.compile(r"[^A-Za-z0-9_-]+")
MAX_WORD: Final = 40
MAX_SENDER: Final = 15
"""Characters of the last word of Feedback-ID, as Google's documentation of it asks."""


class Sent(Protocol):
    """What a message and a parcel have in common, as far as it is told in the header."""

    @property
    def id(self) -> SpoolId: ...
    @property
    def tenant(self) -> int: ...
    @property
    def door(self) -> Door: ...
    @property
    def stream(self) -> str: ...
    @property
    def received(self) -> bytes: ...
    @property
    def sign_as(self) -> str | None: ...
    @property
    def accepted_at(self) -> datetime: ...


class ReturnPaths:
    """Knows the return domain of each signing domain; one that is not in `domains` keeps what was submitted."""

    def __init__(self, tokens: Tokens | None = None, domains: Mapping[str, str] | None = None) -> None:
        self._tokens = tokens
        self._domains = dict(domains or {}) if tokens is not None else {}

    def split(self, parcel: Parcel) -> list[Parcel]:
        """The parcel, or one a delivery where each has a return path of its own."""
        if len(parcel.duties) == 1 or self._domain(parcel) is None:
            return [parcel]
        return [
            replace(parcel, duties=(duty,), envelope=replace(parcel.envelope, recipients=(duty.recipient,)))
            for duty in parcel.duties
        ]

    def mail_from(self, parcel: Parcel) -> ReversePath:
        """The reverse-path of the parcel's transaction; a parcel with a path of ours has one delivery."""
        domain = self._domain(parcel)
        if domain is None or self._tokens is None:
            return parcel.reverse_path
        (duty,) = parcel.duties
        subject = delivery_subject(parcel.id, duty.n)
        return Address(self._tokens.mint(TokenKind.RETURN, subject, parcel.accepted_at + RETURN_LIFE), domain)

    def feedback_id(self, sent: Sent) -> str:
        """The value of Feedback-ID, "" for mail whose complaints do not come to us.

        A token that finds the message again when a provider hides who complained, then by which it counts:
        stream, tenant, door and signing domain. A token in its first word counts for nobody: only the last four do.
        """
        if self._tokens is None or sent.sign_as not in self._domains or sent.door is Door.NOTICE:
            return ""
        expires = sent.accepted_at + RETURN_LIFE
        token = self._tokens.mint(TokenKind.FEEDBACK, delivery_subject(sent.id, 0), expires)
        sender = _NOT_WORD.sub("-", sent.sign_as)[:MAX_SENDER]
        return f"{token}:{_NOT_WORD.sub('-', sent.stream)[:MAX_WORD]}:t{sent.tenant}:{sent.door.value}:{sender}"

    def _domain(self, parcel: Parcel) -> str | None:
        if parcel.sign_as is None or not isinstance(parcel.reverse_path, Address):
            return None
        return self._domains.get(parcel.sign_as)


KEPT: Final = ReturnPaths()
"""Every submitted path stays as it is."""
