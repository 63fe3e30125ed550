"""`python -m web.moderation.train`: learns the weights of the trained layer from the corpus, and measures them.

Logistic regression by AdaGrad, in plain Python; the same corpus gives the same weights. Thresholds are chosen from
scores that each come from weights trained without that letter (three parts in turn). The held-out third is read
only at the end, for the figures.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import zlib
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from relay.data_files import data_file
from web.moderation.concepts import Concepts, load_concepts
from web.moderation.corpus import CARE, ORDINARY, PASS, UNSEEN, Line, corpus_digest, read_corpus, read_drills
from web.moderation.features import SIZE, features_of
from web.moderation.figures import FIGURES_FILE, measure
from web.moderation.moderator import load_moderator
from web.moderation.pack import load_rulebook
from web.moderation.reading import Reader
from web.moderation.ruling import Rule
from web.moderation.trained import FORM, RULES, WEIGHTS_FILE, Thresholds

_EPOCHS: Final = 12
_RATE: Final = 1.0
_SHRINK: Final = 1e-5
_SETTLED: Final = 0.01
"""Errors that teach nothing any more."""
_PARTS: Final = 3
_LEAST_SEEN: Final = 1
_STOP, _CARE_TABLE = 0, 1

# Of the letters that must pass, the share that may be touched in each way; what a rule found, what it missed.
_FOUND_HELD: Final = 0.024
_FOUND_REFUSED: Final = 0.010
_MISSED_HELD: Final = 0.004
_CARED_FOR: Final = 0.006


@dataclass(frozen=True, slots=True)
class Example:
    """A letter as the numbers of its stretches, with the answers to learn: to be stopped, to be helped."""

    line: Line
    found: bool
    """Whether a rule that is weighed stops it."""
    stretches: tuple[tuple[int, ...], ...]

    def answer(self, table: int) -> bool:
        """Whether the table's question is answered with yes."""
        return self.line.label == CARE if table == _CARE_TABLE else self.line.label not in {PASS, CARE}


@dataclass(slots=True)
class Model:
    """Weights while they are learned."""

    weights: dict[int, float]
    bias: float = 0.0

    def score(self, features: Sequence[int]) -> float:
        """In logits. The sum is exact, so that it is the same with every Python."""
        got = self.weights.get
        return self.bias + math.fsum([got(one, 0.0) for one in features]) / math.sqrt(len(features) or 1)

    def best(self, example: Example) -> float:
        """The score of the stretch that stands out."""
        return max((self.score(one) for one in example.stretches), default=self.bias)


def learn(examples: Sequence[Example], table: int, seed: int = 1) -> Model:
    """The model that answers the question of `table`; a letter with the answer yes is learned by its worst stretch."""
    seen = Counter(one for example in examples for part in example.stretches for one in part)
    model = Model({one: 0.0 for one, times in seen.items() if times >= _LEAST_SEEN})
    squares = dict.fromkeys(model.weights, 1e-2)
    bias_square = 1e-2
    order = [(example.answer(table), example.stretches) for example in examples]
    source = random.Random(seed)  # noqa: S311 - shuffles a corpus
    weights = model.weights
    for epoch in range(_EPOCHS):
        source.shuffle(order)
        rate = _RATE / (1 + epoch / 3)
        for yes, stretches in order:
            parts = [max(stretches, key=model.score)] if yes and len(stretches) > 1 else stretches
            for part in parts:
                error = float(yes) - 1 / (1 + math.exp(-max(-30.0, min(30.0, model.score(part)))))
                if abs(error) < _SETTLED:
                    continue
                bias_square += error * error
                model.bias += 0.1 * rate * error / math.sqrt(bias_square)
                step = error / math.sqrt(len(part) or 1)
                for one in part:
                    if one in weights:
                        slope = step - _SHRINK * weights[one]
                        squares[one] += slope * slope
                        weights[one] += rate * slope / math.sqrt(squares[one])
    return model


def examples_of(reader: Reader, concepts: Concepts, lines: Sequence[Line]) -> list[Example]:
    """The lines as the trained layer sees them."""
    found = []
    for line in lines:
        reading = reader.read(line.letter)
        parts = [tuple(sorted(features_of(part, concepts).union(hits))) for part, hits in reading.stretches()]
        stopped = any(hit.weighed and hit.step.stops for hit in reading.hits)
        found.append(Example(line, stopped, tuple(parts)))
    return found


def out_of_part(examples: Sequence[Example], drills: Sequence[Example], table: int) -> list[float]:
    """For each example the score of a model that has seen the drills, and not it."""
    scores = [0.0] * len(examples)
    for part in range(_PARTS):
        model = learn([*(one for at, one in enumerate(examples) if at % _PARTS != part), *drills], table)
        for at in range(part, len(examples), _PARTS):
            scores[at] = model.best(examples[at])
    return scores


def choose(examples: Sequence[Example], stop: Sequence[float], care: Sequence[float]) -> Thresholds:
    """The thresholds that leave the letters alone that must pass, by scores of models that had not seen them."""
    rows = list(zip(examples, stop, care, strict=True))
    passing = [row for row in rows if row[0].line.label == PASS]
    found = [score for example, score, _ in passing if example.found]
    missed = [score for example, score, _ in passing if not example.found]
    every = len(passing)
    return Thresholds(
        doubt=_above(found, every * _FOUND_HELD),
        agree=_above(found, every * _FOUND_REFUSED),
        hold=_above(missed, every * _MISSED_HELD),
        care_doubt=_above([score for *_, score in passing], every * _CARED_FOR * 3),
        care_sure=_above([score for *_, score in passing], every * _CARED_FOR),
    )


def _above(scores: Sequence[float], most: float) -> float:
    """The score that at most `most` of `scores` reach."""
    ranked = sorted(scores, reverse=True)
    at = int(most)
    return round(ranked[at] + 1e-3, 3) if at < len(ranked) else round(min(ranked, default=0.0), 3)


def likeness(examples: Sequence[Line], reader: Reader, concepts: Concepts) -> list[list[float]]:
    """By rule, how much likelier each concept is in letters that break it than in those that break another."""
    counts: dict[Rule, Counter[int]] = {rule: Counter() for rule in RULES}
    lines: Counter[str] = Counter()
    for line in examples:
        if line.label in counts:
            lines[line.label] += 1
            present = {concept for token in reader.read(line.letter).tokens for concept in concepts.of(token.word)}
            counts[Rule(line.label)].update(present)
    total = sum(counts.values(), Counter[int]())
    every = sum(lines.values())
    return [
        [
            _log_odds((counts[rule][at], lines[rule]), (total[at] - counts[rule][at], every - lines[rule]))
            for at in range(len(concepts.names))
        ]
        for rule in RULES
    ]


def _log_odds(here: tuple[int, int], elsewhere: tuple[int, int]) -> float:
    return round(math.log(_odds(*here) / _odds(*elsewhere)), 3)


def _odds(hits: int, of: int) -> float:
    return (hits + 1) / (of + 2)


def main() -> None:
    """Train, write weights and figures, and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m web.moderation.train", description=__doc__)
    parser.add_argument("--corpus", type=Path, default=Path("tests/data/moderation"))
    place = parser.parse_args().corpus
    lines = list(read_corpus(place))
    seen = [line for line in lines if not line.held_out]
    reader, concepts = Reader(load_rulebook()), load_concepts()
    examples = examples_of(reader, concepts, seen)
    random.Random(1).shuffle(examples)  # noqa: S311 - deals out a corpus
    known = {line.letter for line in lines}
    made = [line for line in read_drills(place, random.Random(2)) if line.letter not in known]  # noqa: S311
    drills = examples_of(reader, concepts, made)
    thresholds = choose(examples, *(out_of_part(examples, drills, table) for table in (_STOP, _CARE_TABLE)))
    models = [learn([*examples, *drills], table) for table in (_STOP, _CARE_TABLE)]
    scale = max(abs(weight) for model in models for weight in model.weights.values()) / 127
    body = b"".join(_table(model, scale).tobytes() for model in models)
    header = {
        "form": FORM,
        "made by": "python -m web.moderation.train",
        "corpus": corpus_digest(seen),
        "letters": len(seen),
        "scale": scale,
        "stop_bias": models[_STOP].bias,
        "care_bias": models[_CARE_TABLE].bias,
        "thresholds": asdict(thresholds),
        "likeness": likeness(seen, reader, concepts),
    }
    data_file(WEIGHTS_FILE).write_bytes(json.dumps(header).encode() + b"\n" + zlib.compress(body, 9))
    held_out = [line for line in lines if line.held_out]
    figures = {
        "made by": header["made by"],
        "trained on": {"letters": len(seen), "corpus": header["corpus"]},
        "assumed": "30 of 1,000 letters of the mix ought to be stopped",
        "held out": measure(load_moderator(), held_out),
        "unseen": measure(load_moderator(), read_corpus(place / UNSEEN)),
        "ordinary": measure(load_moderator(), read_corpus(place / ORDINARY)),
    }
    data_file(FIGURES_FILE).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def _table(model: Model, scale: float) -> array[int]:
    table = array("b", bytes(SIZE))
    for one, weight in model.weights.items():
        table[one] = round(weight / scale)
    return table


if __name__ == "__main__":
    main()
