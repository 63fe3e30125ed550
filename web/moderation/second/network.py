"""The network of the second reading, as it is trained: a transformer (Vaswani et al. 2017) over pieces of words.

It begins as multilingual-e5-small (Wang et al. 2024, MIT licence), with its table of pieces cut down to English and
French. For training alone; needs PyTorch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from web.moderation.second.pieces import PADDING

EPSILON: Final = 1e-12
HEADS: Final = 12
MOST_POSITIONS: Final = 192
_DROPOUT: Final = 0.1


@dataclass(frozen=True, slots=True)
class Shape:
    """How large a network is."""

    pieces: int
    width: int
    """Numbers a piece."""
    inner: int
    """Numbers a piece between the dense layers."""
    layers: int


class Layer(nn.Module):
    """Attention and two dense layers, each added to what came in and normalised after."""

    def __init__(self, width: int, inner: int) -> None:
        """As the shape says."""
        super().__init__()
        self.qkv, self.ao = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.aln, self.oln = (nn.LayerNorm(width, EPSILON) for _ in range(2))
        self.fi, self.fo = nn.Linear(width, inner), nn.Linear(inner, width)
        self.dropout = nn.Dropout(_DROPOUT)

    def forward(self, x: Tensor, present: Tensor) -> Tensor:
        """`x`: letters by pieces by width; `present`: letters by pieces, False for padding."""
        x = self.look(x, present)
        inner = functional.gelu(self.fi(x))
        return self.oln(x + self.dropout(self.fo(in_eight_bits(inner) if self.training else inner)))

    def look(self, x: Tensor, present: Tensor) -> Tensor:
        """What each piece is after looking at the others."""
        letters, pieces, width = x.shape
        q, k, v = self.qkv(x).view(letters, pieces, 3, HEADS, -1).permute(2, 0, 3, 1, 4).unbind()
        # By hand: of letters this short the attention that comes with PyTorch takes four times as long.
        unseen = torch.where(present, 0.0, -1e4)[:, None, None, :]
        share = (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5 + unseen).softmax(-1)
        return self.aln(x + self.dropout(self.ao((share @ v).transpose(1, 2).reshape(letters, pieces, width))))


def in_eight_bits(x: Tensor) -> Tensor:
    """`x` with the error that whole numbers of eight bits, over all of a letter, will make of it; gradients pass by.

    Learning with it keeps the network from numbers so far apart that eight bits lose the small ones.
    """
    x = x.float()
    with torch.no_grad():
        least, most = x.amin((1, 2), keepdim=True), x.amax((1, 2), keepdim=True)
        step = ((most - least) / 255).clamp_min(1e-8)
        error = (x / step).round() * step - x
    return x + error


class Network(nn.Module):
    """From pieces of letters to a logit for each label."""

    def __init__(self, shape: Shape, labels: int, weights: Mapping[str, Tensor]) -> None:
        """With these weights, by name; what they lack is fresh."""
        super().__init__()
        self.shape = shape
        self.word = nn.Embedding(shape.pieces, shape.width)
        self.position = nn.Embedding(MOST_POSITIONS, shape.width)
        self.ln = nn.LayerNorm(shape.width, EPSILON)
        self.dropout = nn.Dropout(_DROPOUT)
        self.layers = nn.ModuleList(Layer(shape.width, shape.inner) for _ in range(shape.layers))
        self.head = nn.Linear(2 * shape.width, labels)
        self.load_state_dict({**self.state_dict(), **weights})

    def forward(self, pieces: Tensor) -> Tensor:
        """`pieces`: letters by pieces, padded; letters by labels come out."""
        present = pieces != PADDING
        x = self.begin(pieces)
        for layer in self.layers:
            x = layer(x, present)
        there = present[..., None].to(x.dtype)
        mean = (x * there).sum(1) / there.sum(1)
        most = (x - (1 - there) * 1e4).amax(1)
        return self.head(torch.cat([mean, most], 1))

    def begin(self, pieces: Tensor) -> Tensor:
        """What goes into the first layer."""
        return self.dropout(self.ln(self.word(pieces) + self.position.weight[: pieces.shape[1]]))
