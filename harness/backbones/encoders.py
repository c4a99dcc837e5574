"""Encoder parts that the backbones share: words to states, regions to vectors."""

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from harness.backbones.base import length_mask


class WordEncoder(nn.Module):
    """Word embeddings and a BiGRU whose two directions are averaged: tokens (n, L) -> states (n, L, embed_dim).

    Embeddings start uniform in (-0.1, 0.1), as the field's code has them. Packed, so padding costs and changes nothing.
    """

    def __init__(self, vocabulary_size: int, word_dim: int, embed_dim: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, word_dim)
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        self.dropout = nn.Dropout(dropout)
        self.gru = nn.GRU(word_dim, embed_dim, batch_first=True, bidirectional=True)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        words = self.dropout(self.embedding(tokens))  # (n, L, word_dim)
        packed = pack_padded_sequence(words, lengths.cpu(), batch_first=True, enforce_sorted=False)
        states, _ = pad_packed_sequence(self.gru(packed)[0], batch_first=True, total_length=tokens.shape[1])
        forward, backward = states.chunk(2, dim=-1)
        return (forward + backward) / 2


def xavier_linear(inputs: int, outputs: int) -> nn.Linear:
    """A linear map with Xavier-uniform weights and a zero bias, as SCAN and its successors start theirs."""
    linear = nn.Linear(inputs, outputs)
    nn.init.xavier_uniform_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear


class RegionProjection(nn.Module):
    """A linear map plus a residual two-layer perceptron with BatchNorm, on every region: VSE-infinity's image side.

    BatchNorm's statistics run over the real regions only; dropped (padded) ones give zero rows. The released code lets
    zero rows of padding into the statistics; the two agree where no region is dropped, evaluation included.
    """

    def __init__(self, region_dim: int, embed_dim: int) -> None:
        super().__init__()
        self.linear = xavier_linear(region_dim, embed_dim)
        self.hidden = nn.Linear(region_dim, embed_dim // 2)
        self.norm = nn.BatchNorm1d(embed_dim // 2)
        self.output = nn.Linear(embed_dim // 2, embed_dim)

    def forward(self, regions: Tensor, lengths: Tensor) -> Tensor:
        """(n, R, region_dim), lengths (n,) -> (n, R, embed_dim)."""
        mask = length_mask(lengths, regions.shape[1])
        real = regions[mask]  # (real regions, region_dim): no work is spent on padding
        projected = self._project(real)
        return projected.new_zeros(*mask.shape, projected.shape[-1]).masked_scatter(mask[:, :, None], projected)

    def _project(self, rows: Tensor) -> Tensor:
        # One product for both maps of the same input: the regions, the largest thing in a step, are read once.
        weight = torch.cat([self.linear.weight, self.hidden.weight])
        bias = torch.cat([self.linear.bias, self.hidden.bias])
        both = nn.functional.linear(rows, weight, bias)
        linear, hidden = both.split([self.linear.out_features, self.hidden.out_features], dim=-1)
        return linear + self.output(torch.relu(self.norm(hidden)))
