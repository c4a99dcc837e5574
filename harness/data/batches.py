"""Training pairs in batches that depend on (seed, piece, epoch, step) alone, never on what was drawn before.

So a run killed in the middle of an epoch goes on with the batches it would have had. One thread reads ahead
of the training step. Of several training processes each reads its share of every batch; the draws are those of the
whole batch.
"""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from harness.data.augmentation import Augmentation
from harness.data.dataset import Split
from harness.data.vocabulary import Vocabulary
from harness.distributed import share
from harness.errors import HarnessError
from harness.seeds import rng_for

_AHEAD = 2  # batches read before they are asked for


@dataclass
class Batch:
    """Pairs of an image and a caption; pair i is row i of every tensor.

    Of several training processes each has the images and captions of `share(B)`, and the ids of all.
    """

    regions: Tensor  # float32 (B, R, D), zeros behind a row's region_lengths; of pixels uint8 (B, S, S, 3)
    region_lengths: Tensor  # int64 (B,)
    tokens: Tensor  # int64 (B, L), zeros behind a row's lengths
    lengths: Tensor  # int64 (B,)
    pair_ids: Tensor  # int64 (B,), the caption's place in the split: the key of per-pair state

    def __len__(self) -> int:
        return len(self.pair_ids)

    def to(self, device: torch.device | str) -> "Batch":
        """The batch on `device`. From pinned memory it is copied while the CPU goes on."""
        return Batch(**{field.name: getattr(self, field.name).to(device, non_blocking=True) for field in fields(self)})

    def pinned(self) -> "Batch":
        """The batch in page-locked memory, of which CUDA copies without the CPU."""
        return Batch(**{field.name: getattr(self, field.name).pin_memory() for field in fields(self)})


class PairBatches:
    """Shuffled batches of the pairs (image paired_image[i], caption i), augmented if asked for.

    `batch_size` counts the pairs of a step, those of all training processes together.
    """

    def __init__(
        self,
        split: Split,
        paired_image: np.ndarray,  # int64 (captions,)
        *,
        batch_size: int,
        augmentation: Augmentation | None,
        vocabulary: Vocabulary | None,  # asked for by the augmentation alone
        seed: int,
        pin_memory: bool = False,
    ) -> None:
        pairs, images = len(split.captions), len(split.regions)
        if paired_image.shape != (pairs,) or paired_image.min() < 0 or paired_image.max() >= images:
            raise HarnessError(
                f"paired_image: shape {paired_image.shape}; accepted: one image in 0..{images - 1} for each "
                f"of the {pairs} captions of {split.name}; use the noise index of this data set"
            )
        if batch_size < 2 or pairs < 2:
            raise HarnessError(
                f"batch_size {batch_size} with {pairs} pairs; accepted: at least 2 of each, "
                "because a loss compares pairs"
            )
        self.split, self.paired_image = split, paired_image
        self.batch_size, self.augmentation, self.vocabulary = batch_size, augmentation, vocabulary
        self.seed, self.pin_memory = seed, pin_memory

    def __len__(self) -> int:
        """Steps per epoch: a last batch of a single pair, with nothing to compare it to, is left out."""
        whole, rest = divmod(len(self.split.captions), self.batch_size)
        return whole + (rest > 1)

    def epoch(self, piece: int, epoch: int, start_step: int = 0) -> Iterator[Batch]:
        """The batches of one epoch from `start_step` on, read ahead by one thread."""
        order = rng_for("batch", self.seed, piece, epoch).permutation(len(self.split.captions))
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches") as reader:
            ahead: deque[Future[Batch]] = deque()
            try:
                for step in range(start_step, len(self)):
                    pairs = order[step * self.batch_size : (step + 1) * self.batch_size]
                    rng = rng_for("augment", self.seed, piece, epoch, step) if self.augmentation else None
                    ahead.append(reader.submit(self.read, pairs, rng, share(len(pairs))))
                    if len(ahead) > _AHEAD:
                        yield ahead.popleft().result()
                while ahead:
                    yield ahead.popleft().result()
            finally:  # left early: what nobody will take is not read
                reader.shutdown(wait=True, cancel_futures=True)

    def read(self, pairs: np.ndarray, rng: np.random.Generator | None = None, rows: slice = slice(None)) -> Batch:
        """The batch of these pairs (B,), images and captions of its `rows`; augmented with `rng`, as they are without.

        The rows of an augmented batch are the same whichever others are asked for.
        """
        start, stop, _ = rows.indices(len(pairs))
        tokens, lengths = self.split.captions.padded(pairs)
        regions = self.split.gather(self.paired_image[pairs[rows]])
        region_lengths = np.full(len(regions), regions.shape[1], dtype=np.int64)
        if self.augmentation and self.vocabulary and rng is not None:
            tokens, lengths = self.augmentation.tokens(tokens, lengths, self.vocabulary, rng)
            rng.random((start, regions.shape[1]))  # one draw a region: those of the rows before
            regions, region_lengths = self.augmentation.regions(regions, rng)
        arrays = (regions, region_lengths, tokens[start:stop], lengths[start:stop], pairs)
        batch = Batch(*(torch.from_numpy(np.ascontiguousarray(array)) for array in arrays))
        return batch.pinned() if self.pin_memory else batch
