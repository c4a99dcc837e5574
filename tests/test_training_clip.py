"""CLIP through the whole path of a cell: zero-shot without a step, fine-tuned with and without labels, stopped."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from clips import write_clip
from safetensors.torch import load_file
from toy import harness

from harness.errors import HarnessError
from harness.grids import load_grid
from harness.ledger import Cell, Ledger
from harness.methods import METHODS
from harness.methods.zero_shot import ZeroShot
from harness.reporting.diagnosis import diagnose
from harness.reporting.figures.curves import figures
from harness.training.machine import Machine
from harness.training.trainer import Trainer
from harness.training.work import work

GRID = """
title = "toy"
[run]
dataset = "toy"
noise = {{ name = "caption_level", rate = 0.4 }}
backbone = {{ name = "clip", model = "{model}" }}
schedule = {{ batch_size = 50, lr = 1e-3 }}
[axes.method.zero_shot]
method = "zero_shot"
[axes.method.infonce]
method = "infonce"
schedule.epochs = 5
[axes.method.crcl]
method = {{ name = "crcl", pieces = [2, 4], freeze_epochs = 0, epsilon = 0.0 }}
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("models") / "clip")


def cells(folder: Path, model: Path | str) -> dict[str, Cell]:
    path = folder / "clip.toml"
    path.write_text(GRID.format(model=model))
    grid = load_grid(path)
    return {cell.name: Ledger(folder / "runs").add(cell.entry(grid.name)) for cell in grid.cells}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, model: Path, toy_data: Path) -> dict[str, Cell]:
    found = cells(tmp_path_factory.mktemp("trained"), model)
    for cell in found.values():
        assert work(cell, toy_data, Machine()) == "done", cell.failure()
    return found


def result(cell: Cell) -> dict[str, Any]:
    found = cell.result()
    assert found is not None
    return found


def test_zero_shot_is_the_network_as_it_is(trained: dict[str, Cell], model: Path) -> None:
    cell = trained["zero_shot"]
    found, weights = load_file(cell.path("model.safetensors")), load_file(model / "model.safetensors")
    assert all(torch.equal(found[f"network.{key}"], value) for key, value in weights.items())
    assert result(cell)["steps"] == 0
    assert result(cell)["test"]["full"]["rsum"] > 0
    (row,) = cell.rows()
    assert row["values"] == {f"dev/{key}": value for key, value in result(cell)["dev"].items()}
    assert np.load(cell.path("pairs.npz"))["similarity"].shape == (1000,)
    assert np.load(cell.path("ranks.npz"))["full/t2i"].shape == (250,)
    assert not cell.path("labels.npy").exists()


def test_zero_shot_does_not_depend_on_the_noise(trained: dict[str, Cell], tmp_path: Path, model: Path, toy_data: Path):
    (tmp_path / "clip.toml").write_text(GRID.format(model=model).replace("rate = 0.4", "rate = 0.0"))
    grid = load_grid(tmp_path / "clip.toml")
    cell = Ledger(tmp_path).add(grid.only({"method": ["zero_shot"]})[0].entry(grid.name))
    assert work(cell, toy_data, Machine()) == "done"
    assert result(cell)["test"] == result(trained["zero_shot"])["test"]


def test_zero_shot_trains_nothing_so_it_takes_no_epochs() -> None:
    assert ZeroShot().phases(None, 10) == []
    with pytest.raises(HarnessError, match=r"schedule.epochs = 3: zero_shot trains nothing; .*remove it"):
        METHODS["zero_shot"]().phases(3, 10)


def test_fine_tuning_learns(trained: dict[str, Cell]) -> None:
    before = result(trained["zero_shot"])["test"]["full"]["rsum"]
    assert result(trained["infonce"])["test"]["full"]["rsum"] > before + 20
    assert result(trained["infonce"])["steps"] == 100
    crcl = trained["crcl"]
    assert result(crcl)["steps"] == 120
    assert np.load(crcl.path("labels.npy")).shape == (1000,)
    assert result(crcl)["labels"]["labels/auc"] > 0.55
    assert [row["piece"] for row in crcl.rows()] == [0, 0, 1, 1, 1, 1]


def test_a_new_piece_begins_with_the_pretrained_weights(
    tmp_path: Path, model: Path, toy_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = load_file(model / "model.safetensors")
    next_phase = Trainer._next_phase

    def look(self: Trainer) -> None:
        moved = self.networks[0].backbone.state_dict()["network.visual_projection.weight"].clone()
        next_phase(self)
        assert not torch.equal(moved, weights["visual_projection.weight"])
        held = self.networks[0].backbone.state_dict()
        assert all(torch.equal(held[f"network.{key}"], value) for key, value in weights.items())
        raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "_next_phase", look)
    with pytest.raises(KeyboardInterrupt):
        work(cells(tmp_path, model)["crcl"], toy_data, Machine())


def test_stopped_and_continued_it_ends_with_the_same_numbers(
    trained: dict[str, Cell], tmp_path: Path, model: Path, toy_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = cells(tmp_path, model)["crcl"]
    step = Trainer._step

    def stopped(self: Trainer, *arguments: Any) -> None:
        step(self, *arguments)
        self.stop = lambda: self.at.steps == 47  # in the second piece

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_step", stopped)
        assert work(cell, toy_data, Machine()) == "interrupted"
    assert work(cell, toy_data, Machine()) == "done"
    for key in ("test", "dev", "best", "labels", "steps"):
        assert result(cell)[key] == result(trained["crcl"])[key]
    one, other = (load_file(each.path("model.safetensors")) for each in (cell, trained["crcl"]))
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_every_backbone_is_given_the_same_pairs(trained: dict[str, Cell], tmp_path: Path, toy_data: Path) -> None:
    text = GRID.format(model="tiny-random").replace(
        'name = "clip", model = "tiny-random"', 'name = "vse_infinity", embed_dim = 8'
    )
    (tmp_path / "vse.toml").write_text(text)
    grid = load_grid(tmp_path / "vse.toml")
    cell = Ledger(tmp_path).add(grid.only({"method": ["zero_shot"]})[0].entry(grid.name))
    assert work(cell, toy_data, Machine()) == "done", cell.failure()
    same = [np.load(each.path("noise.npy")) for each in (cell, trained["crcl"], trained["infonce"])]
    np.testing.assert_array_equal(same[0], same[1])
    np.testing.assert_array_equal(same[0], same[2])


def test_a_run_without_a_step_is_told_and_drawn(trained: dict[str, Cell]) -> None:
    words = diagnose(trained["zero_shot"])
    assert {finding.verdict for finding in words} <= {"ok", "not judged"}
    assert list(figures(trained["zero_shot"])) == ["curves"]


@pytest.mark.slow
def test_the_command_line_runs_scores_and_reports_it(tmp_path: Path, model: Path, toy_data: Path) -> None:
    cells(tmp_path, model)
    where = ("--data", toy_data)
    run = harness("run", "clip.toml", *where, "--only", "method=zero_shot", cwd=tmp_path)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "1 of 1 cell done" in run.stdout
    check = harness("check", "clip.toml", *where, cwd=tmp_path)
    assert "zero_shot  0 epochs, 0 steps" in check.stdout, check.stdout
    cell = next(c for c in Ledger(tmp_path / "runs").cells() if c.name == "zero_shot")
    scored = harness("evaluate", cell.path("model.safetensors"), "toy", *where, cwd=tmp_path)
    assert scored.returncode == 0, scored.stderr
    assert f"rsum {result(cell)['test']['full']['rsum']:.1f}" in scored.stdout


def test_a_grid_whose_model_is_missing_says_so_before_it_starts(tmp_path: Path, toy_data: Path) -> None:
    cells(tmp_path, "/no/such/clip")
    run = harness("run", "clip.toml", "--data", toy_data, cwd=tmp_path)
    assert run.returncode == 2
    assert "backbone.model = /no/such/clip: there is no such folder" in run.stderr
    assert "Traceback" not in run.stderr
