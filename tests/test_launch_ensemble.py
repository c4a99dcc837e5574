"""SGRAF: the mean similarity of a SAF and an SGR run, as a cell of its own."""

from pathlib import Path

import numpy as np
import pytest
import torch
from toy import harness, write_grid

from harness.backbones.weights import load_backbone
from harness.data import open_dataset
from harness.errors import HarnessError
from harness.evaluation import folds, scoring
from harness.grids import load_grid
from harness.launch.ensemble import score_ensemble
from harness.ledger import Ledger
from harness.training.machine import Machine
from harness.training.work import work

GRID = """
[axes]
seed = [0, 1]
[axes.backbone]
saf = { backbone = { name = "saf", embed_dim = 16, word_dim = 8, sim_dim = 8, regions = 8 } }
sgr = { backbone = { name = "sgr", embed_dim = 16, word_dim = 8, sim_dim = 8, regions = 8, graph_steps = 2 } }
[axes.method.infonce]
method = "infonce"
schedule.epochs = 1
"""


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory, toy_data: Path) -> Ledger:
    folder = tmp_path_factory.mktemp("ensemble")
    ledger = Ledger(folder / "runs")
    for cell in load_grid(write_grid(folder, GRID)).cells:
        if cell.place != {"seed": 1, "backbone": "sgr", "method": "infonce"}:
            work(ledger.add(cell.entry("toy")), toy_data, Machine())
        else:
            ledger.add(cell.entry("toy"))
    return ledger


def test_the_ensemble_scores_the_mean_of_its_members(ledger: Ledger, toy_data: Path) -> None:
    members = [ledger.find("seed=0 saf infonce"), ledger.find("seed=0 sgr infonce")]
    assert [member.state() for member in members] == ["done", "done"], [m.failure() for m in members]
    cell = score_ensemble(members, ledger, toy_data, Machine())
    assert cell.name == "seed=0 sgraf infonce"
    assert cell.state() == "done"

    split = open_dataset("toy", toy_data).split("test")
    each = [scoring.score_matrix(load_backbone(member.path("model.safetensors")), split, "cpu") for member in members]
    expected = folds.evaluate((each[0] + each[1]) / 2, split.image_of_caption, "full")
    assert (cell.result() or {})["test"]["full"] == expected
    assert not torch.equal(each[0], each[1])
    for member, scores in zip(members, each, strict=True):  # what a run recorded is what its network scores
        recorded = (member.result() or {})["test"]["full"]
        assert folds.evaluate(scores, split.image_of_caption, "full") == pytest.approx(recorded)
        assert np.isfinite(recorded["rsum"])


def test_members_must_be_done_and_alike(ledger: Ledger, toy_data: Path) -> None:
    done, waiting = ledger.find("seed=1 saf infonce"), ledger.find("seed=1 sgr infonce")
    with pytest.raises(HarnessError, match="seed=1 sgr infonce: is waiting, not done"):
        score_ensemble([done, waiting], ledger, toy_data, Machine())
    with pytest.raises(HarnessError, match="differ in seed; an ensemble's members differ in the backbone alone"):
        score_ensemble([ledger.find("seed=0 saf infonce"), done], ledger, toy_data, Machine())


@pytest.mark.slow
def test_the_verb_prints_and_tracks_it(ledger: Ledger, toy_data: Path) -> None:
    ran = harness(
        "ensemble", "seed=0 saf infonce", "seed=0 sgr infonce", "--runs", ledger.root, "--data", toy_data,
        cwd=ledger.root.parent,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert "seed=0 sgraf infonce: full  rSum" in ran.stdout
    scored = harness(
        "evaluate", ledger.find("seed=0 saf infonce").path("model.safetensors"), "toy", "--data", toy_data,
        cwd=ledger.root.parent,
    )  # fmt: skip
    assert scored.returncode == 0, scored.stderr
    assert "toy test full: i2t_r1" in scored.stdout


@pytest.mark.slow
def test_a_grid_scores_the_ensembles_it_declares(tmp_path: Path, toy_data: Path) -> None:
    text = GRID.replace("seed = [0, 1]", "seed = [0]") + '[ensembles]\nboth = ["saf", "sgr"]\n'
    grid = write_grid(tmp_path, text)
    ran = harness("run", grid, "--data", toy_data, "--jobs", 2, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "scored  seed=0 both infonce  test full rSum" in ran.stdout
    cell = Ledger(tmp_path / "runs").find("seed=0 both infonce")
    assert cell.state() == "done"
    assert cell.spec["labels"] == {"seed": 0, "backbone": "both", "method": "infonce"}
    only = harness("run", grid, "--data", toy_data, "--only", "backbone=saf", cwd=tmp_path)
    assert only.returncode == 0
    assert "scored" not in only.stdout


def test_an_ensemble_of_what_the_grid_has_not_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match=r"ensembles\.both: 'saff' is not on the axis backbone; did you mean 'saf'"):
        load_grid(write_grid(tmp_path, GRID + '[ensembles]\nboth = ["saff", "sgr"]\n'))
