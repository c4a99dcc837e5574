"""Networks as small as those that the golden values of whole training steps were made with."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from harness.backbones.base import Encoded
from harness.backbones.cosine import CosineBackbone
from harness.data.batches import Batch
from harness.parity.reading import double


class TwoProjections(CosineBackbone):
    """One linear map of images (n, d) and one of texts (n, d'), both without a bias, given as their weights."""

    def __init__(self, image_proj: NDArray[Any], text_proj: NDArray[Any]) -> None:
        super().__init__(image_proj.shape[1], 1)
        self.image_proj = nn.Parameter(double(image_proj))
        self.text_proj = nn.Parameter(double(text_proj))

    @property
    def pair_dim(self) -> int:
        return len(self.image_proj)

    def encode_images(self, regions: Tensor, lengths: Tensor) -> Encoded:
        return Encoded(regions @ self.image_proj.T, lengths, "images")

    def encode_texts(self, tokens: Tensor, lengths: Tensor) -> Encoded:
        return Encoded(tokens @ self.text_proj.T, lengths, "texts")


def pairs_of(images: NDArray[Any], texts: NDArray[Any]) -> Batch:
    """A batch of such images and texts."""
    count = torch.ones(len(images), dtype=torch.long)
    return Batch(double(images), count, double(texts), count, torch.from_numpy(np.arange(len(images))))
