"""`harness sweep` from end to end, over the toy dataset and with real workers."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from test_search_declaration import write
from toy import harness

from harness.cli import main
from harness.files import read_json
from harness.grids import load_grid
from harness.ledger import Ledger, claim
from harness.search import load_sweep, outcome, read_sweep
from harness.training.machine import Machine
from harness.training.work import work

ENVIRONMENT = {"COLUMNS": "200"}


@pytest.fixture
def workplace(tmp_path: Path, toy_data: Path) -> Path:
    (tmp_path / "data").symlink_to(toy_data)
    return tmp_path


@pytest.mark.slow
@pytest.mark.usefixtures("mirrored")
def test_a_killed_sweep_continues_and_scores_its_winner_once(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = write(workplace, rest="\n[confirm]\nseeds = [0, 1]")
    ledger = Ledger(workplace / "runs")
    command = ("sweep", str(spec), "--trials", "2", "--checkpoint-seconds", "0")
    launcher = subprocess.Popen(
        [sys.executable, "-m", "harness", *command], cwd=workplace, stdout=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1", **ENVIRONMENT},
    )  # fmt: skip
    while not any(cell.rows() for cell in ledger.cells()):
        assert launcher.poll() is None
        time.sleep(0.01)
    [cell] = ledger.cells()
    holder = claim.read(cell.folder)
    launcher.kill()
    launcher.wait()
    if holder is not None:  # the worker too; if it was quicker, its result is taken as it is
        os.kill(holder["pid"], signal.SIGKILL)

    ran = harness(*command, cwd=workplace, **ENVIRONMENT)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "toy: 2 trials, 2 complete" in ran.stdout
    folder = workplace / "runs" / "sweeps" / "toy"

    record = read_sweep("toy", workplace / "runs")
    assert [(row.number, row.state) for row in record.trials] == [(0, "COMPLETE"), (1, "COMPLETE")]
    assert cell.fingerprint == record.trials[0].fingerprint
    for row in record.trials:
        result = ledger.cell(row.fingerprint).result()
        assert result is not None
        assert result["test"] == {}  # no trial has seen the test split
        assert row.value == result["dev"]["rsum"]
        assert not ledger.cell(row.fingerprint).path("ranks.npz").exists()
    best = max(record.trials, key=lambda row: row.value or 0.0)
    summary = record.summary
    assert (summary["trial"], summary["value"]) == (best.number, best.value)
    settings = "both" if best.number else "this setting"  # trial 0 is the paper's
    assert f"next    `harness run runs/sweeps/toy/toy_best.toml` trains {settings} with 2 seeds" in ran.stdout
    assert set(summary["scored"]) == {best.fingerprint}
    assert summary["test"]["full"]["rsum"] > 0
    assert record.importance == {}

    # The winner's test figures are those of its run scored as a grid would: the same network, bit for bit.
    grid = load_grid(folder / "toy_best.toml")
    [planned] = [c for c in grid.cells if c.place["seed"] == 0 and (c.place["setting"] == "best") == (best.number > 0)]
    confirmed = ledger.add(planned.entry(grid.name))
    assert work(confirmed, workplace / "data", Machine("cpu")) == "done"
    assert (confirmed.result() or {})["test"] == summary["test"]

    in_mlflow(workplace, folder)
    scored_again(workplace, folder, monkeypatch)


def in_mlflow(workplace: Path, folder: Path) -> None:
    import mlflow

    from harness.tracking import open_store
    from harness.tracking.mlflow_sweeps import mirror_sweep

    client = mlflow.MlflowClient(f"sqlite:///{workplace / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("toy")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    trials = {run.data.tags["trial"]: run for run in runs if "trial" in run.data.tags}
    assert set(trials) == {"0", "1"}
    assert {run.data.tags["sweep"] for run in runs} == {"toy"}
    assert {run.info.status for run in runs} == {"FINISHED"}
    [own] = [run for run in runs if run.data.tags.get("kind") == "sweep"]
    assert {trial.data.tags["mlflow.parentRunId"] for trial in trials.values()} == {own.info.run_id}
    mirror_sweep(open_store(None, workplace / "runs"), folder)  # again: adds nothing
    assert len(client.search_runs([experiment.experiment_id])) == 3
    rows = read_sweep("toy", workplace / "runs").trials
    for key, values in {
        "value": [row.value for row in rows],
        "best": [rows[0].value, max(row.value or 0.0 for row in rows)],
        "parameter/method.beta": [row.parameters["method.beta"] for row in rows],
    }.items():
        points = client.get_metric_history(own.info.run_id, key)
        assert [(point.step, point.value) for point in points] == list(enumerate(values))
    best = max(rows, key=lambda row: row.value or 0.0)
    assert own.data.tags["best.method.beta"] == str(best.parameters["method.beta"])
    files = {artifact.path for artifact in client.list_artifacts(own.info.run_id)}
    assert files >= {"trials.csv", "toy_best.toml", "summary.json", "sweep.json", "importance.json"}


def scored_again(workplace: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> Any:
        raise AssertionError("the test split was scored a second time")

    sweep = load_sweep(workplace / "toy.toml", trials=2)
    rows = read_sweep("toy", workplace / "runs").trials
    before = (folder / "summary.json").read_bytes()
    monkeypatch.setattr(outcome, "score_winner", refuse)
    where = {"folder": folder, "ledger": Ledger(workplace / "runs"), "data": workplace / "data"}
    again = outcome.write_outcome(sweep, rows, ({}, json.loads(before)["importance"]), **where, machine=Machine())
    assert (folder / "summary.json").read_bytes() == before
    assert again == read_json(folder / "summary.json")


def test_bad_input_is_one_line_and_status_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = write(tmp_path, '"method.beta" = { low = 0.0, high = 1.7 }')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["harness", "sweep", str(spec)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert 'space."method.beta" at 1.7: method.beta = 1.7' in said
    assert not (tmp_path / "runs").exists()
