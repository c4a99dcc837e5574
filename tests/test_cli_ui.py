"""`harness ui`: MLflow's pages, served on this machine alone."""

import itertools
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.cli import ui as ui_verb
from harness.errors import HarnessError


def test_the_pages_need_a_store_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(HarnessError, match=r"mlflow.db: there is no tracking store yet; `harness run GRID`"):
        CliRunner().invoke(ui_verb.command, ["--runs", str(tmp_path / "runs")], catch_exceptions=False)


def test_the_pages_are_served_on_this_machine_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "mlflow.db").touch()
    called = []
    monkeypatch.setattr(os, "execve", lambda *what: called.append(what))
    outcome = CliRunner().invoke(ui_verb.command, ["--runs", str(tmp_path / "runs"), "--port", "5993"])
    assert "http://127.0.0.1:5993/" in outcome.output
    [(_, words, environment)] = called
    pairs = dict(itertools.pairwise(words))
    assert environment["MLFLOW_BACKEND_STORE_URI"] == f"sqlite:///{tmp_path / 'mlflow.db'}"
    assert (pairs["--host"], pairs["--workers"]) == ("127.0.0.1", "1")
    assert environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"


def test_a_tracking_server_has_its_own_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.example.org")
    outcome = CliRunner().invoke(ui_verb.command, ["--runs", str(tmp_path / "runs")], catch_exceptions=False)
    assert "its pages are at https://mlflow.example.org" in outcome.output
