"""`python -m web.moderation.second.narrow`: a smaller network that answers as the one that is there does, nearly.

Ten minutes of two cores.

Layers are left out one by one, each time the one without which the answers to letters of the gauge are best. Of the
heads and the inner numbers of the layers that stay those are left out for which the others make up best, by least
squares over letters that were learned (Hassibi and Stork 1993, "Optimal Brain Surgeon"). Writes `network.onnx`; a
training that goes on with all letters has to follow, best with the larger network as its teacher. Needs PyTorch and
ONNX.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from relay.data_files import data_file
from web.moderation.corpus import GAUGE, Line, read_corpus
from web.moderation.second.graph import write_graph
from web.moderation.second.network import HEAD, Layer, Network, Shape
from web.moderation.second.pieces import PADDING, Pieces, load_pieces
from web.moderation.second.reader import ABOUT_FILE, MOST_PIECES, NETWORK_FILE
from web.moderation.second.train import LABELS, kept_network, padded, row_of

_CHOOSE_BY: Final = 600
"""Letters by which layers are chosen."""
_LEARN_BY: Final = 3000
"""Letters by which inner numbers are."""
_AT_ONCE: Final = 40
"""Letters that are read together, and as many inner numbers of a layer that are left out before the rest make up."""
_STEADY: Final = 1e-6
"""Of the mean square of the numbers, what is added where two of them are alike."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Letters of about the same length."""

    pieces: Tensor
    labels: Tensor

    @property
    def present(self) -> Tensor:
        """Letters by pieces, False for padding."""
        return cast("Tensor", self.pieces != PADDING)


Read = Sequence[tuple[Tensor, Batch]]
"""What comes into a layer, and of which letters."""


def batches_of(lines: Sequence[Line], pieces: Pieces) -> list[Batch]:
    """The letters as they are read, at most `MOST_PIECES` of each."""
    rows = sorted((row_of(pieces, line.letter)[:MOST_PIECES], LABELS.index(line.label)) for line in lines)
    rows.sort(key=lambda row: len(row[0]))
    parts = (rows[at : at + _AT_ONCE] for at in range(0, len(rows), _AT_ONCE))
    return [Batch(padded([row for row, _ in part]), torch.tensor([label for _, label in part])) for part in parts]


def error(network: Network, letters: Sequence[Batch]) -> float:
    """How wrong the network is about letters: the mean cross entropy, in nats."""
    network.eval()
    wrong = 0.0
    with torch.no_grad():
        for batch in letters:
            wrong += float(functional.cross_entropy(network(batch.pieces), batch.labels, reduction="sum"))
    return wrong / sum(len(batch.labels) for batch in letters)


def without_layer(network: Network, left_out: int) -> Network:
    """The network without one of its layers, counted from 0."""
    kept = [at for at in range(len(network.layers)) if at != left_out]
    weights = _beside_layers(network)
    for place, at in enumerate(kept):
        weights |= {f"layers.{place}.{name}": value for name, value in network.layers[at].state_dict().items()}
    return Network(replace(network.shape, layers=len(kept)), len(LABELS), weights)


def shallower(network: Network, letters: Sequence[Batch], layers: int) -> Network:
    """The network with so many layers; `letters` are what it is to answer well."""
    while len(network.layers) > layers:
        candidates = [without_layer(network, at) for at in range(len(network.layers))]
        errors = [error(one, letters) for one in candidates]
        best = min(range(len(errors)), key=errors.__getitem__)
        _say(f"without layer {best} of {len(errors)}: error {errors[best]:.3f}")
        network = candidates[best]
    return network


def narrower(network: Network, letters: Sequence[Batch], heads: int, inner: int) -> Network:
    """The network with so many heads and inner numbers in each layer, which say nearly the same of `letters`."""
    shape = replace(network.shape, heads=heads, inner=inner)
    made = Network(shape, len(LABELS), _beside_layers(network))
    made.eval()
    network.eval()
    with torch.no_grad():
        states = [made.begin(batch.pieces) for batch in letters]
        for at, (layer, cut) in enumerate(zip(_layers(network), _layers(made), strict=True), start=1):
            read = list(zip(states, letters, strict=True))
            looked = fewer_heads(layer, read, shape)
            cut.load_state_dict(fewer_inner(looked, read, shape).state_dict())
            states = [cut(x, batch.present) for x, batch in read]
            _say(f"layer {at} of {network.shape.layers}")
    return made


def fewer_heads(layer: Layer, letters: Read, shape: Shape) -> Layer:
    """The layer with as many heads as `shape` has, as it is otherwise."""
    seen = [layer.seen(x, batch.present)[batch.present] for x, batch in letters]
    kept, weight, bias = _rest(torch.cat(seen), layer.ao, shape.heads * HEAD, HEAD)
    rows = torch.cat([kept + part * layer.ao.in_features for part in range(3)])  # of queries, keys and values
    changed = {"qkv.weight": layer.qkv.weight[rows], "qkv.bias": layer.qkv.bias[rows]}
    return _with(layer, replace(shape, inner=layer.fi.out_features), {**changed, "ao.weight": weight, "ao.bias": bias})


def fewer_inner(layer: Layer, letters: Read, shape: Shape) -> Layer:
    """The layer with as many inner numbers as `shape` has."""
    seen = [functional.gelu(layer.fi(layer.look(x, batch.present)[batch.present])) for x, batch in letters]
    kept, weight, bias = _rest(torch.cat(seen), layer.fo, shape.inner)
    changed = {"fi.weight": layer.fi.weight[kept], "fi.bias": layer.fi.bias[kept]}
    return _with(layer, shape, {**changed, "fo.weight": weight, "fo.bias": bias})


def _with(layer: Layer, shape: Shape, changed: dict[str, Tensor]) -> Layer:
    made = Layer(shape)
    made.load_state_dict(layer.state_dict() | changed)
    made.eval()
    return made


def _layers(network: Network) -> Iterator[Layer]:
    return cast("Iterator[Layer]", iter(network.layers))


def _beside_layers(network: Network) -> dict[str, Tensor]:
    return {name: value for name, value in network.state_dict().items() if not name.startswith("layers.")}


def _rest(numbers: Tensor, dense: nn.Linear, left: int, together: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    """Which of the numbers that go into `dense` stay, `together` at a time, and its weights and bias for these.

    `numbers`: pieces by numbers.
    """
    numbers = torch.cat([numbers, torch.ones(len(numbers), 1)], 1).double()  # the last is what is always added
    squares = numbers.T @ numbers / len(numbers)
    wanted = squares @ torch.cat([dense.weight, dense.bias[:, None]], 1).double().T
    squares += _STEADY * squares.diagonal().mean() * torch.eye(len(squares)).double()
    kept = torch.arange(len(squares))
    while (stay := len(kept) - 1) > left:
        inverse = torch.linalg.inv(squares[kept][:, kept])
        weights = (inverse @ wanted[kept])[:-1].view(stay // together, together, -1)
        own = inverse[:-1, :-1].view(stay // together, together, stay // together, together)
        own = own.diagonal(dim1=0, dim2=2).permute(2, 0, 1)
        missed = (weights * torch.linalg.solve(own, weights)).sum((1, 2))
        least = missed.argsort()[: min(max(1, _AT_ONCE // together), (stay - left) // together)]
        stays = torch.ones(stay // together, dtype=torch.bool)
        stays[least] = False
        kept = kept[torch.cat([stays.repeat_interleave(together), torch.ones(1, dtype=torch.bool)])]
    weights = torch.linalg.solve(squares[kept][:, kept], wanted[kept]).T.float()
    return kept[:-1], weights[:, :-1], weights[:, -1]


def main() -> None:
    """Make the network smaller, and write it."""
    parser = argparse.ArgumentParser(prog="python -m web.moderation.second.narrow", description=__doc__)
    parser.add_argument("--corpus", type=Path, default=Path("tests/data/moderation"))
    parser.add_argument("--layers", type=int, default=10)
    parser.add_argument("--heads", type=int, default=8, help="of each layer")
    parser.add_argument("--inner", type=int, default=832, help="numbers of a piece between a layer's dense ones")
    options = parser.parse_args()
    place, about_place = data_file(NETWORK_FILE), data_file(ABOUT_FILE)
    source, pieces = random.Random(5), load_pieces()  # noqa: S311 - the same letters give the same network
    unknown = source.sample(list(read_corpus(options.corpus / GAUGE)), _CHOOSE_BY)
    known = source.sample([line for line in read_corpus(options.corpus) if not line.held_out], _LEARN_BY)
    gauge = batches_of(unknown, pieces)
    network = kept_network(place)
    _say(f"as it is: error {error(network, gauge):.3f}")
    network = shallower(network, gauge, options.layers)
    network = narrower(network, batches_of(known, pieces), options.heads, options.inner)
    _say(f"narrower: error {error(network, gauge):.3f}")
    write_graph({name: value.numpy() for name, value in network.state_dict().items()}, place)
    about = json.loads(about_place.read_text("utf-8"))
    about["history"].append({"layers": options.layers, "heads": options.heads, "inner": options.inner})
    about_place.write_text(json.dumps(about, indent=1) + "\n", "utf-8")


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - tells how far it is


if __name__ == "__main__":
    main()
