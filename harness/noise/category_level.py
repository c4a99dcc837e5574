"""Category-level noise: captions change places inside a category of images, or from one category to another."""

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from harness.errors import HarnessError
from harness.noise.base import (
    Descriptors,
    Index,
    NoiseModel,
    choose,
    deranged,
    one_thread,
    realised_rate,
    refuse,
)

_SHORT = 0.01  # of the rate: more than this and the results would stand beside those of another rate


class CategoryLevel(NoiseModel):
    """A share of the captions swap their images within their category of images, or across categories.

    Ours, for the question that CRCL's paper leaves open about category-level noise; the categories follow the usual
    recipe of label-noise work, where classes are confused and not single items. Categories are k-means clusters of
    image descriptors (images, d), because no data set here names any. New against caption_level: with `within`, a wrong
    image shows the same kind of thing (hard noise, the text is partly right); with `across` it never does (easy noise).
    As there, images are exchanged, never lost, and the captions of one image scatter; but no caption draws its own
    image again, so the realised rate is the nominal one. With the same rate and rng, the same captions are chosen for
    either swap and any number of categories.

    rate: share of the captions. swap: "within" or "across". categories: number of clusters; MS-COCO has 80 kinds of
    objects, and 80 clusters of Flickr30K have some 360 images each.
    """

    def __init__(
        self,
        *,
        rate: Annotated[float, Field(ge=0, le=1)] = 0.0,
        swap: Literal["within", "across"] = "within",
        categories: Annotated[int, Field(ge=2)] = 80,
    ) -> None:
        self.rate, self.swap, self.categories = rate, swap, categories

    def corrupt(self, image_of_caption: Index, rng: np.random.Generator, descriptors: Descriptors = refuse) -> Index:
        """Raises HarnessError when the categories leave too few captions a partner, or there are too few images."""
        paired = image_of_caption.copy()
        chosen = choose(len(paired), self.rate, rng)
        if not len(chosen):
            return paired
        category = clusters(descriptors(), self.categories, rng)[image_of_caption[chosen]]
        if self.swap == "across":
            groups, kinds = [np.arange(len(chosen))], category
        else:
            order = np.argsort(category, kind="stable")
            groups = np.split(order, np.flatnonzero(np.diff(category[order])) + 1)
            kinds = image_of_caption[chosen]
        for group in groups:
            places = chosen[group]
            paired[places] = image_of_caption[places[deranged(kinds[group], rng)]]
        found = realised_rate(paired, image_of_caption)
        if len(chosen) / len(paired) - found > _SHORT:
            raise HarnessError(
                f"noise.categories = {self.categories}: only {found:.4f} of the pairs can be made wrong, noise.rate is "
                f"{self.rate}; accepted: categories of several images each, and for swap across none with half of all "
                "images; lower it for within, raise it for across"
            )
        return paired


def clusters(descriptors: NDArray[np.float32], categories: int, rng: np.random.Generator) -> Index:
    """The category of each image, (images,) int64, by k-means; the same with any number of threads."""
    if len(descriptors) < categories:
        raise HarnessError(
            f"noise.categories = {categories}: the training set has {len(descriptors)} images; accepted: "
            f"2 to {len(descriptors)}; lower it"
        )
    from sklearn.cluster import KMeans

    with one_thread():
        model = KMeans(categories, n_init=1, random_state=int(rng.integers(2**31))).fit(descriptors)
    return model.labels_.astype(np.int64)
