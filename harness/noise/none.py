"""No noise: the pairs as they are."""

import numpy as np

from harness.noise.base import Descriptors, Index, NoiseModel, refuse


class NoNoise(NoiseModel):
    """The pairs as they are. For a data set that is no benchmark: which of its pairs are wrong is the question."""

    def __init__(self) -> None:
        pass

    def corrupt(self, image_of_caption: Index, rng: np.random.Generator, descriptors: Descriptors = refuse) -> Index:
        return image_of_caption.copy()
