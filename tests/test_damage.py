"""Every file of a run folder, damaged in every way: no verb ends in a traceback, hangs, or shows another number."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from privileges import modes_count
from toy import CRCL, begun, finished, write_grid

from harness.cli import group
from harness.errors import HarnessError
from harness.ledger import Cell, Ledger
from harness.training.machine import Machine
from harness.training.work import work

Damage = Callable[[Path], object]


def flip(path: Path) -> None:
    """One bit in the middle, where a header seldom is."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES: dict[str, Damage] = {
    "empty": lambda path: path.write_bytes(b""),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "a flipped bit": flip,
    "garbage": lambda path: path.write_bytes(b"\x00\xff{]" * 64),
    "other JSON": lambda path: path.write_text("[]"),
    "an empty object": lambda path: path.write_text("{}"),
    "deep": lambda path: path.write_text("[" * 100_000),
    "a folder": as_folder,
    "missing": lambda path: path.unlink(),
    "unreadable": lambda path: path.chmod(0),
}
FILES = (
    "spec.json", "result.json", "metrics.jsonl", "noise.npy", "labels.npy", "label_history.npy", "pairs.npz",
    "ranks.npz", "model.safetensors", "vocabulary.json", "heartbeat.json",
)  # fmt: skip
EVERY = [(file, damage) for file in FILES for damage in DAMAGES]
REPORT = """
title = "toy"
grids = ["toy.toml"]
rows = ["method"]
metrics = ["rsum"]
protocol = "full"
"""
VERBS = {
    "status": ("status", "toy.toml"),
    "run": ("run", "toy.toml"),
    "report": ("report", "report.toml", "--out", "out"),
    "sync": ("sync",),
    "audit": ("audit", "CELL", "--out", "out"),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, toy_data: Path) -> Path:
    """A folder with a grid of one cell, trained, and a report of it."""
    folder = tmp_path_factory.mktemp("whole")
    finished(folder, CRCL, toy_data)
    (folder / "report.toml").write_text(REPORT)
    (folder / "data").symlink_to(toy_data)
    return folder


def say(folder: Path, verb: str, monkeypatch: pytest.MonkeyPatch) -> Result:
    """What a verb says of the run in a folder."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
    [cell] = (path for path in Path("runs").iterdir() if not path.name.startswith("."))
    return say_words(folder, monkeypatch, *(cell.name if word == "CELL" else word for word in VERBS[verb]))


def say_words(folder: Path, monkeypatch: pytest.MonkeyPatch, *words: str) -> Result:
    monkeypatch.chdir(folder)
    with modes_count():
        return CliRunner().invoke(group, list(words), standalone_mode=False)


def check(
    folder: Path, file: str, damage: str, verbs: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, known: set[str]
) -> None:
    [path] = (folder / "runs").glob(f"*/{file}")
    DAMAGES[damage](path)
    for verb in verbs:
        said = say(folder, verb, monkeypatch)
        fine = said.exception is None or isinstance(said.exception, SystemExit | HarnessError)
        assert fine, (verb, said.output, said.exc_info)
        assert "Traceback" not in said.output, (verb, said.output)
        rsums = set(re.findall(r"rSum (\d+\.\d)|\*{0,2}(\d{2,3}\.\d)\*{0,2} \|", said.output))
        assert {number for pair in rsums for number in pair if number} <= known, (verb, said.output)


@pytest.fixture(scope="module")
def known(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Every rSum that may be shown of the run."""
    [result] = whole.glob("runs/*/result.json")
    read = json.loads(result.read_text())
    rows = Cell(result.parent).rows()
    values = [read["test"]["full"]["rsum"], read["dev"]["rsum"], *(row["values"]["dev/rsum"] for row in rows)]
    return {f"{value:.1f}" for value in values}


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("spec.json", "other JSON"), ("spec.json", "a flipped bit"), ("result.json", "an empty object"),
        ("result.json", "a flipped bit"), ("metrics.jsonl", "a flipped bit"), ("metrics.jsonl", "garbage"),
        ("ranks.npz", "truncated"), ("model.safetensors", "a flipped bit"), ("labels.npy", "empty"),
    ],
)  # fmt: skip
def test_a_damaged_file_is_told(
    file: str, damage: str, whole: Path, known: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(whole, tmp_path / "copy", symlinks=True)
    check(tmp_path / "copy", file, damage, ("status", "audit"), monkeypatch, known)


@pytest.mark.long
@pytest.mark.parametrize(("file", "damage"), EVERY)
def test_every_file_damaged_in_every_way_under_every_verb(
    file: str, damage: str, whole: Path, known: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(whole, tmp_path / "copy", symlinks=True)
    check(tmp_path / "copy", file, damage, tuple(VERBS), monkeypatch, known)


def test_a_figure_changed_on_the_disk_is_refused(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(whole, folder, symlinks=True)
    [path] = folder.glob("runs/*/result.json")
    result = json.loads(path.read_text())
    result["test"]["full"]["rsum"] += 100
    path.write_text(json.dumps(result, indent=2))
    said = say(folder, "status", monkeypatch)
    assert "damaged" in said.output
    assert "its checksum does not fit" in said.output
    ran = say(folder, "run", monkeypatch)
    assert "0 of 1 cell done" in ran.output


@pytest.mark.slow
def test_the_other_cells_of_a_grid_go_on(
    whole: Path, toy_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(whole, folder, symlinks=True)
    write_grid(folder, CRCL.replace("[0.4]", "[0.4, 0.0]"))
    [path] = folder.glob("runs/*/result.json")
    path.write_text("{}")
    ran = say_words(folder, monkeypatch, "run", "toy.toml")
    assert "1 of 2 cells done" in ran.output
    assert str(path.relative_to(folder)) in ran.output


@pytest.mark.slow
@pytest.mark.parametrize("file", ["spec.json", "result.json", "model.safetensors"])
def test_a_file_that_may_not_be_read_is_not_called_damaged(
    file: str, whole: Path, toy_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is told to delete it, nothing writes over it, and the other cell trains."""
    folder = tmp_path / "copy"
    shutil.copytree(whole, folder, symlinks=True)
    [path] = folder.glob(f"runs/*/{file}")
    before, mode = path.read_bytes(), path.stat().st_mode
    path.chmod(0)
    write_grid(folder, CRCL.replace("[0.4]", "[0.4, 0.0]"))
    ran = say_words(folder, monkeypatch, "run", "toy.toml")
    audited = say_words(folder, monkeypatch, "audit", path.parent.name, "--out", "out")
    path.chmod(mode)
    assert "2 cells done" in ran.output
    assert "noise.rate=0.0" in ran.output
    said = ran.output + str(audited.exception)
    assert "cannot be read (Permission denied)" in said
    assert "delete" not in said
    assert path.read_bytes() == before


def test_rows_that_may_not_be_read_are_not_written_anew(
    tmp_path: Path, toy_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = begun(tmp_path, CRCL, toy_data, monkeypatch)
    path = cell.path("metrics.jsonl")
    before, mode = path.read_bytes(), path.stat().st_mode
    path.chmod(0)
    with modes_count():
        assert work(cell, toy_data, Machine()) == "failed"
    failure = cell.failure()
    assert failure is not None
    assert "metrics.jsonl: cannot be read (Permission denied)" in failure["error"]
    path.chmod(mode)
    assert path.read_bytes() == before
    assert work(cell, toy_data, Machine()) == "done"


def weights(cell: Cell) -> bytes:
    return cell.path("model.safetensors").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("label_history.npy", "empty"), ("label_history.npy", "garbage"), ("metrics.jsonl", "garbage"),
        *(pytest.param(file, damage, marks=pytest.mark.long)
          for file in ("label_history.npy", "metrics.jsonl", "noise.npy") for damage in DAMAGES
          if damage != "a folder"),
    ],
)  # fmt: skip
def test_a_run_continues_with_what_it_does_not_need_damaged(
    file: str, damage: str, whole: Path, tmp_path: Path, toy_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = begun(tmp_path, CRCL, toy_data, monkeypatch)
    DAMAGES[damage](cell.path(file))
    assert work(cell, toy_data, Machine()) == "done", cell.failure()
    [undisturbed] = Ledger(whole / "runs").cells()
    assert weights(cell) == weights(undisturbed)
    result, expected = cell.result(), undisturbed.result()
    assert result is not None
    assert expected is not None
    assert result["test"] == expected["test"]
    if file == "metrics.jsonl":
        assert cell.lost_epochs() in ([0, 1], [1], [0], [])


def test_a_lost_row_is_told(tmp_path: Path, toy_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = begun(tmp_path, CRCL, toy_data, monkeypatch)
    lines = cell.path("metrics.jsonl").read_bytes().splitlines(keepends=True)
    cell.path("metrics.jsonl").write_bytes(b"\x00" * len(lines[0]) + b"\n" + lines[1])
    assert cell.lost_epochs() == [0]
    assert [row["epoch"] for row in cell.rows()] == [1]
    (tmp_path / "data").symlink_to(toy_data)
    assert "epoch 1 has no row" in say_words(tmp_path, monkeypatch, "status", "toy.toml").output


@pytest.mark.slow
def test_a_spec_that_was_edited_is_not_trained(tmp_path: Path, toy_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the seal is gone, as in a file of an older version."""
    cell = begun(tmp_path, CRCL, toy_data, monkeypatch)
    spec = json.loads(cell.path("spec.json").read_text())
    spec["run"]["schedule"]["lr"] = 0.5
    cell.path("spec.json").write_text(json.dumps(spec))
    assert cell.state() == "damaged"
    spec.pop("seal")
    cell.path("spec.json").write_text(json.dumps(spec))
    assert cell.state() == "interrupted"
    assert work(cell, toy_data, Machine()) == "failed"
    failure = cell.failure()
    assert failure is not None
    assert "it was changed; delete it" in failure["error"]
    cell.path("spec.json").unlink()
    (tmp_path / "data").symlink_to(toy_data)
    assert "1 of 1 cell done" in say_words(tmp_path, monkeypatch, "run", "toy.toml").output


def test_files_of_an_older_version_have_no_seal_and_are_read(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "copy", symlinks=True)
    [folder] = (tmp_path / "copy/runs").glob("*/")
    for name in ("spec.json", "result.json"):
        value = json.loads((folder / name).read_text())
        del value["seal"]
        value.pop("files", None)
        (folder / name).write_text(json.dumps(value))
    cell = Cell(folder)
    assert cell.state() == "done"
    assert cell.file("labels.npy") == folder / "labels.npy"
