"""Noise from a published index file, to train on exactly the pairs of another paper."""

from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from harness.errors import HarnessError
from harness.files import open_array, refuse_other_file
from harness.noise.base import Descriptors, Index, NoiseModel, realised_rate, refuse
from harness.spec import NotScience

_TOLERANCE = 0.005  # published files keep within 1e-4 of the rate in their name; the next rate is 0.1 away


class IndexFile(NoiseModel):
    """The pairs of a published .npy index file, which must fit the data set and the stated rate.

    path: one image number for each training caption (caption-level, as NCR and CRCL publish), or one for each training
    image, whose captions all move (image-level, as RCL publishes). Images count from 0 in the order of the distinct
    rows of the features. rate: share of wrong pairs that the file is said to hold. The released codes let a file
    override the rate in silence; here a contradiction is an error. sha256: of the file's bytes; left out, it is that of
    the file at `path`, so that a run's fingerprint depends on what the file holds and not on where it lies.
    """

    def __init__(
        self, *, path: Annotated[str, NotScience], rate: Annotated[float, Field(ge=0, le=1)], sha256: str = ""
    ) -> None:
        self.path = path
        self.rate = rate
        self.sha256 = sha256

    def corrupt(self, image_of_caption: Index, rng: np.random.Generator, descriptors: Descriptors = refuse) -> Index:
        index = self._read()
        refuse_other_file(self.path, self.sha256, what=f"noise.path = {self.path}", key="noise.sha256 = ")
        images = int(image_of_caption.max()) + 1
        if index.shape not in ((len(image_of_caption),), (images,)):
            raise HarnessError(
                f"noise.path = {self.path}: shape {index.shape} does not fit the training set; "
                f"accepted: ({len(image_of_caption)},), one per caption, or ({images},), one per image; "
                "take the file made for this data set"
            )
        if index.min() < 0 or index.max() >= images:
            raise HarnessError(
                f"noise.path = {self.path}: holds image numbers from {index.min()} to {index.max()}; "
                f"accepted: 0 to {images - 1}; take the file made for this data set"
            )
        paired = index if len(index) == len(image_of_caption) else index[image_of_caption]
        found = realised_rate(paired, image_of_caption)
        if abs(found - self.rate) > _TOLERANCE:
            raise HarnessError(
                f"noise.path = {self.path}: {found:.4f} of its pairs are wrong, noise.rate is {self.rate}; "
                f"accepted: a file within {_TOLERANCE} of the rate; set its own rate or take another file"
            )
        return paired

    def _read(self) -> Index:
        try:
            index = open_array(Path(self.path))
        except FileNotFoundError:
            reason = "there is no such file"
        except HarnessError:
            reason = "not a readable .npy file"
        else:
            if index.dtype.kind in "iu" and index.size:
                return index.astype(np.int64)
            reason = "holds no whole numbers"
        raise HarnessError(
            f"noise.path = {self.path}: {reason}; "
            "accepted: a .npy array of whole numbers, one per training caption or image; correct the path"
        )
