"""Generalised pooling operator (Chen et al., "Learning the Best Pooling Strategy for Visual Semantic Embedding", CVPR 2021).

The values of each channel are sorted over an image's regions (or a text's words) and averaged with weights that a small
BiGRU reads off the positions. The weights depend on the number of items alone, never on the features: a table for every
length up to the longest is computed once per call, and each sample looks its row up.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from harness.backbones.base import length_mask

TEMPERATURE = 0.1  # of the softmax over positions, fixed in the paper's code


def positional_encoding(items: int, dim: int) -> Tensor:
    """(items, dim): sines in even columns, cosines in odd ones, wavelengths from 2 pi to 10000 * 2 pi."""
    position = torch.arange(items, dtype=torch.float32)[:, None]
    rate = torch.exp(torch.arange(0, dim, 2, dtype=torch.float32) * (-math.log(10000.0) / dim))
    return torch.stack([torch.sin(position * rate), torch.cos(position * rate)], dim=-1).flatten(1)


class GPO(nn.Module):
    """Pools (n, items, d) to (n, d)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.gru = nn.GRU(dim, dim, batch_first=True, bidirectional=True)
        self.score = nn.Linear(dim, 1, bias=False)

    def weight_table(self, items: int, device: torch.device) -> Tensor:
        """(items, items): row l - 1 holds the weights of a set of l items, largest value first, zero beyond l."""
        lengths = torch.arange(items, 0, -1)
        positions = positional_encoding(items, self.dim).to(device).expand(items, -1, -1)
        packed = pack_padded_sequence(positions, lengths, batch_first=True)
        states, _ = pad_packed_sequence(self.gru(packed)[0], batch_first=True)
        forward, backward = states.chunk(2, dim=-1)
        scores = self.score((forward + backward) / 2).squeeze(-1).flip(0)  # (items, items), by length
        mask = length_mask(torch.arange(1, items + 1, device=device), items)
        return torch.softmax((scores / TEMPERATURE).masked_fill(~mask, -torch.inf), dim=-1)

    def forward(self, values: Tensor, lengths: Tensor) -> Tensor:
        """values (n, items, d), lengths (n,) in 1..items -> (n, d)."""
        items = values.shape[1]
        weights = self.weight_table(items, values.device)[lengths - 1]  # (n, items)
        mask = length_mask(lengths, items)[:, :, None]
        lowest = torch.finfo(values.dtype).min
        descending = values.masked_fill(~mask, lowest).sort(dim=1, descending=True).values
        descending = descending.masked_fill(~mask, 0)
        return torch.einsum("nk,nkd->nd", weights.to(values.dtype), descending)
