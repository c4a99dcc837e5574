"""Image-level noise (DECL, RCL, L2RM)."""

from typing import Annotated

import numpy as np
from pydantic import Field

from harness.noise.base import Descriptors, Index, NoiseModel, refuse, shuffled


class ImageLevel(NoiseModel):
    """A share of the images swap places at random; the captions of one image move together.

    As in the published files, an image may draw its own place again: about one of them does, whatever the rate. Results
    under this noise are not comparable with results under caption-level noise of the same rate.
    """

    def __init__(self, *, rate: Annotated[float, Field(ge=0, le=1)] = 0.0) -> None:
        self.rate = rate

    def corrupt(self, image_of_caption: Index, rng: np.random.Generator, descriptors: Descriptors = refuse) -> Index:
        images = np.arange(image_of_caption.max() + 1)
        return shuffled(images, self.rate, rng)[image_of_caption]
