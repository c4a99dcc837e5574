"""Before a grid starts: its data are there, or are made, or one line says how to get them. Once, not once per cell."""

from collections.abc import Sequence
from pathlib import Path

from harness.data import open_dataset
from harness.grids import CellSpec


def prepare_data(cells: Sequence[CellSpec], root: Path) -> None:
    """Open every dataset of a grid, which also fills the token caches; the embedded benchmark is built if absent.

    Raises:
        HarnessError: data are missing, or noise does not fit them.
    """
    from harness.training.pairs import training_pairs

    if any(cell.run.dataset == "twemoji" for cell in cells):
        from harness.data.build import ensure_twemoji

        ensure_twemoji(root, say=print)
    seen: set[tuple[str, str]] = set()
    for cell in cells:
        key = (cell.run.dataset, cell.run.noise.model_dump_json())
        if key not in seen:
            seen.add(key)
            dataset = open_dataset(cell.run.dataset, root)
            training_pairs(cell.run, dataset)
            dataset.split("dev")
            dataset.split("test")
