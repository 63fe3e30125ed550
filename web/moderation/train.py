"""`python -m web.moderation.train`: learns the weights of the first reading from the corpus; minutes of two cores.

The same corpus gives the same weights on the same machine. Held-out letters, and those for measuring or gauging, are
not looked at. Then `python -m web.moderation.gauge` chooses the thresholds and measures.
"""

from __future__ import annotations

import argparse
import json
import random
import zlib
from array import array
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from relay.data_files import data_file
from web.moderation.concepts import Concepts, load_concepts
from web.moderation.corpus import CARE, NEXT, PASS, Line, corpus_digest, read_corpus, read_drills
from web.moderation.features import SIZE, distinct, features_of
from web.moderation.learning import Mask, Model, Rows, learn, rows_of
from web.moderation.pack import load_rulebook
from web.moderation.reading import Reader
from web.moderation.trained import FORM, TABLES, WEIGHTS_FILE
from web.moderation.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class Examples:
    """Letters as the first reading sees them."""

    lines: Sequence[Line]
    whole: Rows
    stretches: Rows
    """Of letters that have more than one."""

    def answers(self, table: str) -> Mask:
        """By letter, the answer to the question of `table`."""
        if table == "care":
            return np.array([line.label == CARE for line in self.lines])
        return np.array([line.label not in {PASS, CARE} for line in self.lines])

    def learn(self, table: str) -> Model:
        """The model of `table`."""
        return learn(self.whole, self.stretches, self.answers(table), SIZE)


def examples_of(reader: Reader, concepts: Concepts, lines: Sequence[Line]) -> Examples:
    """The lines as the first reading sees them."""
    vocabulary = Vocabulary(concepts)
    whole, stretches = [], []
    for line in lines:
        reading = reader.read(line.letter)
        parts = features_of(reading.tokens, vocabulary).rows(list(reading.stretches()))
        whole.append([distinct(np.concatenate(parts))] if parts else [])
        stretches.append(parts if len(parts) > 1 else [])
    return Examples(lines, rows_of(whole), rows_of(stretches))


def main() -> None:
    """Train, and write the weights."""
    parser = argparse.ArgumentParser(prog="python -m web.moderation.train", description=__doc__)
    parser.add_argument("--corpus", type=Path, default=Path("tests/data/moderation"))
    place = parser.parse_args().corpus
    lines = list(read_corpus(place, place / NEXT))
    seen = [line for line in lines if not line.held_out]
    known = {line.letter for line in lines}
    drills = [line for line in read_drills(place, random.Random(2)) if line.letter not in known]  # noqa: S311
    concepts = load_concepts()
    examples = examples_of(Reader(load_rulebook(), concepts.families), concepts, [*seen, *drills])
    with ProcessPoolExecutor() as pool:
        models = dict(zip(TABLES, pool.map(examples.learn, TABLES), strict=True))
    scales = {table: float(np.abs(model.weights).max()) / 127 for table, model in models.items()}
    header = {
        "form": FORM,
        "made by": "python -m web.moderation.train",
        "corpus": corpus_digest(seen),
        "letters": len(seen),
        "scales": scales,
        "biases": {table: model.bias for table, model in models.items()},
    }
    body = b"".join(_table(models[table], scales[table]).tobytes() for table in TABLES)
    data_file(WEIGHTS_FILE).write_bytes(json.dumps(header).encode() + b"\n" + zlib.compress(body, 9))


def _table(model: Model, scale: float) -> array[int]:
    return array("b", np.round(model.weights / scale).astype(np.int8).tobytes())


if __name__ == "__main__":
    main()
