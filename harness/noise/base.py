"""What every noise model is, and the file of its pairs that others can train on.

A noise model says which image each training caption is paired with, and which captions are damaged.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from harness.spec import Checked

Index = NDArray[np.int64]
Descriptors = Callable[[], NDArray[np.float32]]  # (images, d), rows of length 1; read only when called


def refuse() -> NDArray[np.float32]:
    """The descriptors of a caller that has none: enough for noise that does not look at the images."""
    raise LookupError("this noise model looks at the images: corrupt() needs their descriptors")


class NoiseModel(Checked):
    """Pairs training captions with images, some of them wrong.

    A model's `rate` is the share of the captions that are chosen for a wrong pair.

    Attributes:
        on_real: whether it may corrupt a data set that holds wrong pairs of its own, at a rate above 0.
    """

    on_real: ClassVar[bool] = False

    def corrupt(self, image_of_caption: Index, rng: np.random.Generator, descriptors: Descriptors = refuse) -> Index:
        """paired_image (captions,) int64, a new array; all randomness comes from `rng`.

        image_of_caption: (captions,) int64, the truth, images counted from 0 without gaps. descriptors: called by a
        model that needs to know which images look alike; products of its rows are cosines.
        """
        raise NotImplementedError

    def damage(self, texts: Sequence[str], rng: np.random.Generator) -> dict[int, str]:
        """New texts for some captions, by the caption's index. A pair with such a caption counts as wrong.

        Called after `corrupt`, with the same `rng`. Empty by default: most noise does not change captions.
        """
        return {}


def realised_rate(paired_image: Index, image_of_caption: Index) -> float:
    """Share of the captions that are paired with another image than their own."""
    return float((paired_image != image_of_caption).mean())


def save_index(paired_image: Index, path: Path) -> None:
    """Write the pairs as a caption-level index file, which NCR, BiCro, MSCN, CRCL and `index_file` here read."""
    with open(path, "wb") as file:  # np.save would add .npy to another suffix
        np.save(file, paired_image.astype(np.int64, copy=False))


def choose(count: int, rate: float, rng: np.random.Generator) -> Index:
    """A random share `rate` of `count` things (rounded to a whole number), in random order."""
    return rng.choice(count, size=round(rate * count), replace=False)


def shuffled(items: Index, rate: float, rng: np.random.Generator) -> Index:
    """`items` with a random share `rate` of them permuted among themselves."""
    chosen = choose(len(items), rate, rng)
    result = items.copy()
    result[chosen] = items[rng.permutation(chosen)]
    return result


@contextmanager
def one_thread() -> Iterator[None]:
    """Sums in one order, so that noise made of floats is the same with any number of threads.

    Another kind of processor may still round otherwise, and then a pair in a great many may differ: the sha256 of the
    pairs, in each result, says so, and the saved pairs of one run can be given to others as `index_file`.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # scikit-learn brings it

    with threadpool_limits(1):
        yield


def deranged(kinds: Index, rng: np.random.Generator) -> Index:
    """A random order in which nothing stands where one of its own kind stood: kinds[order] != kinds.

    kinds: (n,). A plain permutation first; then each item that came to its own kind changes places with a random one
    that mends both, of which there is one as long as no kind has more than half of the items. What such a kind has too
    many stays where it is.
    """
    order = rng.permutation(len(kinds))
    held = kinds[order]  # the kind of what stands at each place now
    for place in np.flatnonzero(held == kinds):
        kind = kinds[place]
        if held[place] != kind:
            continue  # mended as another's partner
        mends = np.flatnonzero((kinds != kind) & (held != kind))
        if len(mends):
            swap = [place, rng.choice(mends)]
            order[swap], held[swap] = order[swap[::-1]], held[swap[::-1]]
    for place in np.flatnonzero(held == kinds):  # its own item comes home; another of that kind takes that one's place
        swap = [place, np.flatnonzero(order == place)[0]]
        order[swap] = order[swap[::-1]]
    return order
