"""The network of the second reading, as it is trained: a transformer (Vaswani et al. 2017) over pieces of words.

It begins as multilingual-e5-small (Wang et al. 2024, MIT licence), with its table of pieces cut down to English and
French. For training alone; needs PyTorch.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from web.moderation.second.base import Base
from web.moderation.second.pieces import PADDING

_EPSILON = 1e-12
_DROPOUT = 0.1
MOST_POSITIONS = 192


class Layer(nn.Module):
    """Attention and two dense layers, each added to what came in and normalised after."""

    def __init__(self, width: int, inner: int, heads: int) -> None:
        """`width` numbers a piece, `inner` between the dense layers."""
        super().__init__()
        self.heads = heads
        self.qkv, self.ao = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.aln, self.oln = (nn.LayerNorm(width, _EPSILON) for _ in range(2))
        self.fi, self.fo = nn.Linear(width, inner), nn.Linear(inner, width)
        self.dropout = nn.Dropout(_DROPOUT)

    def forward(self, x: Tensor, present: Tensor | None) -> Tensor:
        """`x`: letters by pieces by width; `present`: letters by pieces, False for padding; None if there is none."""
        letters, pieces, width = x.shape
        q, k, v = self.qkv(x).view(letters, pieces, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind()
        mask = None if present is None else present[:, None, None, :]
        seen = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        x = self.aln(x + self.dropout(self.ao(seen.transpose(1, 2).reshape(letters, pieces, width))))
        inner = functional.gelu(self.fi(x))
        return self.oln(x + self.dropout(self.fo(in_eight_bits(inner) if self.training else inner)))


def in_eight_bits(x: Tensor) -> Tensor:
    """`x` with the error that whole numbers of eight bits, over all of a letter, will make of it; gradients pass by.

    Learning with it keeps the network from numbers so far apart that eight bits lose the small ones.
    """
    with torch.no_grad():
        least, most = x.amin((1, 2), keepdim=True), x.amax((1, 2), keepdim=True)
        step = ((most - least) / 255).clamp_min(1e-8)
        error = (x / step).round() * step - x
    return x + error


class Network(nn.Module):
    """From pieces of letters to a logit for each label."""

    def __init__(self, base: Base, labels: int) -> None:
        """As `base` is, with a fresh last layer."""
        super().__init__()
        self.word = nn.Embedding(base.pieces, base.width)
        self.position = nn.Embedding(MOST_POSITIONS, base.width)
        self.ln = nn.LayerNorm(base.width, _EPSILON)
        self.dropout = nn.Dropout(_DROPOUT)
        self.layers = nn.ModuleList(Layer(base.width, base.inner, base.heads) for _ in range(base.layers))
        self.head = nn.Linear(2 * base.width, labels)
        base.copy_into(self)

    def forward(self, pieces: Tensor) -> Tensor:
        """`pieces`: letters by pieces, padded; letters by labels come out."""
        present = pieces != PADDING
        x = self._layered(pieces, present)
        held = present[..., None].to(x.dtype)
        mean = (x * held).sum(1) / held.sum(1)
        most = (x - (1 - held) * 1e4).amax(1)
        return self.head(torch.cat([mean, most], 1))

    def of_one(self, pieces: Tensor) -> Tensor:
        """Likewise for one letter, which needs no padding and so no masks."""
        x = self._layered(pieces, None)
        return self.head(torch.cat([x.mean(1), x.amax(1)], 1))

    def _layered(self, pieces: Tensor, present: Tensor | None) -> Tensor:
        x = self.dropout(self.ln(self.word(pieces) + self.position.weight[: pieces.shape[1]]))
        for layer in self.layers:
            x = layer(x, present)
        return x


class OfOne(nn.Module):
    """The network as it is asked where letters are read: one at a time."""

    def __init__(self, network: Network) -> None:
        """Of the same weights."""
        super().__init__()
        self.network = network

    def forward(self, pieces: Tensor) -> Tensor:
        """`pieces`: one letter by pieces."""
        return self.network.of_one(pieces)
