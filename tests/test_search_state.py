"""A search whose data have changed: it does not go on, and begins again only when asked to."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from ledger_toys import a_dataset, a_result
from test_ledger_comparable import NEW, OLD, Fake, There
from test_search_declaration import BETA, write
from test_search_launcher import WORKER

from harness.errors import HarnessError
from harness.files import read_json, write_json
from harness.launch.engines.local import Local
from harness.ledger import Ledger
from harness.ledger.comparable import Now
from harness.search import TrialRow, load_sweep, read_sweep
from harness.search import outcome as outcomes
from harness.search.launcher import Launcher
from harness.search.records import sweep_folder
from harness.search.state import differing, set_aside_sweep, state_now
from harness.search.study import Study
from harness.spec import fingerprint
from harness.training.machine import Machine

HAD_OLD, HAS_NEW = Fake(There({"regions": OLD})), Fake(There({"regions": NEW}))


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    return write(tmp_path, BETA)


def search(spec: Path, now: Now, *, worker_sees: str, trials: int = 2, retrain: bool = False) -> list[TrialRow]:
    """A launcher whose workers only pretend to train, on data of the digest `worker_sees`."""
    runs = spec.parent / "runs"
    worker = spec.parent / "worker.py"
    about = a_dataset(digest=worker_sees)
    worker.write_text(WORKER.replace("a_result(dev", f"a_result(dataset={about!r}, dev"))
    sweep = load_sweep(spec, trials=trials)
    folder = sweep_folder(sweep.name, runs)
    study = Study(sweep, folder, state=state_now(sweep, now))
    launcher = Launcher(sweep, study, Ledger(runs), Path("data"), engine=Local(1), jobs=1, now=now, retrain=retrain)
    launcher.pool.command = lambda cell: [sys.executable, str(worker), str(cell.folder), "0.01"]
    try:
        return launcher.run()
    finally:
        study.close()


@pytest.mark.slow
def test_a_search_on_data_that_changed_does_not_go_on(spec: Path) -> None:
    runs = spec.parent / "runs"
    search(spec, HAD_OLD, worker_sees=OLD)
    before = read_sweep("toy", runs).trials
    with pytest.raises(HarnessError) as said:
        search(spec, HAS_NEW, worker_sees=NEW, trials=3)
    assert "toy was begun on other data than lie there now (digest aaaaaaaa, there bbbbbbbb)" in str(said.value)
    assert "begin it again with --retrain, which keeps the old one" in str(said.value)
    assert read_sweep("toy", runs).trials == before
    assert len(search(spec, HAD_OLD, worker_sees=OLD, trials=3)) == 3  # the data are brought back

    kept = set_aside_sweep(sweep_folder("toy", runs))
    rows = search(spec, HAS_NEW, worker_sees=NEW, retrain=True)
    cells = [Ledger(runs).cell(row.fingerprint) for row in rows]
    assert {(cell.result() or {})["dataset"]["digest"] for cell in cells} == {NEW}
    assert {row.state for row in rows} == {"COMPLETE"}
    assert len((kept / "trials.csv").read_text().splitlines()) == 4
    old = {path.name[:16] for path in (runs / ".old").iterdir()}
    assert {row.fingerprint for row in rows} <= old  # the first two are the same points, trained on the old data


def test_a_search_of_another_version_of_the_code_or_another_card_does_not_go_on(spec: Path) -> None:
    sweep, folder = load_sweep(spec), sweep_folder("toy", spec.parent / "runs")
    there = state_now(sweep, HAD_OLD)
    assert differing(folder, there) == ""  # not begun
    Study(sweep, folder, state=there).close()
    assert differing(folder, there) == ""
    assert differing(folder, {**there, "algorithm": 9}) == "version 1 of the code, which is now 9"
    mended = state_now(sweep, Fake(replace(There({"regions": OLD}), dev_images=30)))
    assert differing(folder, mended) == "all dev images, of which the card now says 30"
    assert differing(folder, state_now(sweep, Fake())) == ""  # the data are not here


def test_a_search_that_wrote_down_no_state_is_judged_by_its_trials(spec: Path) -> None:
    search(spec, HAD_OLD, worker_sees=OLD)
    folder = sweep_folder("toy", spec.parent / "runs")
    about = read_json(folder / "sweep.json")
    del about["state"]
    write_json(folder / "sweep.json", about)
    sweep = load_sweep(spec)
    assert differing(folder, state_now(sweep, HAD_OLD)) == ""
    assert differing(folder, state_now(sweep, HAS_NEW)).startswith("other data than lie there now")


def test_a_trial_takes_no_value_from_a_run_on_other_data(spec: Path) -> None:
    """Another search, or the version before, may have finished the very cell."""
    runs, sweep = spec.parent / "runs", load_sweep(spec)
    paper = sweep.run(sweep.paper)
    entry = {"fingerprint": fingerprint(paper), "grid": "other", "cell": "trial 7", "labels": {}, "run": paper.table()}
    cell = Ledger(runs).add(entry)
    cell.write_result(a_result(dataset=a_dataset(digest=OLD), dev={"rsum": 999.0}))
    with pytest.raises(HarnessError) as said:
        search(spec, HAS_NEW, worker_sees=NEW)
    assert f"its run {cell.fingerprint} was trained on other data than data/toy holds now" in str(said.value)
    assert f"`harness sweep {spec} --retrain` trains it again and keeps what there is" in str(said.value)
    rows = search(spec, HAS_NEW, worker_sees=NEW, retrain=True)
    assert rows[0].fingerprint == cell.fingerprint
    assert rows[0].value != 999.0
    assert len(list((runs / ".old").iterdir())) == 1


def test_data_that_change_while_a_search_is_at_work_end_it(spec: Path) -> None:
    with pytest.raises(HarnessError, match="the data changed while the sweep was at work"):
        search(spec, HAD_OLD, worker_sees=NEW)
    assert [row.state for row in read_sweep("toy", spec.parent / "runs").trials] == ["RUNNING"]


def test_a_search_that_somebody_works_on_or_in_a_database_is_not_moved(spec: Path) -> None:
    sweep, folder = load_sweep(spec), sweep_folder("toy", spec.parent / "runs")
    study = Study(sweep, folder)
    with pytest.raises(HarnessError, match=r"--retrain: another launcher works on the sweep toy \(on "):
        set_aside_sweep(folder)
    study.close()
    assert set_aside_sweep(folder).name.startswith("sweep-toy-")
    study = Study(sweep, folder, f"sqlite:///{spec.parent / 'study.db'}")
    study.close()
    with pytest.raises(
        HarnessError, match=r"--retrain: the study toy lies in sqlite:///.*; accepted: a sweep in a jour"
    ):
        set_aside_sweep(folder)


def test_the_winner_is_scored_on_the_test_split_of_its_own_data(spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = search(spec, HAD_OLD, worker_sees=OLD)
    runs, sweep = spec.parent / "runs", load_sweep(spec)
    for row in rows:
        Ledger(runs).cell(row.fingerprint).path("model.safetensors").touch()
    monkeypatch.setattr(outcomes, "DataNow", lambda root: HAS_NEW)
    with pytest.raises(HarnessError, match=r"the winner was trained on other data than data/toy holds now"):
        outcomes.write_outcome(
            sweep, rows, ({}, ""), folder=sweep_folder("toy", runs), ledger=Ledger(runs), data=Path("data"),
            machine=Machine(),
        )  # fmt: skip


def test_the_state_stands_in_the_sweeps_file(spec: Path) -> None:
    sweep, folder = load_sweep(spec), sweep_folder("toy", spec.parent / "runs")
    Study(sweep, folder, state=state_now(sweep, HAD_OLD)).close()
    assert json.loads((folder / "sweep.json").read_text())["state"] == {
        "algorithm": 1, "digest": OLD, "dev_images": None
    }  # fmt: skip
