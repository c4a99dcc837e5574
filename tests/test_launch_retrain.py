"""Data that are mended between two runs of a grid: the finished cells are named, and trained again when asked to."""

import os
from pathlib import Path

import pytest
import torch
from ledger_toys import a_dataset, a_result, a_spec
from synthetic import write_dataset
from toy import harness, write_grid

from harness.data import open_dataset
from harness.data.now import DataNow
from harness.errors import HarnessError
from harness.launch import retrain
from harness.launch.ensemble import score_ensemble
from harness.ledger import Cell, Claim, Ledger
from harness.ledger.aside import set_aside
from harness.training import checkpoint
from harness.training.machine import Machine

SEEDS = """
[axes]
seed = SEEDS
[axes.backbone]
a = { backbone = { name = "vse_infinity", embed_dim = 16, word_dim = 8 } }
b = { backbone = { name = "vse_infinity", embed_dim = 8, word_dim = 8 } }
[axes.method.infonce]
method.name = "infonce"
schedule.epochs = 1
[ensembles]
both = ["a", "b"]
"""


def mend(data: Path) -> None:
    """Some training captions in other words."""
    captions = data / "toy" / "train_caps.txt"
    captions.write_text(captions.read_text().replace("near", "beside"))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_dataset(tmp_path / "data" / "toy", {"train": 40, "dev": 10, "test": 10})
    return tmp_path / "data"


def run(here: Path, seeds: str, *options: str) -> str:
    ran = harness("run", write_grid(here, SEEDS.replace("SEEDS", seeds)), "--jobs", "2", *options, cwd=here)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.mark.long
def test_mended_data_between_two_seeds(tmp_path: Path, data: Path) -> None:
    run(tmp_path, "[0]")
    ledger = Ledger(tmp_path / "runs")
    old = ledger.find("seed=0 a infonce")
    before = old.result() or {}
    mend(data)
    said = run(tmp_path, "[0, 1]")
    why = r"trained on other data than data/toy holds now"
    assert f"2 finished cells were {why}" in said
    assert "seed=0 a infonce, seed=0 b infonce; the same command with --retrain trains them again" in said
    assert "toy: 4 of 4 cells done (2 on other data or code than now), 0 failed" in said
    assert old.result() == before  # not trained again unasked
    assert "not scored  both: seed=0 a infonce: trained on other data" in said
    assert "scored  seed=1 both infonce" in said

    shown = harness("status", tmp_path / "toy.toml", cwd=tmp_path).stdout.splitlines()
    assert [why in line for line in shown] == [True, True, False, False, False, True]
    assert shown[-1].endswith(
        f"`harness run {tmp_path / 'toy.toml'} --retrain` trains them again and keeps what there is"
    )
    dry = harness("run", tmp_path / "toy.toml", "--dry-run", cwd=tmp_path).stdout.splitlines()
    assert [line.split()[0] for line in dry] == ["skip"] * 4
    assert [why in line for line in dry] == [True, True, False, False]
    dry = harness("run", tmp_path / "toy.toml", "--dry-run", "--retrain", cwd=tmp_path).stdout.splitlines()
    assert [line.split()[0] for line in dry] == ["train", "train", "skip", "skip"]

    ensemble = ledger.find("seed=0 both infonce")
    of_old_members = ensemble.result() or {}
    said = run(tmp_path, "[0, 1]", "--retrain")
    assert said.count("again   seed=0") == 2
    assert "toy: 4 of 4 cells done, 0 failed" in said
    now = open_dataset("toy", data).digest()
    assert {(cell.result() or {})["dataset"]["digest"] for cell in ledger.cells()} == {now}
    assert before["dataset"]["digest"] != now
    (kept,) = (tmp_path / "runs" / ".old").glob(f"{old.fingerprint}-*")
    assert Cell(kept).result() == before  # nothing is lost
    assert {path.name for path in kept.iterdir()} >= {"spec.json", "model.safetensors", "metrics.jsonl", "noise.npy"}
    assert "scored  seed=0 both infonce" in said  # of its members of now
    assert (ensemble.result() or {})["members_finished"] != of_old_members["members_finished"]
    assert len(list((tmp_path / "runs" / ".old").glob(f"{ensemble.fingerprint}-*"))) == 1
    assert run(tmp_path, "[0, 1]", "--retrain").count("again") == 0  # there is nothing left to do


# -- moving aside --------------------------------------------------------------------------------------------------


def finished(runs: Path, name: str = "f" * 16, **result: object) -> Cell:
    cell = Ledger(runs).add(a_spec(name, run={"dataset": "toy", "backbone": {"name": "saf"}, "seed": 0}))
    cell.write_result(a_result(**result))
    return cell


def test_what_is_set_aside_is_kept_and_can_be_brought_back(tmp_path: Path) -> None:
    cell = finished(tmp_path)
    result = cell.result()
    target = set_aside(cell, result)
    assert target is not None
    assert cell.state() == "waiting"
    assert Cell(cell.folder).spec == cell.spec
    assert Cell(target).result() == result
    assert [each.fingerprint for each in Ledger(tmp_path).cells()] == [cell.fingerprint]
    cell.write_result(a_result(seconds=9.0))
    again = set_aside(cell, cell.result())
    assert again is not None
    assert again != target
    for file in cell.folder.iterdir():
        file.unlink()
    cell.folder.rmdir()
    os.rename(target, cell.folder)
    assert cell.result() == result


def test_a_cell_that_is_worked_on_or_trained_again_meanwhile_stays(tmp_path: Path) -> None:
    cell = finished(tmp_path)
    judged = cell.result()
    cell.write_result(a_result(seconds=9.0))  # by another launcher that was asked the same
    assert set_aside(cell, judged) is None
    held = Claim.take(cell.folder)
    assert held is not None
    try:
        assert set_aside(cell, cell.result()) is None
    finally:
        held.release()
    assert (cell.result() or {})["seconds"] == 9.0


def test_sentences_name_reason_cells_and_command(tmp_path: Path) -> None:
    found = [retrain.Other(Ledger(tmp_path).add(a_spec(f"{n}", cell=f"seed={n}")), "trained on x") for n in range(5)]
    assert retrain.write_sentences(found, "`harness run g --retrain`") == [
        "5 finished cells were trained on x: seed=0, seed=1, seed=2 and 2 more; "
        "`harness run g --retrain` trains them again and keeps what there is"
    ]
    assert retrain.write_sentences(found[:1], "C") == [
        "1 finished cell was trained on x: seed=0; C trains it again and keeps what there is"
    ]
    assert retrain.write_sentences([], "C") == []


def test_a_cell_begun_on_other_data_is_set_aside_too(tmp_path: Path, data: Path) -> None:
    """A worker refuses to continue it."""
    now = DataNow(data)
    cells = []
    for number, digest in enumerate(["old", open_dataset("toy", data).digest()]):
        cell = Ledger(tmp_path / "runs").add(a_spec(f"{number}", run={"dataset": "toy"}))
        begun = {
            "fingerprint": cell.fingerprint, "data": {"training pairs": "x", "features or captions": digest},
            "position": {}, "backbone": {"w": torch.ones(1)}, "optimizer": {}, "state": {}, "best": {"weights": None},
            "meters": {"sums": {}, "count": 0, "samples": []}, "seconds": 0.0, "epoch_seconds": 0.0,
        }  # fmt: skip
        checkpoint.save(cell.path("checkpoint.pt"), begun)
        cells.append(cell)
    found = retrain.begun_on_others(cells, now)
    assert [(other.cell, other.why) for other in found] == [
        (cells[0], f"begun on other data than {data / 'toy'} holds now")
    ]
    ((_, path),) = retrain.move_aside(found)
    assert (path / "checkpoint.pt").exists()
    assert [cell.state() for cell in cells] == ["waiting", "interrupted"]


# -- ensembles -----------------------------------------------------------------------------------------------------


def members(runs: Path, *results: dict[str, object]) -> list[Cell]:
    return [finished(runs, f"{number}" * 16, **result) for number, result in enumerate(results)]


@pytest.mark.parametrize(
    ("second", "words"),
    [
        ({"dataset": a_dataset(digest="ef" * 32)}, "the data differ (digest cdcdcdcd and efefefef)"),
        (
            {"noise": {"realised_rate": 0.4, "sha256": "12" * 32}},
            "the training pairs differ (noise.npy abababab and 12121212)",
        ),
        ({"algorithm": 2}, "trained by version 2 of the code, which is now 1"),
    ],
)
def test_an_ensemble_of_members_of_different_data_or_pairs_is_refused(
    tmp_path: Path, second: dict[str, object], words: str
) -> None:
    pair = members(tmp_path, {}, second)
    with pytest.raises(HarnessError) as said:
        score_ensemble(pair, Ledger(tmp_path), tmp_path / "nothing", Machine())
    assert words in str(said.value)
    assert "`harness run g --retrain`" in str(said.value)


def test_an_ensemble_of_members_of_other_data_than_now_is_refused(tmp_path: Path, data: Path) -> None:
    """Their networks would be scored on a test split that may have changed."""
    pair = members(tmp_path, {}, {})
    with pytest.raises(HarnessError, match=r"trained on other data than .*toy holds now .*; accepted: members of what"):
        score_ensemble(pair, Ledger(tmp_path), data, Machine())
