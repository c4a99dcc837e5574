"""SIGKILL at every file operation of a run, of a build and of a search: the same command ends with the same bytes, and
leaves nothing behind."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from killed import killed_at
from pictures import source
from test_search_declaration import write
from toy import CRCL, finished, write_grid
from vision import write_vit

from harness.data.build import Recipe, build_dataset, encode
from harness.grids import load_grid
from harness.launch.engines import Command, Engine, Worker
from harness.ledger import Cell, Ledger
from harness.search import load_sweep, read_sweep
from harness.search.launcher import Launcher
from harness.search.outcome import write_outcome
from harness.search.records import sweep_folder
from harness.search.study import Study
from harness.training.machine import Machine
from harness.training.work import work

SAME = ("model.safetensors", "labels.npy", "label_history.npy", "noise.npy", "pairs.npz", "ranks.npz")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, toy_data: Path) -> Cell:
    return finished(tmp_path_factory.mktemp("whole"), CRCL, toy_data)


def kills(kill: Callable[[int], bool]) -> int:
    """Kill at every operation there is; how many."""
    number = 0
    while kill(number):
        number += 1
    return number


def left_in(folder: Path) -> list[Path]:
    """What no finished work leaves: temporary files and checkpoints."""
    return [path for path in folder.rglob("*") if path.name.endswith(".tmp") or path.name.startswith("checkpoint")]


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
    assert left_in(again.folder) == [], number
    return True


@pytest.mark.slow
@pytest.mark.parametrize("number", [3, 17, 40])
def test_a_kill_at_a_file_operation(number: int, tmp_path: Path, toy_data: Path, undisturbed: Cell) -> None:
    assert kill_and_continue(number, tmp_path, toy_data, undisturbed)


@pytest.mark.long
def test_a_kill_at_every_file_operation(tmp_path: Path, toy_data: Path, undisturbed: Cell) -> None:
    assert kills(lambda number: kill_and_continue(number, tmp_path / str(number), toy_data, undisturbed)) > 100


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
    assert kills(lambda number: kill_a_build(number, tmp_path, built, monkeypatch)) > 20


class Ended(Worker):
    """A worker that was done before anybody asked."""

    def poll(self) -> int:
        return 0

    def stop(self) -> None: ...

    def kill(self) -> None: ...


class Inside(Engine):
    """Trains a cell in the launcher itself, so that one process does all file operations, in one order."""

    def __init__(self, data: Path) -> None:
        super().__init__(1)
        self.data = data

    def start(self, cells: Sequence[Cell], command: Command) -> dict[Cell, Worker]:
        for cell in cells:
            work(cell, self.data, Machine(checkpoint_seconds=0))
        return {cell: Ended() for cell in cells}


def search(spec: Path, runs: Path, data: Path) -> None:
    """What `harness sweep` does."""
    sweep, ledger = load_sweep(spec, trials=2), Ledger(runs)
    folder = sweep_folder(sweep.name, runs)
    study = Study(sweep, folder)
    try:
        rows = Launcher(sweep, study, ledger, data, engine=Inside(data), jobs=1).run()
        summary = write_outcome(
            sweep, rows, study.importance(), folder=folder, ledger=ledger, data=data, machine=Machine()
        )
        study.show_winner(summary["trial"], summary["test"])
    finally:
        study.close()


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory, toy_data: Path) -> Path:
    """The runs folder of a search that nothing disturbed; its declaration lies beside it."""
    folder = tmp_path_factory.mktemp("searched")
    search(write(folder), folder / "runs", toy_data)
    return folder / "runs"


def kill_a_search(number: int, runs: Path, data: Path, searched: Path) -> bool:
    spec = searched.parent / "toy.toml"
    if not killed_at(number, runs, lambda: search(spec, runs, data)):
        return False
    search(spec, runs, data)
    record, expected = read_sweep("toy", runs), read_sweep("toy", searched)
    assert [{**vars(row), "seconds": 0} for row in record.trials] == [
        {**vars(row), "seconds": 0} for row in expected.trials
    ], number
    assert record.summary == expected.summary, number
    for name in ("importance.json", "toy_best.toml"):
        ours, theirs = (sweep_folder("toy", folder) / name for folder in (runs, searched))
        assert ours.read_bytes() == theirs.read_bytes(), (number, name)
    for row in record.trials:
        cell, whole = (Ledger(folder).cell(row.fingerprint) for folder in (runs, searched))
        for name in ("model.safetensors", "labels.npy", "label_history.npy", "noise.npy"):
            assert cell.path(name).read_bytes() == whole.path(name).read_bytes(), (number, name)
        assert rows(cell) == rows(whole), number
    assert left_in(runs) == [], number
    return True


@pytest.mark.slow
@pytest.mark.parametrize("number", [5, 140, 290])
def test_a_search_killed_at_a_file_operation(number: int, tmp_path: Path, toy_data: Path, searched: Path) -> None:
    assert kill_a_search(number, tmp_path / "runs", toy_data, searched)


@pytest.mark.long
def test_a_search_killed_at_every_file_operation(tmp_path: Path, toy_data: Path, searched: Path) -> None:
    assert kills(lambda number: kill_a_search(number, tmp_path / str(number), toy_data, searched)) > 250
