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
from harness.data.vocabulary import Vocabulary
from harness.errors import HarnessError


@dataclass
class Batch:
    """Pairs of an image and a caption; pair i is row i of every tensor.

    Of several training processes each has the images and captions of `share(B)`, and the ids of all.
    """

    regions: Tensor  # float32 (B, R, D), zeros behind a row's region_lengths; of pixels uint8 (B, S, S, 3)
    region_lengths: Tensor  # int64 (B,)
    tokens: Tensor  # int64 (B, L), zeros behind a row's lengths
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
        start, stop, _ = rows.indices(len(pairs))
        tokens, lengths = self.split.captions.padded(pairs)
        regions = self.split.gather((self.paired_image[pairs] if images is None else images)[rows])
        region_lengths = np.full(len(regions), regions.shape[1], dtype=np.int64)
        if self.augmentation and self.vocabulary and rng is not None:
            tokens, lengths = self.augmentation.tokens(tokens, lengths, self.vocabulary, rng)
            rng.random((start, regions.shape[1]))  # one draw a region: those of the rows before
            regions, region_lengths = self.augmentation.regions(regions, rng)
        arrays = (regions, region_lengths, tokens[start:stop], lengths[start:stop], pairs)
        batch = Batch(*(torch.from_numpy(np.ascontiguousarray(array)) for array in arrays))
        return batch.pinned() if self.pin_memory else batch
