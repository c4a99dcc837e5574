"""Checks before a grid starts that its data are there, makes the embedded benchmark, or says how to get the data."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import HarnessError
from harness.grids import PlannedCell
from harness.spec.facts import facts

if TYPE_CHECKING:
    from harness.data import Dataset


def refuse_unscorable(cells: Sequence[PlannedCell], root: Path) -> None:
    """As `refuse_protocols`, for the cells of a grid whose data are here."""
    from harness.data import open_dataset

    seen: set[tuple[str, str]] = set()
    for cell in cells:
        key = (cell.run.dataset, cell.run.evaluation.model_dump_json())
        if key not in seen:
            seen.add(key)
            try:
                dataset = open_dataset(cell.run.dataset, root)
                dataset.split("test")
            except HarnessError:  # not here, or not whole: `run` says so
                continue
            refuse_protocols(cell, dataset)


def refuse_protocols(cell: PlannedCell, dataset: "Dataset") -> None:
    """HarnessError where a cell could be trained, and its test split not be scored as is asked."""
    from harness.evaluation import protocols

    names = protocols.of_test(cell.run, dataset.card)
    images = len(dataset.split("test").image_ids) if names else 0
    for name in names:
        try:
            protocols.fit(name, images)
        except HarnessError as error:
            raise HarnessError(f"{cell.name or cell.fingerprint}: {error}") from None


def prepare_data(cells: Sequence[PlannedCell], root: Path) -> None:
    """Open every dataset of a grid; the embedded benchmark is built if absent. Captions are tokenised by the workers.

    Raises:
        HarnessError: data are missing, noise does not fit them, or the test split cannot be scored as is asked.
    """
    from harness.training.data import open_for
    from harness.training.pairs import training_pairs

    pictures = {cell.fingerprint for cell in cells if facts("backbone", cell.run.backbone.name).reads_pixels}
    emoji = {cell.fingerprint for cell in cells if cell.run.dataset == "twemoji"}
    if emoji:
        from harness.data.build import ensure_twemoji

        ensure_twemoji(root, pixels=bool(emoji & pictures), say=print)
    seen: set[tuple[str, ...]] = set()
    for cell in cells:
        reads = cell.run.backbone.model_dump_json() if cell.fingerprint in pictures else ""
        key = (cell.run.dataset, cell.run.noise.model_dump_json(), cell.run.evaluation.model_dump_json(), reads)
        if key not in seen:
            seen.add(key)
            dataset = open_for(cell.run, root)
            dataset.card.refuse_noise(cell.run, cell.name or cell.fingerprint)
            training_pairs(cell.run, dataset)
            dataset.split("dev")
            refuse_protocols(cell, dataset)
