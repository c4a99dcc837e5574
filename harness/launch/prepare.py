"""Checks before a grid starts that its data are there, makes the embedded benchmark, or says how to get the data."""

from collections.abc import Sequence
from pathlib import Path

from harness.grids import PlannedCell


def prepare_data(cells: Sequence[PlannedCell], root: Path) -> None:
    """Open every dataset of a grid, which also fills the token caches; the embedded benchmark is built if absent.

    Raises:
        HarnessError: data are missing, or noise does not fit them.
    """
    from harness.training.data import open_for
    from harness.training.pairs import training_pairs

    pictures = {cell.fingerprint for cell in cells if cell.run.backbone.cls.reads_pixels}
    emoji = {cell.fingerprint for cell in cells if cell.run.dataset == "twemoji"}
    if emoji:
        from harness.data.build import ensure_twemoji

        ensure_twemoji(root, pixels=bool(emoji & pictures), say=print)
    seen: set[tuple[str, ...]] = set()
    for cell in cells:
        reads = cell.run.backbone.model_dump_json() if cell.fingerprint in pictures else ""
        key = (cell.run.dataset, cell.run.noise.model_dump_json(), reads)
        if key not in seen:
            seen.add(key)
            dataset = open_for(cell.run, root)
            training_pairs(cell.run, dataset)
            dataset.split("dev")
            dataset.split("test")
