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
    """Score NETWORK (a .safetensors file of a run, or an imported official checkpoint) on DATASET."""
    from harness.backbones.weights import load_backbone
    from harness.data import open_dataset
    from harness.errors import HarnessError
    from harness.evaluation import protocols, scoring
    from harness.training import Machine

    opened = open_dataset(dataset, data)
    backbone = load_backbone(network)
    if backbone.region_dim != opened.region_dim or backbone.vocabulary_size != len(opened.vocabulary):
        raise HarnessError(
            f"{network}: made for regions of {backbone.region_dim} and {backbone.vocabulary_size} words, but {dataset} "
            f"has {opened.region_dim} and {len(opened.vocabulary)}; use the dataset and vocabulary it was trained with"
        )
    chosen = opened.split(split)
    where = Machine(device).torch_device()
    scores = scoring.score_matrix(backbone.to(where), chosen, where)
    names = opened.card.protocols if split == "test" else ["full"]
    for name in names:
        metrics = protocols.evaluate(scores, chosen.image_of_caption, name)
        print(f"{dataset} {split} {name}: " + "  ".join(f"{key} {value:.1f}" for key, value in metrics.items()))
