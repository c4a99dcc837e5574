"""A run's data set as its backbone reads it: region features and words, or pixels and the backbone's own tokens."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.data import Dataset, PixelDataset, open_dataset
from harness.errors import HarnessError
from harness.spec import RunSpec
from harness.spec.facts import facts, own_facts

if TYPE_CHECKING:
    from harness.backbones import Backbone


def open_for(run: RunSpec, root: Path) -> Dataset:
    """The data set of a run under the data folder `root`.

    Raises:
        HarnessError: it is not there, or the model that reads it is not. Pixels are missed when a split is opened.
    """
    dataset = open_dataset(run.dataset, root)  # first: a model may be a download
    known = run.backbone.name in own_facts("backbone")
    pixels, words = facts("backbone", run.backbone.name).reads_pixels, run.backbone.parameters.get("texts", "words")
    if known and not pixels and words == "words" and dataset.caption_dim is None:
        return dataset  # as it is, for most: without the class, which imports torch
    return read_by(run.backbone.cls, run.backbone.parameters, dataset)


def read_by(backbone: "type[Backbone]", keywords: dict[str, Any], dataset: Dataset) -> Dataset:
    """`dataset` as a backbone of this class with these hyperparameters reads it.

    Raises:
        HarnessError: its captions are words and the backbone reads vectors, or the other way round.
    """
    if backbone.reads_words(**keywords) != (dataset.caption_dim is None):
        has, needs = ("words", 'texts = "words"') if dataset.caption_dim is None else ("vectors", 'texts = "sequence"')
        raise HarnessError(
            f"{dataset.name}: its captions are {has}, and the backbone {backbone.__name__} as declared reads others; "
            f"accepted: {needs}" + (' or "set"' if has == "vectors" else "") + ", of vse_infinity, saf or sgr"
        )
    reader = backbone.reader(**keywords)
    return dataset if reader is None else PixelDataset(dataset, reader.tokenise, reader.vocabulary_size)
