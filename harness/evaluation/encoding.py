"""Images and captions of a split, embedded by their rows, as a network sees them at test time."""

import numpy as np
import torch
from numpy.typing import NDArray

from harness.backbones.base import Backbone, Encoded
from harness.data.dataset import Split

Rows = NDArray[np.int64]


def encode_images(backbone: Backbone, split: Split, rows: Rows, device: torch.device | str) -> Encoded:
    """The images `rows` (n,) of a split, all their regions."""
    regions, lengths = (torch.from_numpy(array).to(device) for array in split.gather(rows))
    return backbone.encode_images(regions, lengths)


def encode_texts(backbone: Backbone, split: Split, rows: Rows, device: torch.device | str) -> Encoded:
    """The captions `rows` (n,) of a split."""
    tokens, lengths = (torch.from_numpy(array).to(device) for array in split.captions.padded(rows))
    return backbone.encode_texts(tokens, lengths)
