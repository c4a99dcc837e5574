"""`harness export`: a finished run as a folder to share."""

from pathlib import Path

import click

from harness.cli import options


@click.command()
@click.argument("run")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="The folder to make.")
@options.runs
@options.data
@click.option(
    "--push", metavar="OWNER/NAME",
    help="Then upload the folder to this repository of the Hugging Face hub, as the user who is logged in there. A new "
    "repository is private.",
)  # fmt: skip
def command(run: str, out: Path, runs: Path, data: Path, push: str | None) -> None:
    """Write RUN (the beginning of its fingerprint, or its name) to a folder that needs no other.

    It holds the network, the settings, the figures of every epoch, the training pairs, the labels, the words that the
    network reads, versions, and a model card. `harness evaluate FOLDER` scores it, `harness.open(FOLDER)` opens it in
    Python, `harness import FOLDER` takes it into another ledger.
    """
    from harness.ledger import Ledger
    from harness.sharing.export import export_run
    from harness.sharing.hub import push_folder, require_hub

    if push is not None:
        require_hub(push)
    cell = Ledger(runs).find(run)
    made = export_run(cell, data, out)
    size = sum(path.stat().st_size for path in made.iterdir()) / 2**20
    print(f"{cell.name}  ({cell.fingerprint}): written to {made}, {size:.1f} MiB; look at {made / 'README.md'}")
    if push is not None:
        print(f"pushed to {push_folder(made, push)}")
