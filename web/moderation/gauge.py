"""`python -m web.moderation.gauge`: how the scores of two readings are put together, and from where on they count.

Reads letters by authors of whom neither reading has learned, since that is what a stranger's letter meets; writes
`gauge.json` and then, from the letters for measuring, `figures.json`. A minute; with numpy.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np

from relay.data_files import data_file
from web.moderation.corpus import CARE, GAUGE, PASS, Line, corpus_digest, read_corpus, read_file
from web.moderation.features import MOST_USUAL
from web.moderation.figures import FIGURES_FILE, measure_all
from web.moderation.learning import Mask, Numbers, learn_joint
from web.moderation.long_letters import kind_letters, of_any_length
from web.moderation.moderator import load_moderator, often_meant_well
from web.moderation.pack import load_rulebook
from web.moderation.reading import Reader
from web.moderation.ruling import Rule
from web.moderation.second.reader import Opinion, SecondReader, load_second_reader
from web.moderation.trained import WEIGHTS_FILE, Score, Trained, WholeAndWorst, load_trained
from web.moderation.weighing import GAUGE_FILE, Sum, Thresholds

_PLAIN: Final = "*_plain.txt"
"""The files of letters as most people write them."""
_UNHEARD: Final = 0.005
"""Of the letters to be stopped in which a rule found words that are often meant well: the share not read twice."""
_RAW: Final = WholeAndWorst((0.0, 1.0, 0.0, 0.0, 0.0, 0.0))


@dataclass(frozen=True, slots=True)
class Costs:
    """Of the letters that must pass, many of them hard: the share touched in each way."""

    nudged: float
    """If a rule speaks of them."""
    held: float
    refused: float
    """For what reads like a threat, and again for the rest."""
    cared_for: float
    cleared: float
    """The share that one reading is enough for."""


_USUAL: Final = Costs(nudged=0.1, held=0.016, refused=0.0042, cared_for=0.006, cleared=0.905)
_LONG: Final = Costs(nudged=0.1, held=0.011, refused=0.0036, cared_for=0.006, cleared=0.8)
_MEANT_WELL: Final = 3.0
"""Logits below the score of those held from which a rule's finding is not even worth a nudge."""


@dataclass(frozen=True, slots=True)
class Gauged:
    """Letters with what each reading says of them."""

    lines: Sequence[Line]
    scores: Sequence[Score]
    opinions: Sequence[Opinion]
    meant_well: Mask
    """By letter, whether a rule found in it words that are often meant well, and none found others."""

    def labelled(self, *labels: str) -> Mask:
        """By letter, whether it has one of `labels`."""
        return np.array([line.label in labels for line in self.lines])

    def of_length(self, *, long: bool) -> Gauged:
        """Those of more words than usual, or the others."""
        kept = [at for at, score in enumerate(self.scores) if (score.words > MOST_USUAL) is long]
        return Gauged(
            [self.lines[at] for at in kept],
            [self.scores[at] for at in kept],
            [self.opinions[at] for at in kept],
            self.meant_well[kept],
        )


def read_all(reader: Reader, trained: Trained, second: SecondReader, lines: Sequence[Line]) -> Gauged:
    """Both readings of each letter that has more than a word and is in a known language."""
    kept, scores, opinions, meant_well = [], [], [], []
    for line in lines:
        reading = reader.read(line.letter)
        if len(reading.tokens) > 2 and not reading.unreadable:
            score = trained.score(reading.tokens, list(reading.stretches()), _RAW)
            kept.append(line)
            scores.append(score)
            opinions.append(second.read(reading.text, score.worst[0].start, score.worst[-1].end))
            weighed = [hit for hit in reading.hits if hit.weighed]
            meant_well.append(bool(weighed) and all(map(often_meant_well, weighed)))
    return Gauged(kept, scores, opinions, np.array(meant_well))


def gauge(read: Gauged) -> dict[str, object]:
    """The gauge of these letters; a JSON value."""
    usual, long = read.of_length(long=False), read.of_length(long=True)
    first = _first(usual)[1]
    return {
        "usual": _scale(usual, _USUAL),
        "long": _scale(long, _LONG),
        "alone": _above(first[passing := usual.labelled(PASS)], passing.sum() * _USUAL.held),
    }


def _first(read: Gauged) -> tuple[list[float], Numbers]:
    """How the first reading's score is made of whole and worst, and these scores."""
    columns = np.array([score.columns for score in read.scores])
    joint = learn_joint(columns, ~read.labelled(PASS, CARE))
    return [round(float(one), 4) for one in joint], joint[0] + columns @ joint[1:]


def _scale(read: Gauged, costs: Costs) -> dict[str, object]:
    """What weighs letters like these."""
    bad, passing = ~read.labelled(PASS, CARE), read.labelled(PASS)
    joint, first = _first(read)
    first_care = np.array([score.care for score in read.scores])
    words = [score.words for score in read.scores]
    stop, stop_scores = _summed(first, [opinion.stop for opinion in read.opinions], words, bad)
    care, care_scores = _summed(first_care, [one.care for one in read.opinions], words, read.labelled(CARE))
    threat = np.array([opinion.rule is Rule.THREAT for opinion in read.opinions])
    highest, every = np.maximum(first, first_care), int(passing.sum())
    hold = _above(stop_scores[passing], every * costs.held)
    thresholds = Thresholds(
        nudge=max(round(hold - _MEANT_WELL, 3), min(hold, _above(stop_scores[passing], every * costs.nudged))),
        hold=hold,
        refuse=max(hold, _above(stop_scores[passing & ~threat], every * costs.refused)),
        refuse_threat=max(hold, _above(stop_scores[passing & threat], every * costs.refused)),
        care_doubt=_above(care_scores[passing], every * costs.cared_for * 3),
        care_sure=_above(care_scores[passing], every * costs.cared_for),
        doubt=(doubt := round(float(np.quantile(highest[passing], costs.cleared)), 3)),
        clear=min(doubt, round(float(np.quantile(highest[bad & read.meant_well], _UNHEARD)), 3)),
    )
    return {"whole and worst": joint, "stop": stop, "care": care, "thresholds": asdict(thresholds)}


def _summed(
    first: Numbers, second: Sequence[float], words: Sequence[int], answers: Mask
) -> tuple[list[float], Numbers]:
    """How two scores together answer best, and the sums."""
    columns = np.array([Sum.columns(*row) for row in zip(first.tolist(), second, words, strict=True)])
    weights = learn_joint(columns, answers)
    return [round(float(one), 4) for one in weights], weights[0] + columns @ weights[1:]


def _above(scores: Numbers, most: float) -> float:
    """The score that at most `most` of `scores` reach."""
    ranked = np.sort(scores)[::-1]
    return round(float(ranked[min(int(most), len(ranked) - 1)]) + 1e-3, 3)


def main() -> None:
    """Gauge, measure, and write both."""
    parser = argparse.ArgumentParser(prog="python -m web.moderation.gauge", description=__doc__)
    parser.add_argument("--corpus", type=Path, default=Path("tests/data/moderation"))
    place = parser.parse_args().corpus
    lines = list(read_corpus(place / GAUGE))
    trained, second = load_trained(), load_second_reader()
    reader = Reader(load_rulebook(), trained.concepts.families)
    plain = [line for file in sorted((place / GAUGE).glob(_PLAIN)) for line in read_file(file)]
    long = of_any_length(lines, kind_letters(plain, lines))
    found = gauge(read_all(reader, trained, second, [*lines, *long]))
    about = {
        "made by": "python -m web.moderation.gauge",
        "letters": len(lines),
        "corpus": corpus_digest(lines),
        "learned from": trained.header["corpus"],
        "second reading learned from": second.about["corpus"],
    }
    _write(GAUGE_FILE, {**found, "about": about})
    figures = {
        "made by": about["made by"],
        "trained on": {"letters": trained.header["letters"], "corpus": trained.header["corpus"]},
        **measure_all(load_moderator(), place),
    }
    _write(FIGURES_FILE, figures)


def _write(name: str, told: dict[str, object]) -> None:
    data_file(WEIGHTS_FILE).with_name(Path(name).name).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
