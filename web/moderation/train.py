"""`python -m web.moderation.train`: learns the weights of the trained layer from the corpus, and measures them.

The same corpus gives the same weights on the same machine. Thresholds are chosen from scores that each come from
weights trained without any letter by the same author, since that is what a stranger's letter meets. Held-out letters
are read only at the end, for the figures.
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

import numpy as np

from relay.data_files import data_file
from web.moderation.concepts import Concepts, load_concepts
from web.moderation.corpus import CARE, PASS, Line, corpus_digest, read_corpus, read_drills
from web.moderation.features import SIZE, features_of
from web.moderation.figures import FIGURES_FILE, measure_all
from web.moderation.folding import BARRIER
from web.moderation.learning import Mask, Model, Numbers, Rows, learn, learn_joint, learn_whole, rows_of
from web.moderation.moderator import load_moderator
from web.moderation.pack import load_rulebook
from web.moderation.reading import Reader
from web.moderation.ruling import Rule
from web.moderation.trained import FORM, RULES, TABLES, WEIGHTS_FILE, Thresholds, joint_columns

# Of the letters that must pass, most of them hard, by authors the weights had not seen: the share touched in each way.
_HELD: Final = 0.020
_REFUSED: Final = 0.005
"""For what reads like a threat, and again for the rest."""
_CARED_FOR: Final = 0.008


@dataclass(frozen=True, slots=True)
class Examples:
    """Letters as the trained layer sees them."""

    lines: Sequence[Line]
    whole: Rows
    stretches: Rows
    """Of letters that have more than one."""
    words: Sequence[int]

    def answers(self, table: str) -> Mask:
        """By letter, the answer to the question of `table`."""
        match table:
            case "stop":
                return np.array([line.label not in {PASS, CARE} for line in self.lines])
            case "care":
                return np.array([line.label == CARE for line in self.lines])
            case _:
                return np.array([line.label == Rule.THREAT for line in self.lines])

    def learn(self, table: str, chosen: Mask) -> Model:
        """The model of `table` from the letters `chosen`."""
        answers = self.answers(table)
        if table == "threat":
            return learn_whole(self.whole.of_letters(chosen & self.answers("stop")), answers, SIZE)
        return learn(self.whole.of_letters(chosen), self.stretches.of_letters(chosen), answers, SIZE)

    def columns(self, model: Model) -> Numbers:
        """What the joint score of each letter is made of."""
        whole = model.best(self.whole, len(self.lines))
        best = np.maximum(model.best(self.stretches, len(self.lines)), -30)
        split = np.isin(np.arange(len(self.lines)), self.stretches.letters)
        rows = zip(whole, np.where(split, best, whole), self.words, strict=True)
        return np.array([joint_columns(float(a), float(b), words) for a, b, words in rows])


def examples_of(reader: Reader, concepts: Concepts, lines: Sequence[Line]) -> Examples:
    """The lines as the trained layer sees them."""
    whole, stretches, words = [], [], []
    for line in lines:
        reading = reader.read(line.letter)
        parts = [sorted(features_of(part, concepts).union(hits)) for part, hits in reading.stretches()]
        whole.append([sorted(set().union(*parts))] if parts else [])
        stretches.append(parts if len(parts) > 1 else [])
        words.append(len({token.start for token in reading.tokens if token.word != BARRIER}))
    return Examples(lines, rows_of(whole), rows_of(stretches), words)


@dataclass(frozen=True, slots=True)
class Unseen:
    """By letter, what models say that had seen no letter of its author."""

    columns: Numbers
    care: Numbers
    threat: Numbers


def unseen_scores(examples: Examples) -> Unseen:
    """The scores of each letter by models without its author; nothing of letters by pattern, which all learn."""
    of = np.array([line.author_group for line in examples.lines])
    columns, care, threat = np.zeros((len(of), 5)), np.zeros(len(of)), np.zeros(len(of))
    for group in sorted(set(of) - {""}):
        models = {table: examples.learn(table, of != group) for table in TABLES}
        out = of == group
        columns[out] = examples.columns(models["stop"])[out]
        both = [models["care"].best(rows, len(of)) for rows in (examples.whole, examples.stretches)]
        split = np.isin(np.arange(len(of)), examples.stretches.letters)
        care[out] = np.where(split, np.maximum(*both), both[0])[out]
        threat[out] = models["threat"].best(examples.whole, len(of))[out]
    return Unseen(columns, care, threat)


def choose(stop: Numbers, unseen: Unseen, passing: Mask) -> Thresholds:
    """The thresholds that leave the letters alone that must pass, by scores of models that had not seen them."""
    threat = passing & (unseen.threat > 0)
    every = int(passing.sum())
    hold = _above(stop[passing], every * _HELD)
    return Thresholds(
        hold=hold,
        refuse=max(hold, _above(stop[passing & ~threat], every * _REFUSED)),
        refuse_threat=max(hold, _above(stop[threat], every * _REFUSED)),
        care_doubt=_above(unseen.care[passing], every * _CARED_FOR * 3),
        care_sure=_above(unseen.care[passing], every * _CARED_FOR),
    )


def _above(scores: Numbers, most: float) -> float:
    """The score that at most `most` of `scores` reach."""
    ranked = np.sort(scores)[::-1]
    return round(float(ranked[min(int(most), len(ranked) - 1)]) + 1e-3, 3)


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
    """Train, and write weights and figures."""
    parser = argparse.ArgumentParser(prog="python -m web.moderation.train", description=__doc__)
    parser.add_argument("--corpus", type=Path, default=Path("tests/data/moderation"))
    place = parser.parse_args().corpus
    lines = list(read_corpus(place))
    seen = [line for line in lines if not line.held_out]
    reader, concepts = Reader(load_rulebook()), load_concepts()
    known = {line.letter for line in lines}
    drills = [line for line in read_drills(place, random.Random(2)) if line.letter not in known]  # noqa: S311
    examples = examples_of(reader, concepts, [*seen, *drills])
    unseen = unseen_scores(examples)
    real = np.arange(len(examples.lines)) < len(seen)
    answers = examples.answers("stop")
    joint = learn_joint(unseen.columns[real], answers[real])
    stop = joint[0] + unseen.columns @ joint[1:]
    passing = real & np.array([line.label == PASS for line in examples.lines])
    models = {table: examples.learn(table, np.ones(len(real), np.bool_)) for table in TABLES}
    scales = {table: float(np.abs(model.weights).max()) / 127 for table, model in models.items()}
    header = {
        "form": FORM,
        "made by": "python -m web.moderation.train",
        "corpus": corpus_digest(seen),
        "letters": len(seen),
        "scales": scales,
        "biases": {table: model.bias for table, model in models.items()},
        "joint": [round(float(one), 4) for one in joint],
        "thresholds": asdict(choose(stop, unseen, passing)),
        "likeness": likeness(seen, reader, concepts),
    }
    body = b"".join(_table(models[table], scales[table]).tobytes() for table in TABLES)
    data_file(WEIGHTS_FILE).write_bytes(json.dumps(header).encode() + b"\n" + zlib.compress(body, 9))
    figures = {
        "made by": header["made by"],
        "trained on": {"letters": len(seen), "corpus": header["corpus"]},
        **measure_all(load_moderator(), place),
    }
    data_file(FIGURES_FILE).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def _table(model: Model, scale: float) -> array[int]:
    return array("b", np.round(model.weights / scale).astype(np.int8).tobytes())


if __name__ == "__main__":
    main()
