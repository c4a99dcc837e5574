"""SIGKILL at every file operation of a run: the same command ends with the same bytes, and leaves nothing behind."""

from pathlib import Path

import pytest
from killed import killed_at
from toy import CRCL, finished, write_grid

from harness.grids import load_grid
from harness.ledger import Cell, Ledger
from harness.training import Machine, work

SAME = ("model.safetensors", "labels.npy", "label_history.npy", "noise.npy", "pairs.npz", "ranks.npz")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, toy_data: Path) -> Cell:
    return finished(tmp_path_factory.mktemp("whole"), CRCL, toy_data)


def rows(cell: Cell) -> list[dict[str, object]]:
    return [{**row, "time": 0, "seconds": 0} for row in cell.rows()]


def kill_and_continue(number: int, folder: Path, data: Path, undisturbed: Cell) -> bool:
    """False where the run has no operation of this number."""
    folder.mkdir(exist_ok=True)
    [planned] = load_grid(write_grid(folder, CRCL)).cells
    cell = Ledger(folder / "runs").add(planned.entry("toy"))
    if not killed_at(number, cell.folder, lambda: work(cell, data, Machine(checkpoint_seconds=0))):
        return False
    again = Cell(cell.folder)
    assert work(again, data, Machine()) in ("done", "already done"), again.failure()
    for name in SAME:
        assert again.path(name).read_bytes() == undisturbed.path(name).read_bytes(), (number, name)
    assert rows(again) == rows(undisturbed), number
    result, expected = again.result(), undisturbed.result()
    assert result is not None
    assert expected is not None
    assert result["test"] == expected["test"]
    assert not [path.name for path in again.folder.iterdir() if path.name.endswith((".tmp", ".new"))], number
    return True


@pytest.mark.parametrize("number", [3, 17, 40])
def test_a_kill_at_a_file_operation(number: int, tmp_path: Path, toy_data: Path, undisturbed: Cell) -> None:
    assert kill_and_continue(number, tmp_path, toy_data, undisturbed)


@pytest.mark.slow
def test_a_kill_at_every_file_operation(tmp_path: Path, toy_data: Path, undisturbed: Cell) -> None:
    number = 0
    while kill_and_continue(number, tmp_path / str(number), toy_data, undisturbed):
        number += 1
    assert number > 100
