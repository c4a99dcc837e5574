"""The study: resumes where it was, belongs to one sweep, and hands on what a dead launcher has left."""

import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from killed import killed_at
from test_search_declaration import BETA, write

from harness.errors import HarnessError
from harness.files import read_json
from harness.search import load_sweep
from harness.search.declaration import Sweep
from harness.search.storage import open_storage
from harness.search.study import Study

Trials = list[tuple[int, str, dict[str, Any], float | None]]


def value_of(sweep: Sweep, trial: Any) -> float:
    return 300 - 100 * abs(trial.params["method.beta"] - 0.6)


def work(sweep: Sweep, folder: Path, most: int, url: str | None = None) -> Trials:
    """A launcher that asks and tells up to `most` trials within the budget; gives all there are."""
    study = Study(sweep, folder, url)
    try:
        for _ in range(most):
            with study.deciding():
                trial = study.orphan() or (study.ask() if len(study.trials()) < study.budget else None)
                if trial is None:
                    break
                study.complete(trial, value_of(sweep, trial))
        return [(t.number, t.state.name, dict(t.params), t.value) for t in study.trials()]
    finally:
        study.close()


@pytest.fixture
def toy(tmp_path: Path) -> Sweep:
    return load_sweep(write(tmp_path), trials=14)


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_search_that_was_resumed_is_the_one_that_was_not(tmp_path: Path, sampler: str) -> None:
    sweep = load_sweep(write(tmp_path, top=f'sampler = "{sampler}"'), trials=14)
    whole = work(sweep, tmp_path / "whole", 99)
    for most in (1, 4, 7, 99):
        parts = work(sweep, tmp_path / "parts", most)
    assert parts == whole
    assert len(whole) == 14
    assert whole[0][2] == {"method.beta": 0.8}  # the paper's, first
    assert len({str(trial[2]) for trial in whole}) == 14
    assert work(sweep, tmp_path / "whole", 99) == whole  # the budget is spent
    more = work(load_sweep(sweep.path, trials=16), tmp_path / "whole", 99)
    assert more[:14] == whole
    assert len(more) == 16


def test_a_grid_is_every_point_once_the_papers_first(tmp_path: Path) -> None:
    space = '"method.beta" = { low = 0.6, high = 0.9, step = 0.1 }\n"method.pieces" = { choices = [[1, 1], [2]] }'
    sweep = load_sweep(write(tmp_path, space, top='sampler = "grid"'), trials=99)
    work(sweep, tmp_path / "study", 3)
    trials = work(sweep, tmp_path / "study", 99)
    tried = [tuple(parameters.values()) for _, _, parameters, _ in trials]
    assert tried[0] == (0.8, "1-1")
    assert sorted(tried) == [(beta, pieces) for beta in (0.6, 0.7, 0.8, 0.9) for pieces in ("1-1", "2")]


def test_other_samplers_and_importance(tmp_path: Path) -> None:
    space = BETA + '\n"method.epsilon" = { low = 0.0, high = 0.5 }'
    sweep = load_sweep(write(tmp_path, space, top='sampler = "gp"'), trials=3)
    assert len(work(sweep, tmp_path / "gp", 99)) == 3
    sweep = load_sweep(write(tmp_path, space), trials=24)
    work(sweep, tmp_path / "tpe", 9)
    study = Study(sweep, tmp_path / "tpe")
    assert study.importance() == ({}, "not judged: 9 trials finished; PED-ANOVA needs 10 or more")
    study.close()
    work(sweep, tmp_path / "tpe", 99)
    study = Study(sweep, tmp_path / "tpe")
    shares, words = study.importance()
    study.close()
    assert shares["method.beta"] > shares["method.epsilon"]
    assert sum(shares.values()) == pytest.approx(1)
    assert words == "PED-ANOVA over 24 finished trials, the best 21% against all"


def test_an_orphan_is_taken_over_with_its_values(toy: Sweep, tmp_path: Path) -> None:
    first, second = Study(toy, tmp_path / "s"), Study(toy, tmp_path / "s")
    with first.deciding():
        first.ask()
        left = first.ask()
    with second.deciding():
        assert second.orphan() is None  # its launcher lives
    first.close()
    with second.deciding():
        taken = [second.orphan(), second.orphan(), second.orphan()]
    assert [trial and trial.number for trial in taken] == [0, 1, None]
    assert taken[1].params == left.params
    assert not first.owns(left)
    assert second.owns(taken[1])
    second.close()


def test_a_launcher_killed_between_asking_and_signing_loses_no_trial(toy: Sweep, tmp_path: Path) -> None:
    study = Study(toy, tmp_path / "s")
    with study.deciding():
        study._study.ask()  # RUNNING, without a launcher, without parameters
        trial = study.orphan()
    assert trial.number == 0
    assert 0 <= trial.params["method.beta"] <= 0.99
    study._study.enqueue_trial({"method.beta": 0.25})  # enqueued by one that then died
    with study.deciding():
        assert study.ask().params == {"method.beta": 0.25}
    study.close()


def _killed_while_deciding(sweep: Sweep, folder: Path) -> None:
    study = Study(sweep, folder)
    with study.deciding():
        study.ask()
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_launcher_killed_while_it_decides_blocks_nobody(toy: Sweep, tmp_path: Path) -> None:
    killed = multiprocessing.get_context("fork").Process(target=_killed_while_deciding, args=(toy, tmp_path / "s"))
    killed.start()
    killed.join()
    assert killed.exitcode == -signal.SIGKILL
    [left] = (tmp_path / "s" / "launchers").iterdir()
    study = Study(toy, tmp_path / "s")
    with study.deciding():
        orphan = study.orphan()
    assert orphan.number == 0
    assert not left.exists()
    study.close()


def test_a_line_torn_by_a_power_cut_is_dropped(toy: Sweep, tmp_path: Path) -> None:
    before = work(toy, tmp_path / "s", 3)
    journal = tmp_path / "s" / "journal.log"
    with open(journal, "ab") as file:
        file.write(b'{"op_code":5,"worker_id":"x","stu')
    after = work(toy, tmp_path / "s", 2)
    assert after[:3] == before
    assert len(after) == 5


def test_a_changed_space_under_the_same_name_is_refused(tmp_path: Path) -> None:
    work(load_sweep(write(tmp_path)), tmp_path / "s", 1)
    changed = load_sweep(write(tmp_path, '"method.beta" = { low = 0.1, high = 0.99 }', top="seed = 3"))
    with pytest.raises(HarnessError, match=r"toy.toml: space, seed: not what the sweep toy was begun with") as error:
        Study(changed, tmp_path / "s")
    assert "\n" not in str(error.value)


def test_a_database_by_url(tmp_path: Path) -> None:
    sweep = load_sweep(write(tmp_path), trials=4)
    url = f"sqlite:///{tmp_path / 'sweeps.db'}"
    assert len(work(sweep, tmp_path / "s", 2, url)) == 2
    assert len(work(sweep, tmp_path / "s", 99)) == 4  # it remembers where
    assert not (tmp_path / "s" / "journal.log").exists()
    assert read_json(tmp_path / "s" / "sweep.json")["storage"] == url
    with pytest.raises(HarnessError, match="was begun with sqlite"):
        Study(sweep, tmp_path / "s", "sqlite:///another.db")
    with pytest.raises(HarnessError, match="holds a study 'toy' that belongs to another runs folder"):
        Study(sweep, tmp_path / "elsewhere", url)
    assert not (tmp_path / "elsewhere" / "sweep.json").exists()


@pytest.mark.parametrize("url", ["nonsense", "nosuch://here/db", "sqlite:////no/such/folder/x.db"])
def test_a_database_that_does_not_answer_is_one_line(tmp_path: Path, url: str) -> None:
    sweep = load_sweep(write(tmp_path))
    with pytest.raises(HarnessError, match=f"--storage {url}: .*accepted: a URL as SQLAlchemy writes it") as error:
        Study(sweep, tmp_path / "s", url)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "s" / "sweep.json").exists()  # the next try may name another


def test_a_password_is_written_nowhere(tmp_path: Path) -> None:
    url = "nosuch://me:secret@host/db"
    with pytest.raises(HarnessError) as error:
        open_storage(url, tmp_path)
    assert "secret" not in str(error.value)


def test_a_kill_at_a_file_operation_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the runs folder is named from the folder one is in."""
    sweep = load_sweep(write(tmp_path), trials=5)
    whole = work(sweep, tmp_path / "whole", 99)
    monkeypatch.chdir(tmp_path)
    kills = 0
    for number in range(0, 400, 3):
        folder = Path("killed") / str(number)
        if not killed_at(number, folder, lambda folder=folder: work(sweep, folder, 3)):  # type: ignore[misc]
            break
        kills += 1
        signal.alarm(60)  # a lock that nobody lets go of
        assert work(sweep, folder, 99) == whole, number
        signal.alarm(0)
    assert kills > 10


@pytest.mark.parametrize("content", ['{"half\n{}\n', "[]\n", '{"op_code": 99}\n', "\x00\x00\n\x00\n"])
def test_a_damaged_journal_is_one_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "journal.log").write_text(content)
    with pytest.raises(HarnessError, match=r"journal.log: is damaged .* start the sweep again") as said:
        open_storage(None, tmp_path)
    assert "\n" not in str(said.value)


def test_what_a_killed_launcher_left_goes_with_the_next(toy: Sweep, tmp_path: Path) -> None:
    """Also where it had no trial, and died while it wrote its claim."""
    folder = tmp_path / "s"
    living = Study(toy, folder)
    dead = folder / "launchers" / "0123456789ab"
    dead.mkdir()
    (dead / ".claim.json.1.tmp").write_text("{")
    Study(toy, folder).close()
    assert [path.name for path in (folder / "launchers").iterdir()] == [living.id]
    living.close()
    assert list((folder / "launchers").iterdir()) == []
