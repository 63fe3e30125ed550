"""A letter as the numbers of the pieces that its words are made of: what the second reading reads.

Each word is cut so that its pieces are likeliest together (a unigram model, Kudo 2018, arXiv:1804.10959), by the table
`pieces.txt` that comes along. Case, look-alike letters, drawn-out letters and characters without width are folded
away; accents are kept. Linear in the length of the text, and bounded.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from relay.data_files import data_file, read_data_file
from relay.errors import ConfigurationError
from web.moderation.folding import plain_letters

PIECES_FILE: Final = "moderation/second/pieces.txt"
BEGIN: Final = 0
PADDING: Final = 1
END: Final = 2
UNKNOWN: Final = 3
SPECIAL: Final = 4
"""Numbers below it stand for no text."""
_WORD_BEGINS: Final = "\u2581"
_UNKNOWN_COSTS: Final = 10.0
"""What a character that is no piece costs more than the rarest one, in nats."""
_LONGEST_WORD: Final = 40
WRITTEN: Final = re.compile(r"\S+")
"""What is cut into pieces by itself."""
_DRAWN_OUT: Final = re.compile(r"([^\W\d_])\1{2,}|([^\w\s])\2{2,}")


@dataclass(frozen=True, slots=True)
class Pieces:
    """The table of pieces; one serves all letters."""

    numbers: Mapping[str, int]
    scores: Mapping[str, float]
    """Natural logarithms of likelihoods."""
    _longest: int = field(init=False)
    _unknown: float = field(init=False)
    _whole: dict[str, tuple[int, ...]] = field(init=False, default_factory=dict)
    """What was cut that is a piece itself, as most words are: no more than there are pieces."""

    def __post_init__(self) -> None:
        """Work out what follows from the table."""
        object.__setattr__(self, "_longest", max(map(len, self.numbers)))
        object.__setattr__(self, "_unknown", min(self.scores.values()) - _UNKNOWN_COSTS)

    def of(self, text: str) -> list[int]:
        """The pieces of a whole text."""
        return [piece for match in WRITTEN.finditer(text) for piece in self.of_word(match[0])]

    def of_word(self, written: str) -> tuple[int, ...]:
        """The pieces of a run of characters between blanks."""
        word = _WORD_BEGINS + folded(written[:_LONGEST_WORD])
        found = self._whole.get(word)
        if found is None:
            found = self._cut(word)
            if word in self.numbers:
                self._whole[word] = found
        return found

    def _cut(self, word: str) -> tuple[int, ...]:
        """The likeliest cut of `word` (Viterbi)."""
        best = [0.0] + [-math.inf] * len(word)
        came_from = [0] * (len(word) + 1)
        for start in range(len(word)):
            for end in range(start + 1, min(start + self._longest, len(word)) + 1):
                piece = self.scores.get(word[start:end], self._unknown if end == start + 1 else None)
                if piece is not None and best[start] + piece > best[end]:
                    best[end], came_from[end] = best[start] + piece, start
        cuts: list[int] = []
        end = len(word)
        while end:
            start = came_from[end]
            cuts.append(self.numbers.get(word[start:end], UNKNOWN))
            end = start
        return tuple(reversed(cuts))


def folded(word: str) -> str:
    """`word` without what only disguises it."""
    word = plain_letters(unicodedata.normalize("NFKC", word).lower())
    return _DRAWN_OUT.sub(lambda run: run[1] or run[2], word)


def load_pieces(place: Path | None = None) -> Pieces:
    """The table at `place`, else the one that comes along. Raises ConfigurationError."""
    place = place or data_file(PIECES_FILE)
    numbers: dict[str, int] = {}
    scores: dict[str, float] = {}
    for at, line in enumerate(read_data_file(place).split("\n")[:-1]):
        piece, _, score = line.partition("\t")
        try:
            numbers[piece], scores[piece] = SPECIAL + at, float(score)
        except ValueError:
            raise ConfigurationError(f"{place}:{at + 1}: write a piece, a tab and a number") from None
    return Pieces(numbers, scores)
