"""What moderation costs a letter, by stage: `python -m benchmarks.moderation [--rounds 5]`; a minute.

Processor time, µs a letter: of each the least of several rounds, the mean over letters and the most. Letters are those
of the corpus: ordinary ones, harmless ones that are hard to tell, and 2,000 characters of them together; then letters
that are written to be slow, by kind, slowest first.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from benchmarks.hostile_letters import hostile_letters
from web.moderation.corpus import ORDINARY, PASS, STRANGER, read_corpus
from web.moderation.features import features_of
from web.moderation.folding import tokens_of
from web.moderation.moderator import Moderator, load_moderator
from web.pseudonym import MAX_PSEUDONYM

_CORPUS = Path(__file__).resolve().parents[1] / "tests" / "data" / "moderation"
_LENGTH = 2000
_OF_EACH = 10
"""Letters of a hostile kind."""
_SIGNED = ("sob stfu gtfo foad vtff ntm tg im fu kys", "l0s3r f*ck xqzt")
"""One that is read as thirty words and refused, and one that is not, which is read with both ends of the letter."""
_Value = TypeVar("_Value")


def _letters() -> dict[str, list[str]]:
    hard = [line.letter for line in read_corpus(_CORPUS / STRANGER) if line.label == PASS]
    together = " ".join(hard)
    return {
        "ordinary": [line.letter for line in read_corpus(_CORPUS / ORDINARY)],
        "hard": hard[:300],
        "2,000 characters": [together[at : at + _LENGTH] for at in range(0, 20 * _LENGTH, _LENGTH)],
    }


def _least(asked: Callable[[_Value], object], values: Sequence[_Value], rounds: int) -> list[float]:
    """By value the least of several rounds, in µs."""
    least = [float("inf")] * len(values)
    for _ in range(rounds):
        for at, value in enumerate(values):
            started = time.process_time()
            asked(value)
            least[at] = min(least[at], (time.process_time() - started) * 1e6)
    return least


def _told(name: str, asked: Callable[[_Value], object], values: Sequence[_Value], rounds: int) -> None:
    least = _least(asked, values, rounds)
    print(f"  {name:34} mean {sum(least) / len(least):8.0f} us   most {max(least):8.0f} us")


def _signed(letters: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each letter under several names, the last of which begins as it does."""
    for letter in letters:
        yield from ((letter, name) for name in (*_SIGNED, letter[:MAX_PSEUDONYM]))


def _hostile(moderator: Moderator, rounds: int) -> None:
    print(
        f"written to be slow: {_OF_EACH} letters of {_LENGTH} characters of each kind, under {len(_SIGNED) + 1} names"
    )
    measured = {
        kind: sorted(_least(lambda signed: moderator.rule(*signed), list(_signed(letters)), rounds))
        for kind, letters in hostile_letters(_OF_EACH).items()
    }
    for kind, least in sorted(measured.items(), key=lambda one: one[1][-1], reverse=True):
        print(f"  {kind:34} median {least[len(least) // 2]:6.0f} us   most {least[-1]:8.0f} us")


def _stages(moderator: Moderator, letters: Sequence[str], rounds: int) -> None:
    readings = [reading for reading in map(moderator.reader.read, letters) if len(reading.tokens) > 2]
    stretched = [(reading.tokens, list(reading.stretches())) for reading in readings]
    vocabulary, joint = moderator.trained.vocabulary, moderator.gauge.first
    _told("words", tokens_of, letters, rounds)
    _told("words and rules", moderator.reader.read, letters, rounds)
    _told("worry", moderator.reader.worries, readings, rounds)
    _told("numbers of the first reading", lambda one: features_of(one[0], vocabulary), stretched, rounds)
    _told("first reading", lambda one: moderator.trained.score(*one, joint), stretched, rounds)
    _told("second reading, where it is asked", lambda one: moderator.second.read(one.text), readings[:40], rounds)
    _told("all of it", moderator.rule, letters, rounds)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    moderator = load_moderator()
    for name, letters in _letters().items():
        print(f"{name}: {len(letters)} letters of {sum(map(len, letters)) // len(letters)} characters")
        _stages(moderator, letters, rounds)
    _hostile(moderator, rounds)


if __name__ == "__main__":
    main()
