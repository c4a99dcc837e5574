"""Every training pair as two vectors, for methods that look for pairs that resemble each other."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.methods.base import Network, Training

AT_ONCE = 256  # pairs encoded together


def global_vectors(encoded: Any) -> Tensor:
    """(n, d): the mean over the items of each of n images or texts, or its one vector."""
    values: Tensor = encoded.values
    return values if values.ndim == 2 else values.sum(dim=1) / encoded.lengths[:, None]


def every_vector(training: Training, network: Network) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(images, texts), each (pairs, d), of every training pair, in evaluation mode and without augmentation."""
    found = []
    with network.looking():
        for rows in torch.arange(training.pairs).split(AT_ONCE):
            encoded = network.encode(training.read(rows.numpy()))
            found.append(torch.stack([global_vectors(each).float().cpu() for each in encoded]))
    images, texts = torch.cat(found, dim=1).numpy()
    return images, texts
