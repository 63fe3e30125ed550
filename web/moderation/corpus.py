"""The corpus: letters in both languages, each with what moderation ought to do about it.

A line is `label<TAB>letter`; a line end inside a letter is written as `\\n`. The label is `pass`, `care`, or the rule
that is broken. A sixth of the lines, told by a hash of the letter, is held out: neither the training nor whoever writes
rules looks at it. Files whose name ends in `_voices.txt` are for training alone; what a folder below holds is for
measuring or gauging alone, but for those that wait for the next training of the second reading.
"""

from __future__ import annotations

import random
import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from relay.errors import ConfigurationError
from web.moderation.ruling import Rule

PASS: Final = "pass"  # noqa: S105 - a label, no password
CARE: Final = "care"
STRANGER: Final = "stranger"
"""The folder below of letters for measuring alone, by an author of whom nothing was learned."""
ORDINARY: Final = "ordinary"
"""The folder below of what most people write, for measuring alone: all of it is to pass."""
RULES: Final = "rules"
"""The folder below of letters that break each rule as often, and of harmless ones beside them, for measuring alone."""
SHARP: Final = "sharp"
"""The folder below of letters written to slip through, and of harmless ones close to these, for measuring alone."""
GAUGE: Final = "gauge"
"""The folder below of letters for choosing thresholds alone, by authors of whom nothing was learned."""
NEXT: Final = "next"
"""The folder below of letters that the first reading has learned, and the second, which takes an hour, has yet to."""
_LEARNED: Final = "_voices"
_LABELS: Final = frozenset({PASS, CARE, *Rule})


@dataclass(frozen=True, slots=True)
class Line:
    """A letter of the corpus."""

    language: str
    label: str
    letter: str
    all_learned: bool = False
    """Whether it comes from a file for training alone."""

    @property
    def held_out(self) -> bool:
        """Whether only the figures may look at it."""
        return not self.all_learned and sha256(self.letter.encode()).digest()[0] % 6 == 0

    @property
    def sampled(self) -> bool:
        """Whether it is of the eighth of all letters by which figures are checked in seconds."""
        return sha256(self.letter.encode()).digest()[1] % 8 == 0


def read_corpus(*folders: Path) -> Iterator[Line]:
    """The lines of {en,fr}*.txt in `folders`, by the files' names. Raises ConfigurationError, with file and line."""
    seen: set[str] = set()
    places = (place for folder in folders for place in folder.glob("*.txt"))
    for place in sorted(places, key=lambda place: place.name):
        for line in read_file(place):
            if line.letter not in seen:
                seen.add(line.letter)
                yield line


def read_file(place: Path) -> Iterator[Line]:
    """The lines of one file, whose name tells their language. Raises ConfigurationError that names file and line."""
    for number, raw in enumerate(place.read_text(encoding="utf-8").splitlines(), start=1):
        label, tab, letter = raw.partition("\t")
        if not tab or label not in _LABELS:
            raise ConfigurationError(f"{place}:{number}: write a label, a tab and a letter")
        yield Line(place.name[:2], label, letter.replace("\\n", "\n"), place.stem.endswith(_LEARNED))


def corpus_digest(lines: Iterable[Line]) -> str:
    """The SHA-256 of the lines, whatever their order: tells whether weights were trained on them."""
    return sha256("\n".join(sorted(f"{line.label}\t{line.letter}" for line in lines)).encode()).hexdigest()


_ONE_OF: Final = re.compile(r"\{([^{}]*)\}")
_SLOT: Final = re.compile(r"\[(\w+)\]")


def read_drills(folder: Path, source: random.Random) -> list[Line]:
    """Letters made from the patterns of `folder`/*.toml, for the training alone."""
    made: list[Line] = []
    for place in sorted(folder.glob("*.toml")):
        made += _drilled(tomllib.loads(place.read_text(encoding="utf-8")), source)
    return made


def _drilled(tables: dict[str, Any], source: random.Random) -> list[Line]:
    made: list[Line] = []
    for language in ("en", "fr"):
        slots = {name: words.split("|") for name, words in tables[language]["slot"].items()}
        for label, patterns in tables[language]["drill"].items():
            for pattern in patterns:
                made += [Line(language, label, _filled(pattern, slots, source)) for _ in range(tables["times"])]
    return made


def _filled(pattern: str, slots: dict[str, list[str]], source: random.Random) -> str:
    pattern = _ONE_OF.sub(lambda found: source.choice(found[1].split("|")), pattern)
    filled = _SLOT.sub(lambda found: source.choice(slots[found[1]]), pattern)
    return filled[:1].upper() + filled[1:]
