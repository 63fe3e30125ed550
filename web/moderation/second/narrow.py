"""`python -m web.moderation.second.narrow`: a smaller network that answers as the one that is there does, nearly.

Ten minutes of two cores.

Layers are left out one by one, each time the one without which the answers to letters of the gauge are best. Of the
inner numbers of the layers that stay those are left out for which the others make up best, by least squares over
letters that were learned (Hassibi and Stork 1993, "Optimal Brain Surgeon"). Writes `network.onnx`; a training that goes
on with all letters has to follow, best with the larger network as its teacher. Needs PyTorch and ONNX.
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
from torch import Tensor
from torch.nn import functional

from relay.data_files import data_file
from web.moderation.corpus import GAUGE, Line, read_corpus
from web.moderation.second.graph import write_graph
from web.moderation.second.network import Layer, Network
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
"""Of the mean square of the inner numbers, what is added where two of them are alike."""
_INNER: Final = ("fi.weight", "fi.bias", "fo.weight", "fo.bias")


@dataclass(frozen=True, slots=True)
class Batch:
    """Letters of about the same length."""

    pieces: Tensor
    labels: Tensor

    @property
    def present(self) -> Tensor:
        """Letters by pieces, False for padding."""
        return cast("Tensor", self.pieces != PADDING)


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


def narrower(network: Network, letters: Sequence[Batch], inner: int) -> Network:
    """The network with so many inner numbers in each layer, the rest of which says nearly the same of `letters`."""
    made = Network(replace(network.shape, inner=inner), len(LABELS), _beside_layers(network))
    made.eval()
    network.eval()
    with torch.no_grad():
        states = [made.begin(batch.pieces) for batch in letters]
        for at, (layer, cut) in enumerate(zip(_layers(network), _layers(made), strict=True), start=1):
            weights = _cut(layer, list(zip(states, letters, strict=True)), inner)
            cut.load_state_dict(layer.state_dict() | weights)
            states = [cut(x, batch.present) for x, batch in zip(states, letters, strict=True)]
            _say(f"layer {at} of {network.shape.layers}")
    return made


def _layers(network: Network) -> Iterator[Layer]:
    return cast("Iterator[Layer]", iter(network.layers))


def _beside_layers(network: Network) -> dict[str, Tensor]:
    return {name: value for name, value in network.state_dict().items() if not name.startswith("layers.")}


def _cut(layer: Layer, letters: Sequence[tuple[Tensor, Batch]], inner: int) -> dict[str, Tensor]:
    """The inner weights of a layer of which only so many numbers are left."""
    seen = (layer.look(x, batch.present)[batch.present] for x, batch in letters)
    numbers = torch.cat([functional.gelu(layer.fi(x)) for x in seen]).double()
    numbers = torch.cat([numbers, torch.ones(len(numbers), 1).double()], 1)  # the last is what is always added
    squares = numbers.T @ numbers / len(numbers)
    wanted = squares @ torch.cat([layer.fo.weight, layer.fo.bias[:, None]], 1).double().T
    steady = _STEADY * squares.diagonal().mean() * torch.eye(len(squares)).double()
    kept = torch.arange(len(squares))
    while len(kept) - 1 > inner:
        inverse = torch.linalg.inv((squares + steady)[kept][:, kept])
        missed = ((inverse @ wanted[kept])[:-1] ** 2).sum(1) / inverse.diagonal()[:-1]
        least = missed.argsort()[: min(_AT_ONCE, len(kept) - 1 - inner)]
        stays = torch.ones(len(kept), dtype=torch.bool)
        stays[least] = False
        kept = kept[stays]
    outward = torch.linalg.solve((squares + steady)[kept][:, kept], wanted[kept]).T.float()
    kept = kept[:-1]
    values = (layer.fi.weight[kept], layer.fi.bias[kept], outward[:, :-1], outward[:, -1])
    return dict(zip(_INNER, values, strict=True))


def main() -> None:
    """Make the network smaller, and write it."""
    parser = argparse.ArgumentParser(prog="python -m web.moderation.second.narrow", description=__doc__)
    parser.add_argument("--corpus", type=Path, default=Path("tests/data/moderation"))
    parser.add_argument("--layers", type=int, default=10)
    parser.add_argument("--inner", type=int, default=1024, help="numbers of a piece between a layer's dense ones")
    options = parser.parse_args()
    place, about_place = data_file(NETWORK_FILE), data_file(ABOUT_FILE)
    source, pieces = random.Random(5), load_pieces()  # noqa: S311 - the same letters give the same network
    unknown = source.sample(list(read_corpus(options.corpus / GAUGE)), _CHOOSE_BY)
    known = source.sample([line for line in read_corpus(options.corpus) if not line.held_out], _LEARN_BY)
    gauge = batches_of(unknown, pieces)
    network = kept_network(place)
    _say(f"as it is: error {error(network, gauge):.3f}")
    network = narrower(shallower(network, gauge, options.layers), batches_of(known, pieces), options.inner)
    _say(f"narrower: error {error(network, gauge):.3f}")
    write_graph({name: value.numpy() for name, value in network.state_dict().items()}, place)
    about = json.loads(about_place.read_text("utf-8"))
    about["history"].append({"layers": options.layers, "inner": options.inner})
    about_place.write_text(json.dumps(about, indent=1) + "\n", "utf-8")


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - tells how far it is


if __name__ == "__main__":
    main()
