"""Addresses as the front compares them: one name a mailbox, and keyed hashes of it (RCP 5). Pure."""

from __future__ import annotations

import hashlib
import hmac
import re
import unicodedata
from collections.abc import Sequence
from typing import Final

from relay.well_known import one_mailbox, without_tag

_QUOTED_PAIR: Final = re.compile(r"\\(.)")
_OCTETS: Final = 16
_ROUNDABOUT: Final = re.compile(
    r"[%!@:;,<>()\[\]\\\s\"\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0000-\U000e0fff]"
)
"""What leads on to another address (RFC 5321, appendix C: routes, "%" and "!"), what only quotes let stand, and letters
that nobody sees.
"""


def mailbox_of(recipient: str) -> str:
    """One name for every address that leads to the same mailbox, as far as strangers can know.

    Case, quotes and what follows a + make no other person; nor does what their provider does not tell apart.
    """
    return "@".join(one_mailbox(*_parts(recipient)))


def _parts(recipient: str) -> tuple[str, str]:
    """Local part and domain, without case and quotes."""
    local, _, domain = unicodedata.normalize("NFC", recipient).casefold().rpartition("@")
    if len(local) > 1 and local.startswith('"') and local.endswith('"'):
        local = _QUOTED_PAIR.sub(r"\1", local[1:-1])
    return local, domain


def is_roundabout(address: str) -> bool:
    """Whether an address may be somebody's mailbox by another name, which no refusal or limit would know.

    Some hosts pass ann%example.org@example.org and "ann@example.org"@example.org on to ann, and some databases do not
    tell "ann " from ann. Of people's own addresses none is written so; many hosts take none of them (Exim, by default).
    """
    return _ROUNDABOUT.search(_parts(address)[0]) is not None


def masked(address: str) -> str:
    """An address as it is shown to whoever holds its link: enough for its owner to know it again.

    A word joiner keeps a line from ending before the @.
    """
    local, _, domain = address.rpartition("@")
    return f"{local[:1]}…\N{WORD JOINER}@{domain}"


class MailboxHasher:
    """Keyed hashes of mailboxes, under the first of `keys`; rows may still stand under the others."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys:
            raise ValueError("hashing needs a key")
        self._keys = tuple(keys)

    def of(self, address: str) -> bytes:
        """The hash by which something about a mailbox is kept from now on."""
        return self.all_of(address)[0]

    def place_of(self, address: str) -> bytes:
        """A hash of its domain, which tells letters for one place from others."""
        what = b"front place\0" + mailbox_of(address).rpartition("@")[2].encode()
        return hmac.digest(self._keys[0], what, hashlib.sha256)[:_OCTETS]

    def all_of(self, address: str) -> tuple[bytes, ...]:
        """Every hash by which it may have been kept."""
        forms = dict.fromkeys((mailbox_of(address), "@".join(without_tag(*_parts(address)))))
        return tuple(
            hmac.digest(key, b"front mailbox\0" + form.encode(), hashlib.sha256)[:_OCTETS]
            for key in self._keys
            for form in forms
        )
