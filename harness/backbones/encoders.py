"""Encoder parts that the backbones share: words to states, regions to vectors, a sequence of vectors to states."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from harness.backbones.base import length_mask, plain_cpu
from harness.backbones.recurrent import BiGRU
from harness.distributed import most, total, world

Images = Literal["set", "sequence"]  # vectors in no order, such as regions; in their order, such as frames
Kind = Literal["words", "set", "sequence"]


class WordEncoder(nn.Module):
    """Word embeddings and a BiGRU with averaged directions: tokens (n, L) -> states (n, L, embed_dim).

    Embeddings start uniform in (-0.1, 0.1), as the field's code has them. Packed, so padding costs and changes nothing.
    A word that a batch has often is multiplied once, where no dropout makes a different vector of each.
    """

    def __init__(self, vocabulary_size: int, word_dim: int, embed_dim: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, word_dim)
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        self.dropout = nn.Dropout(dropout)
        self.gru = BiGRU(word_dim, embed_dim)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        if plain_cpu(self.embedding.weight) and not (self.training and self.dropout.p):
            distinct, places = tokens.unique(return_inverse=True)
            if 2 * len(distinct) < int(lengths.sum()):  # of more, the copies cost what the product saves
                return self.gru.averaged(self.embedding(distinct), lengths, places)
        return self.gru.averaged(self.dropout(self.embedding(tokens)), lengths)


class SequenceEncoder(nn.Module):
    """A BiGRU with averaged directions over vectors in their order, as frames: (n, L, inputs) -> (n, L, embed_dim).

    What `WordEncoder` is for words, without the table of words. Packed, so padding costs and changes nothing.
    """

    def __init__(self, inputs: int, embed_dim: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.gru = BiGRU(inputs, embed_dim)

    def forward(self, vectors: Tensor, lengths: Tensor) -> Tensor:
        return self.gru.averaged(self.dropout(vectors), lengths)


def xavier_linear(inputs: int, outputs: int) -> nn.Linear:
    """A linear map with Xavier-uniform weights and a zero bias, as SCAN and its successors start theirs."""
    linear = nn.Linear(inputs, outputs)
    nn.init.xavier_uniform_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear


class BatchNorm(nn.BatchNorm1d):
    """BatchNorm of (n, channels) whose statistics, of several training processes, run over the rows of all.

    `nn.SyncBatchNorm` does that on GPUs alone.
    """

    def forward(self, input: Tensor) -> Tensor:
        if world() == 1 or not self.training:
            return super().forward(input)
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        rows = input.to(torch.promote_types(input.dtype, torch.float32))
        sums = total(torch.cat([rows.sum(dim=0), rows.new_tensor([len(rows)])]))  # (channels + 1,)
        count = sums[-1].detach()
        mean = sums[:-1] / count
        centred = rows - mean
        var = total(centred.square().sum(dim=0)) / count
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(var * count / (count - 1), self.momentum)
            self.num_batches_tracked += 1
        return torch.addcmul(self.bias, centred, self.weight * torch.rsqrt(var + self.eps)).to(input.dtype)


class RegionProjection(nn.Module):
    """VSE-infinity's image side: on every region a linear map plus a two-layer perceptron with BatchNorm.

    Dropped (padded) regions give zero rows. BatchNorm's statistics run over the real regions only.

    norm_padding: they also run over the padding up to the longest set of the batch, as in the released code. The two
    agree where no region is dropped, evaluation included.
    """

    def __init__(self, region_dim: int, embed_dim: int, *, norm_padding: bool = False) -> None:
        super().__init__()
        self.norm_padding = norm_padding
        self.linear = xavier_linear(region_dim, embed_dim)
        self.hidden = nn.Linear(region_dim, embed_dim // 2)
        self.norm = BatchNorm(embed_dim // 2)
        self.output = nn.Linear(embed_dim // 2, embed_dim)

    def forward(self, regions: Tensor, lengths: Tensor) -> Tensor:
        """(n, R, region_dim), lengths (n,) -> (n, R, embed_dim)."""
        images, items, _ = regions.shape
        if self.norm_padding and self.training:
            return self._with_padding(regions, lengths)
        real = length_mask(lengths, items).flatten().nonzero().squeeze(1)
        rows = regions.flatten(0, 1)
        if len(real) == len(rows):
            return self._project(rows).view(images, items, -1)
        projected = self._project(rows.index_select(0, real))  # no work is spent on padding
        padded = projected.new_zeros(len(rows), projected.shape[1]).index_copy(0, real, projected)
        return padded.view(images, items, -1)

    def _with_padding(self, regions: Tensor, lengths: Tensor) -> Tensor:
        images, items, _ = regions.shape
        longest = most(int(lengths.max()))
        padding = ~length_mask(lengths, longest)[:, :, None]
        rows = regions[:, :longest].masked_fill(padding, 0).flatten(0, 1)
        projected = self._project(rows).view(images, longest, -1).masked_fill(padding, 0)
        return nn.functional.pad(projected, (0, 0, 0, items - longest))

    def _project(self, rows: Tensor) -> Tensor:
        # One product for both maps of the same input: the regions, a step's largest tensor, are read once.
        weight = torch.cat([self.linear.weight, self.hidden.weight])
        bias = torch.cat([self.linear.bias, self.hidden.bias])
        both = nn.functional.linear(rows, weight, bias)
        linear, hidden = both.split([self.linear.out_features, self.hidden.out_features], dim=-1)
        # BatchNorm of strided rows is 30 times as slow on a CPU, and their copy a hundredth of a step.
        return linear + self.output(torch.relu(self.norm(hidden.contiguous())))


class LinearProjection(nn.Linear):
    """SCAN's image side: a linear map of every vector, Xavier-uniform. Padding becomes the bias: cover it."""

    def __init__(self, inputs: int, embed_dim: int) -> None:
        super().__init__(inputs, embed_dim)
        nn.init.xavier_uniform_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, vectors: Tensor, lengths: Tensor | None = None) -> Tensor:
        return super().forward(vectors)


def side_encoder(
    kind: Kind,
    of_set: Callable[[int, int], nn.Module],
    inputs: int,
    embed_dim: int,
    *,
    word_dim: int = 0,
    dropout: float = 0.0,
) -> nn.Module:
    """What makes vectors (n, L, embed_dim) of one side's items, called with them and their lengths (n,).

    kind: "words", numbers below `inputs`, through `WordEncoder`; "sequence", vectors of `inputs` numbers whose order
    counts, through `SequenceEncoder`; "set", vectors in no order, through what `of_set` makes of the two sizes.
    """
    if kind == "words":
        return WordEncoder(inputs, word_dim, embed_dim, dropout=dropout)
    if kind == "sequence":
        return SequenceEncoder(inputs, embed_dim, dropout=dropout)
    return of_set(inputs, embed_dim)
