"""The tokens that open the operator's pages and the moderators' desk: private files among the node's secrets.

Each line is `NAME TOKEN`. A file is made with one token at the first start, the same on every node. What somebody does
is logged under their token's name, so several people get a line each; a line that is taken out is good for nothing
after the node's next start. The two doors have a file each: who reads letters need not see the relay, nor the reverse.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import Final

from relay.errors import ConfigurationError
from relay.ids import Entropy, base32
from relay.private_file import make_private_folder, read_private_file, write_private_file

DESK_FILE: Final = "desk-tokens"
ADMIN_FILE: Final = "admin-tokens"
_OCTETS: Final = 20
_LINE: Final = re.compile(r"([a-z0-9-]{1,40})\s+([!-~]{24,128})")


def ensure_desk_tokens(folder: Path, entropy: Entropy) -> dict[str, str]:
    """The moderators' token by name, the first made if there is none. Raises ConfigurationError with file and line."""
    return _ensure(folder, DESK_FILE, "moderator", entropy)


def ensure_admin_tokens(folder: Path, entropy: Entropy) -> dict[str, str]:
    """The operators' token by name, the first made if there is none. Raises ConfigurationError with file and line."""
    return _ensure(folder, ADMIN_FILE, "operator", entropy)


def _ensure(folder: Path, file: str, first: str, entropy: Entropy) -> dict[str, str]:
    path = folder / file
    try:
        make_private_folder(folder)
        if not path.exists():
            with suppress(FileExistsError):
                write_private_file(path, f"{first} {base32(entropy.bytes(_OCTETS))}\n".encode())
        lines = read_private_file(path).decode("utf-8", "replace").splitlines()
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror or error}") from None
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise ConfigurationError(f"{path}:{number}: write a name (a-z, 0-9, -), a space, a token of 24 or more")
        if match[1] in found or match[2] in found.values():
            raise ConfigurationError(f"{path}:{number}: this name or this token stands there already")
        found[match[1]] = match[2]
    return found
