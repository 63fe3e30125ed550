"""The trained layer: how much a letter reads like those that had to be stopped, from what its words speak of.

A linear model: a weight for each number that `features` makes of a letter, learned from the project's own corpus by
`python -m web.moderation.train`. It weighs what the rules found, and holds or refuses what they missed.
"""

from __future__ import annotations

import json
import math
import zlib
from array import array
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from relay.data_files import data_file
from relay.errors import ConfigurationError
from web.moderation.concepts import Concepts, load_concepts
from web.moderation.features import SIZE, features_of
from web.moderation.folding import BARRIER, Token
from web.moderation.ruling import Rule

WEIGHTS_FILE: Final = "moderation/weights.bin"
FORM: Final = 4
"""The form of the file and of the features; another one asks for a new training."""
TABLES: Final = ("stop", "care", "threat")
"""What is asked of a letter: is it to be stopped, is its writer to be helped, and if it is bad, is it a threat."""

RULES: Final[tuple[Rule, ...]] = tuple(rule for rule in Rule if rule is not Rule.LANGUAGE)

Part = tuple[Sequence[Token], Collection[int]]
"""A stretch, and the features of what the rules found in it."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Scores, in logits, from which a letter is held, refused, refused where it reads like a threat, or cared for.

    Below `care_doubt` what a rule took for a cry for help is a nudge.
    """

    hold: float
    refuse: float
    refuse_threat: float
    care_doubt: float
    care_sure: float


@dataclass(frozen=True, slots=True)
class Score:
    """What a letter reads like: to be stopped, to be helped, and the don't it is likest to."""

    stop: float
    care: float
    rule: Rule
    borne_out: bool
    """Whether the letter speaks of what `rule` is about."""
    worst: Sequence[Token]
    """The stretch that reads most like those to be stopped."""
    alone: Sequence[tuple[Sequence[Token], float]]
    """Each stretch, and how much it reads like a letter to be stopped if it were all of the letter."""


def joint_columns(whole: float, best: float, words: int) -> tuple[float, ...]:
    """What the score of a letter is made of: the score of the whole, and how far the worst stretch stands out.

    The longer a letter, the more its worst stretch says and the less the whole.
    """
    above, length = max(best - whole, 0.0), math.log1p(words)
    return whole, above, length, length * whole, length * above


@dataclass(frozen=True, slots=True)
class Trained:
    """Weights, with what they were trained from; one serves all letters."""

    concepts: Concepts
    tables: dict[str, array[int]]
    likeness: Sequence[Sequence[float]]
    """By rule, then concept."""
    thresholds: Thresholds
    header: dict[str, Any]

    def score(self, parts: Sequence[Part]) -> Score:
        """The score of a letter, given by its stretches; at least one."""
        rows = [features_of(tokens, self.concepts).union(hits) for tokens, hits in parts]
        whole = rows[0].union(*rows[1:]) if len(rows) > 1 else rows[0]
        scores = [self._sum("stop", row) for row in rows]
        worst = max(range(len(rows)), key=scores.__getitem__)
        every = self._sum("stop", whole) if len(rows) > 1 else scores[0]
        words = len({token.start for tokens, _ in parts for token in tokens if token.word != BARRIER})
        stop = self._joint(every, scores[worst], words)
        care = max(self._sum("care", row) for row in ((whole, *rows) if len(rows) > 1 else rows))
        present = {concept for token in parts[worst][0] for concept in self.concepts.of(token.word)}
        rule = self._likest(present, threat=self._sum("threat", whole) > 0)
        alone = [
            (tokens, self._joint(score, score, sum(token.word != BARRIER for token in tokens)))
            for (tokens, _), score in zip(parts, scores, strict=True)
        ]
        return Score(stop, care, rule, self.concepts.bears_out(rule, present), parts[worst][0], alone)

    def _joint(self, whole: float, best: float, words: int) -> float:
        weights: list[float] = self.header["joint"]
        columns = (1.0, *joint_columns(whole, best, words))
        return math.fsum(weight * column for weight, column in zip(weights, columns, strict=True))

    def _sum(self, table: str, features: Collection[int]) -> float:
        weights = self.tables[table]
        share: float = self.header["scales"][table] / math.sqrt(len(features) or 1)
        bias: float = self.header["biases"][table]
        return bias + share * sum(map(weights.__getitem__, features))

    def _likest(self, present: Collection[int], *, threat: bool) -> Rule:
        if threat:
            return Rule.THREAT
        scores = {
            rule: math.fsum(weights[concept] for concept in present)
            for rule, weights in zip(RULES, self.likeness, strict=True)
            if rule is not Rule.THREAT
        }
        return max(scores, key=scores.__getitem__)


def load_trained(place: Path | None = None) -> Trained:
    """The weights at `place`, else those that come along. Raises ConfigurationError."""
    path = place or data_file(WEIGHTS_FILE)
    head, _, body = path.read_bytes().partition(b"\n")
    try:
        header = json.loads(head)
        numbers = array("b", zlib.decompress(body))
        thresholds = Thresholds(**header["thresholds"])
    except (ValueError, KeyError, TypeError, zlib.error) as error:
        raise ConfigurationError(f"{path}: these are no weights of the trained layer: {error}") from None
    if header.get("form") != FORM or len(numbers) != len(TABLES) * SIZE:
        raise ConfigurationError(f"{path}: these weights are of another version; train them anew")
    tables = {name: numbers[at * SIZE : (at + 1) * SIZE] for at, name in enumerate(TABLES)}
    return Trained(load_concepts(), tables, header["likeness"], thresholds, header)
