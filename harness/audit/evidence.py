"""What a finished run knows about each of its training pairs, read from its cell and its data set."""

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from harness.backbones import Backbone
from harness.backbones.weights import load_networks
from harness.data import Dataset
from harness.data.batches import PairReader
from harness.errors import HarnessError
from harness.ledger import Cell
from harness.spec import RunSpec
from harness.training.history import read_history
from harness.training.pairs import TrainingPairs, training_pairs
from harness.training.passes import score_pairs

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Evidence:
    """One run's training pairs and what the run made of them; every array is (pairs,) unless it says otherwise.

    Attributes:
        label: correspondence labels at the end of training; None for a method without.
        match, similarity: of each pair, as the selected network sees it (harness/training/outcome.py).
        history: labels (epochs, pairs) at the end of each epoch; None where the run kept none.
        pieces: the self-refining piece of each epoch, counted from 0.
        unknown: why it is not known which pairs are wrong; None where it is known.
        notes: what the reader should know.
    """

    cell: Cell
    run: RunSpec
    dataset: Dataset
    pairs: TrainingPairs
    backbones: list[Backbone]
    label: Floats | None
    match: Floats
    similarity: Floats
    history: Floats | None
    pieces: list[int]
    unknown: str | None
    notes: list[str] = field(default_factory=list)

    @property
    def true_image(self) -> NDArray[np.int64]:
        """(pairs,): the image that each caption was written for, where noise is synthetic."""
        return self.pairs.split.image_of_caption

    @property
    def known(self) -> bool:
        return self.unknown is None

    def original(self, pair: int) -> str | None:
        """The caption before noise wrote it anew; None where noise left it alone."""
        return self.dataset.split("train").texts[pair] if pair in self.pairs.damaged else None


def gather(cell: Cell, run: RunSpec, dataset: Dataset, device: torch.device) -> Evidence:
    """Everything about the pairs of a finished run.

    Raises:
        HarnessError: the data are not those of the run, or its network is not there.
    """
    pairs = training_pairs(run, dataset)
    _same_data(cell, dataset, pairs)
    network, labels, kept = (cell.file(name) for name in ("model.safetensors", "labels.npy", "pairs.npz"))
    if network is None:
        raise HarnessError(
            f"{cell.folder}: has no model.safetensors, so nothing can be compared; delete the folder and train it again"
        )
    backbones = load_networks(network)
    notes: list[str] = []
    label = None if labels is None else np.load(labels)
    if kept is not None:
        with np.load(kept) as seen:
            match, similarity = seen["match"], seen["similarity"]
    else:
        notes.append("The run is of a version that kept no pairs.npz: match and similarity were computed now.")
        match, similarity = _scored_now(backbones, run, pairs, device)
    rows = cell.rows()
    pieces = [int(row["piece"]) for row in rows]
    history = None
    if label is not None:
        history = None if cell.lost_epochs() else read_history(cell.path("label_history.npy"), rows)
        if not cell.path("label_history.npy").exists():
            notes.append("The run is of a version that kept no label_history.npy: train it again to see histories.")
        elif history is None:
            notes.append("Without histories: label_history.npy or metrics.jsonl is damaged.")
        else:
            pieces = pieces[: len(history)]
    unknown = why_unknown(dataset, pairs)
    return Evidence(cell, run, dataset, pairs, backbones, label, match, similarity, history, pieces, unknown, notes)


def why_unknown(dataset: Dataset, pairs: TrainingPairs) -> str | None:
    """Why nobody knows which pairs are wrong, or None where the noise is ours and so is the truth."""
    if dataset.card.noise == "real":
        return f"the noise of {dataset.name} is real, so nobody knows which pairs are wrong"
    if pairs.clean.all() and pairs.realised_rate:
        return "this run is an oracle: it was trained on the pairs that are right alone"
    if pairs.clean.all():
        return "no noise was put in, so the pairs that are wrong, if any, are not known"
    if not pairs.clean.any():
        return "noise made every pair wrong, so there is nothing to tell apart"
    return None


def _same_data(cell: Cell, dataset: Dataset, pairs: TrainingPairs) -> None:
    result = cell.result() or {}
    then = {"features or captions": result["dataset"]["digest"], "training pairs": result["noise"]["sha256"]}
    now = {"features or captions": dataset.digest(), "training pairs": pairs.sha256}
    for what, value in then.items():
        if value != now[what]:
            raise HarnessError(
                f"{dataset.folder}: the {what} differ from those that {cell.fingerprint} was trained on; "
                "bring the old data back (--data), or train the run again on these"
            )


def _scored_now(
    backbones: list[Backbone], run: RunSpec, pairs: TrainingPairs, device: torch.device
) -> tuple[Floats, Floats]:
    seen = score_pairs(
        [backbone.to(device) for backbone in backbones], PairReader(pairs.split, pairs.paired_image), pairs.clean,
        batch_size=run.schedule.batch_size, seed=run.seed, device=device, tau=run.method.parameters.get("tau"),
    )  # fmt: skip
    return seen["match"], seen["similarity"]
