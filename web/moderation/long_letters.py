"""Long letters made of short ones: a bad letter among kind ones, and kind ones alone.

Few of the corpus are long, and hardly one has a single bad sentence in it; whoever finds out that such a letter passes
will write more. Thresholds of long letters are chosen by these, and it is counted how many are stopped. Deterministic.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from web.moderation.corpus import PASS, Line

SEVERAL_SENTENCES: Final = 180
"""Characters from which on a letter that is to pass says several things."""
_FEWEST, _MOST = 350, 1800
"""Kind characters of a letter for choosing thresholds."""


@dataclass(frozen=True, slots=True)
class Kind:
    """Kind letters of one language, of which long ones are made: those of two manners are not mixed."""

    plain: Sequence[str]
    """What most people write."""
    several: Sequence[str]
    """Letters of several sentences; they use the words of insults and threats as well."""

    def together(self, characters: int, source: random.Random) -> list[str]:
        """Letters of about so many characters altogether; at least one."""
        letters = source.choice((self.plain, self.several))
        found: list[str] = []
        for letter in source.sample(letters, len(letters)):
            characters -= len(letter) + 1
            if found and characters < -len(letter) / 2:
                break
            found.append(letter)
            if characters <= 0:
                break
        return found


def kind_letters(ordinary: Sequence[Line], others: Sequence[Line]) -> dict[str, Kind]:
    """By language the kind letters of `ordinary`, and of `others` those of several sentences."""
    found = {}
    for language in {line.language for line in ordinary}:
        plain, passing = (
            [line.letter for line in lines if line.label == PASS and line.language == language]
            for lines in (ordinary, others)
        )
        found[language] = Kind(plain, [letter for letter in passing if len(letter) >= SEVERAL_SENTENCES])
    return found


def among(line: Line, kind: Kind, characters: int, source: random.Random) -> Line:
    """`line` at any place among kind letters of so many characters."""
    letters = kind.together(characters, source)
    letters.insert(source.randrange(len(letters) + 1), line.letter)
    return replace(line, letter=source.choice((" ", "\n")).join(letters))


def alone(language: str, kind: Kind, characters: int, source: random.Random) -> Line:
    """Kind letters of so many characters, and nothing else."""
    return Line(language, PASS, source.choice((" ", "\n")).join(kind.together(characters, source)))


def of_any_length(lines: Sequence[Line], kind: dict[str, Kind]) -> list[Line]:
    """Each bad one of `lines`, and each that asks for help, among kind letters; and as many kind ones without."""
    source = random.Random(3)  # noqa: S311 - the same letters give the same long ones
    made = []
    for line in lines:
        if line.label != PASS:
            lengths = (round(math.exp(source.uniform(math.log(_FEWEST), math.log(_MOST)))) for _ in range(2))
            made.append(among(line, kind[line.language], next(lengths), source))
            made.append(alone(line.language, kind[line.language], next(lengths), source))
    return made


def of_length(lines: Sequence[Line], kind: dict[str, Kind], characters: int) -> list[Line]:
    """Each of `lines` among so many characters of kind letters, and as many kind ones without."""
    source = random.Random(characters)  # noqa: S311 - likewise
    return [
        made
        for line in lines
        for made in (
            among(line, kind[line.language], characters, source),
            alone(line.language, kind[line.language], characters, source),
        )
    ]
