"""Captions that came too early or too late: noise as videos have it. Ours; no paper's.

Source of the idea: in narrated videos people speak of what they do before or after they do it (Miech et al.,
"End-to-End Learning of Visual Representations from Uncurated Instructional Videos", CVPR 2020, which lets a clip choose
among neighbouring captions for that reason).
"""

from typing import Annotated

import numpy as np
from pydantic import Field

from harness.errors import HarnessError
from harness.noise.base import Descriptors, Index, NoiseModel, choose, refuse


class Shifted(NoiseModel):
    """A share of the captions stands with a neighbour of its image: one of the `reach` before or behind it.

    Neighbours are those of the data set's order, so images have to be clips in the order of their time; after the last
    one comes the first. A wrong pair is harder to tell than a random one where neighbours look alike, and an image may
    get any number of captions. Every chosen caption is wrong: the realised rate is the nominal one.
    """

    def __init__(
        self,
        *,
        rate: Annotated[float, Field(ge=0, le=1)] = 0.0,
        reach: Annotated[int, Field(ge=1)] = 1,
    ) -> None:
        self.rate = rate
        self.reach = reach

    def corrupt(self, image_of_caption: Index, rng: np.random.Generator, descriptors: Descriptors = refuse) -> Index:
        images = int(image_of_caption.max()) + 1
        chosen = choose(len(image_of_caption), self.rate, rng)
        if len(chosen) and self.reach >= images:
            raise HarnessError(
                f"noise = shifted: reach = {self.reach} among {images} images; accepted: at most {images - 1}"
            )
        steps = rng.integers(1, self.reach + 1, len(chosen)) * rng.choice([-1, 1], len(chosen))
        paired = image_of_caption.copy()
        paired[chosen] = (paired[chosen] + steps) % images
        return paired
