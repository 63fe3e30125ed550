"""The encryption of an archive: a stream of sealed pieces; what is cut, changed or put in another order is noticed.

The key of a file comes from a passphrase by scrypt, or is new and sealed to a public key by HPKE (RFC 9180), so that a
server can make archives it cannot open. Each piece of 64 KiB is sealed by AES-256-GCM; its nonce counts, and says of
the last piece that it is the last (the construction is STREAM's, Hoang et al. 2015). The head is bound to every piece.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import BinaryIO, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from relay.errors import LeakError
from relay.ids import Entropy

MAGIC: Final = b"leak archive 1\n"
PIECE: Final = 64 * 1024
_KEY_BYTES: Final = 32
_TAG: Final = 16
_SCRYPT_N: Final = 1 << 17
"""128 MB and a third of a second a try."""
_MOST_HEAD: Final = 4096
_SUITE: Final = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
_INFO: Final = b"leak archive"


class ArchiveError(LeakError):
    """The archive was not made, or cannot be opened; the text says why."""


@dataclass(frozen=True, slots=True)
class Lock:
    """To what an archive is encrypted: a passphrase, or else a public key."""

    passphrase: bytes = field(default=b"", repr=False)
    recipient: X25519PublicKey | None = None


@dataclass(frozen=True, slots=True)
class Key:
    """What opens an archive; whichever the archive asks for is used."""

    passphrase: bytes = field(default=b"", repr=False)
    private: X25519PrivateKey | None = field(default=None, repr=False)


def read_recipient(pem: bytes) -> X25519PublicKey:
    """A public key in PEM. Raises ArchiveError."""
    try:
        key = load_pem_public_key(pem)
    except ValueError:
        key = None
    if not isinstance(key, X25519PublicKey):
        raise ArchiveError("this is no public key for archives: `leak secrets new-backup-key` makes a pair")
    return key


def read_private(pem: bytes) -> X25519PrivateKey:
    """A private key in PEM. Raises ArchiveError."""
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, X25519PrivateKey):
        raise ArchiveError("this is no private key for archives")
    return key


class SealingWriter:
    """A file to write plain octets to, which come out sealed; `finish` writes the last piece."""

    def __init__(self, file: BinaryIO, lock: Lock, entropy: Entropy) -> None:
        self._file = file
        head, key = _new_head(lock, entropy)
        line = json.dumps(head, sort_keys=True).encode() + b"\n"
        file.write(MAGIC + line)
        self._cipher = AESGCM(key)
        self._bound = hashlib.sha256(MAGIC + line).digest()
        self._count = 0
        self._waiting = bytearray()

    def write(self, octets: bytes) -> int:
        """Take octets; a whole piece is sealed as soon as something follows it."""
        self._waiting += octets
        while len(self._waiting) > PIECE:
            self._seal(bytes(self._waiting[:PIECE]), last=False)
            del self._waiting[:PIECE]
        return len(octets)

    def finish(self) -> None:
        """Seal what is left, as the last piece."""
        self._seal(bytes(self._waiting), last=True)
        self._waiting.clear()

    def _seal(self, piece: bytes, *, last: bool) -> None:
        self._file.write(self._cipher.encrypt(_nonce(self._count, last=last), piece, self._bound))
        self._count += 1


class OpeningReader:
    """An archive to read plain octets from. Raises ArchiveError for a wrong key and for whatever was changed."""

    def __init__(self, file: BinaryIO, key: Key) -> None:
        self._file = file
        head = file.read(len(MAGIC)) + file.readline(_MOST_HEAD)
        if not head.startswith(MAGIC) or not head.endswith(b"\n"):
            raise ArchiveError("this is no archive of this relay")
        try:
            self._cipher = AESGCM(_key_of(json.loads(head[len(MAGIC) :]), key))
        except (ValueError, KeyError, TypeError):
            raise ArchiveError("the head of this archive cannot be read") from None
        self._bound = hashlib.sha256(head).digest()
        self._count = 0
        self._next = file.read(PIECE + _TAG)
        self._ready = bytearray()
        self._ended = False

    def read(self, count: int) -> bytes:
        """`count` octets, fewer only at the end."""
        while len(self._ready) < count and not self._ended:
            piece, self._next = self._next, self._file.read(PIECE + _TAG)
            self._ended = not self._next
            try:
                self._ready += self._cipher.decrypt(_nonce(self._count, last=self._ended), piece, self._bound)
            except InvalidTag:
                raise ArchiveError(
                    "wrong passphrase or key, or the archive was changed"
                    if self._count == 0
                    else "the archive is damaged, was changed, or is cut off"
                ) from None
            self._count += 1
        taken = bytes(self._ready[:count])
        del self._ready[:count]
        return taken


def _nonce(count: int, *, last: bool) -> bytes:
    return count.to_bytes(11, "big") + bytes([last])


def _new_head(lock: Lock, entropy: Entropy) -> tuple[dict[str, str], bytes]:
    if lock.recipient is not None:
        key = entropy.bytes(_KEY_BYTES)
        return {"to": "key", "sealed": _SUITE.encrypt(key, lock.recipient, info=_INFO).hex()}, key
    if not lock.passphrase:
        raise ArchiveError("an archive holds every secret: give a passphrase or a public key to encrypt it to")
    salt = entropy.bytes(16)
    return {"to": "passphrase", "salt": salt.hex()}, _stretched(lock.passphrase, salt)


def _key_of(head: dict[str, str], key: Key) -> bytes:
    if head["to"] == "key":
        if key.private is None:
            raise ArchiveError("this archive is encrypted to a key: give its private half with --key")
        try:
            return _SUITE.decrypt(bytes.fromhex(head["sealed"]), key.private, info=_INFO)
        except InvalidTag:
            raise ArchiveError("this archive is encrypted to another key") from None
    if head["to"] != "passphrase":
        raise ArchiveError("this archive was made by a newer program")
    if not key.passphrase:
        raise ArchiveError("this archive is encrypted with a passphrase: give it with --passphrase-file")
    return _stretched(key.passphrase, bytes.fromhex(head["salt"]))


def _stretched(passphrase: bytes, salt: bytes) -> bytes:
    return Scrypt(salt=salt, length=_KEY_BYTES, n=_SCRYPT_N, r=8, p=1).derive(passphrase)
