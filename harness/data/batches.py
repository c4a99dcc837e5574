"""Batches of pairs, read by their rows.

Of several training processes each reads its share of every batch; the draws of an augmentation are those of the whole
batch.
"""

from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from harness.data.augmentation import Augmentation
from harness.data.dataset import Split
from harness.data.sides import Captions
from harness.data.vocabulary import Vocabulary
from harness.errors import HarnessError


@dataclass
class Batch:
    """Pairs of an image and a caption; pair i is row i of every tensor.

    Of several training processes each has the images and captions of `share(B)`, and the ids of all.
    """

    regions: Tensor  # float32 (B, R, D), zeros behind a row's region_lengths; of pixels uint8 (B, S, S, 3)
    region_lengths: Tensor  # int64 (B,)
    tokens: Tensor  # int64 (B, L), zeros behind a row's lengths; of captions that are vectors float32 (B, L, D)
    lengths: Tensor  # int64 (B,)
    pair_ids: Tensor  # int64 (B,), the caption's place in the split: of the training split the key of per-pair state

    def __len__(self) -> int:
        return len(self.pair_ids)

    def to(self, device: torch.device | str) -> "Batch":
        """The batch on `device`. From pinned memory it is copied while the CPU goes on."""
        return Batch(**{field.name: getattr(self, field.name).to(device, non_blocking=True) for field in fields(self)})

    def pinned(self) -> "Batch":
        """The batch in page-locked memory, of which CUDA copies without the CPU."""
        return Batch(**{field.name: getattr(self, field.name).pin_memory() for field in fields(self)})


class PairReader:
    """Reads pairs of a split: image paired_image[i] with caption i, augmented if asked for."""

    def __init__(
        self,
        split: Split,
        paired_image: np.ndarray,  # int64 (captions,)
        *,
        augmentation: Augmentation | None = None,
        vocabulary: Vocabulary | None = None,  # asked for by the augmentation alone
        pin_memory: bool = False,
    ) -> None:
        pairs, images = len(split.captions), len(split.regions)
        if paired_image.shape != (pairs,) or paired_image.min() < 0 or paired_image.max() >= images:
            raise HarnessError(
                f"paired_image: shape {paired_image.shape}; accepted: one image in 0..{images - 1} for each "
                f"of the {pairs} captions of {split.name}; use the noise index of this data set"
            )
        self.split, self.paired_image = split, paired_image
        self.augmentation, self.vocabulary, self.pin_memory = augmentation, vocabulary, pin_memory

    def __len__(self) -> int:
        """Pairs of the split."""
        return len(self.paired_image)

    def read(
        self,
        pairs: np.ndarray,
        rng: np.random.Generator | None = None,
        rows: slice = slice(None),
        images: np.ndarray | None = None,
    ) -> Batch:
        """The batch of these pairs (B,), with the images and captions of its `rows` alone; augmented if `rng` is given.

        images: (B,) to read the captions with, in place of their pairs' own. The rows of an augmented batch are the
        same whichever others are asked for.
        """
        captions, paired = self.split.captions, self.paired_image[pairs] if images is None else images
        whole = slice(None) if isinstance(captions, Captions) else rows  # words cost nothing, and draws look at all
        tokens, lengths = captions.padded(pairs, whole)
        regions, region_lengths = self.split.gather(paired, rows)
        if self.augmentation and rng is not None:
            if not isinstance(captions, Captions):
                tokens, lengths = self._dropped(tokens, lengths, rng, rows, len(pairs))
            elif self.vocabulary:
                tokens, lengths = self.augmentation.tokens(tokens, lengths, self.vocabulary, rng)
            regions, region_lengths = self._dropped(regions, region_lengths, rng, rows, len(pairs))
        if isinstance(captions, Captions):
            tokens, lengths = tokens[rows], lengths[rows]
        arrays = (regions, region_lengths, tokens, lengths, pairs)
        batch = Batch(*(torch.from_numpy(np.ascontiguousarray(array)) for array in arrays))
        return batch.pinned() if self.pin_memory else batch

    def _dropped(
        self, vectors: np.ndarray, lengths: np.ndarray, rng: np.random.Generator, rows: slice, count: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Drops some of the vectors (n, items, D) of `rows` of a batch of `count`; draws are made for all its rows."""
        assert self.augmentation is not None
        start, stop, _ = rows.indices(count)
        rng.random((start, vectors.shape[1]))
        dropped = self.augmentation.regions(vectors, rng, lengths)
        rng.random((count - stop, vectors.shape[1]))
        return dropped
