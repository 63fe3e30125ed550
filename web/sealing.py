"""The sealed sender record: who sent a letter, encrypted at once to a key the server does not have.

HPKE (RFC 9180: X25519, HKDF-SHA256, AES-256-GCM) to the month's public key, bound to the letter's id, padded so that
every record has one length. The private halves are made offline, and destroyed offline when their month is 13 months
old; with a half go all records of its month, in every copy of every backup.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from relay.errors import ConfigurationError, LeakError

KEPT_MONTHS: Final = 12
"""A month's records go when so many months have followed it: each lived twelve to thirteen."""

CASE_PREFIX: Final = "case-"
"""Begins the name of a case's key: a record sealed to it is not deleted with its month."""

_SUITE: Final = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
_PADDED: Final = 512
_LONGEST_EMAIL: Final = 254
_MONTH: Final = re.compile(r"\d{4}-(?:0[1-9]|1[0-2])")


class SealError(LeakError):
    """A record that this key does not open, or that is none."""


@dataclass(frozen=True, slots=True)
class SenderRecord:
    """Who sent a letter, as the connection told: address, port (None where unknown), and the exact time in UTC."""

    at: datetime
    address: str
    port: int | None
    email: str = ""

    def pack(self) -> bytes:
        """The padded text that is sealed."""
        fields = {"at": self.at.astimezone(UTC).isoformat(timespec="milliseconds"), "ip": self.address}
        text = json.dumps({**fields, "port": self.port, "email": self.email[:_LONGEST_EMAIL]}, ensure_ascii=False)
        return text.encode().ljust(_PADDED, b" ")

    @classmethod
    def unpack(cls, data: bytes) -> SenderRecord:
        """What `pack` wrote."""
        fields = json.loads(data)
        return cls(datetime.fromisoformat(fields["at"]), fields["ip"], fields["port"], fields["email"])


@dataclass(frozen=True, slots=True)
class Sealed:
    """A record as it is stored; `key` names the key that opens it: a month, or a case."""

    key: str
    data: bytes

    @property
    def digest(self) -> str:
        """SHA-256 of what is sealed, in hexadecimal: it names this record and no other, and says nothing of it."""
        return hashlib.sha256(self.data).hexdigest()


@dataclass(frozen=True, slots=True)
class SealingKey:
    """A public half and its name."""

    name: str
    public: X25519PublicKey

    def seal(self, record: SenderRecord, letter_id: str) -> Sealed:
        """`record`, for whoever has the private half and the letter's id."""
        return Sealed(self.name, _SUITE.encrypt(record.pack(), self.public, _binding(self.name, letter_id)))

    @property
    def fingerprint(self) -> str:
        """That of the public half: what its custodian compares."""
        return fingerprint_of(self.public)


def open_sealed(sealed: Sealed, private: X25519PrivateKey, letter_id: str) -> SenderRecord:
    """The record. Raises SealError if it was not sealed to this key for this letter."""
    try:
        return SenderRecord.unpack(_SUITE.decrypt(sealed.data, private, _binding(sealed.key, letter_id)))
    except (InvalidTag, ValueError):
        raise SealError(f"this key does not open the record; it was sealed to {sealed.key}") from None


def fingerprint_of(public: X25519PublicKey) -> str:
    """SHA-256 of a public half (SubjectPublicKeyInfo, DER), in hexadecimal."""
    return hashlib.sha256(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def month_of(at: datetime) -> str:
    """The name of a month's key: "2026-11", in UTC."""
    return f"{at.astimezone(UTC):%Y-%m}"


def months_from(first: str, count: int) -> list[str]:
    """`count` months, `first` (as in "2026-11") the first; ValueError for what is no month."""
    if not _MONTH.fullmatch(first):
        raise ValueError("write a month as 2026-11")
    start = int(first[:4]) * 12 + int(first[5:]) - 1
    return [f"{number // 12:04}-{number % 12 + 1:02}" for number in range(start, start + count)]


def oldest_kept(now: datetime) -> str:
    """The oldest month whose records are still kept."""
    number = int(month_of(now)[:4]) * 12 + int(month_of(now)[5:]) - 1 - KEPT_MONTHS
    return f"{number // 12:04}-{number % 12 + 1:02}"


class SealingKeys:
    """The public halves in a folder, `2026-11.pem` and so on. Raises ConfigurationError for a bad file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._keys: dict[str, SealingKey] = {}
        self.read()

    def read(self) -> None:
        """Read the folder (again). Raises ConfigurationError for a bad file; the keys that were read before stay."""
        folder = self._folder
        files = {path.stem: path for path in folder.glob("*.pem") if _MONTH.fullmatch(path.stem)}
        if self._keys and not files:
            raise ConfigurationError(f"{folder} holds no key any more")
        self._keys = {name: SealingKey(name, read_public_key(path)) for name, path in sorted(files.items())}

    def __bool__(self) -> bool:
        return bool(self._keys)

    def __iter__(self) -> Iterator[SealingKey]:
        return iter(self._keys.values())

    @property
    def last(self) -> str:
        """The last month that has a key, "" if none has."""
        return max(self._keys, default="")

    def at(self, now: datetime) -> SealingKey | None:
        """The key of the month; where it is missing, the next one there is, else the last; None without any."""
        month = month_of(now)
        later = [name for name in self._keys if name >= month]
        name = min(later) if later else self.last
        return self._keys.get(name)


def new_key_pair() -> tuple[bytes, bytes]:
    """A private and a public half, as PEM (PKCS #8, SubjectPublicKeyInfo)."""
    private = X25519PrivateKey.generate()
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), public_half(private)


def public_half(private: X25519PrivateKey) -> bytes:
    """Its public half, as PEM."""
    return private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def read_public_key(path: Path) -> X25519PublicKey:
    """A public half. Raises ConfigurationError, for a private half in its place too: the server must not have it."""
    try:
        data = path.read_bytes()
        if b"PRIVATE KEY" in data:
            raise ConfigurationError(f"{path} is a private half: it belongs offline, never on the server")
        key = load_pem_public_key(data)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ConfigurationError(f"{path}: {error}") from None
    if not isinstance(key, X25519PublicKey):
        raise ConfigurationError(f"{path} is no X25519 key")
    return key


def case_key(case: str, path: Path) -> SealingKey:
    """The key of a case, from its public half. Raises ConfigurationError."""
    return SealingKey(f"{CASE_PREFIX}{case}", read_public_key(path))


def read_private_key(path: Path) -> X25519PrivateKey:
    """A private half. Raises ConfigurationError."""
    try:
        data = path.read_bytes()
        if b"PUBLIC KEY" in data:
            raise ConfigurationError(f"{path} is a public half: opening takes the private one, of the same name")
        key = load_pem_private_key(data, None)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"{path}: {error}") from None
    if not isinstance(key, X25519PrivateKey):
        raise ConfigurationError(f"{path} is no X25519 key")
    return key


def _binding(key: str, letter_id: str) -> bytes:
    return f"leak sender record\n{key}\n{letter_id}".encode()
