"""The node's secrets: five keys of 32 random bytes in a folder of their own, the same on every node of a cluster.

Made at the first start or by `leak init`, read at every start. Each file holds one key as 64 hexadecimal digits, so
that it can be carried to the next node by copy and paste; mode 0600, folder 0700. Several workers may start at
once: the first to write a file wins, the others read it.

`return-token` and `link` may hold several keys, one a line: the first signs, all verify. A key that was
replaced carries the last day on which it does: "HEX 2027-11-22".
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Final

from relay.errors import ConfigurationError
from relay.ids import Entropy
from relay.private_file import make_private_folder, read_private_file, replace_private_file, write_private_file
from relay.tokens import KEY_LIFE, TokenKey

SECRET_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class NodeSecrets:
    """One key a purpose, so that none can be used for another."""

    return_token: bytes = field(repr=False)
    """Signs the local parts to which bounces come back: the first key of `token_keys`."""
    link: bytes = field(repr=False)
    """Signs links in letters: unsubscribe, the recipient's page."""
    form: bytes = field(repr=False)
    """Signs the tokens of web forms."""
    block_hash: bytes = field(repr=False)
    """Keys the hashes of addresses under a standing refusal."""
    webhook: bytes = field(repr=False)
    """Derives the signing keys of webhooks."""
    old_links: tuple[bytes, ...] = field(default=(), repr=False)
    """Other keys whose links are good."""
    old_block_hashes: tuple[bytes, ...] = field(default=(), repr=False)
    """Earlier keys of hashed addresses."""


SECRET_NAMES: Final = ("return-token", "link", "form", "block-hash", "webhook")
"""The file names, in the order of `NodeSecrets`."""
RINGS: Final = ("return-token", "link")
"""Those that may hold several keys, one a line."""


def ensure_secrets(folder: Path, entropy: Entropy) -> NodeSecrets:
    """Read the secrets, making those that are not there. Raises ConfigurationError naming file and remedy."""
    try:
        make_private_folder(folder)
        token, link, form, block, webhook = (_read_or_make(folder / name, entropy) for name in SECRET_NAMES)
        links = tuple(key.secret for key in token_keys(folder, "link")[1:])
        return NodeSecrets(token, link, form, block, webhook, links, old_block_hashes(folder))
    except OSError as error:
        # A NotPrivateError has only its text, other OSErrors name the file and the cause.
        reason = f"{error.filename}: {error.strerror}" if error.strerror else str(error)
        raise ConfigurationError(f"the folder of secrets cannot be used: {reason}") from None


def old_block_hashes(folder: Path) -> tuple[bytes, ...]:
    """Earlier keys of hashed addresses, `block-hash.1` and on: what was erased stands under them.

    Raises ConfigurationError.
    """
    try:
        files = sorted(folder.glob("block-hash.[0-9]*"))
        return tuple(_secret(file, read_private_file(file).strip().decode("ascii", "replace")) for file in files)
    except OSError as error:
        raise ConfigurationError(f"{error.filename or folder}: {error.strerror or error}") from None


def token_keys(folder: Path, ring: str = RINGS[0]) -> tuple[TokenKey, ...]:
    """The keys of a ring, the signing one first; made before by `ensure_secrets`. Raises ConfigurationError."""
    path = folder / ring
    try:
        lines = read_private_file(path).split(b"\n")
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror or error}") from None
    return tuple(_token_key(path, line) for line in lines if line.strip())


def rotate_token_key(folder: Path, entropy: Entropy, today: date, *, only_prepare: bool, ring: str = RINGS[0]) -> None:
    """Let a new key sign; the old one verifies for as long as what it signed is good, and keys whose time is over go.

    A cluster prepares first: the new key only verifies until every node has it. Raises ConfigurationError.
    """
    keys = [key for key in token_keys(folder, ring) if key.good_until is None or key.good_until >= today]
    signing, *others = keys
    prepared = [key for key in others if key.good_until is None]
    fresh = prepared or [TokenKey(entropy.bytes(SECRET_BYTES))]
    while not prepared and fresh[0].id in {key.id for key in keys}:
        # Two keys of one id are good all the same, and a stranger's text is then compared twice.
        fresh = [TokenKey(entropy.bytes(SECRET_BYTES))]
    retired = [key for key in others if key.good_until is not None]
    if only_prepare:
        _write_ring(folder / ring, [signing, *fresh, *retired])
    else:
        _write_ring(folder / ring, [*fresh, TokenKey(signing.secret, today + KEY_LIFE), *retired])


def _write_ring(path: Path, keys: Sequence[TokenKey]) -> None:
    lines = [key.secret.hex() + (f" {key.good_until}" if key.good_until else "") for key in keys]
    replace_private_file(path, "".join(f"{line}\n" for line in lines).encode())


def _token_key(path: Path, line: bytes) -> TokenKey:
    digits, _, day = line.strip().decode("ascii", "replace").partition(" ")
    try:
        return TokenKey(_secret(path, digits), date.fromisoformat(day.strip()) if day else None)
    except ValueError:
        raise ConfigurationError(f"{path}: after a key may stand the last day it verifies, as in 2027-11-22") from None


def _read_or_make(path: Path, entropy: Entropy) -> bytes:
    if not path.exists():
        with suppress(FileExistsError):
            write_private_file(path, entropy.bytes(SECRET_BYTES).hex().encode() + b"\n")
    text = read_private_file(path).strip().decode("ascii", "replace")
    return _secret(path, text.partition("\n")[0].strip() if path.name in RINGS else text)


def _secret(path: Path, digits: str) -> bytes:
    try:
        secret = bytes.fromhex(digits)
    except ValueError:
        secret = b""
    if len(secret) != SECRET_BYTES:
        raise ConfigurationError(f"{path} is no secret: it must hold {2 * SECRET_BYTES} hexadecimal digits")
    return secret
