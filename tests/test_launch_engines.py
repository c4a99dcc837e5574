"""The contract of an engine, with workers that only pretend; GPUs; profiles; Slurm's answers without a Slurm."""

import json
import os
import shutil
import stat
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ledger_toys import a_result, a_spec
from toy import harness

from harness.cli import options
from harness.errors import HarnessError
from harness.launch import pool
from harness.launch.engines import ENGINES, Engine, Worker, local
from harness.launch.engines.local import Local
from harness.launch.engines.slurm import PATIENCE, Slurm
from harness.launch.profile import open_engine
from harness.ledger import Cell

# Ends as its cell's spec says; "wait": after SIGTERM, with 130.
WORKER = """
import json, os, signal, sys, time
from pathlib import Path
how = json.loads((Path(sys.argv[1]) / "spec.json").read_text())["run"]["how"]
print(os.environ.get("CUDA_VISIBLE_DEVICES"), os.environ["OMP_NUM_THREADS"], flush=True)
if how == "wait":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
    print("ready", flush=True)
    time.sleep(60)
if how < 0:
    os.kill(os.getpid(), -how)
sys.exit(how)
"""


def cell_that(folder: Path, how: int | str, name: str = "cell") -> Cell:
    cell = Cell(folder / name)
    cell.folder.mkdir(parents=True)
    cell.path("spec.json").write_text(json.dumps(a_spec(name, cell=name, run={"how": how})))
    return cell


@pytest.fixture
def command(tmp_path: Path) -> Any:
    worker = tmp_path / "worker.py"
    worker.write_text(WORKER)
    return lambda cell: [sys.executable, str(worker), str(cell.folder)]


def wait_for_line(cell: Cell, line: str, seconds: float = 600) -> None:
    until = time.monotonic() + seconds
    while not (cell.path("log.txt").exists() and line in cell.path("log.txt").read_text().splitlines()):
        assert time.monotonic() < until, line
        time.sleep(0.02)


# -- the contract --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("how", "why"), [(0, "status 0"), (3, "status 3"), (-9, "signal 9")])
def test_a_worker_tells_how_it_ended(tmp_path: Path, command: Any, how: int, why: str) -> None:
    engine = Local(1)
    cell = cell_that(tmp_path, how)
    cell.path("log.txt").write_text("before\n")
    [worker] = engine.start([cell], command).values()
    assert worker.wait(30)
    assert worker.poll() == how
    assert worker.why() == why
    assert not worker.queued
    assert cell.path("log.txt").read_text().startswith("before\n")  # appended to
    worker.stop()  # harmless
    worker.kill()
    engine.close()


def test_workers_stop_when_asked_and_can_be_killed(tmp_path: Path, command: Any) -> None:
    engine = Local(2)
    asked, killed = cells = [cell_that(tmp_path, "wait", name) for name in ("asked", "killed")]
    workers = engine.start(cells, command)
    for cell in cells:
        wait_for_line(cell, "ready")
    assert [worker.poll() for worker in workers.values()] == [None, None]
    assert not workers[asked].wait(0.1)
    engine.stop([workers[asked]])
    assert workers[asked].wait(30)
    assert workers[asked].poll() == 130
    workers[killed].kill()
    assert workers[killed].wait(30)
    assert workers[killed].poll() == -9


class Scripted(Engine):
    """Its workers end at once as told, one after another, and leave behind what a worker on another machine would."""

    def __init__(self, ends: list[int], after: Any = lambda cell, number: None) -> None:
        super().__init__(jobs=9)
        self.ends, self.after = ends, after
        self.started: list[Cell] = []

    def start(self, cells: Any, command: Any) -> dict[Cell, Worker]:
        self.started += cells
        for cell in cells:
            self.after(cell, len(self.started))
        return {cell: Ended(self.ends[len(self.started) - 1]) for cell in cells}


class Ended(Worker):
    def __init__(self, status: int) -> None:
        self.status = status

    def poll(self) -> int:
        return self.status

    def stop(self) -> None: ...

    def kill(self) -> None: ...


def test_a_worker_that_always_dies_fails_its_cell(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    engine = Scripted([-9, -7, 137, -15])
    cell = cell_that(tmp_path, 0)
    assert pool.run_cells([cell], data=tmp_path, engine=engine) == {cell: "failed"}
    assert len(engine.started) == 1 + pool.RETRIES
    failure = cell.failure()
    assert failure is not None
    assert failure["error"] == "the worker ended with signal 15 before it could say why, 4 times"
    said = capfd.readouterr().out
    assert "again   cell  the worker ended with signal 7 before it could say why; it continues (2 of 3)" in said


def test_a_folder_that_is_deleted_meanwhile_is_told_once(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    engine = Scripted([2] * 4, after=lambda cell, number: shutil.rmtree(cell.folder))
    cell = cell_that(tmp_path, 0)
    assert pool.run_cells([cell], data=tmp_path, engine=engine)[cell] == "waiting"
    assert len(engine.started) == 1
    assert f"{cell.folder} was deleted; the same command trains it again" in capfd.readouterr().out


def test_whose_worker_a_launcher_waits_for_is_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pool, "ELSEWHERE", 0.1)
    cell = cell_that(tmp_path, 0)
    claim_elsewhere(cell, silent=1)
    said: list[str] = []

    def end(_: object) -> None:  # while the launcher waits, the other's worker ends
        said.append(capfd.readouterr().out)
        if "waits" in "".join(said):
            cell.path("claim.json").unlink(missing_ok=True)
            cell.write_result(a_result(test={"full": {"rsum": 1.0}}))

    monkeypatch.setattr(pool.Display, "update", lambda self, running: end(running))
    assert pool.run_cells([cell], data=tmp_path, engine=Scripted([0]))[cell] == "done"
    assert "waits   cell  process 1 on elsewhere since" in "".join(said)


def test_a_worker_that_a_killed_launcher_left_is_told_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Also where its cell comes last and there is room for one at a time."""
    monkeypatch.setattr(pool, "ELSEWHERE", 0.1)
    free, held = (cell_that(tmp_path, 0, name) for name in ("free", "held"))
    claim_elsewhere(held, silent=1)
    said: list[str] = []

    def end_both(_cell: Cell, _number: int) -> None:
        said.append(capfd.readouterr().out)
        held.path("claim.json").unlink(missing_ok=True)
        for cell in (free, held):
            cell.write_result(a_result(test={"full": {"rsum": 1.0}}))

    engine = Scripted([0], after=end_both)
    engine.jobs = 1
    assert set(pool.run_cells([free, held], data=tmp_path, engine=engine).values()) == {"done"}
    assert "waits   held  process 1 on elsewhere since" in said[0]
    assert "still works on it, for another launcher or one that was killed" in said[0]


def claim_elsewhere(cell: Cell, silent: float) -> None:
    """A claim from another machine, whose last heartbeat is so many seconds ago."""
    then = time.time() - silent
    holder = {"token": "t", "host": "elsewhere", "pid": 1, "since": then, "started": 1}
    cell.path("claim.json").write_text(json.dumps(holder))
    cell.path("heartbeat.json").write_text(json.dumps({"time": then}))


def test_deaths_on_another_machine_are_counted_once_the_claim_is_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "ELSEWHERE", 0.2)
    engine = Scripted([-9] * 4, after=lambda cell, number: claim_elsewhere(cell, silent=59))
    cell = cell_that(tmp_path, 0)
    began = time.monotonic()
    assert pool.run_cells([cell], data=tmp_path, engine=engine)[cell] == "interrupted"
    assert time.monotonic() - began > 4 * 0.9
    assert len(engine.started) == 1 + pool.RETRIES
    assert "signal 9" in (cell.failure() or {})["error"]


def test_a_cell_that_a_dead_worker_still_seems_to_hold_is_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "ELSEWHERE", 0.2)

    def after(cell: Cell, number: int) -> None:
        if number == 1:  # the worker of a requeued job finds the claim of the one whose node died
            claim_elsewhere(cell, silent=59)
        else:
            cell.write_result(a_result())

    engine = Scripted([3, 0], after)
    cell = cell_that(tmp_path, 0)
    assert pool.run_cells([cell], data=tmp_path, engine=engine) == {cell: "done"}
    assert len(engine.started) == 2
    assert cell.failure() is None


# -- GPUs ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def four_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(local, "_found", lambda: range(4))


def shown(tmp_path: Path, command: Any, engine: Engine, count: int, how: int | str = "wait") -> list[str]:
    """CUDA_VISIBLE_DEVICES as so many workers at once see it."""
    cells = [cell_that(tmp_path, how, f"cell{number}") for number in range(count)]
    workers = engine.start(cells, command)
    for cell in cells:
        wait_for_line(cell, "ready")
    for worker in workers.values():
        worker.kill()
        worker.wait(30)
    return [cell.path("log.txt").read_text().split()[0] for cell in cells]


def test_workers_share_the_gpus_evenly(tmp_path: Path, command: Any, four_gpus: None) -> None:
    assert shown(tmp_path, command, Local(4, gpus=[0, 1]), 4) == ["0", "1", "0", "1"]


def test_a_freed_gpu_is_the_next(tmp_path: Path, command: Any, four_gpus: None) -> None:
    engine = Local(2, gpus=[0, 1])
    first, second, third = (cell_that(tmp_path, "wait", name) for name in "abc")
    workers = engine.start([first, second], command)
    workers[second].kill()
    workers[second].wait(30)
    workers.update(engine.start([third], command))
    wait_for_line(third, "ready")
    assert third.path("log.txt").read_text().split()[0] == "1"
    for worker in workers.values():
        worker.kill()


@pytest.mark.parametrize(
    ("visible", "gpus", "expected"),
    [
        ("2,3", None, ["2", "3", "2"]),
        ("GPU-aa, GPU-bb", [1], ["GPU-bb"] * 3),
        ("", None, [""] * 3),
        ("-1", None, ["-1"] * 3),
    ],
)
def test_a_set_list_of_gpus_is_respected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, visible: str, gpus: list[int] | None, expected: list[str]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    engine = Local(3, gpus=gpus)
    seen = []
    monkeypatch.setattr(
        "harness.launch.engines.local.subprocess.Popen",
        lambda command, env, **_: seen.append(env["CUDA_VISIBLE_DEVICES"]) or Ended(0),
    )
    monkeypatch.setattr(Ended, "poll", lambda self: None)
    engine.start([cell_that(tmp_path, 0, name) for name in "abc"], lambda cell: ["worker"])
    assert seen == expected


def test_a_worker_that_is_told_its_gpu_keeps_it(tmp_path: Path, command: Any, four_gpus: None) -> None:
    assert (
        shown(tmp_path, lambda cell: [*command(cell), "--device", "cuda:1"], Local(2, gpus=[0, 1]), 2) == ["None"] * 2
    )


def test_a_worker_of_several_processes_sees_all_gpus(tmp_path: Path, command: Any, four_gpus: None) -> None:
    seen = shown(tmp_path, lambda cell: [*command(cell), "--processes", "2"], Local(2, gpus=[1, 3]), 2)
    assert seen == ["1,3"] * 2


def test_gpus_that_are_not_there_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(local, "_found", lambda: range(0))
    with pytest.raises(HarnessError, match=r"local.gpus = \[0, 1\]: CUDA finds 0 GPUs here"):
        Local(2, gpus=[0, 1])
    assert Local(2).gpus == []


def test_gpus_beyond_the_visible_ones_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5")
    with pytest.raises(HarnessError, match=r"local.gpus = \[0, 2\]: CUDA_VISIBLE_DEVICES=4,5 leaves 2, counted from 0"):
        Local(1, gpus=[0, 2])


def test_workers_share_the_cores_unless_told(
    tmp_path: Path, command: Any, four_gpus: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 12)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    threads = []
    for name, jobs in (("a", 4), ("b", 99)):
        cell = cell_that(tmp_path, 0, name)
        [worker] = Local(jobs, gpus=[0]).start([cell], command).values()
        assert worker.wait(30)
        threads.append(cell.path("log.txt").read_text().split()[1])
    assert threads == ["3", "1"]


# -- profiles ------------------------------------------------------------------------------------------------------


def test_the_command_line_knows_every_engine() -> None:
    assert list(ENGINES) == ["local", "slurm", "ray"]
    choice = options.launcher(lambda: None).__click_params__[-1]
    assert list(choice.type.choices) == list(ENGINES)


@pytest.mark.parametrize(
    ("launcher", "text", "complaint"),
    [
        ("local", "[local]\ngpu = [0]", r"local.gpu = [0]: unknown key; did you mean 'gpus'? accepted: gpus"),
        ("local", "[local]\ngpus = []", "local.gpus = []: accepted: 1 or more values"),
        ("local", "[slrum]\n", "[slrum]: unknown launcher; did you mean 'slurm'? accepted: local, ray, slurm"),
        ("local", "slurm = 3", "slurm = 3: accepted: a table of settings, [slurm]"),
        ("slurm", "[slurm]\npartiton = 'gpu'", "slurm.partiton = 'gpu': unknown key; did you mean 'partition'?"),
        ("slurm", "[slurm]\ncpus = 0", "slurm.cpus = 0: accepted: 1 or more"),
        ("slurm", "[slurm]\ntime = 'soon'", "slurm.time = 'soon': write a number of minutes, hours:minutes:seconds or"),
        ("slurm", "[slurm]\ntime = 0", "slurm.time = 0: accepted: 1 or more"),
        ("slurm", "[slurm", "is not TOML"),
    ],
)  # fmt: skip
def test_a_fault_of_a_profile_is_one_line(tmp_path: Path, launcher: str, text: str, complaint: str) -> None:
    path = tmp_path / "profile.toml"
    path.write_text(text)
    with pytest.raises(HarnessError) as raised:
        open_engine(launcher, 1, path)
    message = str(raised.value)
    assert message.startswith(f"{path}: ")
    assert complaint in message
    assert "\n" not in message


@pytest.mark.slow
def test_the_verbs_tell_of_a_bad_profile(tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text("[local]\ngpus = [-1]")
    for verb, spec in (("run", "demo"), ("sweep", "momentum")):
        ran = harness(verb, spec, "--smoke", "--profile", "p.toml", cwd=tmp_path)
        assert ran.returncode == 2
        assert ran.stderr == "error: p.toml: local.gpus.0 = -1: accepted: 0 or more\n"
    missing = harness("run", "demo", "--profile", "none.toml", cwd=tmp_path)
    assert missing.stderr == "error: none.toml: cannot be read: No such file or directory\n"


# -- Slurm's answers, without a Slurm ------------------------------------------------------------------------------


class FakeSlurm:
    """Programs that answer as Slurm's do: what squeue says lies in a file, what the others were asked in another."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name, does in {
            "sbatch": f"cp $1 {folder}/submitted; echo Submitted batch job 17", "srun": "true", "scancel": "true",
            "squeue": f"test -e {folder}/down && exit 1; cat {folder}/queue",
        }.items():  # fmt: skip
            path = folder / name
            path.write_text(f"#!/bin/sh\necho {name} $@ >> {folder}/asked\n{does}\n")
            path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def queue(self, *lines: str) -> None:
        (self.folder / "queue").write_text("".join(f"{line}\n" for line in lines))

    def asked(self, name: str) -> list[str]:
        return [line for line in (self.folder / "asked").read_text().splitlines() if line.startswith(name)]


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSlurm]:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setattr("harness.launch.engines.slurm.LOOK", 0.0)
    return FakeSlurm(folder)


def test_the_cells_become_one_array_job(tmp_path: Path, fake: FakeSlurm, command: Any) -> None:
    profile = tmp_path / "profile.toml"
    profile.write_text(
        '[slurm]\npartition = "gpu"\naccount = "nc"\ntime = "1-02:00:00"\ngpus = 1\ncpus = 6\nmemory = "16G"\n'
        'signal_seconds = 300\nsetup = ["module load cuda"]\nextra = { reservation = "nc", exclusive = true }\n'
    )
    engine = open_engine("slurm", 4, profile)
    cells = [cell_that(tmp_path / "runs", 0, name) for name in "abcdef"]
    workers = engine.start(cells, command)
    script = (fake.folder / "submitted").read_text()
    flags = {line.removeprefix("#SBATCH --") for line in script.splitlines() if line.startswith("#SBATCH")}
    assert flags >= {
        "array=0-5%4", "partition=gpu", "account=nc", "time=1560", "gpus-per-node=1", "cpus-per-task=6", "mem=16G",
        "signal=USR2@300", "requeue", "reservation=nc", "exclusive", "job-name=harness",
    }  # fmt: skip
    assert script.index("module load cuda") < script.index("srun ")
    assert "--cpus-per-task=6 " in script[script.index("srun ") :]
    assert list(workers) == cells
    assert all(worker.queued for worker in workers.values())
    assert len(list((tmp_path / "runs" / ".slurm").iterdir())) == 1


def test_what_squeue_says_is_what_a_worker_is(tmp_path: Path, fake: FakeSlurm, command: Any) -> None:
    engine = Slurm(2)
    cells = [cell_that(tmp_path / "runs", 0, name) for name in "abcd"]
    workers = list(engine.start(cells, command).values())
    fake.queue("17_0|PENDING|Priority", "17_1|RUNNING|None", "17_2|NODE_FAIL|NodeDown", "17_3|COMPLETING|None", "9|X|Y")
    assert [worker.poll() for worker in workers] == [None, None, -9, None]
    assert [worker.queued for worker in workers] == [True, False, True, False]
    assert workers[2].why() == "signal 9 (Slurm job 17_2: NODE_FAIL, NodeDown)"
    (fake.folder / "down").touch()  # the controller restarts: nothing is known, nothing is lost
    assert [worker.poll() for worker in workers] == [None, None, -9, None]
    engine.stop(workers)
    names = "17_0 17_1 17_3"
    assert fake.asked("scancel") == [
        f"scancel --state=PENDING {names}", f"scancel --state=RUNNING --signal=TERM {names}"
    ]  # fmt: skip


def test_a_job_that_slurm_forgot_without_a_result_has_died_after_a_while(
    tmp_path: Path, fake: FakeSlurm, command: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    [worker] = Slurm(1).start([cell_that(tmp_path / "runs", 0)], command).values()
    fake.queue()
    assert worker.poll() is None
    clock = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: clock() + PATIENCE + 1)
    assert worker.poll() == -9
    assert worker.why() == "signal 9 (Slurm job 17: forgotten)"


def test_a_thousand_cells_and_more_share_what_may_run_at_once(tmp_path: Path, fake: FakeSlurm, command: Any) -> None:
    cells = [cell_that(tmp_path / "runs", 0, f"{number:04d}") for number in range(1500)]
    workers = Slurm(30).start(cells, command)
    assert len(workers) == 1500
    assert len(fake.asked("sbatch")) == 2
    assert "--array=0-499%10" in (fake.folder / "submitted").read_text()
    assert Counter(worker.queued for worker in workers.values()) == {True: 1500}


def test_what_sbatch_refuses_is_one_line(
    tmp_path: Path, fake: FakeSlurm, command: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    (fake.folder / "sbatch").write_text("#!/bin/sh\necho sbatch: error: invalid partition specified: gpu >&2; exit 1\n")
    with pytest.raises(
        HarnessError, match=r"^sbatch: error: invalid partition specified: gpu; what it was asked is in"
    ):
        Slurm(1, partition="gpu").start([cell_that(tmp_path / "runs", 0)], command)
    assert capfd.readouterr().err == ""


def test_a_machine_without_slurm_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        HarnessError, match="--launcher slurm: there is no sbatch here; start the launcher on a machine"
    ):
        Slurm(1)
