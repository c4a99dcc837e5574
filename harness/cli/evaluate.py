"""`harness evaluate`: score a network file on a dataset."""

from pathlib import Path

import click

from harness.cli import options


@click.command()
@click.argument("network", type=click.Path(path_type=Path))
@click.argument("dataset")
@options.data
@click.option("--split", default="test", show_default=True, help="dev or test.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N or mps.")
def command(network: Path, dataset: str, data: Path, split: str, device: str) -> None:
    """Score NETWORK on DATASET.

    NETWORK is the model.safetensors of a run, or an imported official checkpoint.
    """
    from harness.backbones.weights import load_backbone
    from harness.data import open_dataset
    from harness.errors import HarnessError
    from harness.evaluation import protocols, scoring
    from harness.training import Machine
    from harness.training.data import read_by

    found = open_dataset(dataset, data)
    backbone = load_backbone(network)
    opened = read_by(type(backbone), backbone.configuration(), found)
    made_for, has = (backbone.region_dim, backbone.vocabulary_size), (opened.region_dim, opened.vocabulary_size)
    if backbone.reader(**backbone.configuration()) is None and made_for != has:
        raise HarnessError(
            f"{network}: reads regions of {made_for[0]} numbers and {made_for[1]} words, but {dataset} has "
            f"{has[0]} and {has[1]}; use the data set and vocabulary that it was trained with"
        )
    chosen = opened.split(split)
    where = Machine(device).torch_device()
    scores = scoring.score_matrix(backbone.to(where), chosen, where)
    names = opened.card.protocols if split == "test" else ["full"]
    found_by, _ = protocols.measure_all(scores, chosen.image_of_caption, names)
    for name, metrics in found_by.items():
        print(f"{dataset} {split} {name}: " + "  ".join(f"{key} {value:.1f}" for key, value in metrics.items()))
