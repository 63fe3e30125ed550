"""The recipient's link: which letter, and whose address, in a token that only we can read.

An address stands nowhere in the front once its letter has left. What the recipient may ask of us later, they ask by
a link that carries it, encrypted: AES-SIV (RFC 5297) needs no nonce and gives the same link for the same letter, so a
mail made again after a crash is the same mail. A link that was changed, or made under a key that is gone, is none.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from relay.ids import base32, from_base32

_ID: Final = 20
_LONGEST: Final = 600


class LinkKind(StrEnum):
    """What a link is for; one is never good for another."""

    RECIPIENT = "recipient"
    READ = "read"
    WEEKLY = "weekly"
    WEEKLY_CONFIRM = "weekly-confirm"


@dataclass(frozen=True, slots=True)
class Addressee:
    """What a link says: the letter it came with, and to whom that went."""

    letter_id: str
    address: str


class RecipientLinks:
    """Makes and reads the links. The first of `keys` makes, all of them read."""

    def __init__(self, keys: Sequence[bytes], base_url: str) -> None:
        if not keys:
            raise ValueError("links need a key")
        secrets = (hmac.digest(key, b"leak recipient link", hashlib.sha512) for key in keys)
        self._ciphers = [(_key_id(key), AESSIV(secret)) for key, secret in zip(keys, secrets, strict=True)]
        self._base_url = base_url

    def token(self, kind: LinkKind, addressee: Addressee) -> str:
        """The token, of URL-safe characters; the same whenever it is made under one key."""
        key_id, cipher = self._ciphers[0]
        data = from_base32(addressee.letter_id, _ID) + addressee.address.encode()
        return _encode(bytes((key_id,)) + cipher.encrypt(data, [kind.value.encode()]))

    def open(self, kind: LinkKind, token: str) -> Addressee | None:
        """What `token` says, None if it is no link of ours for `kind`."""
        data = _decode(token)
        for key_id, cipher in self._ciphers if data else ():
            if key_id != data[0]:
                continue
            try:
                said = cipher.decrypt(data[1:], [kind.value.encode()])
            except (InvalidTag, ValueError):
                continue
            return Addressee(base32(said[:_ID]), said[_ID:].decode())
        return None

    def recipient_url(self, addressee: Addressee | None) -> str:
        """The address of the recipient's page; without an addressee one that leads nowhere, for a preview.

        Who writes a letter must not hold its recipient's link: they could refuse mail in their name.
        """
        token = "…" if addressee is None else self.token(LinkKind.RECIPIENT, addressee)
        return f"{self._base_url}/r/{token}"

    def read_url(self, addressee: Addressee | None) -> str:
        """The address under which a letter can be read that waits to be asked for; without an addressee as above."""
        token = "…" if addressee is None else self.token(LinkKind.READ, addressee)
        return f"{self._base_url}/read/{token}"


def _key_id(key: bytes) -> int:
    return hashlib.sha256(b"key id\0" + key).digest()[0]


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _decode(text: str) -> bytes:
    """The octets of a token, none for what is no such text."""
    if len(text) > _LONGEST:
        return b""
    try:
        data = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return b""
    return data if _encode(data) == text else b""
