"""A run's data set as its backbone reads it: region features and words, or pixels and the backbone's own tokens."""

from collections.abc import Sequence
from pathlib import Path

from harness.backbones import Reader
from harness.data import Dataset, PixelDataset, open_dataset
from harness.spec import RunSpec


def open_for(run: RunSpec, root: Path) -> Dataset:
    """The data set of a run under the data folder `root`.

    Raises:
        HarnessError: it is not there, or the model that reads it is not. Pixels are missed when a split is opened.
    """
    dataset = open_dataset(run.dataset, root)  # first: a model may be a download
    return read_by(run.backbone.cls.reader(**run.backbone.parameters), dataset)


def read_by(reader: Reader | None, dataset: Dataset) -> Dataset:
    """`dataset` as a backbone with this `Backbone.reader` reads it."""
    return dataset if reader is None else PixelDataset(dataset, reader.tokenise, reader.vocabulary_size)


def test_protocols(run: RunSpec, dataset: Dataset) -> Sequence[str]:
    """The protocols that a run's test split is scored by: its own, else those of the data set's card."""
    return dataset.card.protocols if run.evaluation.protocols is None else run.evaluation.protocols
