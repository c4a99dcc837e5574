"""`harness evaluate`: score a run, an exported run or a network file on a data set."""

from pathlib import Path

import click

from harness.cli import options


@click.command()
@click.argument("network")
@click.argument("dataset", required=False, default="")
@options.runs
@options.data
@click.option("--split", type=click.Choice(["dev", "test"]), default="test", show_default=True, help="dev or test.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N or mps.")
def command(network: str, dataset: str, runs: Path, data: Path, split: str, device: str) -> None:
    """Score NETWORK on DATASET.

    NETWORK is a folder that `harness export` made, a finished run (the beginning of its fingerprint, or its name), or a
    .safetensors file: the model.safetensors of a run, or an imported official checkpoint. Of a run, DATASET may be left
    out: its own.
    """
    from harness.api.evaluating import evaluate_file, evaluate_run
    from harness.api.opened import open_cell
    from harness.errors import HarnessError

    place = Path(network)
    if place.suffix == ".safetensors" or place.is_file():
        if not dataset:
            raise HarnessError(f"{network}: a file does not say what it was trained on; accepted: NETWORK DATASET")
        scores = evaluate_file(place, dataset, data=data, split=split, device=device)
    else:
        cell = open_cell(place) if place.is_dir() else open_cell(runs, network)
        dataset = dataset or cell.spec["run"]["dataset"]
        scores = evaluate_run(cell, dataset, data=data, split=split, device=device)
    for name, metrics in scores.items():
        print(f"{dataset} {split} {name}: " + "  ".join(f"{key} {value:.1f}" for key, value in metrics.items()))
