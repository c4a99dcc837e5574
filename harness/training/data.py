"""A run's data set as its backbone reads it: region features and words, or pixels and the backbone's own tokens."""

from pathlib import Path
from typing import TYPE_CHECKING

from harness.data import Dataset, PixelDataset, open_dataset
from harness.spec import RunSpec
from harness.spec.facts import facts

if TYPE_CHECKING:
    from harness.backbones import Reader


def open_for(run: RunSpec, root: Path) -> Dataset:
    """The data set of a run under the data folder `root`.

    Raises:
        HarnessError: it is not there, or the model that reads it is not. Pixels are missed when a split is opened.
    """
    dataset = open_dataset(run.dataset, root)  # first: a model may be a download
    if not facts("backbone", run.backbone.name).reads_pixels:
        return dataset
    return read_by(run.backbone.cls.reader(**run.backbone.parameters), dataset)


def read_by(reader: "Reader | None", dataset: Dataset) -> Dataset:
    """`dataset` as a backbone with this `Backbone.reader` reads it."""
    return dataset if reader is None else PixelDataset(dataset, reader.tokenise, reader.vocabulary_size)
