"""What Optuna's own pages show of a sweep: names, epochs, figures; and that one command opens them."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from test_search_declaration import BETA, write
from test_search_launcher import WORKER, launch

from harness.cli.ui import command as ui
from harness.errors import HarnessError
from harness.search import load_sweep
from harness.search.records import sweep_folder
from harness.search.storage import open_storage, optuna
from harness.search.study import Study


def searched(folder: Path) -> Path:
    """The runs folder of a sweep of two trials."""
    (folder / "worker.py").write_text(WORKER)
    launch(write(folder, BETA), folder / "runs", folder / "worker.py", trials=2)
    return folder / "runs"


def test_optuna_shows_names_epochs_and_figures(tmp_path: Path) -> None:
    runs = searched(tmp_path)
    sweep = load_sweep(write(tmp_path, BETA), trials=2)
    folder = sweep_folder(sweep.name, runs)
    study = optuna().load_study(study_name=sweep.name, storage=open_storage(None, folder))
    assert study.metric_names == ["dev/rsum"]
    first, second = study.trials
    assert first.user_attrs["setting"] == "the paper's"
    assert "setting" not in second.user_attrs
    for trial in study.trials:
        assert list(trial.intermediate_values) == [0, 1, 2, 3]  # of the last piece, without a pruner
        assert trial.intermediate_values[3] == pytest.approx(trial.value - 12.5)
        assert trial.user_attrs["run"].startswith(f"trial {trial.number} method.beta=")
        assert trial.user_attrs["dev/rsum"] == trial.value

    held = Study(sweep, folder)
    held.show_winner(1, {"full": {"rsum": 250.0}})
    held.close()
    study = optuna().load_study(study_name=sweep.name, storage=open_storage(None, folder))
    assert (study.user_attrs["winner"], study.user_attrs["test/full/rsum"]) == (1, 250.0)


def test_one_command_opens_the_dashboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dashboard = pytest.importorskip("optuna_dashboard")
    runs = searched(tmp_path)
    opened: list[tuple[Any, int]] = []
    monkeypatch.setattr(dashboard, "run_server", lambda storage, host, port: opened.append((storage, port)))
    done = CliRunner().invoke(ui, ["--runs", str(runs), "--optuna", "--port", "18080"], catch_exceptions=False)
    assert "http://127.0.0.1:18080/dashboard/" in done.output
    [(storage, port)] = opened
    assert (len(storage.get_all_studies()), port) == (1, 18080)


def test_without_the_package_or_a_sweep_it_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(HarnessError, match="no sweep has begun there"):
        CliRunner().invoke(ui, ["--runs", str(tmp_path / "runs"), "--optuna"], catch_exceptions=False)
    runs = searched(tmp_path)
    monkeypatch.setattr("harness.extras.find_spec", lambda _: None)
    with pytest.raises(HarnessError, match=r"pip install 'crcl-harness\[dashboard\]'"):
        CliRunner().invoke(ui, ["--runs", str(runs), "--optuna"], catch_exceptions=False)
