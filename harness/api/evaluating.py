"""Scoring what is trained already: the networks of a run, or a network in a file."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import HarnessError
from harness.ledger import Cell
from harness.spec import RunSpec

if TYPE_CHECKING:
    from harness.backbones import Backbone
    from harness.data import Dataset

Scores = dict[str, dict[str, float]]  # protocol -> metric -> value


def evaluate_run(cell: Cell, dataset: str = "", *, data: Path, split: str = "test", device: str = "auto") -> Scores:
    """The networks of a finished run on a data set, by the mean of their similarities.

    On its own test split, with the device and threads that scored it first, these are the figures of its result to the
    last bit. An exported or imported run brings the words that its network reads.

    Args:
        dataset: its name; the run's own where left out.
        data: folder of the data sets.
        split: "dev" or "test".

    Raises:
        HarnessError: the run is not finished, or an ensemble; the data are not there or do not fit the network.
    """
    from harness.backbones.weights import load_networks
    from harness.data import open_dataset
    from harness.training.data import read_by, test_protocols

    file = cell.file("model.safetensors")
    if cell.result() is None or file is None:
        why = "has no network of its own" if "members" in cell.spec else f"is {cell.state()}"
        raise HarnessError(f"{cell.folder}: {cell.name} {why}; accepted: a finished run with a network")
    run = RunSpec.from_table(cell.spec["run"])
    found = open_dataset(dataset or run.dataset, data)
    networks = load_networks(file)
    opened = read_by(networks[0].reader(**networks[0].configuration()), _with_its_words(cell, found))
    names = test_protocols(run, opened) if found.name == run.dataset else opened.card.protocols
    return _score(networks, opened, split, names or opened.card.protocols, device, file)


def evaluate_file(file: Path, dataset: str, *, data: Path, split: str = "test", device: str = "auto") -> Scores:
    """A network in a .safetensors file on a data set, whose words must be those that it was trained with."""
    from harness.backbones.weights import load_backbone
    from harness.data import open_dataset
    from harness.training.data import read_by

    found = open_dataset(dataset, data)
    network = load_backbone(file)
    opened = read_by(network.reader(**network.configuration()), found)
    return _score([network], opened, split, opened.card.protocols, device, file)


def _with_its_words(cell: Cell, dataset: "Dataset") -> "Dataset":
    from harness.sharing.folder import kept_words

    card, words = kept_words(cell) or (None, None)
    return dataset if card is None or words is None else dataset.read_with(words, card.tokenizer)


def _score(
    networks: "list[Backbone]", dataset: "Dataset", split: str, names: "Sequence[str]", device: str,
    file: Path,
) -> Scores:  # fmt: skip
    from harness.evaluation import protocols, scoring
    from harness.training import Machine

    made_for = (networks[0].region_dim, networks[0].vocabulary_size)
    has = (dataset.region_dim, dataset.vocabulary_size)
    if networks[0].reader(**networks[0].configuration()) is None and made_for != has:
        raise HarnessError(
            f"{file}: reads regions of {made_for[0]} numbers and {made_for[1]} words, but {dataset.name} has "
            f"{has[0]} and {has[1]}; use the data set and vocabulary that it was trained with"
        )
    chosen = dataset.split(split)
    where = Machine(device).torch_device()
    scores = scoring.score_matrices([network.to(where) for network in networks], chosen, where)[0]
    found, _ = protocols.measure_all(scores, chosen.image_of_caption, names if split == "test" else ["full"])
    return found
