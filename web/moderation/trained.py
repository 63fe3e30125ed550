"""The first reading: how much a letter reads like those that had to be stopped, from what its words speak of.

A linear model: a weight for each number that `features` makes of a letter, learned from the project's own corpus by
`python -m web.moderation.train`. It is cheap and clears most letters; what it doubts is read a second time.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from relay.data_files import data_file
from relay.errors import ConfigurationError
from web.moderation.concepts import Concepts, load_concepts
from web.moderation.features import SIZE, Numbers, Part, distinct, features_of
from web.moderation.folding import BARRIER, Token
from web.moderation.ruling import Rule

WEIGHTS_FILE: Final = "moderation/weights.bin"
FORM: Final = 5
"""The form of the file and of the features; another one asks for a new training."""
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
    alone: Sequence[tuple[Sequence[Token], float]]
    """Each stretch, and how much it reads like a letter to be stopped if it were all of the letter."""


@dataclass(frozen=True, slots=True)
class Trained:
    """Weights, with what they were trained from; one serves all letters."""

    concepts: Concepts
    tables: dict[str, NDArray[np.int8]]
    header: dict[str, Any]

    def score(self, tokens: Sequence[Token], parts: Sequence[Part], joint: WholeAndWorst) -> Score:
        """The score of a letter, given by its tokens and stretches; at least one."""
        rows = features_of(tokens, self.concepts).rows(parts)
        if len(rows) > 1:
            rows.append(distinct(np.concatenate(rows)))
        stops, cares = self._scores(rows)
        every, scores = stops[-1], stops[: len(parts)]
        worst = max(range(len(parts)), key=scores.__getitem__)
        words = len({token.start for token in tokens if token.word != BARRIER})
        before = list(accumulate((token.word != BARRIER for token in tokens), initial=0))
        alone = [
            (tokens[places.start : places.stop], joint(score, score, before[places.stop] - before[places.start]))
            for (places, _), score in zip(parts, scores, strict=True)
        ]
        return Score(
            stop=joint(every, scores[worst], words),
            care=max(cares),
            words=words,
            columns=joint.columns(every, scores[worst], words),
            worst=alone[worst][0],
            alone=alone,
        )

    def bears_out(self, rule: Rule, tokens: Sequence[Token]) -> bool:
        """Whether words speak of what `rule` is about."""
        present = {concept for token in tokens for concept in self.concepts.of(token.word)}
        return self.concepts.bears_out(rule, present)

    def _scores(self, rows: Sequence[Numbers]) -> list[list[float]]:
        """By table, the score of each row of features; all rows at once, since a long letter has fifty."""
        sizes = [len(row) for row in rows]
        features = np.concatenate(rows)
        starts = [0, *accumulate(sizes[:-1])]
        return [
            [
                self.header["biases"][table] + self.header["scales"][table] / math.sqrt(size) * total
                for size, total in zip(sizes, self._sums(table, features, starts), strict=True)
            ]
            for table in TABLES
        ]

    def _sums(self, table: str, features: Numbers, starts: Sequence[int]) -> list[int]:
        sums: list[int] = np.add.reduceat(self.tables[table][features], starts, dtype=np.int64).tolist()
        return sums


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
    tables = {name: numbers[at * SIZE : (at + 1) * SIZE] for at, name in enumerate(TABLES)}
    return Trained(load_concepts(), tables, header)
