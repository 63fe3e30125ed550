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
HEAD: Final = 32
"""Numbers a piece by which one head of attention looks."""
MOST_POSITIONS: Final = 192
MOST_OF_WEIGHTS: Final = 63
"""Weights are whole numbers up to it, of seven bits. Where a processor has no instruction for networks, only AVX2, ONNX
Runtime adds up two products of eight bits in sixteen, and what these do not hold is lost; with seven they always fit.
"""
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
    heads: int
    """By which each layer looks."""


class Dense(nn.Linear):
    """A dense layer that learns with its weights as whole numbers; gradients pass by (Bengio et al. 2013)."""

    def forward(self, x: Tensor) -> Tensor:
        """`x` times the weights, and the bias."""
        return functional.linear(x, in_whole_numbers(self.weight) if self.training else self.weight, self.bias)


class Layer(nn.Module):
    """Attention and two dense layers, each added to what came in and normalised after."""

    def __init__(self, shape: Shape) -> None:
        """As the shape says."""
        super().__init__()
        width, seen = shape.width, shape.heads * HEAD
        self.qkv, self.ao = Dense(width, 3 * seen), Dense(seen, width)
        self.aln, self.oln = (nn.LayerNorm(width, EPSILON) for _ in range(2))
        self.fi, self.fo = Dense(width, shape.inner), Dense(shape.inner, width)
        self.dropout = nn.Dropout(_DROPOUT)

    def forward(self, x: Tensor, present: Tensor) -> Tensor:
        """`x`: letters by pieces by width; `present`: letters by pieces, False for padding."""
        x = self.look(x, present)
        inner = functional.gelu(self.fi(x))
        return self.oln(x + self.dropout(self.fo(in_eight_bits(inner) if self.training else inner)))

    def look(self, x: Tensor, present: Tensor) -> Tensor:
        """What each piece is after looking at the others."""
        return self.aln(x + self.dropout(self.ao(self.seen(x, present))))

    def seen(self, x: Tensor, present: Tensor) -> Tensor:
        """What the heads see, side by side."""
        letters, pieces, _ = x.shape
        q, k, v = self.qkv(x).view(letters, pieces, 3, -1, HEAD).permute(2, 0, 3, 1, 4).unbind()
        # By hand: of letters this short the attention that comes with PyTorch takes four times as long.
        unseen = torch.where(present, 0.0, -1e4)[:, None, None, :]
        share = (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5 + unseen).softmax(-1)
        return (share @ v).transpose(1, 2).reshape(letters, pieces, -1)


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


def in_whole_numbers(weights: Tensor) -> Tensor:
    """Rows of weights with the error that whole numbers will make of them."""
    with torch.no_grad():
        step = (weights.abs().amax(1, keepdim=True) / MOST_OF_WEIGHTS).clamp_min(1e-8)
        error = (weights / step).round() * step - weights
    return weights + error


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
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.head = Dense(2 * shape.width, labels)
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
