"""`harness export` as a function: a finished run as a folder that needs no other."""

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from harness import __version__
from harness.data import open_dataset
from harness.data.cards import DatasetCard
from harness.data.dataset import find
from harness.data.vocabulary import Vocabulary, read_reading, write_reading
from harness.errors import HarnessError
from harness.files import file_sha256, whole_folder, write_atomic, write_json
from harness.ledger import Cell
from harness.ledger.seal import sealed
from harness.sharing import folder as form
from harness.sharing.card import model_card
from harness.spec import RunSpec

PACKAGES = ("numpy", "pydantic", "safetensors", "torch", "transformers")  # what a network is read and run by


def export_run(cell: Cell, data: Path, out: Path) -> Path:
    """Write a finished run to a new folder; harness/sharing/folder.py says what it holds.

    Args:
        cell: the run.
        data: folder of the data sets, for the words that the network reads; an imported run brings them.
        out: the folder to make. It is there when all of it is written, and not before.

    Returns:
        `out`.

    Raises:
        HarnessError: the run is not finished, is an ensemble, or a file of it is damaged; its data are not there or
            others now; there is something at `out`, or the disk is full.
    """
    result = _finished(cell)
    run = RunSpec.from_table(cell.spec["run"])
    card, reading = _reading(cell, run, result, data)
    names = [name for name in (*form.NEEDED, *form.MAYBE) if cell.path(name).is_file()]
    names += sorted(path.name for path in cell.folder.iterdir() if form.FURTHER_NETWORK.fullmatch(path.name))
    made = {form.DATASET, form.ENVIRONMENT, form.VOCABULARY}
    with whole_folder(out) as folder:
        for name in names:
            if name not in made:
                cell.file(name)  # refuses what is not the file that the run finished with
                write_atomic(folder / name, cell.path(name).read_bytes())
        write_json(folder / form.DATASET, card.model_dump())
        write_json(folder / form.ENVIRONMENT, {"trained": result["environment"], "exported": _versions()})
        if reading is not None:
            write_reading(folder / form.VOCABULARY, *reading)
        files = {path.name: file_sha256(path) for path in sorted(folder.iterdir())}
        manifest = form.Manifest(
            format=form.FORMAT, harness=__version__, fingerprint=cell.fingerprint, files=files
        ).model_dump()
        write_json(folder / form.MANIFEST, sealed(manifest))
        write_atomic(folder / form.README, model_card(cell, run, result, card, out.name).encode())
        form.open_exported(folder)
    return out


def _finished(cell: Cell) -> dict[str, Any]:
    result = cell.result()
    if result is None:
        raise HarnessError(
            f"{cell.folder}: {cell.name} is {cell.state()}; accepted: a finished run; `harness run "
            f"{cell.spec['grid']}` trains what is missing"
        )
    if members := result.get("members"):
        raise HarnessError(
            f"{cell.folder}: {cell.name} is an ensemble and has no network of its own; export its members: "
            f"{', '.join(members)}"
        )
    if cell.file("model.safetensors") is None:
        raise HarnessError(f"{cell.folder}: has no model.safetensors; move the folder elsewhere and train it again")
    return result


def _reading(
    cell: Cell, run: RunSpec, result: dict[str, Any], data: Path
) -> tuple[DatasetCard, tuple[Vocabulary, str] | None]:
    """The card of the data set, and the vocabulary and tokenizer by which the network reads captions; None where it
    brings its own."""
    kept = form.kept_card(cell)  # of an imported run: its data need not be here
    card = kept or find(run.dataset, data)[1]
    reading = read_reading(cell.path(form.VOCABULARY))
    if reading is not None or kept is not None or run.backbone.cls.reads_pixels:
        return card, reading
    dataset = open_dataset(run.dataset, data)  # a run of an earlier version did not keep it
    if dataset.digest() != result["dataset"]["digest"]:
        raise HarnessError(
            f"{dataset.folder}: the data differ from those that {cell.fingerprint} was trained on, and so may the "
            "words that its network reads; bring the old data back (--data), or train the run again on these"
        )
    return card, (dataset.vocabulary, card.tokenizer)


def _versions() -> dict[str, str]:
    """Of this harness and of the packages that read a network, as far as they are there."""
    found = {"harness": __version__}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
