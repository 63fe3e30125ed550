"""The sealed stream of an archive: what went in comes out, and whatever was changed is noticed."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from relay.archive.cipher import MAGIC, PIECE, ArchiveError, Key, Lock, OpeningReader, SealingWriter
from relay.ids import SeededEntropy

PRIVATE, OTHER = X25519PrivateKey.generate(), X25519PrivateKey.generate()
TO_KEY = Lock(recipient=PRIVATE.public_key())
SEALED_PIECE = PIECE + 16


def sealed(content: bytes, lock: Lock = TO_KEY) -> bytes:
    file = io.BytesIO()
    writer = SealingWriter(file, lock, SeededEntropy(3))
    for start in range(0, len(content), 10_007):
        writer.write(content[start : start + 10_007])
    writer.finish()
    return file.getvalue()


def opened(archive: bytes, key: Key = Key(private=PRIVATE)) -> bytes:  # noqa: B008 - a value
    reader = OpeningReader(io.BytesIO(archive), key)
    content = b""
    while piece := reader.read(9_001):
        content += piece
    return content


def head_of(archive: bytes) -> int:
    return archive.index(b"\n", len(MAGIC)) + 1


@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE])
def test_what_went_in_comes_out(size: int) -> None:
    content = bytes(range(256)) * (size // 256 + 1)
    archive = sealed(content[:size])
    assert opened(archive) == content[:size]
    assert content[:64] not in archive or not size


def test_a_passphrase_opens_what_it_closed_and_nothing_else_does() -> None:
    archive = sealed(b"secret", Lock(passphrase=b"twelve and more"))
    assert opened(archive, Key(passphrase=b"twelve and more")) == b"secret"
    for key, words in (
        (Key(passphrase=b"twelve and some"), "wrong passphrase"),
        (Key(private=PRIVATE), "--passphrase-file"),
    ):
        with pytest.raises(ArchiveError, match=words):
            opened(archive, key)


def test_another_key_opens_nothing() -> None:
    with pytest.raises(ArchiveError, match="another key"):
        opened(sealed(b"secret"), Key(private=OTHER))
    with pytest.raises(ArchiveError, match="--key"):
        opened(sealed(b"secret"), Key(passphrase=b"twelve and more"))


def test_no_lock_is_refused() -> None:
    with pytest.raises(ArchiveError, match="every secret"):
        SealingWriter(io.BytesIO(), Lock(), SeededEntropy(3))


def _swapped(archive: bytes) -> bytes:
    head = head_of(archive)
    one, two = archive[head : head + SEALED_PIECE], archive[head + SEALED_PIECE : head + 2 * SEALED_PIECE]
    return archive[:head] + two + one + archive[head + 2 * SEALED_PIECE :]


HARM: dict[str, Callable[[bytes], bytes]] = {
    "cut within a piece": lambda archive: archive[:-1],
    "cut between pieces": lambda archive: archive[: head_of(archive) + 2 * SEALED_PIECE],
    "cut after the head": lambda archive: archive[: head_of(archive)],
    "longer": lambda archive: archive + b"x",
    "one bit": lambda archive: archive[:-30] + bytes([archive[-30] ^ 1]) + archive[-29:],
    "pieces swapped": _swapped,
    "another head": lambda archive: archive.replace(b'"to": "key"', b'"to":  "key"', 1),
    "a newer head": lambda archive: archive.replace(b'"to": "key"', b'"to": "kex"', 1),
    "no head": lambda archive: b"PK" + archive,
    "nothing": lambda archive: b"",
}


@pytest.mark.parametrize("harm", HARM)
def test_harm_is_noticed(harm: str) -> None:
    with pytest.raises(ArchiveError):
        opened(HARM[harm](sealed(b"0123456789abcdef" * (PIECE // 5))))
