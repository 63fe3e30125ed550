"""How the first reading learns: logistic regression over the features of letters and of their stretches.

For the training alone, with numpy; nothing of it runs where letters are read. Deterministic: the same examples give
the same weights on the same machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Places = NDArray[np.int64]
Mask = NDArray[np.bool_]

_EPOCHS: Final = 8
_RATE: Final = 0.5
_BATCH: Final = 128
_SHRINK: Final = 0.03
"""How much the size of the weights counts against the errors; chosen by letters of authors that were left out."""
_LEAST_SEEN: Final = 2
_SMOOTH: Final = 0.5


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of numbers of features, each of a letter or of a stretch of one."""

    features: NDArray[np.int32]
    starts: Places
    """Where each row begins; one more at the end."""
    letters: Places
    """The letter of each row."""

    @property
    def sizes(self) -> Places:
        """Features of each row."""
        return np.diff(self.starts)

    def only(self, chosen: Mask) -> Rows:
        """The rows `chosen`."""
        starts = np.concatenate([[0], np.cumsum(self.sizes[chosen])])
        return Rows(self.features[np.repeat(chosen, self.sizes)], starts, self.letters[chosen])

    def with_rows(self, others: Rows) -> Rows:
        """These rows and those of `others`."""
        return Rows(
            np.concatenate([self.features, others.features]),
            np.concatenate([self.starts, others.starts[1:] + self.starts[-1]]),
            np.concatenate([self.letters, others.letters]),
        )


def rows_of(letters: Sequence[Sequence[NDArray[np.int32]]]) -> Rows:
    """The rows of letters, each a sequence of rows of at least one feature."""
    rows = [(number, row) for number, letter in enumerate(letters) for row in letter]
    starts = np.cumsum([0, *(len(row) for _, row in rows)])
    return Rows(np.concatenate([row for _, row in rows]), starts, np.array([number for number, _ in rows]))


@dataclass(frozen=True, slots=True)
class Model:
    """A weight for each feature, and what is added whatever the letter says."""

    weights: Numbers
    bias: float

    def scores(self, rows: Rows) -> Numbers:
        """The score of each row, in logits."""
        return np.add.reduceat(self.weights[rows.features], rows.starts[:-1]) / np.sqrt(rows.sizes) + self.bias

    def best(self, rows: Rows, letters: int) -> Numbers:
        """By letter, the score of the row that stands out; of a letter without rows the bias."""
        found = np.full(letters, -np.inf)
        np.maximum.at(found, rows.letters, self.scores(rows))
        return np.where(np.isinf(found), self.bias, found)


def learn(whole: Rows, stretches: Rows, answers: Mask, size: int) -> Model:
    """The model that answers like `answers`, by letter, for features below `size`.

    Learned from whole letters, and then also from stretches: with the answer no from each, with the answer yes from
    the one that stands out.
    """
    first = _descend(whole, answers, size)
    yes = answers[stretches.letters]
    chosen = stretches.only(~yes | _standing_out(stretches.letters, first.scores(stretches)))
    return _descend(whole.with_rows(chosen), answers, size)


def _standing_out(letters: Places, scores: Numbers) -> Mask:
    """By row, whether it is the first of the best of its letter."""
    order = np.lexsort((-scores, letters))
    first = np.concatenate([[True], np.diff(letters[order]) > 0])
    found = np.zeros(len(letters), np.bool_)
    found[order[first]] = True
    return found


def _descend(rows: Rows, answers: Mask, size: int) -> Model:
    """AdaGrad in small batches; a feature moves as fast as it tells something (see `_telling`)."""
    known = np.flatnonzero(np.bincount(rows.features, minlength=size) >= _LEAST_SEEN)
    place = np.full(size, -1, np.int32)
    place[known] = np.arange(len(known), dtype=np.int32)
    short = place[rows.features]
    sizes = np.add.reduceat((short >= 0).astype(np.int64), rows.starts[:-1])
    short = short[short >= 0]
    starts = np.cumsum(sizes) - sizes
    share, yes = 1 / np.sqrt(rows.sizes), answers[rows.letters]
    tell = _telling(short, np.repeat(yes, sizes), len(known))
    weights, squares = np.zeros(len(known)), np.full(len(known), 1e-2)
    bias, bias_square = 0.0, 1e-2
    source = np.random.default_rng(1)
    for epoch in range(_EPOCHS):
        rate = _RATE / (1 + epoch / 3)
        order = source.permutation(len(yes))
        for at in range(0, len(order), _BATCH):
            batch = order[at : at + _BATCH]
            lengths = sizes[batch]
            row = np.repeat(np.arange(len(batch)), lengths)
            within = np.arange(len(row)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
            features = short[np.repeat(starts[batch], lengths) + within]
            scores = np.bincount(row, (weights * tell)[features], len(batch)) * share[batch] + bias
            error = 1 / (1 + np.exp(-np.clip(scores, -30, 30))) - yes[batch]
            slope = np.bincount(features, (error * share[batch])[row], len(known)) * tell
            slope += _SHRINK * len(batch) / len(order) * weights
            squares += slope * slope
            weights -= rate * slope / np.sqrt(squares)
            bias_square += float(error.sum()) ** 2
            bias -= 0.1 * rate * float(error.sum()) / bias_square**0.5
    spread = np.zeros(size)
    spread[known] = weights * tell
    return Model(spread, bias)


def _telling(features: NDArray[np.int32], yes: Mask, size: int) -> Numbers:
    """By feature how much it tells: the root of the log of the ratio of its shares in rows with yes and with no."""
    counts = [np.bincount(features[side], minlength=size) + _SMOOTH for side in (yes, ~yes)]
    ratio = np.log(counts[0] / counts[0].sum()) - np.log(counts[1] / counts[1].sum())
    return np.asarray(np.sqrt(np.abs(ratio)))


def learn_joint(columns: Numbers, answers: Mask) -> Numbers:
    """The weights of the few `columns` (one row a letter) by which they answer best, the bias first: by Newton."""
    table = np.column_stack([np.ones(len(columns)), columns])
    found = np.zeros(table.shape[1])
    for _ in range(12):
        chance = 1 / (1 + np.exp(-np.clip(table @ found, -30, 30)))
        slope = table.T @ (chance - answers) + found
        curve = (table * (chance * (1 - chance))[:, None]).T @ table + np.eye(len(found))
        found = found - np.linalg.solve(curve, slope)
    return found
