"""The trained layer: how much a letter reads like those that had to be stopped, from what its words speak of.

A linear model: a weight for each number that `features` makes of a stretch, learned from the project's own corpus by
`python -m web.moderation.train`. It weighs what the rules found, holds what they missed, and refuses nothing alone.
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
from web.moderation.folding import Token
from web.moderation.ruling import Rule

WEIGHTS_FILE: Final = "moderation/weights.bin"
FORM: Final = 3
"""The form of the file and of the features; another one asks for a new training."""

RULES: Final[tuple[Rule, ...]] = tuple(rule for rule in Rule if rule is not Rule.LANGUAGE)


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Scores, in logits. What the rules find is believed from `doubt` (held) and `agree` (as they say); below, it is
    a nudge or nothing. What they miss is held from `hold`, and never refused.
    """

    doubt: float
    agree: float
    hold: float
    care_doubt: float
    care_sure: float


@dataclass(frozen=True, slots=True)
class Score:
    """What a stretch reads like: to be stopped, to be helped, and the don't it is likest to."""

    stop: float
    care: float
    rule: Rule
    borne_out: bool
    """Whether the stretch speaks of what `rule` is about."""


@dataclass(frozen=True, slots=True)
class Trained:
    """Weights, with what they were trained from; one serves all letters."""

    concepts: Concepts
    stop: array[int]
    care: array[int]
    likeness: Sequence[Sequence[float]]
    """By rule, then concept."""
    thresholds: Thresholds
    header: dict[str, Any]

    def score(self, tokens: Sequence[Token], hits: Collection[int]) -> Score:
        """The score of a stretch; `hits` are the features of what the rules found in it."""
        features = features_of(tokens, self.concepts)
        features.update(hits)
        share = self.header["scale"] / (len(features) ** 0.5 or 1.0)
        stop, care = self.stop, self.care
        present = {concept for token in tokens for concept in self.concepts.of(token.word)}
        rule = self._likest(present)
        return Score(
            self.header["stop_bias"] + share * sum([stop[one] for one in features]),
            self.header["care_bias"] + share * sum([care[one] for one in features]),
            rule,
            self.concepts.bears_out(rule, present),
        )

    def _likest(self, present: Collection[int]) -> Rule:
        scores = [math.fsum(weights[concept] for concept in present) for weights in self.likeness]
        return RULES[max(range(len(RULES)), key=scores.__getitem__)]


def load_trained(place: Path | None = None) -> Trained:
    """The weights at `place`, else those that come along. Raises ConfigurationError."""
    path = place or data_file(WEIGHTS_FILE)
    head, _, body = path.read_bytes().partition(b"\n")
    try:
        header = json.loads(head)
        tables = array("b", zlib.decompress(body))
        thresholds = Thresholds(**header["thresholds"])
    except (ValueError, KeyError, TypeError, zlib.error) as error:
        raise ConfigurationError(f"{path}: these are no weights of the trained layer: {error}") from None
    if header.get("form") != FORM or len(tables) != 2 * SIZE:
        raise ConfigurationError(f"{path}: these weights are of another version; train them anew")
    return Trained(load_concepts(), tables[:SIZE], tables[SIZE:], header["likeness"], thresholds, header)
