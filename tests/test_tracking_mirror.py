"""The mirror in MLflow holds what the ledger holds: once, whatever was killed, resumed or called twice."""

import json
import multiprocessing
import select
import shutil
import socket
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from ledger_toys import a_result, a_spec
from tracking_toys import BEGIN, finish, hold, make_cell, result, row

from harness.errors import HarnessError
from harness.ledger import Cell, Ledger
from harness.tracking import Extras, Mirror, Store, forget, mirror_cell, open_store


@pytest.fixture
def store(runs: Path) -> Store:
    return open_store(None, runs)


def the_run(store: Store, cell: Cell, grid: str = "toy") -> Any:
    found = store.client.search_runs([store.experiment(grid)], f"tags.fingerprint = '{cell.fingerprint}'")
    assert len(found) == 1
    return found[0]


def history(store: Store, run: Any, key: str) -> list[tuple[int, float]]:
    return [(m.step, m.value) for m in store.client.get_metric_history(run.info.run_id, key)]


def test_a_cell_is_followed_from_its_first_epoch_to_its_result(store: Store, runs: Path) -> None:
    cell = make_cell(runs, sweep="lr-search")
    hold(cell)
    cell.append_row(row(0))
    mirror_cell(store, cell)
    run = the_run(store, cell)
    assert run.info.status == "RUNNING"
    assert run.info.run_name == "crcl noise.rate=0.4 seed=0"
    assert run.info.start_time == int(BEGIN * 1000)
    assert run.data.params["method.beta"] == "0.8"
    assert run.data.params["method.pieces"] == "[3, 4]"
    tags = run.data.tags
    assert (tags["grid"], tags["sweep"], tags["axis.seed"], tags["axis.noise.rate"]) == ("toy", "lr-search", "0", "0.4")
    assert tags["group"].startswith("crcl noise.rate=0.4 [")
    assert "format" not in tags

    cell.append_row(row(1))
    mirror_cell(store, cell)
    run = the_run(store, cell)
    assert history(store, run, "dev/rsum") == [(1, 100.0), (2, 101.0)]
    assert history(store, run, "train/steps/loss") == [(0, 0.0), (5, 1.0), (10, 0.0), (15, 1.0)]
    assert "labels/auc" not in run.data.metrics  # undefined, not zero

    finish(cell, result())
    mirror_cell(store, cell)
    run = the_run(store, cell)
    assert run.info.status == "FINISHED"
    assert run.info.end_time == 1_700_001_200_000
    assert history(store, run, "test/detail/i2t_r1") == [(0, 40.0)]
    assert (run.data.metrics["dev/rsum_selected"], run.data.metrics["progress/selected_epoch"]) == (101.0, 2.0)
    assert run.data.metrics["progress/realised_noise"] == 0.4
    assert run.data.tags["device"] == "cpu"
    assert run.data.tags["mlflow.source.git.commit"] == "abc123"
    assert (run.data.tags["dataset.digest"], run.data.tags["algorithm"]) == ("cd" * 32, "1")
    [dataset] = [i.dataset for i in run.inputs.dataset_inputs]
    assert (dataset.name, dataset.digest) == ("twemoji", ("cd" * 32)[:36])
    files = {f.path for f in store.client.list_artifacts(run.info.run_id)}
    assert files == {"spec.json", "result.json", "labels.npy"}


def test_the_pages_average_over_seeds_alone(store: Store, runs: Path) -> None:
    """Cells of one name, of which one has another setting and one was trained on other data."""
    cells = [make_cell(runs, f"{number:016x}", seed=number) for number in range(4)]
    mended = {**result()["dataset"], "digest": "ef" * 32}
    for cell, data in zip(cells, (result()["dataset"], result()["dataset"], mended, mended), strict=True):
        cell.append_row(row(0))
        finish(cell, {**result(), "dataset": data})
    edited = {**cells[3].spec, "run": {**cells[3].spec["run"], "schedule": {"epochs": None, "lr": 1e-3}}}
    cells[3].path("spec.json").write_text(json.dumps(edited))
    groups = []
    for cell in (*cells[:3], Cell(cells[3].folder)):
        mirror_cell(store, cell)
        groups.append(the_run(store, cell).data.tags["group"])
    assert groups[0] == groups[1]
    assert len(set(groups)) == 3


def test_several_protocols_are_told_apart(store: Store, runs: Path) -> None:
    cell = make_cell(runs)
    cell.append_row(row(0))
    finish(cell, result(("coco_1k_5fold", "coco_5k")))
    mirror_cell(store, cell)
    metrics = the_run(store, cell).data.metrics
    assert metrics["test/coco_5k/rsum"] == 300.0
    assert metrics["test/coco_1k_5fold/rsum"] == 300.0
    assert "test/rsum" not in metrics


def test_a_cell_that_was_only_scored_has_a_run_too(store: Store, runs: Path) -> None:
    """An ensemble has no epochs, no selected epoch and no dev figures."""
    cell = make_cell(runs)
    finish(cell, {**result(), "best": None, "dev": None, "labels": {}})
    mirror_cell(store, cell)
    run = the_run(store, cell)
    assert (run.info.status, run.data.metrics["test/rsum"]) == ("FINISHED", 300.0)
    assert run.info.start_time == run.info.end_time


def test_mirroring_again_adds_nothing(store: Store, runs: Path) -> None:
    cell = make_cell(runs)
    for epoch in range(3):
        cell.append_row(row(epoch))
    finish(cell, result())
    drawn = []

    def figures(cell: Cell) -> dict[str, Path]:
        drawn.append(cell)
        picture = cell.folder.parent / "curve.png"
        picture.write_bytes(b"a picture")
        return {"curve": picture}

    mirror_cell(store, cell, extras=Extras(figures))
    before = dump(runs)
    mirror_cell(store, cell, extras=Extras(figures))
    mirror_cell(open_store(None, runs), cell, extras=Extras(figures))
    assert dump(runs) == before
    assert len(drawn) == 1
    files = [f.path for f in store.client.list_artifacts(the_run(store, cell).info.run_id, "figures")]
    assert files == ["figures/curve.png"]


def dump(runs: Path) -> list[str]:
    connection = sqlite3.connect(runs.parent / "mlflow.db")
    lines = sorted(connection.iterdump())
    connection.close()
    return lines


def test_epochs_trained_again_after_a_kill_are_not_logged_twice(store: Store, runs: Path) -> None:
    cell = make_cell(runs)
    for epoch in range(3):
        cell.append_row(row(epoch))
    cell.path("checkpoint.pt").write_bytes(b"")
    mirror_cell(store, cell)
    assert the_run(store, cell).info.status == "KILLED"

    cell.keep_rows(1)  # the checkpoint was written after the first epoch
    hold(cell)
    mirror_cell(store, cell)
    assert the_run(store, cell).info.status == "RUNNING"
    for epoch in range(1, 4):
        cell.append_row(row(epoch, at=BEGIN + 9000 + epoch))
    mirror_cell(store, cell)
    finish(cell, result())
    mirror_cell(store, cell)

    run = the_run(store, cell)
    assert history(store, run, "dev/rsum") == [(1, 100.0), (2, 101.0), (3, 102.0), (4, 103.0)]
    assert len(history(store, run, "train/steps/loss")) == 8
    assert run.info.status == "FINISHED"


def test_an_unfinished_begin_is_finished(store: Store, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A launcher killed just after MLflow made the run leaves one without params, spec and points."""
    cell = make_cell(runs)
    cell.append_row(row(0))
    with monkeypatch.context() as broken:
        broken.setattr(type(store.client), "log_batch", _raise_os_error)
        with pytest.raises(HarnessError, match="harness sync"):
            mirror_cell(store, cell)
    mirror_cell(store, cell)
    run = the_run(store, cell)
    assert run.data.params["method.name"] == "crcl"
    assert [f.path for f in store.client.list_artifacts(run.info.run_id)] == ["spec.json"]
    assert history(store, run, "epoch") == [(1, 1.0)]


def _raise_os_error(*args: Any, **kwargs: Any) -> None:
    raise OSError("the disk is gone")


def test_a_failed_cell_says_why_and_may_succeed_later(store: Store, runs: Path) -> None:
    cell = make_cell(runs)
    cell.append_row(row(0))
    cell.write_failure("loss is nan in epoch 1", "Traceback ...", {})
    mirror_cell(store, cell)
    run = the_run(store, cell)
    assert (run.info.status, run.data.tags["failure"]) == ("FAILED", "loss is nan in epoch 1")
    assert {f.path for f in store.client.list_artifacts(run.info.run_id)} == {"spec.json", "failure.json"}
    cell.append_row(row(1))
    finish(cell, result())
    mirror_cell(store, cell)
    run = the_run(store, cell)
    assert run.info.status == "FINISHED"
    assert run.data.metrics["test/rsum"] == 300.0


def test_a_cell_trained_anew_is_another_run(store: Store, runs: Path) -> None:
    cell = make_cell(runs)
    cell.append_row(row(0))
    finish(cell, result())
    mirror_cell(store, cell)
    first = the_run(store, cell).info.run_id
    shutil.rmtree(cell.folder)
    cell = make_cell(runs)
    hold(cell)
    cell.append_row({**row(0), "values": {"dev/rsum": 7.0}})
    mirror_cell(store, cell)
    run = the_run(store, cell)
    assert run.info.run_id != first
    assert history(store, run, "dev/rsum") == [(1, 7.0)]


def test_a_run_that_an_older_version_began_is_logged_anew(store: Store, runs: Path) -> None:
    """Its points are placed otherwise: it counted epochs from 0."""
    cell = make_cell(runs)
    hold(cell)
    cell.append_row(row(0))
    mirror_cell(store, cell)
    first = the_run(store, cell).info.run_id
    store.client.set_tag(first, "mirrored", "begun")  # without a layout, as it was
    cell.append_row(row(1))
    mirror_cell(store, cell)
    run = the_run(store, cell)
    assert run.info.run_id != first
    assert history(store, run, "dev/rsum") == [(1, 100.0), (2, 101.0)]


def test_rebuilt_from_the_ledger_it_says_the_same(store: Store, runs: Path) -> None:
    cell = make_cell(runs)
    for epoch in range(2):
        cell.append_row(row(epoch))
    finish(cell, result())
    mirror_cell(store, cell)
    old = the_run(store, cell)
    forget(store, cell)
    mirror_cell(store, cell)
    new = the_run(store, cell)
    assert new.info.run_id != old.info.run_id
    assert (new.data.metrics, new.data.params) == (old.data.metrics, old.data.params)
    assert (new.info.start_time, new.info.end_time) == (old.info.start_time, old.info.end_time)


def test_a_cell_that_waits_has_no_run(store: Store, runs: Path) -> None:
    cell = make_cell(runs)
    mirror_cell(store, cell)
    assert store.client.get_experiment_by_name("toy") is None


def test_grids_may_share_a_cell(store: Store, runs: Path) -> None:
    cell = make_cell(runs)
    cell.append_row(row(0))
    mirror_cell(store, cell)
    mirror_cell(store, cell, grid="other")
    assert the_run(store, cell, "other").data.tags["grid"] == "other"
    assert the_run(store, cell, "toy").data.tags["grid"] == "toy"


def test_more_points_than_one_call_takes(store: Store, runs: Path) -> None:
    cell = make_cell(runs)
    cell.append_row(row(0, steps=1700))
    cell.append_row(row(1, steps=3))
    mirror_cell(store, cell)
    run = the_run(store, cell)
    assert len(history(store, run, "train/steps/loss")) == 1703
    assert history(store, run, "epoch") == [(1, 1.0), (2, 2.0)]


def _mirror_in_a_process(runs: Path, begin: Any) -> None:
    store = open_store(None, runs)
    begin.wait()
    for cell in Ledger(runs).cells():
        mirror_cell(store, cell)


@pytest.mark.slow
def test_two_launchers_at_once_on_a_fresh_store_log_nothing_twice(runs: Path) -> None:
    (runs.parent / "mlflow.db").unlink()
    cells = [make_cell(runs, f"{seed:016x}", seed=seed) for seed in range(3)]
    for cell in cells:
        for epoch in range(4):
            cell.append_row(row(epoch))
    context = multiprocessing.get_context("spawn")
    begin = context.Barrier(2)
    processes = [context.Process(target=_mirror_in_a_process, args=(runs, begin)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    store = open_store(None, runs)
    for cell in cells:
        assert history(store, the_run(store, cell), "epoch") == [(e, float(e)) for e in range(1, 5)]


def test_a_fresh_store_is_made_once_and_in_wal_mode(migrated: Path) -> None:
    connection = sqlite3.connect(migrated)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_artifacts_lie_beside_the_store(store: Store, runs: Path) -> None:
    cell = make_cell(runs)
    cell.append_row(row(0))
    mirror_cell(store, cell)
    assert list((runs.parent / "mlartifacts" / "toy").glob("*/artifacts/spec.json"))


def test_the_usual_variable_chooses_the_store(tmp_path: Path, migrated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(migrated, tmp_path / "mine.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mine.db'}")
    store = open_store(None, tmp_path / "runs")
    assert store.uri.endswith("mine.db")
    assert not (tmp_path / "mlflow.db").exists()


def test_a_server_that_is_down_is_one_complaint_and_then_left_alone(runs: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    uri = f"http://127.0.0.1:{port}"
    cell = make_cell(runs)
    cell.append_row(row(0))
    mirror = Mirror(runs, uri=uri)
    mirror.update([cell])
    assert mirror.complaint is not None
    assert mirror.complaint.startswith(f"tracking store {uri}: ")
    assert "harness sync" in mirror.complaint
    with socket.socket() as server:  # now there is one, and nobody asks it
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", port))
        server.listen()
        mirror.update([cell])
        assert not select.select([server], [], [], 0)[0]


def test_a_launcher_looks_only_at_what_changed(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = [make_cell(runs, f"{seed:016x}", seed=seed) for seed in range(2)]
    for cell in cells:
        cell.append_row(row(0))
    looked_at: list[str] = []

    def spy(store: Store, cell: Cell, **more: Any) -> None:
        looked_at.append(cell.fingerprint)
        mirror_cell(store, cell, **more)

    monkeypatch.setattr("harness.tracking.mlflow_runs.mirror_cell", spy)
    mirror = Mirror(runs)
    mirror.update(cells)
    mirror.update(cells)
    cells[1].append_row(row(1))
    mirror.update(cells)
    assert mirror.complaint is None
    assert looked_at == [cells[0].fingerprint, cells[1].fingerprint, cells[1].fingerprint]
    store = open_store(None, runs)
    assert history(store, the_run(store, cells[1]), "epoch") == [(1, 1.0), (2, 2.0)]


class Counting:
    """An MLflow client that counts what it is asked."""

    def __init__(self, client: Any) -> None:
        self.client, self.calls = client, Counter[str]()

    def __getattr__(self, name: str) -> Any:
        self.calls[name] += 1
        return getattr(self.client, name)


def finished_grid(store: Store, runs: Path, count: int) -> list[Cell]:
    """Cells that are done, and the store has them."""
    cells = [make_cell(runs, f"{seed:016x}", seed=seed) for seed in range(count)]
    for cell in cells:
        cell.append_row(row(0))
        finish(cell, {**result(), "fingerprint": cell.fingerprint})
        mirror_cell(store, cell)
    return cells


@pytest.mark.parametrize("count", [3, 7])
def test_a_finished_grid_of_any_size_costs_one_search(
    count: int, store: Store, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = finished_grid(store, runs, count)
    client = Counting(store.client)
    monkeypatch.setattr("harness.tracking.mirror.MANY", 2)
    monkeypatch.setattr("harness.tracking.mlflow_runs.open_store", lambda *_: Store(store.uri, store.artifacts, client))
    mirror = Mirror(runs, grid="toy")
    mirror.update(cells)
    mirror.update(cells)
    assert mirror.complaint is None
    assert client.calls == {"get_experiment_by_name": 1, "search_runs": 1}


def test_the_search_leaves_out_none_that_lacks_something(
    store: Store, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of runs that are marked and finished nothing is written; of all others what they lack."""
    whole, gone, unmarked, open_still, anew = cells = finished_grid(store, runs, 5)
    never, failed = (make_cell(runs, f"{seed:016x}", seed=seed) for seed in (5, 6))
    for cell in (never, failed):
        cell.append_row(row(0))
    finish(never, result())
    failed.write_failure("loss is nan in epoch 1", "Traceback ...", {})
    before = {cell: the_run(store, cell).info for cell in cells}
    forget(store, gone)
    store.client.delete_tag(before[unmarked].run_id, "mirrored")
    store.client.update_run(before[open_still].run_id, status="RUNNING")
    anew.write_result({**result(), "seconds": 99.0})

    client = Counting(store.client)
    monkeypatch.setattr("harness.tracking.mirror.MANY", 0)
    monkeypatch.setattr("harness.tracking.mlflow_runs.open_store", lambda *_: Store(store.uri, store.artifacts, client))
    mirror = Mirror(runs)
    mirror.update([whole])
    assert client.calls == {"get_experiment_by_name": 1, "search_runs": 1}
    mirror.update([*cells, never, failed])
    assert mirror.complaint is None
    after = {cell: the_run(store, cell) for cell in [*cells, never, failed]}
    assert {run.info.status for cell, run in after.items() if cell is not failed} == {"FINISHED"}
    assert all(run.data.tags["mirrored"].startswith("done ") for cell, run in after.items() if cell is not failed)
    assert (after[failed].info.status, after[failed].data.tags["failure"]) == ("FAILED", "loss is nan in epoch 1")
    assert after[anew].data.metrics["progress/seconds"] == 99.0
    same = {cell for cell in cells if after[cell].info.run_id == before[cell].run_id}
    assert same == {whole, unmarked, open_still}
    assert after[whole].info.end_time == before[whole].end_time


def test_the_search_looks_into_the_grid_of_each_cell(store: Store, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run in one grid's experiment is none in another's."""
    (cell,) = finished_grid(store, runs, 1)
    other = make_cell(runs, "e" * 16, grid="other")
    finish(other, result())
    monkeypatch.setattr("harness.tracking.mirror.MANY", 0)
    Mirror(runs).update([cell, other])
    assert the_run(store, other, "other").data.tags["grid"] == "other"
    Mirror(runs, grid="third").update([cell])
    assert the_run(store, cell, "third").data.tags["grid"] == "third"


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("http://host:port/", "Invalid url"), ("mysql://host:99999/db", "No module named"),
        ("nosuch+driver://host/db", "unsupported URI"),
    ],
)  # fmt: skip
def test_a_store_that_cannot_be_is_one_line(tmp_path: Path, uri: str, says: str) -> None:
    mirror = Mirror(tmp_path / "runs", uri=uri)
    cell = Ledger(tmp_path / "runs").add(a_spec())
    cell.write_result(a_result())
    mirror.update([cell])
    assert mirror.complaint is not None
    assert says in mirror.complaint
    assert "`harness sync` brings it up to date" in mirror.complaint
    assert "\n" not in mirror.complaint


@pytest.mark.parametrize("damage", ["schema", "garbage"])
def test_a_store_of_another_version_may_be_deleted(tmp_path: Path, damage: str) -> None:
    open_store(None, tmp_path / "a" / "runs")
    file = tmp_path / "b" / "mlflow.db"  # MLflow looks at a file once in a process
    file.parent.mkdir()
    shutil.copy(tmp_path / "a" / "mlflow.db", file)
    if damage == "garbage":
        file.write_bytes(b"junk")
    else:
        connection = sqlite3.connect(file)
        connection.execute("UPDATE alembic_version SET version_num = 'feedbeef0000'")
        connection.commit()
        connection.close()
    with pytest.raises(HarnessError, match=rf"{file} is a copy of them and may be deleted before$"):
        open_store(None, file.parent / "runs")
