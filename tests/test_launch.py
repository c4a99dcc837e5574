"""`harness run`: skips what is done, isolates failures, never trains a cell twice."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from synthetic import write_dataset
from toy import TOY, harness, trained, wait_for, write_grid

from harness.cli import group
from harness.data import tokenizer
from harness.grids import load_grid
from harness.launch.display import describe
from harness.launch.prepare import prepare_data
from harness.ledger import Ledger
from harness.ledger.claim import Claim, heartbeat
from harness.training.stopping import Interrupted, StopSignal
from harness.training.work import _tell_tokenising

FOUR = """
[axes]
seed = [0, 1]
[axes.method.infonce]
method.name = "infonce"
schedule.epochs = 1
[axes.method.triplet]
method.name = "triplet"
schedule.epochs = 1
"""
# A tiny lr_decay_factor and a huge lr: the loss of `seed = 1` is no longer a number after some steps.
ONE_FAILS = """
[axes]
seed = [0, 1]
[run.method]
name = "infonce"
[[exception]]
where = { seed = 1 }
run.schedule.lr = 1e30
"""


@pytest.mark.slow
@pytest.mark.usefixtures("mirrored")
def test_two_launchers_train_each_cell_once(workplace: Path) -> None:
    grid = write_grid(workplace, FOUR)
    command = [sys.executable, "-m", "harness", "run", str(grid), "--jobs", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    both = [
        subprocess.Popen(command, cwd=workplace, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=1800)[0].decode() for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    cells = list(Ledger(workplace / "runs").cells())
    assert len(cells) == 4
    for cell in cells:
        assert cell.state() == "done"
        assert [row["epoch"] for row in cell.rows()] == [0]
        assert trained(cell) == 1
    for text in said:
        assert "4 of 4 cells done, 0 failed" in text

    again = harness("run", grid, cwd=workplace)
    assert again.returncode == 0
    assert all(trained(cell) == 1 for cell in cells)

    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{workplace / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("toy")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    assert sorted(run.info.run_name for run in runs) == sorted(cell.name for cell in cells)
    assert {run.info.status for run in runs} == {"FINISHED"}
    for run in runs:
        assert len(client.get_metric_history(run.info.run_id, "dev/rsum")) == 1


@pytest.mark.slow
def test_a_failed_cell_is_recorded_and_the_rest_goes_on(workplace: Path) -> None:
    grid = write_grid(workplace, ONE_FAILS.replace('name = "infonce"', 'name = "infonce"').strip())
    grid.write_text(grid.read_text().replace("lr = 2e-3", "lr = 2e-3, epochs = 2"))
    ran = harness("run", grid, cwd=workplace)
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert "1 of 2 cells done, 1 failed" in ran.stdout
    states = {cell.name: cell for cell in Ledger(workplace / "runs").cells()}
    assert states["seed=0"].state() == "done"
    assert states["seed=1"].state() == "failed"
    failure = states["seed=1"].failure()
    assert failure is not None
    assert "the loss became" in failure["error"]
    assert "Traceback" in failure["traceback"]
    shown = harness("status", grid, cwd=workplace)
    assert shown.returncode == 0
    assert "1 done, 1 failed" in shown.stdout
    assert "the loss became" in shown.stdout


@pytest.mark.slow
def test_a_dry_run_trains_nothing_and_only_chooses(workplace: Path) -> None:
    grid = write_grid(workplace, FOUR)
    ran = harness("run", grid, "--dry-run", "--only", "method=triplet", cwd=workplace)
    assert ran.returncode == 0
    assert ran.stdout.count("train ") == 2
    assert "infonce" not in ran.stdout
    assert not (workplace / "runs").exists()


@pytest.mark.slow
def test_check_expands_and_estimates(workplace: Path) -> None:
    grid = write_grid(workplace, FOUR)
    checked = harness("check", grid, cwd=workplace)
    assert checked.returncode == 0
    assert "4 cells, 4 to train; the cost of 4 is unknown: no similar cell was trained yet" in checked.stdout
    assert "1 epoch, 32 steps" in checked.stdout
    assert harness("run", grid, "--only", "seed=0", "--only", "method=infonce", cwd=workplace).returncode == 0
    checked = harness("check", grid, cwd=workplace)
    assert "4 cells, 3 to train; about 0.0 h one after another" in checked.stdout


def test_the_launcher_tokenises_nothing(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """600,000 captions are minutes: the worker does it, says how far it is, and stops when asked to."""
    monkeypatch.chdir(workplace)
    (workplace / "data").unlink()
    write_dataset(workplace / "data" / "toy")  # no cache yet

    def refuse(text: str) -> list[str]:
        raise AssertionError(text)

    monkeypatch.setattr(tokenizer, "tokenize", refuse)
    damaged = FOUR + '[run.noise]\nname = "text_damage"\nrate = 0.4\n'
    (workplace / "toy.toml").write_text(TOY.replace('noise = "caption_level"\n', "") + damaged)
    prepare_data(load_grid(workplace / "toy.toml").cells, workplace / "data")
    said = CliRunner().invoke(group, ["check", "toy.toml"])
    assert said.exit_code == 0, said.output


def test_a_worker_says_how_far_its_tokenising_is_and_stops_there(tmp_path: Path) -> None:
    claim = Claim.take(tmp_path)
    assert claim is not None
    stop = StopSignal()
    try:
        _tell_tokenising(claim, stop, 0.34)
        wait_for(lambda: "tokenised" in heartbeat(tmp_path))
        assert describe(heartbeat(tmp_path)) == "tokenising captions, 34%"
        claim.report(scoring=True, share_done=1.0, seconds_left=0.0)
        _tell_tokenising(None, stop, 0.8)  # of the test split, once training has ended
        wait_for(lambda: "scoring" in heartbeat(tmp_path))
        assert describe(heartbeat(tmp_path)) == "scoring the test split and the training pairs"
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Interrupted):
            _tell_tokenising(claim, stop, 0.5)
    finally:
        stop.restore()
        claim.release()
