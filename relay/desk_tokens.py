"""The tokens that open the moderators' desk: a private file among the node's secrets, `NAME TOKEN` on each line.

Made with one token at the first start, the same on every node. A decision is logged under its token's name, so several
people get a line each; a line that is taken out is good for nothing after the node's next start.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import Final

from relay.errors import ConfigurationError
from relay.ids import Entropy, base32
from relay.private_file import make_private_folder, read_private_file, write_private_file

FILE: Final = "desk-tokens"
FIRST_NAME: Final = "moderator"
_OCTETS: Final = 20
_LINE: Final = re.compile(r"([a-z0-9-]{1,40})\s+([!-~]{24,128})")


def ensure_desk_tokens(folder: Path, entropy: Entropy) -> dict[str, str]:
    """The token of each name, the first made if there is none. Raises ConfigurationError naming file and line."""
    path = folder / FILE
    try:
        make_private_folder(folder)
        if not path.exists():
            with suppress(FileExistsError):
                write_private_file(path, f"{FIRST_NAME} {base32(entropy.bytes(_OCTETS))}\n".encode())
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
