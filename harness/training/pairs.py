"""The training pairs of a run: which image each caption is paired with, and which of those pairs are true."""

import hashlib
import json
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from harness.data import Dataset, Split
from harness.data.descriptors import image_descriptors
from harness.errors import HarnessError
from harness.noise import NoiseModel
from harness.seeds import rng_for
from harness.spec import RunSpec, build


@dataclass(frozen=True)
class TrainingPairs:
    """One pair per training caption; a pair's id is its caption's index."""

    split: Split  # with the captions as the method sees them
    paired_image: np.ndarray  # (pairs,) int64: what noise made of the truth
    clean: np.ndarray  # (pairs,) bool: known, because the noise is ours
    damaged: dict[int, str] = field(default_factory=dict)  # the captions that noise wrote anew

    def __len__(self) -> int:
        return len(self.paired_image)

    @property
    def realised_rate(self) -> float:
        """Share of the pairs that are wrong: another image than the caption's own, or a damaged caption."""
        return float((~self.clean).mean())

    @property
    def sha256(self) -> str:
        """Of the pairing and the damaged captions: two runs with the same value were trained on the same pairs."""
        digest = hashlib.sha256(np.ascontiguousarray(self.paired_image, dtype="<i8").tobytes())
        if self.damaged:
            digest.update(json.dumps(sorted(self.damaged.items())).encode())
        return digest.hexdigest()


def training_pairs(run: RunSpec, dataset: Dataset) -> TrainingPairs:
    """The corrupted training split. Depends on dataset, noise and seed alone: every method sees the same pairs."""
    split = dataset.split("train")
    noise = run.noise
    rng = rng_for("noise", run.dataset, noise.name, noise.parameters.get("rate", 0.0), run.seed)
    model: NoiseModel = build(noise)
    try:
        paired = model.corrupt(split.image_of_caption, rng, partial(image_descriptors, dataset))
    except HarnessError as error:
        raise HarnessError(f"{run.dataset}: {error}") from None
    clean = paired == split.image_of_caption
    damaged = model.damage(split.texts, rng)
    if damaged:
        split = _rewritten(split, damaged, dataset)
        clean[list(damaged)] = False
    return TrainingPairs(split, paired, clean, damaged)


def _rewritten(split: Split, texts: dict[int, str], dataset: Dataset) -> Split:
    """The split with some captions in new words; only those are tokenised."""
    rows = sorted(texts)
    captions = split.captions.replaced(np.array(rows), dataset.captions_of([texts[row] for row in rows]))
    return replace(split, texts=[texts.get(row, text) for row, text in enumerate(split.texts)], captions=captions)
