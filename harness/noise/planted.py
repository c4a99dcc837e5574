"""Swaps planted in a data set whose own wrong pairs are not known: how many of them are found can be counted."""

from typing import Annotated

import numpy as np
from pydantic import Field

from harness.noise.base import Descriptors, Index, NoiseModel, choose, deranged, refuse


class Planted(NoiseModel):
    """A share of the captions change places, each to the picture of another one and none to its own.

    For data as they were found, which other noise models refuse: to be named is the explicit wish to put wrong pairs
    among them. rate: share of the captions; at least two of them.
    """

    on_real = True

    def __init__(self, *, rate: Annotated[float, Field(gt=0, le=1)] = 0.05) -> None:
        self.rate = rate

    def corrupt(self, image_of_caption: Index, rng: np.random.Generator, descriptors: Descriptors = refuse) -> Index:
        chosen = choose(len(image_of_caption), max(self.rate, 2 / len(image_of_caption)), rng)
        result = image_of_caption.copy()
        result[chosen] = image_of_caption[chosen[deranged(image_of_caption[chosen], rng)]]
        return result
