"""Who writes what to whom, and when: the letters of the eleven days, from a seed. Pure.

Sixty thousand letters in eleven days that double daily begin with 29 on the first and end with 30,000 on the last.
The mix is a guess at a launch: most people mean well; the others are what brought the service down the second time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from random import Random
from typing import Final

from relay.lab.launch import texts

DAYS: Final = 11
DAY: Final = 86_400.0

_READERS: Final = ("inbox.lab.test",) * 12 + ("plain.lab.test", "two-mx.lab.test", "old.lab.test", "no-mx.lab.test")
_NOWHERE: Final = ("nxdomain.lab.test", "null-mx.lab.test")
_OFFICES: Final = ("abuse", "police", "tribunal", "postmaster")
_SIGNATURES: Final = ("friend", "colleague", "family", "friend-of-friend", "someone")
TOR_EXITS: Final = ("192.0.2.0/24",)
DATA_CENTRES: Final = ("198.51.100.0/24", "203.0.113.0/24")


class Kind(StrEnum):
    """What somebody is up to."""

    ORDINARY = "ordinary"
    TOR = "through Tor"
    FOREIGN = "other language"
    UNKNOWN = "unknown reader"
    MISTYPED = "domain takes no mail"
    FULL = "full mailbox"
    OFFICE = "to an office"
    UNWANTED = "to who refused"
    TAKEN_BACK = "taken back"
    ABUSE = "insult or threat"
    PILE_ON = "many at one"
    ADVERT = "same words to many"
    FLOOD = "one address, many letters"


_MIX: Final[dict[Kind, float]] = {
    Kind.ORDINARY: 76,
    Kind.TOR: 4,
    Kind.FOREIGN: 1,
    Kind.UNKNOWN: 3,
    Kind.MISTYPED: 1,
    Kind.FULL: 0.2,
    Kind.OFFICE: 0.3,
    Kind.UNWANTED: 1.5,
    Kind.TAKEN_BACK: 1,
    Kind.ABUSE: 5,
    Kind.PILE_ON: 1,
    Kind.ADVERT: 3,
    Kind.FLOOD: 3,
}


@dataclass(frozen=True, slots=True)
class Letter:
    """One letter: `at` is seconds from the first day's begin, `client` the address the proxy tells of its writer."""

    number: int
    day: int
    at: float
    kind: Kind
    client: str
    to: str
    signature: str
    language: str
    message: str


def volumes(total: int) -> list[int]:
    """Letters of each day: twice as many as the day before, `total` in all."""
    whole = 2**DAYS - 1
    marks = [round(total * (2**day - 1) / whole) for day in range(DAYS + 1)]
    return [after - before for before, after in pairwise(marks)]


def letters(seed: int, total: int) -> Iterator[Letter]:
    """Every letter of the launch, in the order of time."""
    chance = Random(seed)  # noqa: S311 - a replay is to be the same every time
    kinds, weights = list(_MIX), list(_MIX.values())
    number = 0
    for day, volume in enumerate(volumes(total), 1):
        for at in sorted(chance.random() * DAY for _ in range(volume)):
            kind = chance.choices(kinds, weights)[0]
            yield _letter(chance, number, day, (day - 1) * DAY + at, kind)
            number += 1


def _letter(chance: Random, number: int, day: int, at: float, kind: Kind) -> Letter:
    language = chance.choices(("en", "fr"), (2, 3))[0]
    match kind:
        case Kind.ABUSE:
            message = texts.abuse(chance, language)
        case Kind.FOREIGN:
            message = texts.foreign(chance)
        case Kind.ADVERT:
            message = texts.advert(day)
        case _:
            message = texts.letter(chance, language)
    client, to = _client(chance, day, kind), _reader(chance, number, day, kind)
    return Letter(number, day, at, kind, client, to, chance.choice(_SIGNATURES), language, message)


def _client(chance: Random, day: int, kind: Kind) -> str:
    match kind:
        case Kind.TOR:
            return f"192.0.2.{chance.randint(1, 254)}"
        case Kind.ADVERT:
            return f"{chance.choice(('198.51.100', '203.0.113'))}.{chance.randint(1, 254)}"
        case Kind.FLOOD:
            return f"198.19.{day}.{chance.randint(1, 3)}"
        case _:
            return f"198.18.{chance.randint(0, 255)}.{chance.randint(0, 255)}"


def _reader(chance: Random, number: int, day: int, kind: Kind) -> str:
    match kind:
        case Kind.UNKNOWN:
            return f"unknown+{number}@inbox.lab.test"
        case Kind.MISTYPED:
            return f"reader{number}@{chance.choice(_NOWHERE)}"
        case Kind.FULL:
            return "full@inbox.lab.test"
        case Kind.OFFICE:
            return f"{chance.choice(_OFFICES)}@inbox.lab.test"
        case Kind.PILE_ON:
            return f"victim{day}-{chance.randint(1, 3)}@inbox.lab.test"
        case _ if chance.random() < 0.05:
            return f"popular{chance.randint(1, 200)}@inbox.lab.test"
        case _:
            return f"reader{number}@{chance.choice(_READERS)}"
