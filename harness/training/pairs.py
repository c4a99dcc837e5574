"""The training pairs of a run: which image each caption is paired with, and which of those pairs are true."""

import hashlib
import json
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from harness.data import Captions, Dataset, Split
from harness.data.descriptors import image_descriptors
from harness.errors import HarnessError
from harness.noise import NoiseModel
from harness.seeds import rng_for
from harness.spec import RunSpec, build


@dataclass(frozen=True)
class TrainingPairs:
    """One pair per training caption; a pair's id is its caption's place in `split`.

    Of an oracle the truly clean pairs alone; `realised_rate` and `sha256` are those of the pairs that it has them from.
    """

    split: Split  # with the captions as the method sees them
    paired_image: np.ndarray  # (pairs,) int64: what noise made of the truth
    clean: np.ndarray  # (pairs,) bool: known, because the noise is ours
    realised_rate: float  # share of wrong pairs: another image than the caption's own, or a damaged caption
    sha256: str  # of the pairing and the damaged captions: two runs with the same value have the same pairs
    damaged: dict[int, str] = field(default_factory=dict)  # the captions that noise wrote anew

    def __len__(self) -> int:
        return len(self.paired_image)


def training_pairs(run: RunSpec, dataset: Dataset) -> TrainingPairs:
    """The corrupted training split. Depends on dataset, noise and seed alone: every method sees the same pairs, and the
    oracle those of them that are right.

    Raises:
        HarnessError: the noise does not fit the data set, or leaves an oracle less than two pairs.
    """
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
    rate, digest = float((~clean).mean()), pairs_sha256(paired, damaged)
    if run.oracle:
        rows = np.flatnonzero(clean)
        if len(rows) < 2:
            raise HarnessError(
                f"oracle = true: {len(rows)} of {len(clean)} training pairs are right; accepted: at least 2, because a "
                "loss compares pairs; lower noise.rate or leave oracle out"
            )
        return TrainingPairs(split.chosen(rows), paired[rows], clean[rows], rate, digest)
    return TrainingPairs(split, paired, clean, rate, digest, damaged)


def pairs_sha256(paired_image: np.ndarray, damaged: dict[int, str]) -> str:
    """What tells two pairings (captions,) with their damaged captions apart."""
    digest = hashlib.sha256(np.ascontiguousarray(paired_image, dtype="<i8").tobytes())
    if damaged:
        digest.update(json.dumps(sorted(damaged.items())).encode())
    return digest.hexdigest()


def _rewritten(split: Split, texts: dict[int, str], dataset: Dataset) -> Split:
    """The split with some captions in new words; only those are tokenised."""
    rows = sorted(texts)
    by = dataset.captions_of([texts[row] for row in rows])
    assert isinstance(split.captions, Captions)
    captions = split.captions.replaced(np.array(rows), by)
    return replace(split, texts=[texts.get(row, text) for row, text in enumerate(split.texts)], captions=captions)
