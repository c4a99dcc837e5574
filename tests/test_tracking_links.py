"""A run's page in MLflow is found in the store, without a server; without a store there are no links."""

from pathlib import Path

import pytest
from ledger_toys import a_result

from harness.ledger import Cell, Ledger
from harness.tracking import forget, mirror_cell, open_store
from harness.tracking.links import remember_pages, run_links


def finished(runs: Path, fingerprint: str) -> Cell:
    labels = {"method": "crcl"}
    run = {"dataset": "toy", "seed": 0, "method": {"name": "crcl"}, "noise": {"name": "caption_level"}}
    cell = Ledger(runs).add({"fingerprint": fingerprint, "grid": "toy", "cell": "crcl", "labels": labels, "run": run})
    cell.write_result(a_result(fingerprint=fingerprint))
    return cell


def test_links_lead_to_the_runs_that_the_store_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_URI", "HARNESS_UI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("harness.tracking.store.AT_ONCE", 2)  # the store answers in several pages
    runs = tmp_path / "runs"
    assert run_links(runs) == {}
    assert not (tmp_path / "mlflow.db").exists()  # looking makes none
    one, two, gone = (finished(runs, letter * 16) for letter in "abc")
    finished(runs, "d" * 16)  # never mirrored
    store = open_store(None, runs)
    assert run_links(runs) == {}
    for cell in (one, two, gone):
        mirror_cell(store, cell)
    mirror_cell(store, one, grid="another")
    forget(store, gone)
    links = run_links(runs)
    assert set(links) == {"a" * 16, "b" * 16}
    run = store.find_run("toy", "b" * 16)
    assert run is not None
    place = f"#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}?workflowType=machine_learning"
    assert links["b" * 16] == f"http://127.0.0.1:5000/{place}"
    pages = {run_links(runs, pages="http://elsewhere:8080/")["b" * 16].partition("#")[0]}
    assert pages == {"http://elsewhere:8080/"}
    remember_pages(runs, "http://127.0.0.1:5050")  # as `harness ui --port 5050` does
    assert run_links(runs)["b" * 16] == f"http://127.0.0.1:5050/{place}"
    monkeypatch.setenv("HARNESS_UI", "https://mlflow.example.org/nc/")
    assert run_links(runs)["b" * 16] == f"https://mlflow.example.org/nc/{place}"
    either = [store.find_run(grid, "a" * 16) for grid in ("toy", "another")]
    assert links["a" * 16].rpartition("/")[2].partition("?")[0] in {found.info.run_id for found in either if found}


def test_a_store_that_does_not_answer_gives_no_links(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"this is no database" * 100)
    assert run_links(tmp_path / "runs", uri=f"sqlite:///{tmp_path}/mlflow.db") == {}
    assert run_links(tmp_path / "runs", uri="http://127.0.0.1:9") == {}
