"""The node's secrets: five keys of 32 random bytes in a folder of their own, the same on every node of a cluster.

Made at the first start or by `leak init`, read at every start. Each file holds one key as 64 hexadecimal digits, so
that it can be carried to the next node by copy and paste; mode 0600, folder 0700. Several workers may start at
once: the first to write a file wins, the others read it.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from relay.errors import ConfigurationError
from relay.ids import Entropy
from relay.private_file import make_private_folder, read_private_file, write_private_file

SECRET_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class NodeSecrets:
    """One key a purpose, so that none can be used for another."""

    return_token: bytes = field(repr=False)
    """Signs the local parts to which bounces come back."""
    link: bytes = field(repr=False)
    """Signs links in letters: unsubscribe, the recipient's page."""
    form: bytes = field(repr=False)
    """Signs the tokens of web forms."""
    block_hash: bytes = field(repr=False)
    """Keys the hashes of addresses under a standing refusal."""
    webhook: bytes = field(repr=False)
    """Derives the signing keys of webhooks."""


SECRET_NAMES: Final = ("return-token", "link", "form", "block-hash", "webhook")
"""The file names, in the order of `NodeSecrets`."""


def ensure_secrets(folder: Path, entropy: Entropy) -> NodeSecrets:
    """Read the secrets, making those that are not there. Raises ConfigurationError naming file and remedy."""
    try:
        make_private_folder(folder)
        return NodeSecrets(*(_read_or_make(folder / name, entropy) for name in SECRET_NAMES))
    except OSError as error:
        # A NotPrivateError has only its text, other OSErrors name the file and the cause.
        reason = f"{error.filename}: {error.strerror}" if error.strerror else str(error)
        raise ConfigurationError(f"the folder of secrets cannot be used: {reason}") from None


def _read_or_make(path: Path, entropy: Entropy) -> bytes:
    if not path.exists():
        with suppress(FileExistsError):
            write_private_file(path, entropy.bytes(SECRET_BYTES).hex().encode() + b"\n")
    text = read_private_file(path).strip()
    try:
        secret = bytes.fromhex(text.decode("ascii"))
    except ValueError:
        secret = b""
    if len(secret) != SECRET_BYTES:
        raise ConfigurationError(f"{path} is no secret: it must hold {2 * SECRET_BYTES} hexadecimal digits")
    return secret
