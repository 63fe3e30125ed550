"""One DKIM-Signature field: which fields it covers, what is hashed, how it is written. Pure.

Stands inside the signer. Guarantees (RFC 6376 §3.5, §3.7, §5.4): relaxed/relaxed; From and its companions are
listed once more than they occur, so that adding a second one breaks the signature (L05, S21); no l=, no i=,
no x=; the field is folded at 76 columns.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256

from relay.mail.body_hash import BodyHash
from relay.signing.canonical import relaxed_body, relaxed_field, split_header
from relay.signing.keys import PrivateKey, key_bits

ALWAYS_SIGNED: Final = ("From", "To", "Cc", "Subject", "Date", "Message-ID", "Reply-To", "Content-Type")
"""Listed as often as they occur and once more, present or not (RFC 6376 §5.4.2, §8.15)."""
SIGNED_WHEN_PRESENT: Final = (
    "Sender",
    "MIME-Version",
    "Content-Transfer-Encoding",
    "Content-ID",
    "Content-Description",
    "Content-Disposition",
    "Content-Language",
    "In-Reply-To",
    "References",
    "Auto-Submitted",
    "Precedence",
    "List-Id",
    "List-Help",
    "List-Owner",
    "List-Post",
    "List-Archive",
    "List-Subscribe",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "Feedback-ID",
)
"""Likewise, but only when the message carries one: a mailing list may add what we did not write."""

_ALWAYS = tuple((name, name.lower().encode()) for name in ALWAYS_SIGNED)
_WHEN_PRESENT = tuple((name, name.lower().encode()) for name in SIGNED_WHEN_PRESENT)
_COLUMNS: Final = 76
_PADDING = PKCS1v15()
_SHA256 = Prehashed(SHA256())


@dataclass(frozen=True, slots=True)
class Covered:
    """What all signatures of a message share: the h= names, the canonical fields, the body's hash in base64."""

    names: tuple[str, ...]
    fields: bytes
    body_hash: BodyHash


class SigningKey:
    """A private key under its selector."""

    __slots__ = ("_private", "algorithm", "selector")

    def __init__(self, selector: str, private: PrivateKey) -> None:
        self.selector = selector
        self._private = private
        self.algorithm = "rsa-sha256" if isinstance(private, RSAPrivateKey) else "ed25519-sha256"

    @property
    def is_rsa(self) -> bool:
        """Whether it signs with rsa-sha256; otherwise with ed25519-sha256."""
        return self.algorithm == "rsa-sha256"

    @property
    def bits(self) -> int:
        """The size of the key."""
        return key_bits(self._private)

    def sign(self, digest: bytes) -> bytes:
        """The signature of a SHA-256 digest; RFC 8463 §3 wants PureEd25519 over the digest itself."""
        if isinstance(self._private, Ed25519PrivateKey):
            return self._private.sign(digest)
        return self._private.sign(digest, _PADDING, _SHA256)


def cover(header: bytes, body: bytes | BodyHash) -> Covered:
    """Hash the body and choose the fields. Raises ValueError when `header` is no header block."""
    present: dict[bytes, list[bytes]] = {}
    for name, value in split_header(header):
        present.setdefault(name.lower(), []).append(value)
    names: list[str] = []
    lines: list[bytes] = []
    for table, always in ((_ALWAYS, True), (_WHEN_PRESENT, False)):
        for title, key in table:
            values = present.get(key)
            if values is None:
                if always:
                    names.append(title)
                continue
            names += [title] * (len(values) + 1)
            # Several fields of one name are taken from the bottom up (RFC 6376 §5.4.2).
            lines += [relaxed_field(key, value) for value in reversed(values)]
    lines.append(b"")
    return Covered(tuple(names), b"\r\n".join(lines), body_hash(body) if isinstance(body, bytes) else body)


def body_hash(body: bytes) -> BodyHash:
    """The bh= value: SHA-256 of the relaxed body, in base64."""
    return BodyHash(base64.b64encode(hashlib.sha256(relaxed_body(body)).digest()).decode())


def sign_all(keys: Sequence[SigningKey], domain: str, timestamp: int, covered: Covered) -> bytes:
    """A DKIM-Signature field for each key, in their order; `timestamp` in seconds since the epoch."""
    return b"".join(_sign(key, domain, timestamp, covered) for key in keys)


def _sign(key: SigningKey, domain: str, timestamp: int, covered: Covered) -> bytes:
    start, names = _frame(key.algorithm, domain, key.selector, covered.names)
    value = f"{start}{timestamp};\r\n\th={names};\r\n\tbh={covered.body_hash};\r\n\tb=".encode()
    digest = hashlib.sha256(covered.fields + relaxed_field(b"dkim-signature", value)).digest()
    return b"DKIM-Signature:" + value + _fold_base64(key.sign(digest)) + b"\r\n"


@lru_cache(maxsize=1024)
def _frame(algorithm: str, domain: str, selector: str, names: tuple[str, ...]) -> tuple[str, str]:
    """The field up to its timestamp, and the folded h= list: the same for nearly all mail of a sender."""
    start = f" v=1; a={algorithm}; c=relaxed/relaxed;\r\n\td={domain};{_next(domain)}s={selector}; t="
    return start, _fold_names(names)


def _next(domain: str) -> str:
    """A space, or a fold where a long domain leaves no room for the selector."""
    return " " if len(domain) <= 40 else "\r\n\t"


def _fold_names(names: Sequence[str]) -> str:
    lines: list[str] = []
    line = names[0]
    for name in names[1:]:
        if len(line) + len(name) + 4 > _COLUMNS - 8:
            lines.append(line + ":")
            line = name
        else:
            line += ":" + name
    lines.append(line)
    return "\r\n\t ".join(lines)


def _fold_base64(data: bytes) -> bytes:
    text = base64.b64encode(data)
    first = _COLUMNS - 10
    lines = [text[:first], *(text[at : at + first] for at in range(first, len(text), first))]
    return b"\r\n\t ".join(lines)
