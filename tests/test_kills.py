"""SIGKILL at every file operation of a run and of a build: the same command ends with the same bytes, and leaves
nothing behind. Of a search: tests/test_search_study.py."""

from pathlib import Path

import pytest
from killed import killed_at
from pictures import source
from toy import CRCL, finished, write_grid
from vision import write_vit

from harness.data.build import Recipe, build_dataset, encode
from harness.grids import load_grid
from harness.ledger import Cell, Ledger
from harness.training.machine import Machine
from harness.training.work import work

SAME = ("model.safetensors", "labels.npy", "label_history.npy", "noise.npy", "pairs.npz", "ranks.npz")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, toy_data: Path) -> Cell:
    return finished(tmp_path_factory.mktemp("whole"), CRCL, toy_data)


def rows(cell: Cell) -> list[dict[str, object]]:
    return [{**row, "time": 0, "seconds": 0, "system": {}} for row in cell.rows()]


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


@pytest.mark.slow
@pytest.mark.parametrize("number", [3, 17, 40])
def test_a_kill_at_a_file_operation(number: int, tmp_path: Path, toy_data: Path, undisturbed: Cell) -> None:
    assert kill_and_continue(number, tmp_path, toy_data, undisturbed)


@pytest.mark.long
def test_a_kill_at_every_file_operation(tmp_path: Path, toy_data: Path, undisturbed: Cell) -> None:
    number = 0
    while kill_and_continue(number, tmp_path / str(number), toy_data, undisturbed):
        number += 1
    assert number > 100


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Recipe]:
    """A build that nothing disturbed, and its recipe."""
    folder = tmp_path_factory.mktemp("built")
    recipe = Recipe(encoder=str(write_vit(folder / "vit")), regions=9, batch_size=2, device="cpu")
    build(folder, "whole", recipe)
    return folder / "whole" / "mine", recipe


def build(folder: Path, name: str, recipe: Recipe) -> None:
    pictures, captions = source(folder, {"train": 5, "dev": 3, "test": 2})
    build_dataset(pictures, captions, folder / name / "mine", recipe)


def kill_a_build(number: int, folder: Path, built: tuple[Path, Recipe], monkeypatch: pytest.MonkeyPatch) -> bool:
    whole, recipe = built
    monkeypatch.setattr(encode, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(encode, "MOST_THREADS", 1)
    name = f"killed{number}"
    if not killed_at(number, folder / name, lambda: build(folder, name, recipe)):
        return False
    build(folder, name, recipe)
    here = folder / name
    assert sorted(path.name for path in here.iterdir() if path.suffix != ".lock") == ["mine"], number
    for path in whole.iterdir():
        assert (here / "mine" / path.name).read_bytes() == path.read_bytes(), (number, path.name)
    return True


@pytest.mark.parametrize("number", [2, 13])
def test_a_build_killed_at_a_file_operation(
    number: int, tmp_path: Path, built: tuple[Path, Recipe], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert kill_a_build(number, tmp_path, built, monkeypatch)


@pytest.mark.long
def test_a_build_killed_at_every_file_operation(
    tmp_path: Path, built: tuple[Path, Recipe], monkeypatch: pytest.MonkeyPatch
) -> None:
    number = 0
    while kill_a_build(number, tmp_path, built, monkeypatch):
        number += 1
    assert number > 20
