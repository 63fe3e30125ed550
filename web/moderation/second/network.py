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
        self.q, self.k, self.v, self.ao = (nn.Linear(width, width) for _ in range(4))
        self.aln, self.oln = (nn.LayerNorm(width, _EPSILON) for _ in range(2))
        self.fi, self.fo = nn.Linear(width, inner), nn.Linear(inner, width)
        self.dropout = nn.Dropout(_DROPOUT)

    def forward(self, x: Tensor, present: Tensor) -> Tensor:
        """`x`: letters by pieces by width; `present`: letters by pieces, False for padding."""
        letters, pieces, width = x.shape
        q, k, v = (part(x).view(letters, pieces, self.heads, -1).transpose(1, 2) for part in (self.q, self.k, self.v))
        seen = functional.scaled_dot_product_attention(q, k, v, attn_mask=present[:, None, None, :])
        x = self.aln(x + self.dropout(self.ao(seen.transpose(1, 2).reshape(letters, pieces, width))))
        return self.oln(x + self.dropout(self.fo(functional.gelu(self.fi(x)))))


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
        x = self.dropout(self.ln(self.word(pieces) + self.position.weight[: pieces.shape[1]]))
        for layer in self.layers:
            x = layer(x, present)
        held = present[..., None].to(x.dtype)
        mean = (x * held).sum(1) / held.sum(1)
        most = (x - (1 - held) * 1e4).amax(1)
        return self.head(torch.cat([mean, most], 1))
