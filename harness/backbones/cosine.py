"""Backbones with one vector per image and per text, compared by the cosine."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from harness.backbones.base import Backbone, Encoded

_ENTRIES = 2**24  # numbers of a block of products, 64 MB


class CosineBackbone(Backbone):
    """Its encoders give unit vectors. There is no activation: with or without `raw`, scores are cosines.

    It has no head of its own. One that a method gives it takes the elementwise product of a pair's two vectors, whose
    sum is the cosine, and its output is the score.
    """

    head_name: ClassVar[str | None] = "score"

    def __init__(self, region_dim: int, vocabulary_size: int) -> None:
        super().__init__(region_dim, vocabulary_size)
        self.score: nn.Module | None = None

    def compare(self, images: Encoded, texts: Encoded) -> Tensor:
        """Cosines (images, texts), or what the head makes of products."""
        return self._scores(images.values, texts.values)

    def compare_within(self, encoded: Encoded) -> Tensor:
        """Cosines (n, n), or what the head makes of products."""
        return self._scores(encoded.values, encoded.values)

    def compare_pairs(self, images: Encoded, texts: Encoded) -> Tensor:
        """Cosines (n,), or what the head makes of products."""
        products = images.values * texts.values
        return products.sum(dim=-1) if self.score is None else self.score(products).squeeze(-1)

    def _scores(self, rows: Tensor, columns: Tensor) -> Tensor:
        if self.score is None:
            return rows @ columns.T
        size = max(1, _ENTRIES // columns.numel())
        blocks = [self.score(block[:, None] * columns).squeeze(-1) for block in rows.split(size)]
        return torch.cat(blocks)
