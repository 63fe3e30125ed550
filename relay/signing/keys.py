"""Signing keys on disk: `FOLDER/DOMAIN/SELECTOR.pem`, PKCS#8, readable by their owner only.

Guarantees: a key file is there whole or not at all, has mode 0600, and is never overwritten (L10).
What a key says to the DNS is derived from it (RFC 6376 §3.6.1, RFC 8463 §4), never stored beside it.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from relay.mail.address import AddressError, parse_domain
from relay.private_file import NotPrivateError, make_private_folder, read_private_file, write_private_file

PrivateKey = RSAPrivateKey | Ed25519PrivateKey

RSA_BITS: Final = 2048
"""The size of a new RSA key: what every receiver takes and one UDP answer carries (RFC 8301 §3.2)."""
SMALLEST_RSA_BITS: Final = 1024
"""Below it verifiers reject the signature (RFC 8301 §3.2)."""
MAX_DNS_STRING: Final = 255
_SELECTOR = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*")


class KeyType(StrEnum):
    """The kind of a key, named as in the k= tag of its record."""

    RSA = "rsa"
    ED25519 = "ed25519"


class KeyFileError(Exception):
    """A key file cannot be used or made; the text names the file, what is wrong and what to do."""


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A key found in the folder; `record` is empty and `problem` says why when it cannot be used."""

    domain: str
    selector: str
    path: Path
    type: KeyType | None
    bits: int
    record: str
    problem: str = ""


def key_path(folder: Path, domain: str, selector: str) -> Path:
    """Where a key lies. ValueError when domain or selector could not stand in the DNS, or in a path."""
    try:
        name = parse_domain(domain)
    except AddressError as error:
        raise ValueError(f"{domain!r} is not a domain: {error}") from None
    if not _SELECTOR.fullmatch(selector):
        raise ValueError(f"{selector!r} is not a selector; write lower-case letters, digits and hyphens, as in s2026a")
    return folder / name / f"{selector}.pem"


def make_key(folder: Path, domain: str, selector: str, kind: KeyType) -> Path:
    """Make a key and its folder. Raises ValueError as `key_path`, KeyFileError if the file exists or cannot be made."""
    path = key_path(folder, domain, selector)
    if path.exists():
        raise KeyFileError(f"{path} exists already; keys are never overwritten: choose another selector")
    key: PrivateKey
    match kind:
        case KeyType.RSA:
            key = generate_private_key(public_exponent=65537, key_size=RSA_BITS)
        case KeyType.ED25519:
            key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        make_private_folder(path.parent)
        write_private_file(path, pem)
    except FileExistsError:
        raise KeyFileError(f"{path} exists already; keys are never overwritten: choose another selector") from None
    except OSError as error:
        raise KeyFileError(f"{path} cannot be written: {error.strerror}") from None
    return path


def load_key(path: Path) -> PrivateKey:
    """The key in `path`. Raises KeyFileError: unreadable, readable by others, no PKCS#8 key, or too weak (L02, L10)."""
    try:
        pem = read_private_file(path)
    except NotPrivateError as error:
        raise KeyFileError(str(error)) from None
    except FileNotFoundError:
        raise KeyFileError(f"{path} is missing; make it with `leak dkim new {path.parent.name} {path.stem}`") from None
    except OSError as error:
        raise KeyFileError(f"{path} cannot be read: {error.strerror}") from None
    try:
        # OpenSSL's full check of an RSA key takes 49 ms, against 0.4 ms of the trial below, which finds
        # what damage does to a file that only its owner can write.
        key = load_pem_private_key(pem, password=None, unsafe_skip_rsa_key_validation=True)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise KeyFileError(f"{path} holds no unencrypted PKCS#8 key in PEM") from None
    if not isinstance(key, RSAPrivateKey | Ed25519PrivateKey):
        raise KeyFileError(f"{path} is neither an RSA nor an Ed25519 key")
    if isinstance(key, RSAPrivateKey) and key.key_size < SMALLEST_RSA_BITS:
        raise KeyFileError(f"{path} has {key.key_size} bits; receivers reject RSA below {SMALLEST_RSA_BITS}")
    if not _works(key):
        raise KeyFileError(f"{path} is damaged: its signature does not verify")
    return key


def _works(key: PrivateKey) -> bool:
    sample = b"trial"
    try:
        if isinstance(key, RSAPrivateKey):
            key.public_key().verify(key.sign(sample, PKCS1v15(), SHA256()), sample, PKCS1v15(), SHA256())
        else:
            key.public_key().verify(key.sign(sample), sample)
    except (InvalidSignature, ValueError):
        return False
    return True


def key_type(key: PrivateKey) -> KeyType:
    """RSA or Ed25519."""
    return KeyType.RSA if isinstance(key, RSAPrivateKey) else KeyType.ED25519


def key_bits(key: PrivateKey) -> int:
    """The size of the modulus or of the curve's field."""
    return key.key_size if isinstance(key, RSAPrivateKey) else 256


def public_record(key: PrivateKey) -> str:
    """The TXT value to publish: `v=DKIM1; k=rsa; p=…` (SubjectPublicKeyInfo) or `k=ed25519` with the raw key (L11)."""
    if isinstance(key, RSAPrivateKey):
        public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    else:
        public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return f"v=DKIM1; k={key_type(key)}; p={base64.b64encode(public).decode()}"


def record_name(domain: str, selector: str) -> str:
    """The name at which a key is published (RFC 6376 §3.6.2.1)."""
    return f"{selector}._domainkey.{domain}"


def zone_text(value: str) -> str:
    """A TXT value in zone-file form: quoted strings of at most 255 octets, which receivers join (RFC 1035 §3.3.14)."""
    escaped = [value[at : at + MAX_DNS_STRING] for at in range(0, len(value), MAX_DNS_STRING)] or [""]
    quoted = " ".join('"' + part.replace("\\", "\\\\").replace('"', '\\"') + '"' for part in escaped)
    return f"( {quoted} )" if len(escaped) > 1 else quoted


def list_keys(folder: Path) -> list[KeyFile]:
    """Every key file below `folder`, by domain and selector; unusable ones come with their problem."""
    return [describe_key(path) for path in _key_files(folder)]


def describe_key(path: Path) -> KeyFile:
    """What lies at `path`, which has the form of `key_path`."""
    domain, selector = path.parent.name, path.name.removesuffix(".pem")
    try:
        key = load_key(path)
    except KeyFileError as error:
        return KeyFile(domain, selector, path, None, 0, "", str(error))
    return KeyFile(domain, selector, path, key_type(key), key_bits(key), public_record(key))


def _key_files(folder: Path) -> Iterator[Path]:
    with suppress(FileNotFoundError, PermissionError):
        for path in sorted(folder.glob("*/*.pem")):
            if not path.name.startswith("."):
                yield path
