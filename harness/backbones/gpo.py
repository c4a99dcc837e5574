"""Generalised pooling operator (Chen et al., "Learning the Best Pooling Strategy for Visual Semantic
Embedding", CVPR 2021).

The values of each channel are sorted over an image's regions (or a text's words) and averaged with weights that a
small BiGRU reads off the positions. The weights depend on the number of items alone, never on the features: a table for
every length up to the longest is computed once per call, and each sample looks its row up.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from harness.backbones.base import blocks_of, length_mask, plain_cpu
from harness.backbones.recurrent import BiGRU

TEMPERATURE = 0.1  # of the softmax over positions, fixed in the paper's code
BLOCK_BYTES = 2**20  # of the doubles sorted at once


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
        self.gru = BiGRU(dim, dim)
        self.score = nn.Linear(dim, 1, bias=False)

    def weight_table(self, items: int) -> Tensor:
        """(items, items): row l - 1 holds the weights of a set of l items, largest value first, zero beyond."""
        positions = positional_encoding(items, self.dim).to(self.score.weight).expand(items, -1, -1)
        scores = self.score(self.gru.averaged(positions, torch.arange(1, items + 1))).squeeze(-1)
        mask = length_mask(torch.arange(1, items + 1, device=scores.device), items)
        return torch.softmax((scores / TEMPERATURE).masked_fill(~mask, -torch.inf), dim=-1)

    def forward(self, values: Tensor, lengths: Tensor) -> Tensor:
        """values (n, items, d), lengths (n,) in 1..items -> (n, d)."""
        weights = self.weight_table(values.shape[1])[lengths - 1].to(values.dtype)  # (n, items)
        return sorted_average(values, weights, length_mask(lengths, values.shape[1]))


def sorted_average(values: Tensor, weights: Tensor, mask: Tensor) -> Tensor:
    """sum_k weights[n, k] * (k-th largest of values[n, :, d] where mask), (n, d).

    values (n, items, d), weights (n, items), zero beyond a row's number of true items, mask (n, items).
    """
    if plain_cpu(values) and values.dtype == torch.float32:
        pooled: Tensor = _SortedAverage.apply(values, weights, mask)
        return pooled
    values = values.masked_fill(~mask[:, :, None], torch.finfo(values.dtype).min)
    descending = values.sort(dim=1, descending=True).values.masked_fill(~mask[:, :, None], 0)
    return torch.einsum("nk,nkd->nd", weights, descending)


class _SortedAverage(torch.autograd.Function):
    """The CPU's way, a block of samples at a time. numpy sorts short rows of doubles with vector instructions, about 8
    times as fast as torch sorts values and places. A float32 leaves 29 bits of a double unused: the place goes there,
    and comes out of the sort with its value, which rounding back to float32 restores exactly."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, weights: Tensor, mask: Tensor) -> Tensor:
        count, items, dim = values.shape
        bits = (1 << (items - 1).bit_length()) - 1  # as many as the largest place has
        place = torch.arange(items)
        ascending = values.new_empty(count, dim, items)
        places = torch.empty(count, dim, items, dtype=torch.uint8 if items <= 2**8 else torch.int32)
        for rows in _blocks(values):
            keys = values[rows].transpose(1, 2).to(torch.float64, memory_format=torch.contiguous_format)
            keys.masked_fill_(~mask[rows, None], torch.finfo(values.dtype).min)  # padding comes first
            keys.view(torch.int64).bitwise_or_(place)
            keys.numpy().sort(axis=-1)
            ascending[rows] = keys
            places[rows] = keys.view(torch.int64).bitwise_and_(bits)
        ctx.save_for_backward(ascending, places, weights, mask)
        return (ascending @ weights.flip(1)[:, :, None]).squeeze(2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        ascending, places, weights, mask = ctx.saved_tensors
        to_values = grad.new_empty(len(grad), weights.shape[1], grad.shape[1])
        for rows in _blocks(to_values):
            ways = grad[rows, :, None] * weights[rows].flip(1)[:, None, :]  # (block, d, k), in the sorted order
            to_values[rows] = torch.empty_like(ways).scatter_(2, places[rows].long(), ways).transpose(1, 2)
        to_weights = (grad[:, None, :] @ ascending).squeeze(1).flip(1)
        # Padding has no weight: its product with the gradient means nothing.
        return to_values, to_weights.masked_fill(~mask, 0), None


def _blocks(values: Tensor) -> list[slice]:
    return blocks_of(len(values), values[0].numel() * 8, BLOCK_BYTES)
