"""The training pairs of a run: which image each caption is paired with, and which of those pairs are true."""

import hashlib
from dataclasses import dataclass

import numpy as np

from harness.data import Dataset, Split
from harness.errors import HarnessError
from harness.noise import NOISE, realised_rate
from harness.seeds import rng_for
from harness.spec import RunSpec, build


@dataclass(frozen=True)
class TrainingPairs:
    """One pair per training caption; a pair's id is its caption's index."""

    split: Split
    paired_image: np.ndarray  # (pairs,) int64: what noise made of the truth
    clean: np.ndarray  # (pairs,) bool: known, because the noise is ours
    realised_rate: float

    def __len__(self) -> int:
        return len(self.paired_image)

    @property
    def sha256(self) -> str:
        """Of the pairing: two runs with the same value were trained on the same pairs."""
        return hashlib.sha256(np.ascontiguousarray(self.paired_image, dtype="<i8").tobytes()).hexdigest()


def training_pairs(run: RunSpec, dataset: Dataset) -> TrainingPairs:
    """The corrupted training split. Depends on dataset, noise and seed alone: every method sees the same pairs."""
    split = dataset.split("train")
    noise = run.noise
    rng = rng_for("noise", run.dataset, noise.name, noise.parameters.get("rate", 0.0), run.seed)
    try:
        paired = build(noise, NOISE).corrupt(split.image_of_caption, rng)
    except HarnessError as error:
        raise HarnessError(f"{run.dataset}: {error}") from None
    return TrainingPairs(split, paired, paired == split.image_of_caption, realised_rate(paired, split.image_of_caption))
