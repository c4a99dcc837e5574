"""A data set of a few pairs, in memory, and runs on it that take a second."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from harness.data import Captions, Dataset, DatasetCard, Split, Vocabulary
from harness.data.vocabulary import SPECIAL
from harness.files import write_json
from harness.ledger import Cell
from harness.seeds import rng_for
from harness.spec import Augmentation, RunSpec, Schedule, fingerprint, resolve
from harness.training.machine import Machine
from harness.training.trainer import Trainer

IMAGES = {"train": 11, "dev": 5, "test": 5}
CAPTIONS_PER_IMAGE = 2  # so 22 training pairs: batches of 6, and a last one of 4
REGIONS, REGION_DIM, WORDS = 4, 6, 30
BATCH_SIZE = 6
NOISE = 0.4
BACKBONES: dict[str, dict[str, Any]] = {
    "vse_infinity": {"embed_dim": 8, "word_dim": 6, "gpo_dim": 4},
    "saf": {"embed_dim": 8, "word_dim": 6, "sim_dim": 6, "regions": REGIONS, "dropout": 0.2},
    "sgr": {"embed_dim": 8, "word_dim": 6, "sim_dim": 6, "regions": REGIONS, "dropout": 0.2, "graph_steps": 2},
}
IN_TWO_PROCESSES: dict[str, dict[str, Any]] = {  # which draw dropout of their own
    name: {key: 0.0 if key == "dropout" else value for key, value in keywords.items()}
    for name, keywords in BACKBONES.items()
}


class ToyDataset(Dataset):
    """Images whose regions are a random vector with noise, and captions of words that the image's number decides."""

    def __init__(self, folder: Path, dtype: type = np.float32) -> None:
        super().__init__("toy", folder, DatasetCard(name="toy", folder=folder.name))
        self.region_dim = REGION_DIM
        self.vocabulary = Vocabulary((*SPECIAL, *(f"word{number}" for number in range(WORDS - len(SPECIAL)))))
        self._splits = {name: _split(name, count, dtype) for name, count in IMAGES.items()}

    def digest(self) -> str:
        """The same for all of them."""
        return "toy"


def _split(name: str, images: int, dtype: type) -> Split:
    rng = rng_for("toy", name)
    regions = rng.normal(size=(images, 1, REGION_DIM)) + 0.3 * rng.normal(size=(images, REGIONS, REGION_DIM))
    owner = np.repeat(np.arange(images), CAPTIONS_PER_IMAGE)
    own_words = rng.integers(len(SPECIAL), WORDS, (images, 3))
    texts = [rng.permutation(own_words[image])[: rng.integers(1, 4)] for image in owner]
    offsets = np.concatenate(([0], np.cumsum([len(text) for text in texts])))
    return Split(
        name=name,
        regions=regions.astype(dtype),
        captions=Captions(np.concatenate(texts).astype(np.int32), offsets),
        texts=[" ".join(f"word{word}" for word in text) for text in texts],
        image_of_caption=owner,
        image_ids=[f"{name}{image}" for image in range(images)],
    )


def toy_run(
    method: str, parameters: Mapping[str, Any], backbone: str, *, epochs: int | None, several: bool = False
) -> RunSpec:
    """A run of a method on the toy data set. several: one that two processes compute alike."""
    keywords = (IN_TWO_PROCESSES if several else BACKBONES)[backbone]
    return RunSpec(
        dataset="toy",
        noise=resolve({"name": "caption_level", "rate": NOISE}, kind="noise", where="testing"),
        backbone=resolve({"name": backbone, **keywords}, kind="backbone", where="testing"),
        method=resolve({"name": method, **parameters}, kind="method", where="testing"),
        augmentation=Augmentation(),
        schedule=Schedule(epochs=epochs, batch_size=BATCH_SIZE, lr=2e-3),
    )


def toy_trainer(run: RunSpec, folder: Path, **hooks: Any) -> Trainer:
    """A trainer of a run in a cell folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    cell = Cell(folder / fingerprint(run))
    cell.folder.mkdir(exist_ok=True)
    write_json(cell.path("spec.json"), {"fingerprint": cell.fingerprint, "cell": "toy", "run": run.table()})
    return Trainer(run, ToyDataset(folder), cell, Machine("cpu", checkpoint_seconds=0), **hooks)
