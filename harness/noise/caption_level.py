"""Caption-level noise (NCR, BiCro, MSCN, NPC, CRCL)."""

from typing import Annotated

import numpy as np
from pydantic import Field

from harness.noise.base import Descriptors, Index, NoiseModel, refuse, shuffled


class CaptionLevel(NoiseModel):
    """A share of the captions swap their images at random; the captions of one image scatter.

    As in the published files, a caption may draw its own image again. Of all captions about 1 + (c - 1) rate do, where
    c is the number of captions per image: 1, 0 and 4 of Flickr30K's 145,000 at rates 0.2, 0.4 and 0.6. So the realised
    rate equals the nominal one to 1e-4. On a set of a few dozen captions it can be visibly lower.
    """

    def __init__(self, *, rate: Annotated[float, Field(ge=0, le=1)] = 0.0) -> None:
        self.rate = rate

    def corrupt(self, image_of_caption: Index, rng: np.random.Generator, descriptors: Descriptors = refuse) -> Index:
        return shuffled(image_of_caption, self.rate, rng)
