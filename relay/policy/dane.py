"""DANE for SMTP: which TLSA records count, and what they say of a certificate chain (RFC 7672, 7671). Pure.

Stands between the resolver, which says whether records are secure, and the dialer, which has the chain. Only
usages 2 (a trust anchor) and 3 (the host's own key) exist for SMTP; everything else is passed over, and if
nothing is left, TLS is still mandatory though nobody is verified (H05, H06).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256, sha512
from typing import Final

MAX_RECORDS: Final = 32
"""Records of one host that are looked at."""
MAX_FULL: Final = 8192
"""Octets of a whole certificate or key in a record."""

DANE_TA: Final = 2
DANE_EE: Final = 3
CERTIFICATE: Final = 0
KEY: Final = 1
_LENGTHS: Final = {1: 32, 2: 64}
_DIGESTS: Final = {1: sha256, 2: sha512}


@dataclass(frozen=True, slots=True)
class Tlsa:
    """A usable record: usage 2 or 3, selector 0 (certificate) or 1 (key), matching 0 (whole), 1 or 2 (digests)."""

    usage: int
    selector: int
    matching: int
    data: bytes

    def matches(self, der: bytes) -> bool:
        """Whether `der`, the part the selector names, is what the record holds."""
        digest = _DIGESTS.get(self.matching)
        return (digest(der).digest() if digest else der) == self.data


@dataclass(frozen=True, slots=True)
class Link:
    """One certificate of a chain: the whole of it and its SubjectPublicKeyInfo, both DER."""

    certificate: bytes
    key: bytes

    def part(self, selector: int) -> bytes:
        """What a selector names."""
        return self.key if selector == KEY else self.certificate


def usable(records: Iterable[str]) -> tuple[Tlsa, ...]:
    """The records "U S M HEX" that count for SMTP; of several digests of one thing only the strongest (H06, H09)."""
    parsed = [tlsa for text in list(records)[:MAX_RECORDS] if (tlsa := _parse(text)) is not None]
    strongest: dict[tuple[int, int], int] = {}
    for tlsa in parsed:
        place = (tlsa.usage, tlsa.selector)
        strongest[place] = max(strongest.get(place, 0), tlsa.matching)
    # A record with the whole object needs no digest algorithm, so agility leaves it alone (RFC 7671 §9).
    return tuple(dict.fromkeys(t for t in parsed if t.matching == 0 or t.matching == strongest[t.usage, t.selector]))


def _parse(text: str) -> Tlsa | None:
    fields = text.split(" ", 3)
    if len(fields) != 4 or not all(field.isascii() and field.isdecimal() for field in fields[:3]):
        return None
    usage, selector, matching = (int(field) for field in fields[:3])
    try:
        data = bytes.fromhex(fields[3])
    except ValueError:
        return None
    if usage not in {DANE_TA, DANE_EE} or selector not in {CERTIFICATE, KEY}:
        return None
    if matching not in {0, 1, 2} or len(data) != _LENGTHS.get(matching, len(data)) or not 0 < len(data) <= MAX_FULL:
        return None
    return Tlsa(usage, selector, matching, data)


def names_leaf(records: Iterable[Tlsa], leaf: Link) -> bool:
    """Whether a usage 3 record names the host's own certificate or key; nothing else about it counts (H07)."""
    return any(tlsa.usage == DANE_EE and tlsa.matches(leaf.part(tlsa.selector)) for tlsa in records)


def trust_anchors(records: Iterable[Tlsa], chain: Sequence[Link]) -> tuple[bytes, ...]:
    """The certificates (DER) that usage 2 records make trust anchors: issuers in the host's chain, and whole ones.

    A digest or a bare key names only what the host sends along (RFC 7672 §3.1.2, H08).
    """
    anchors: dict[bytes, None] = {}
    for tlsa in records:
        if tlsa.usage != DANE_TA:
            continue
        for link in chain[1:]:
            if tlsa.matches(link.part(tlsa.selector)):
                anchors[link.certificate] = None
        if tlsa.matching == 0 and tlsa.selector == CERTIFICATE:
            anchors[tlsa.data] = None
    return tuple(anchors)
