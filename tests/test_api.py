"""The Python API: light to import, its tables, one run opened, its losses. docs/api.md is run in test_docs_api.py."""

import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from ledger_toys import a_result, a_row
from toy import CRCL as CRCL_AXES
from toy import write_grid

import harness
from harness import losses
from harness.api import training
from harness.api.running import Ran
from harness.grids import load_grid
from harness.ledger import Cell, Ledger
from harness.methods import METHODS, Method, Progress
from harness.methods.crcl import CRCL, active_loss, complementary_loss
from harness.methods.softmax import log_matching, matching
from harness.training.machine import Machine
from harness.training.work import work

INFONCE = 'method = "infonce"\n[axes]\n"schedule.epochs" = [1]\n'


# -- light ---------------------------------------------------------------------------------------------------------


def test_the_import_brings_nothing_along() -> None:
    code = """
import sys, harness
before = {"torch", "pandas", "numpy", "pydantic", "click"} & {name.partition(".")[0] for name in sys.modules}
assert not before, before
assert [name for name in sys.modules if name.startswith("harness")] == ["harness"]
for name in harness._PUBLIC:
    assert name in dir(harness) and getattr(harness, name) is not None
assert not hasattr(harness, "no_such_thing")
from harness.losses import crcl
assert crcl is harness.losses.crcl
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_editors_see_the_functions() -> None:
    assert (Path(harness.__file__).parent / "py.typed").is_file()
    for name in ("run", "train", "runs", "curves", "open", "make"):
        function = getattr(harness, name)
        assert "Raises:\n" in inspect.getdoc(function), name
        assert f" as {name}\n" in Path(harness.__file__).read_text(), f"{name} is not imported under TYPE_CHECKING"


# -- tables --------------------------------------------------------------------------------------------------------


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """A finished run of two protocols and two epochs, and one that waits."""
    axes = '[axes.method.crcl]\nmethod = { name = "crcl", pieces = [2, 2], freeze_epochs = 1 }\n'
    grid = load_grid(write_grid(tmp_path, '[axes]\n"noise.rate" = [0.4]\nseed = [0, 1]\n' + axes))
    ledger = Ledger(tmp_path / "runs")
    done, _ = [ledger.add(cell.entry(grid.name)) for cell in grid.cells]
    for epoch in range(2):
        done.append_row(a_row(epoch, values={"train/loss": 2.0 - epoch, "labels/auc": None}))
    test = {"all": {"rsum": 200.0}, "1k": {"rsum": 300.0}}
    done.write_result(a_result(fingerprint=done.fingerprint, test=test, labels={"labels/auc": 0.9}))
    return ledger


def test_a_row_for_each_run_and_protocol_with_every_setting(ledger: Ledger) -> None:
    runs = harness.runs(ledger.root).sort_values(["seed", "protocol"])
    assert list(runs["state"]) == ["done", "done", "waiting"]
    assert list(runs["protocol"])[:2] == ["1k", "all"]
    assert list(runs["test.rsum"])[:2] == [300, 200]
    assert runs["test.rsum"].isna().sum() == runs["dev.rsum"].isna().sum() == 1
    assert list(runs["labels.auc"])[:2] == [0.9, 0.9]
    assert set(runs["noise.rate"]) == {0.4}
    assert set(runs["method.beta"]) == {0.8}
    assert [len(group) for _, group in runs.groupby("method.pieces")] == [3]  # a list can be grouped by
    assert {"schedule.lr", "schedule.batch_size", "backbone.embed_dim", "augmentation.token_rate"} <= {*runs.columns}
    assert runs.columns.is_unique


def test_a_row_for_each_epoch(ledger: Ledger) -> None:
    curves = harness.curves(ledger.root)
    assert list(curves["epoch"]) == [0, 1]
    assert list(curves["train.loss"]) == [2.0, 1.0]
    assert curves["labels.auc"].isna().all()
    assert set(curves["method.beta"]) == {0.8}
    done = next(cell for cell in ledger.cells() if cell.result())
    pd.testing.assert_frame_equal(harness.open(ledger.root, done.fingerprint).curves(), curves)


def test_what_is_not_there_yet_is_nan(ledger: Ledger) -> None:
    for cell in ledger.cells():
        cell.path("result.json").unlink(missing_ok=True)
        cell.path("metrics.jsonl").unlink(missing_ok=True)
    runs, curves = harness.runs(ledger.root), harness.curves(ledger.root)
    assert len(runs) == 2
    assert runs[["test.rsum", "dev.i2t_r1"]].isna().all(axis=None)
    assert len(curves["epoch"]) == 0


def test_a_run_that_two_grids_share_is_found_by_both(ledger: Ledger, tmp_path: Path) -> None:
    other = write_grid(tmp_path, CRCL_AXES, name="other")  # its one cell is that of seed 0
    (found,) = set(harness.runs(ledger.root, grid=other)["fingerprint"])
    assert found == load_grid(other).cells[0].fingerprint
    assert len(harness.runs(ledger.root, grid="toy")) == 3
    with pytest.raises(harness.HarnessError, match="no run is of grid 'toi'; did you mean 'toy'"):
        harness.runs(ledger.root, grid="toi")
    with pytest.raises(harness.HarnessError, match=r"none: holds no runs; accepted: a folder that `harness run`"):
        harness.curves(tmp_path / "none")


# -- one run -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def infonce(tmp_path_factory: pytest.TempPathFactory, toy_data: Path) -> Cell:
    """A finished run without noise and without labels."""
    folder = tmp_path_factory.mktemp("api")
    grid = load_grid(write_grid(folder, INFONCE))
    cell = Ledger(folder / "runs").add(grid.cells[0].entry(grid.name))
    assert work(cell, toy_data, Machine("cpu")) == "done", cell.failure()
    return cell


def test_the_pairs_of_a_run_as_it_sees_them(infonce: Cell, toy_data: Path) -> None:
    run = harness.open(infonce.folder.parent, infonce.fingerprint[:6], data=toy_data)
    pairs = run.pairs()
    assert list(pairs.columns) == ["caption", "image", "clean", "label", "similarity", "match", "rank"]
    assert len(pairs) == 1000
    assert pairs["clean"].isna().all()  # no noise was put in, so what is wrong by nature is not known
    assert pairs["label"].isna().all()
    assert sorted(pairs["rank"]) == list(range(1, 1001))
    assert pairs.sort_values("rank")["match"].is_monotonic_increasing
    captions = (toy_data / "toy" / "train_caps.txt").read_text().splitlines()
    assert list(pairs["caption"]) == captions
    assert pairs["image"][7] == "train-00001.png"  # five captions an image


def test_the_network_of_a_run_is_ready_to_encode(infonce: Cell) -> None:
    run = harness.open(infonce.folder.parent, infonce.name)
    network = run.network()
    assert isinstance(network, torch.nn.Module)
    assert not network.training
    assert sum(p.numel() for p in network.parameters()) == run.result["parameters"]
    assert run.spec.schedule.epochs == 1


def test_what_a_run_has_not_is_said(infonce: Cell, ledger: Ledger) -> None:
    run = harness.open(infonce.folder.parent, infonce.fingerprint)
    with pytest.raises(harness.HarnessError, match=r"has no labels\.npy: infonce keeps no labels; `pairs` has match"):
        run.labels()
    waiting = harness.Run(next(cell for cell in ledger.cells() if not cell.result()))
    for ask in (waiting.labels, waiting.network, lambda: waiting.result):
        with pytest.raises(
            harness.HarnessError, match="is waiting; accepted: a finished run; `harness run toy` trains"
        ):
            ask()
    with pytest.raises(harness.HarnessError, match="is waiting; an audit needs a finished run"):
        waiting.pairs()


# -- training ------------------------------------------------------------------------------------------------------


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What a call asks of the launcher, which trains nothing."""
    asked: dict[str, Any] = {}

    def pretended(grid: Any, **how: Any) -> Ran:
        asked.update(how, grid=grid)
        return Ran({Cell(how["runs"] / cell.fingerprint): "done" for cell in grid.cells}, {}, {}, other=0)

    monkeypatch.setattr(training, "run_grid", pretended)
    return asked


def test_a_grid_is_trained_as_the_verb_would(asked: dict[str, Any], tmp_path: Path) -> None:
    path = write_grid(tmp_path, CRCL_AXES.replace("[0.4]", "[0.2, 0.4]"))
    cells = harness.run(
        path, runs=tmp_path, only={"noise.rate": 0.2}, set={"method.beta": 0.9}, jobs=2, device="cpu", budget=60
    )
    (cell,) = load_grid(path, only={"noise.rate": ["0.2"]}, settings={"method.beta": 0.9}).cells
    assert [done.fingerprint for done in cells] == [cell.fingerprint]
    assert cell.run.method.parameters["beta"] == 0.9
    assert asked["machine"] == {"device": "cpu"}
    assert (asked["jobs"], asked["budget"], asked["data"]) == (2, 60, Path("data"))


def test_a_run_is_described_by_keywords_or_dotted_keys(asked: dict[str, Any], tmp_path: Path) -> None:
    ways: list[dict[str, Any]] = [
        {"method": "crcl", "set": {"method.beta": 0.9, "method.pieces": [3, 3], "seed": 2, "schedule.lr": 1e-3}},
        {"method": {"name": "crcl", "beta": 0.9, "pieces": (3, 3)}, "seed": 2, "schedule": {"lr": 1e-3}},
        {"method": CRCL, "seed": 2, "set": {"method": {"beta": 0.9, "pieces": [3, 3]}, "schedule.lr": 1e-3}},
    ]
    runs = [harness.train(dataset="toy", runs=tmp_path, precision="bf16", **way) for way in ways]
    assert len({run.fingerprint for run in runs}) == 1
    (cell,) = asked["grid"].cells
    assert cell.run.method.parameters["beta"] == 0.9
    assert cell.run.seed == 2
    assert cell.place["method.pieces"] == "3-3"
    assert asked["machine"] == {"precision": "bf16"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sched": {"epochs": 1}}, "sched: unknown key; did you mean 'schedule'?"),
        ({"set": {"method.tau": -1}}, "method.tau = -1: accepted: more than 0"),
        ({"precision": "bf17"}, "precision = 'bf17': accepted: 'float32', 'tf32' or 'bf16'"),
        ({"jobs": 0}, "jobs = 0: accepted: 1 or more"),
        ({"method": type("Mine", (Method,), {"__module__": "__main__"})}, "method = Mine: is written in the program"),
    ],
)
def test_bad_input_is_one_line(given: dict[str, Any], message: str, asked: dict[str, Any]) -> None:
    with pytest.raises(harness.HarnessError) as caught:
        harness.train(**{"dataset": "toy", "method": "infonce", "schedule": {"epochs": 1}, **given})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not asked


def test_an_unknown_keyword_of_run_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(harness.HarnessError, match=r"harness\.run: devise = 'cpu': unknown key; did you mean 'device'"):
        harness.run(write_grid(tmp_path, CRCL_AXES), devise="cpu")  # type: ignore[call-arg]


def test_a_failed_run_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def failing(grid: Any, **how: Any) -> Ran:
        cell = Ledger(how["runs"]).add(grid.cells[0].entry(grid.name))
        cell.write_failure("out of memory", "", {})
        return Ran({cell: "failed"}, {cell: "failed"}, {}, other=0)

    monkeypatch.setattr(training, "run_grid", failing)
    with pytest.raises(harness.HarnessError, match=r"failed: out of memory \(log: "):
        harness.train(dataset="toy", method="infonce", schedule={"epochs": 1}, runs=tmp_path)


# -- losses --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["crcl", "rcl", "infonce", "triplet", "sum_hinge"])
def test_a_loss_has_the_defaults_of_its_method(name: str) -> None:
    function, method = inspect.signature(getattr(losses, name)), inspect.signature(METHODS[name])
    keywords = {key: each.default for key, each in function.parameters.items() if each.kind is each.KEYWORD_ONLY}
    assert keywords == {key: method.parameters[key].default for key in keywords}
    assert keywords


def test_crcl_is_the_sum_of_its_two_parts() -> None:
    torch.manual_seed(0)
    scores = (2 * torch.rand(8, 8) - 1).requires_grad_()
    labels = torch.tensor([1.0, 0.0, 0.05, 0.5, 0.9, 1.0, 0.2, 0.7])  # 0.05 is below CRCL's threshold, and counts
    kept = labels.clone()
    found = losses.crcl(scores, labels, tau=0.1, complementary_weight=2.0)
    expected = active_loss(*log_matching(scores, 0.1), labels)
    expected = expected + 2 * complementary_loss(*matching(scores, 0.1), 1 - labels)
    assert torch.equal(found, expected)
    assert torch.equal(labels, kept)
    (gradient,) = torch.autograd.grad(found, scores)
    assert gradient.abs().sum() > 0


def test_a_loop_of_ones_own_takes_the_steps_of_a_run() -> None:
    """Frozen, then corrected, with the threshold: CRCL as the trainer calls it, step by step."""
    torch.manual_seed(0)
    method, state, labels = CRCL(freeze_epochs=1, pieces=(3, 3)), {"label": torch.ones(8)}, torch.ones(8)
    for epoch in range(3):
        scores, rows = 2 * torch.rand(4, 4) - 1, torch.randperm(8)[:4]
        batch = losses._Batch(rows)
        expected = method.loss(scores, batch, state, Progress(piece=0, epoch=epoch, step=0, steps_per_epoch=2))
        believed, labels[rows] = losses.correct_labels(
            labels[rows], losses.match(scores), piece=0, epoch=epoch, frozen_epochs=1, beta=0.8, epsilon=0.1
        )
        assert torch.equal(losses.crcl(scores, believed), expected["loss"])
        assert torch.equal(labels, state["label"])
    assert not torch.equal(labels, torch.ones(8))


@pytest.mark.parametrize(
    ("name", "at_equal_scores"),
    [("infonce", 2 * np.log(4)), ("triplet", 4 * 2 * 0.2), ("sum_hinge", 4 * 3 * 2 * 0.2), ("rcl", 6 * -np.log(0.75))],
)
def test_the_value_where_the_network_knows_nothing(name: str, at_equal_scores: float) -> None:
    assert float(getattr(losses, name)(torch.zeros(4, 4))) == pytest.approx(at_equal_scores)
    single = torch.zeros(1, 1, requires_grad=True)
    (gradient,) = torch.autograd.grad(getattr(losses, name)(single), single, allow_unused=True)
    assert gradient is None or not gradient.any()


def test_a_loss_refuses_what_it_cannot_use() -> None:
    with pytest.raises(ValueError, match=r"labels must be \(4,\), one per pair; got \(5,\)"):
        losses.crcl(torch.zeros(4, 4), torch.ones(5))
    with pytest.raises(ValueError, match=r"scores must be \(B, B\)"):
        losses.infonce(torch.zeros(4, 5))
    with pytest.raises(harness.HarnessError, match="tau = 0"):
        losses.infonce(torch.zeros(4, 4), tau=0)
