"""The first reading: how much a letter reads like those that had to be stopped, from what its words speak of.

A linear model: a weight for each number that `features` makes of a letter, learned from the project's own corpus by
`python -m web.moderation.train`. It is cheap and clears most letters; what it doubts is read a second time.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from relay.data_files import data_file
from relay.errors import ConfigurationError
from web.moderation.concepts import Concepts, load_concepts
from web.moderation.features import MOST_USUAL, SIZE, Numbers, Part, Places, distinct, features_of, words_in
from web.moderation.folding import Token
from web.moderation.ruling import Rule
from web.moderation.vocabulary import Vocabulary

WEIGHTS_FILE: Final = "moderation/weights.bin"
FORM: Final = 5
"""The form of the file and of the features; another one asks for a new training."""
_LOUDER: Final = 0.5
"""What e times the tokens add to the score of a stretch of a long letter: of many short ones one soon looks bad."""
TABLES: Final = ("stop", "care")
"""What is asked of a letter: is it to be stopped, and is its writer to be helped."""


@dataclass(frozen=True, slots=True)
class WholeAndWorst:
    """How the score of a letter is made of that of the whole and of its worst stretch: the bias, then five weights.

    The longer a letter, the more its worst stretch says and the less the whole.
    """

    weights: tuple[float, ...]

    def __call__(self, whole: float, worst: float, words: int) -> float:
        """The score of a letter of so many words."""
        columns = (1.0, *self.columns(whole, worst, words))
        return math.fsum(weight * column for weight, column in zip(self.weights, columns, strict=True))

    @staticmethod
    def columns(whole: float, worst: float, words: int) -> tuple[float, ...]:
        """What is weighed."""
        above, length = max(worst - whole, 0.0), math.log1p(words)
        return whole, above, length, length * whole, length * above


Joint = Callable[[float, float, int], float]
"""Makes the score of a letter of that of the whole, that of its worst stretch, and its words."""


@dataclass(frozen=True, slots=True)
class Score:
    """What a letter reads like: to be stopped, and to be helped, in logits."""

    stop: float
    care: float
    words: int
    columns: tuple[float, ...]
    """What `stop` was made of."""
    worst: Sequence[Token]
    """The stretch that reads most like those to be stopped."""
    stretches: Sequence[tuple[Sequence[Token], float]]
    """Each stretch, and how much it reads like a letter to be stopped."""


Stretched = tuple[Sequence[Token], Sequence[Part]]
"""A letter by its tokens and its stretches."""


@dataclass(frozen=True, slots=True)
class Trained:
    """Weights, with what they were trained from; one serves all letters."""

    vocabulary: Vocabulary
    weights: NDArray[np.int8]
    """By number a row, with a column a table, so that both are found in one place."""
    header: dict[str, Any]

    def score(self, tokens: Sequence[Token], parts: Sequence[Part], joint: Joint) -> Score:
        """The score of a letter, given by its tokens and stretches; at least one."""
        (score,) = self.scores([(tokens, parts)], joint)
        return score

    def scores(self, letters: Sequence[Stretched], joint: Joint) -> list[Score]:
        """Those of several letters, read as one: most of what a short one costs is the same whatever its length."""
        if not letters:
            return []
        tokens = [token for some, _ in letters for token in some]
        features, starts = features_of(tokens, self.vocabulary).joined(_one_behind_the_other(letters))
        stops, cares = self._scores(features, starts)
        ends = [*starts.tolist(), len(features)]
        found: list[Score] = []
        row = 0
        for letter in letters:
            rows = slice(row, row := row + len(letter[1]))
            whole = next((at for at, (places, _) in enumerate(letter[1]) if len(places) == len(letter[0])), None)
            if whole is not None:
                every, care = stops[rows][whole], cares[rows][whole]
            else:
                (every,), (care,) = self._scores(distinct(features[ends[rows.start] : ends[rows.stop]]), starts[:1])
            found.append(_score(letter, stops[rows], every, max(care, *cares[rows]), joint))
        return found

    @property
    def concepts(self) -> Concepts:
        """What words speak of."""
        return self.vocabulary.concepts

    def bears_out(self, rule: Rule, tokens: Sequence[Token]) -> bool:
        """Whether words speak of what `rule` is about."""
        return self.concepts.bears_out(rule, self._present(tokens))

    def bears_out_any(self, tokens: Sequence[Token]) -> bool:
        """Whether words speak of what some rule is about."""
        present = self._present(tokens)
        return any(self.concepts.bears_out(rule, present) for rule in self.concepts.evidence)

    def _present(self, tokens: Sequence[Token]) -> set[int]:
        return {concept for token in tokens for concept in self.vocabulary.spoken_of(token)}

    def _scores(self, features: Numbers, starts: Places) -> list[list[float]]:
        """By table, the score of each row of features; all rows at once, since a long letter has fifty."""
        sizes = [end - start for start, end in pairwise([*starts.tolist(), len(features)])]
        weights = self.weights.take(features, 0)
        return [
            [
                self.header["biases"][table] + self.header["scales"][table] / math.sqrt(size) * total
                for size, total in zip(sizes, np.add.reduceat(column, starts, dtype=np.int64).tolist(), strict=True)
            ]
            for table, column in zip(TABLES, weights.T, strict=True)
        ]


def _one_behind_the_other(letters: Sequence[Stretched]) -> list[Part]:
    """The stretches of letters whose tokens stand one behind the other."""
    begins = accumulate((len(tokens) for tokens, _ in letters), initial=0)
    return [
        (range(begin + places.start, begin + places.stop), more)
        for begin, (_, parts) in zip(begins, letters, strict=False)
        for places, more in parts
    ]


def _score(letter: Stretched, stops: Sequence[float], every: float, care: float, joint: Joint) -> Score:
    """The score of a letter by those of its stretches, that of `every` one of them together, and the highest `care`."""
    tokens, parts = letter
    words = words_in(tokens)
    louder = _LOUDER if words > MOST_USUAL else 0.0
    loud = [stop + louder * math.log1p(len(places)) for stop, (places, _) in zip(stops, parts, strict=True)]
    worst = max(range(len(parts)), key=loud.__getitem__)
    stretches = [(tokens[places.start : places.stop], score) for (places, _), score in zip(parts, stops, strict=True)]
    return Score(
        stop=joint(every, loud[worst], words),
        care=care,
        words=words,
        columns=WholeAndWorst.columns(every, loud[worst], words),
        worst=stretches[worst][0],
        stretches=stretches,
    )


def load_trained(place: Path | None = None) -> Trained:
    """The weights at `place`, else those that come along. Raises ConfigurationError."""
    path = place or data_file(WEIGHTS_FILE)
    head, _, body = path.read_bytes().partition(b"\n")
    try:
        header = json.loads(head)
        numbers = np.frombuffer(zlib.decompress(body), np.int8)
    except (ValueError, KeyError, TypeError, zlib.error) as error:
        raise ConfigurationError(f"{path}: these are no weights of the first reading: {error}") from None
    if header.get("form") != FORM or len(numbers) != len(TABLES) * SIZE:
        raise ConfigurationError(f"{path}: these weights are of another version; train them anew")
    weights = np.ascontiguousarray(numbers.reshape(len(TABLES), SIZE).T)
    return Trained(Vocabulary(load_concepts()), weights, header)
