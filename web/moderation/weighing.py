"""What two readings of a letter say together, and from where on something follows: `config/moderation/gauge.json`.

Pure. `python -m web.moderation.gauge` makes the file, from letters by people of whom neither reading has learned.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from relay.data_files import data_file, read_data_file
from relay.errors import ConfigurationError
from web.moderation.features import MOST_USUAL
from web.moderation.folding import BARRIER, Token
from web.moderation.ruling import Rule
from web.moderation.second.reader import Opinion
from web.moderation.trained import Score, WholeAndWorst

GAUGE_FILE: Final = "moderation/gauge.json"
_WEIGHTS: Final = 6
"""Of each sum: the bias, and one a column."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Scores, in logits, from which a letter is held, refused, refused where it reads like a threat, or cared for.

    From `nudge` on what a rule found is worth a nudge at least; below `care_doubt` what it took for a cry for help is
    one. These are of both readings together. Of the first one alone: below `doubt` a letter that no rule speaks of
    passes at once, and below `clear` one that only words of insults and threats were found in.
    """

    nudge: float
    hold: float
    refuse: float
    refuse_threat: float
    care_doubt: float
    care_sure: float
    doubt: float
    clear: float


@dataclass(frozen=True, slots=True)
class Sum:
    """How two scores make one: the bias, then five weights; the length of a letter says how far to trust each."""

    weights: tuple[float, ...]

    def __call__(self, first: float, second: float, words: int) -> float:
        """Both together, for a letter of so many words."""
        columns = (1.0, *self.columns(first, second, words))
        return math.fsum(weight * column for weight, column in zip(self.weights, columns, strict=True))

    @staticmethod
    def columns(first: float, second: float, words: int) -> tuple[float, ...]:
        """What is weighed."""
        length = math.log1p(words)
        return first, second, length, length * first, length * second


@dataclass(frozen=True, slots=True)
class Scale:
    """How the scores of letters of about one length are put together, and what follows from them."""

    whole_and_worst: WholeAndWorst
    stop: Sum
    care: Sum
    thresholds: Thresholds


@dataclass(frozen=True, slots=True)
class Weighed:
    """A letter that was read twice."""

    stop: float
    care: float
    rule: Rule
    """The don't that it is likeliest to break."""
    borne_out: bool
    """Whether the letter speaks of what `rule` is about."""
    worst: Sequence[Token]
    """The stretch that reads most like those to be stopped."""
    stretches: Sequence[tuple[Sequence[Token], float]]
    """Each stretch, and how much it reads like a letter to be stopped."""
    pieces: int
    """How much of it was read the second time."""
    limits: Thresholds
    """Of letters of this length."""


@dataclass(frozen=True, slots=True)
class Gauge:
    """The scales: one for letters as most are, and one for long ones, in which a sentence can be hidden."""

    usual: Scale
    long: Scale
    alone: float
    """The score of the first reading from which a stretch alone would have to be stopped."""
    about: Mapping[str, Any]
    """What it was made from."""

    def scale(self, words: int) -> Scale:
        """What weighs a letter of so many words."""
        return self.long if words > MOST_USUAL else self.usual

    def first(self, whole: float, worst: float, words: int) -> float:
        """What the first reading says, by the whole of a letter of so many words and by its worst stretch."""
        return self.scale(words).whole_and_worst(whole, worst, words)

    def weigh(self, score: Score, opinion: Opinion, *, borne_out: bool) -> Weighed:
        """What the two readings of a letter say together; which rule it breaks the second one knows better."""
        scale = self.scale(score.words)
        return Weighed(
            stop=scale.stop(score.stop, opinion.stop, score.words),
            care=scale.care(score.care, opinion.care, score.words),
            rule=opinion.rule,
            borne_out=borne_out,
            worst=score.worst,
            stretches=score.stretches,
            pieces=opinion.pieces,
            limits=scale.thresholds,
        )

    def stops_alone(self, part: Sequence[Token], stop: float) -> bool:
        """Whether a stretch with this score would have to be stopped if it were all of the letter."""
        words = sum(token.word != BARRIER for token in part)
        return self.usual.whole_and_worst(stop, stop, words) >= self.alone


def load_gauge(place: Path | None = None) -> Gauge:
    """The gauge at `place`, else the one that comes along. Raises ConfigurationError."""
    place = place or data_file(GAUGE_FILE)
    try:
        told = json.loads(read_data_file(place))
        return Gauge(_scale(told["usual"]), _scale(told["long"]), float(told["alone"]), told["about"])
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(f"{place}: this is no gauge of the readings: {error}") from None


def _scale(told: Mapping[str, Any]) -> Scale:
    limits = told["thresholds"]
    return Scale(
        whole_and_worst=WholeAndWorst(_numbers(told["whole and worst"])),
        stop=Sum(_numbers(told["stop"])),
        care=Sum(_numbers(told["care"])),
        thresholds=Thresholds(**{name: float(limits[name]) for name in limits}),
    )


def _numbers(told: Sequence[float]) -> tuple[float, ...]:
    if len(told) != _WEIGHTS:
        raise ValueError(f"{len(told)} weights where {_WEIGHTS} are needed")
    return tuple(float(one) for one in told)
