"""Signed tokens: short texts that the outside carries for us and that only we can have made (G14, S22).

A token is the local part of an address to which something comes back (return, unsubscribe) or a word in a header
(feedback). It names a *subject*, some bytes of ours, and tells nobody else what they are: they are masked, the same
subject always gives the same text, and a changed letter gives no token at all. Mail systems may change the case of a
local part, so tokens are lower-case base32 and are folded when they come back.

Text: the kind's letter, then base32 of: key id (1 octet), last day (2, days since 1970), masked subject, MAC (10).
The MAC is HMAC-SHA-256 over kind, key id, day and subject; the mask is made from it with a second key, so neither
needs a nonce. Pure: the keys and the clock come in.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import Enum, StrEnum, auto
from typing import Final

from relay.clock import Clock
from relay.ids import SpoolId, base32, from_base32, is_spool_id

KEY_LIFE: Final = timedelta(days=780)
"""How long a key that was replaced still verifies: as long as its longest-lived token, which is the link in a mail that
was handed in on the key's last day to be sent a year later, and is to be good for a year after it came."""

MAX_SUBJECT: Final = 24
"""Octets; the local part then has 61 of the 64 that RFC 5321 §4.5.3.1.1 allows."""

_MAC: Final = 10
_OVERHEAD: Final = 1 + 2 + _MAC
_MAX_TEXT: Final = 1 + -(-8 * (MAX_SUBJECT + _OVERHEAD) // 5)
_EPOCH: Final = date(1970, 1, 1)
_SPOOL_ID: Final = 16


class TokenKind(StrEnum):
    """What a token is for; the letter it begins with. One of a kind is never good for another."""

    RETURN = "r"
    """Where reports about one delivery come back. Subject: `delivery_subject`."""
    UNSUBSCRIBE = "u"
    """Whoever sends it wants no more. Its subject belongs to who mints it."""
    REPLY = "a"
    """Where whoever got a letter may answer it. Subject: `delivery_subject`."""
    FEEDBACK = "f"
    """In the Feedback-ID field: one message. Subject: `delivery_subject` of its first delivery."""


class TokenFault(Enum):
    """Why a text is no token that counts."""

    FORGED = auto()
    """No token, or not one of ours, or changed on the way."""
    EXPIRED = auto()
    """Ours, but its time is over."""


@dataclass(frozen=True, slots=True)
class Token:
    """What a token that was verified says; it is good through the day `expires` (UTC)."""

    kind: TokenKind
    subject: bytes
    expires: date


@dataclass(frozen=True, slots=True)
class TokenKey:
    """A key of at least 32 random octets; `good_until` None while it signs."""

    secret: bytes = field(repr=False)
    good_until: date | None = None

    @property
    def id(self) -> int:
        """One octet by which a token says which key signed it."""
        return hashlib.sha256(b"key id\0" + self.secret).digest()[0]


class Tokens:
    """Mints and verifies. The first of `keys` signs; every one that is still good verifies."""

    def __init__(self, keys: Sequence[TokenKey], clock: Clock) -> None:
        if not keys:
            raise ValueError("tokens need a key")
        self._clock = clock
        self._pairs = [(key.id, key.good_until, *_pair(key.secret)) for key in keys]

    def mint(self, kind: TokenKind, subject: bytes, expires: datetime) -> str:
        """The token of `subject`, good through the day of `expires`; ValueError if the subject is too long."""
        if len(subject) > MAX_SUBJECT:
            raise ValueError(f"a token's subject has at most {MAX_SUBJECT} octets")
        key_id, _, signing, masking = self._pairs[0]
        head = bytes((key_id,)) + (expires.date() - _EPOCH).days.to_bytes(2)
        mac = _mac(signing, kind, head, subject)
        return kind + base32(head + _masked(masking, mac, subject) + mac)

    def verify(self, text: str) -> Token | TokenFault:
        """What `text` says if it is a token of ours, in whatever case it came back; it is data, and never raises."""
        folded = text.lower()
        if len(folded) > _MAX_TEXT or not folded.isascii():
            return TokenFault.FORGED
        try:
            kind = TokenKind(folded[:1])
            count = (len(folded) - 1) * 5 // 8
            data = from_base32(folded[1:], count)
        except ValueError:
            return TokenFault.FORGED
        if count < _OVERHEAD:
            return TokenFault.FORGED
        head, masked, mac = data[:3], data[3:-_MAC], data[-_MAC:]
        today = self._clock.now().date()
        for key_id, good_until, signing, masking in self._pairs:
            if key_id != head[0] or (good_until is not None and good_until < today):
                continue
            subject = _masked(masking, mac, masked)
            if hmac.compare_digest(mac, _mac(signing, kind, head, subject)):
                expires = _EPOCH + timedelta(days=int.from_bytes(head[1:]))
                return TokenFault.EXPIRED if expires < today else Token(kind, subject, expires)
        return TokenFault.FORGED


def looks_like_token(text: str) -> bool:
    """Whether `text` could be somebody's token, for those who hold no keys."""
    return 1 < len(text) <= _MAX_TEXT and text.isascii() and text.isalnum()


def delivery_subject(message: SpoolId, n: int) -> bytes:
    """The subject that names one delivery: 18 octets."""
    return from_base32(message, _SPOOL_ID) + n.to_bytes(2)


def subject_delivery(subject: bytes) -> tuple[SpoolId, int]:
    """The delivery that a subject names; ValueError if it names none."""
    message = base32(subject[:_SPOOL_ID])
    if len(subject) != _SPOOL_ID + 2 or not is_spool_id(message):
        raise ValueError("not the subject of a delivery")
    return SpoolId(message), int.from_bytes(subject[_SPOOL_ID:])


def _pair(secret: bytes) -> tuple[bytes, bytes]:
    """The signing key and the masking key of a secret: one key, one use."""
    return (
        hmac.digest(secret, b"relay token: sign", "sha256"),
        hmac.digest(secret, b"relay token: mask", "sha256"),
    )


def _mac(key: bytes, kind: TokenKind, head: bytes, subject: bytes) -> bytes:
    return hmac.digest(key, kind.encode() + head + subject, "sha256")[:_MAC]


def _masked(key: bytes, mac: bytes, subject: bytes) -> bytes:
    mask = hmac.digest(key, mac, "sha256")
    return bytes(one ^ other for one, other in zip(subject, mask, strict=False))
