"""Which keys of a domain sign: where it begins stands in the configuration, what rotations changed beside the keys.

`FOLDER/DOMAIN/rotation.json` lies with the keys, so that copying the folder to another node copies the rotation too.
Guarantees: it is replaced as a whole or not at all; a key that is not signing is never read for signing; and the
configuration has the last word: once its selectors are edited, what the file says of the earlier ones counts no more.
"""

from __future__ import annotations

import json
import os
import secrets
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from relay.mail.address import AddressError, parse_domain
from relay.signing.keys import KeyFileError, KeyType, key_path, make_key

FILE: Final = "rotation.json"

MARGIN: Final = timedelta(days=1)
"""How long after the last mail an old key signed could have left its record is still needed: receivers queue too."""


@dataclass(frozen=True, slots=True)
class OldKeys:
    """Keys that signed until `switched`; their records stay published until they are retired."""

    selectors: tuple[str, ...]
    switched: datetime


@dataclass(frozen=True, slots=True)
class Rotation:
    """Where a domain's rotation stands. `configured` are the selectors of the configuration it began with."""

    configured: tuple[str, ...]
    signing: tuple[str, ...]
    coming: tuple[str, ...] = ()
    """Made, to be published, not signing yet."""
    old: tuple[OldKeys, ...] = ()

    def switch(self, now: datetime) -> Rotation:
        """The coming keys sign, those that signed are old."""
        return replace(self, signing=self.coming, coming=(), old=(*self.old, OldKeys(self.signing, now)))

    def without(self, gone: OldKeys) -> Rotation:
        """Old keys leave."""
        return replace(self, old=tuple(one for one in self.old if one != gone))


def read_rotation(folder: Path, domain: str, configured: tuple[str, ...]) -> Rotation:
    """Where the rotation of a domain stands. Raises KeyFileError when its file cannot be read."""
    path = _file(folder, domain)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        found = Rotation(
            tuple(data["configured"]),
            tuple(data["signing"]),
            tuple(data["coming"]),
            tuple(OldKeys(tuple(one["selectors"]), datetime.fromisoformat(one["switched"])) for one in data["old"]),
        )
    except FileNotFoundError:
        return Rotation(configured, configured)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise KeyFileError(f"{path} cannot be used: {error}; without it the configured selectors sign") from None
    if found.configured != configured:
        return Rotation(configured, configured, found.coming, found.old)
    return found


def write_rotation(folder: Path, domain: str, rotation: Rotation) -> None:
    """Put it in place at once and durably. Raises KeyFileError."""
    path = _file(folder, domain)
    data = asdict(rotation)
    for one in data["old"]:
        one["switched"] = one["switched"].isoformat(timespec="seconds")
    draft = path.with_name(f".{FILE}.{secrets.token_hex(8)}")
    try:
        with draft.open("x", encoding="utf-8") as file:
            json.dump(data, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        match_owner(path)
    except OSError as error:
        with suppress(OSError):
            draft.unlink()
        raise KeyFileError(f"{path} cannot be written: {error.strerror}") from None


def match_owner(path: Path) -> None:
    """Give a file to the owner of its folder, when root made it for the relay's user."""
    if os.geteuid() == 0:
        owner = path.parent.stat()
        os.chown(path, owner.st_uid, owner.st_gid)


def make_pair(folder: Path, domain: str, year: int, kinds: tuple[KeyType, ...]) -> tuple[str, ...]:
    """Make the next keys, under the first letter of the year that no key of the domain bears yet: s2026b, e2026b.

    Raises ValueError for a name that is no domain, KeyFileError when they cannot be made.
    """
    prefixes = {KeyType.RSA: "s", KeyType.ED25519: "e"}
    for letter in "abcdefghijklmnopqrstuvwxyz":
        selectors = tuple(f"{prefixes[kind]}{year}{letter}" for kind in kinds)
        if not any(key_path(folder, domain, f"{prefix}{year}{letter}").exists() for prefix in prefixes.values()):
            for kind, selector in zip(kinds, selectors, strict=True):
                match_owner(make_key(folder, domain, selector, kind))
            return selectors
    raise KeyFileError(f"every letter of {year} is taken for {domain}: retire old keys first")


def _file(folder: Path, domain: str) -> Path:
    try:
        return folder / parse_domain(domain) / FILE
    except AddressError as error:
        raise KeyFileError(f"{domain!r} is not a domain: {error}") from None
