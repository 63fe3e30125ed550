"""The second reading: a small neural network that reads the words of a letter in the order in which they stand.

Asked where the first reading is in doubt, since it costs ten times as much. It reads at most `MOST_PIECES` of a
letter: all of a usual one, of a long one what surrounds the place that the first reading thought worst. Ten layers
of a transformer, in whole numbers, run by ONNX Runtime in the calling thread.
"""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime

from relay.data_files import data_file, read_data_file
from relay.errors import ConfigurationError
from web.moderation.corpus import CARE, PASS
from web.moderation.ruling import Rule
from web.moderation.second.pieces import BEGIN, END, WRITTEN, Pieces, load_pieces

NETWORK_FILE: Final = "moderation/second/network.onnx"
ABOUT_FILE: Final = "moderation/second/network.json"
MOST_PIECES: Final = 40
"""Pieces that are read, the marks of beginning and end among them."""
LEAST_HIDDEN: Final = 24
"""Pieces without which what is hidden in a letter is not read."""
_BEGINS: Final = itemgetter(0)
_ENDS: Final = itemgetter(1)


@dataclass(frozen=True, slots=True)
class Opinion:
    """What a letter reads like: to be stopped, to be helped (both in logits), and the don't it likeliest breaks."""

    stop: float
    care: float
    rule: Rule
    pieces: int
    """How many were read."""


@dataclass(frozen=True, slots=True)
class SecondReader:
    """The network with its table of pieces; one serves all letters, from any thread."""

    pieces: Pieces
    session: onnxruntime.InferenceSession
    labels: tuple[str, ...]
    about: Mapping[str, Any]
    """What it was made from."""

    def read(self, text: str, start: int = 0, end: int = 0, most: int = MOST_PIECES) -> Opinion:
        """The opinion on `text`, or on `most` pieces around its characters `start` to `end` if it is long."""
        row = [BEGIN, *self.window(text, start, end, most), END]
        (answers,) = self.session.run(None, {"pieces": np.array([row], np.int64)})
        return self._opinion(answers[0].astype(np.float64), len(row))

    def window(self, text: str, start: int, end: int, most: int = MOST_PIECES) -> list[int]:
        """The pieces of the words around `start` to `end`, as many before as after where there are."""
        places = [match.span() for match in WRITTEN.finditer(text)]
        first, last = bisect_right(places, start, key=_ENDS), bisect_left(places, end, key=_BEGINS)
        if first >= last:  # nothing stands there
            first = last = 0
        room = min(most, MOST_PIECES) - 2
        found: deque[int] = deque()
        # A word is cut only where there is room for it: of two thousand characters most are not read.
        for begins, ends in places[first:last]:
            if len(found) >= room:
                break
            found.extend(self.pieces.of_word(text[begins:ends]))
        while len(found) < room and (first > 0 or last < len(places)):
            if first > 0:
                first -= 1
                found.extendleft(reversed(self.pieces.of_word(text[slice(*places[first])])))
            if last < len(places) and len(found) < room:
                found.extend(self.pieces.of_word(text[slice(*places[last])]))
                last += 1
        return list(found)[:room]

    def _opinion(self, answers: np.ndarray[Any, np.dtype[np.float64]], pieces: int) -> Opinion:
        answers = answers - answers.max()
        told = dict(zip(self.labels, np.exp(answers) / np.exp(answers).sum(), strict=True))
        rules = {Rule(label): share for label, share in told.items() if label not in {PASS, CARE}}
        return Opinion(
            stop=_logit(float(sum(rules.values()))),
            care=_logit(float(told[CARE])),
            rule=max(rules, key=rules.__getitem__),
            pieces=pieces,
        )


def _logit(share: float) -> float:
    share = min(max(share, 1e-6), 1 - 1e-6)
    return float(np.log(share / (1 - share)))


def load_second_reader(folder: Path | None = None) -> SecondReader:
    """The network in `folder`, else the one that comes along. Raises ConfigurationError."""
    network, about = ((folder or data_file(name).parent) / Path(name).name for name in (NETWORK_FILE, ABOUT_FILE))
    try:
        header = json.loads(read_data_file(about))
        labels = tuple(header["labels"])
        if not {PASS, CARE} < set(labels):
            raise ValueError("labels: pass and care are missing")
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(f"{about}: this describes no network: {error}") from None
    options = onnxruntime.SessionOptions()
    # One letter is too little work for several threads, and the front's event loop must not compete with a pool.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(str(network), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 - ONNX Runtime has no class of its own for a file that it cannot read
        raise ConfigurationError(f"{network}: this is no network that ONNX Runtime can run: {error}") from None
    return SecondReader(load_pieces(), session, labels, header)
