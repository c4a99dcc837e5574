"""The data set on which training is timed: as large as asked for, over a sparse file that takes no space."""

from pathlib import Path

import numpy as np
import torch

from harness.bench.sizes import Sizes
from harness.data import Augmentation, Captions, Dataset, DatasetCard, Split, Vocabulary
from harness.data.batches import Batch
from harness.data.vocabulary import SPECIAL
from harness.seeds import rng_for

CAPTIONS_PER_IMAGE = 5
# Tokens between <start> and <end>: a gamma distribution with the mean and deviation of Flickr8k's captions, 11.9 +- 4.1
_SHAPE, _SCALE = 8.5, 1.4
_ZIPF = 1.2  # the k-th most frequent word is drawn 1 / k^1.2 as often: a quarter of a batch's words are distinct


class Stage(Dataset):
    """A training split over a sparse feature file: it reads as zeros, through the same memory map as a real one."""

    def __init__(self, folder: Path, sizes: Sizes) -> None:
        super().__init__("bench", folder, DatasetCard(name="bench", folder=folder.name))
        self.sizes = sizes
        self.region_dim = sizes.region_dim
        self.vocabulary = Vocabulary((*SPECIAL, *(f"word{number}" for number in range(sizes.words - 5))))
        path = folder / "train_ims.npy"
        shape = (sizes.images, sizes.regions, sizes.region_dim)
        np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
        regions = np.load(path, mmap_mode="r")
        count = CAPTIONS_PER_IMAGE * sizes.images
        train = Split(
            name="train",
            regions=regions,
            captions=draw_captions(count, sizes.words, rng_for("bench", "captions")),
            texts=[""] * count,
            image_of_caption=np.arange(count, dtype=np.int64) // CAPTIONS_PER_IMAGE,
            image_ids=[str(image) for image in range(sizes.images)],
        )
        self._splits = {"train": train, "dev": train.images(1)}

    def digest(self) -> str:
        """Of no use here, where nothing is resumed; the real one would read the file."""
        return "bench"


def draw_captions(count: int, words: int, rng: np.random.Generator) -> Captions:
    """Captions as long as real ones, of words as frequent."""
    lengths = 2 + np.maximum(1, rng.gamma(_SHAPE, _SCALE, count).round().astype(np.int64))
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    share = np.arange(1, words - len(SPECIAL) + 1, dtype=np.float64) ** -_ZIPF
    drawn = rng.choice(np.arange(len(SPECIAL), words, dtype=np.int32), offsets[-1], p=share / share.sum())
    return Captions(drawn, offsets)


def draw_batch(sizes: Sizes) -> Batch:
    """The batch that every timed step works on: normal features, and of them dropped what `region_rate` says.

    Zeros, as the sparse file has them, would sort and normalise at another speed than features do.
    """
    rng = rng_for("bench", "batch")
    pairs = np.arange(sizes.batch_size)
    regions = rng.standard_normal((len(pairs), sizes.regions, sizes.region_dim), dtype=np.float32)
    tokens, lengths = draw_captions(len(pairs), sizes.words, rng).padded(pairs)
    region_lengths = np.full(len(pairs), sizes.regions, dtype=np.int64)
    if sizes.region_rate:
        regions, region_lengths = Augmentation(region_rate=sizes.region_rate).regions(regions, rng)
    arrays = (regions, region_lengths, tokens, lengths, pairs)
    return Batch(*map(torch.from_numpy, arrays))
