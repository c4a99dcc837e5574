"""Cell folders: claims, heartbeats, rows, and files that are whole or absent."""

import os
import shlex
import socket
import subprocess
import sys
import threading
import time
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ledger_toys import a_result, a_row, a_spec

from harness.errors import HarnessError
from harness.files import read_json, write_atomic, write_json
from harness.grids import single_run
from harness.ledger import Cell, Claim, ClaimLost, Ledger, claim
from harness.ledger.cell import CHECKPOINTS
from harness.ledger.command import made_by


@pytest.fixture
def cell(tmp_path: Path) -> Cell:
    return Ledger(tmp_path).add(a_spec())


def test_states_follow_the_files(cell: Cell) -> None:
    assert cell.state() == "waiting"
    held = Claim.take(cell.folder)
    assert held is not None
    assert cell.state() == "running"
    held.release()
    cell.path("checkpoint.pt").write_bytes(b"x")
    assert cell.state() == "interrupted"
    cell.write_failure("boom", "Traceback", {})
    assert cell.state() == "failed"
    assert (cell.failure() or {})["error"] == "boom"
    cell.write_result(a_result())
    assert cell.state() == "done"
    assert cell.failure() is None


def test_a_done_cell_keeps_no_checkpoint(cell: Cell) -> None:
    """Where its worker was killed between writing the result and deleting them."""
    for name in CHECKPOINTS:
        cell.path(name).write_bytes(b"x")
    cell.tidy()
    assert all(cell.path(name).exists() for name in CHECKPOINTS)  # it waits, and continues from one
    cell.write_result(a_result())
    cell.tidy()
    assert not any(cell.path(name).exists() for name in CHECKPOINTS)


def test_one_of_many_gets_the_claim(cell: Cell) -> None:
    got: list[Claim] = []
    gate = threading.Barrier(16)

    def worker() -> None:
        gate.wait()
        mine = Claim.take(cell.folder)
        if mine is not None:
            got.append(mine)

    threads = [threading.Thread(target=worker) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 1
    got[0].release()
    again = Claim.take(cell.folder)
    assert again is not None
    again.release()


def test_the_claim_of_a_killed_process_is_taken_over_at_once(cell: Cell) -> None:
    code = f"""
import time
import tomllib
from pathlib import Path
from harness.ledger import Claim
assert Claim.take(Path({str(cell.folder)!r}))
print("held", flush=True)
time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    assert cell.state() == "running"
    assert Claim.take(cell.folder) is None
    process.kill()
    process.wait()
    assert cell.state() == "interrupted"
    mine = Claim.take(cell.folder)
    assert mine is not None
    mine.release()


def test_a_claim_from_another_machine_lives_by_its_heartbeat(cell: Cell) -> None:
    now = time.time()
    holder = {"token": "t", "host": "another", "pid": 1, "since": now - 1000, "started": 5}
    write_json(cell.path("claim.json"), holder)
    write_json(cell.path("heartbeat.json"), {"time": now - 5})
    assert cell.state() == "running"
    write_json(cell.path("heartbeat.json"), {"time": now - claim.SILENCE - 1})
    assert cell.state() == "interrupted"


def test_a_process_in_another_container_lives_by_its_heartbeat(cell: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its host name may be ours, and its process number that of nobody here, or of somebody else."""
    monkeypatch.setattr(claim, "_place", lambda: "this boot, another namespace")
    mine = Claim.take(cell.folder)
    assert mine is not None
    monkeypatch.setattr(claim, "_place", lambda: "this boot, ours")
    write_json(cell.path("claim.json"), {**(claim.read(cell.folder) or {}), "pid": 2**22 + 1})
    for _ in range(3):  # two launchers must not take a cell from each other in turn
        assert cell.state() == "running"
        assert Claim.take(cell.folder) is None
    mine.release()
    silent = {"token": "t", "host": socket.gethostname(), "place": "another", "pid": os.getpid(), "started": None}
    write_json(cell.path("claim.json"), {**silent, "since": time.time() - claim.SILENCE - 1})
    cell.path("heartbeat.json").unlink()
    assert cell.state() == "interrupted"


def test_a_claim_of_an_older_version_is_of_this_place(cell: Cell) -> None:
    old = {"token": "t", "host": socket.gethostname(), "pid": os.getpid(), "since": 0.0}
    write_json(cell.path("claim.json"), {**old, "started": claim._started(os.getpid())})
    assert cell.state() == "running"


def test_a_clock_that_is_ahead_is_not_waited_for(cell: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    """A heartbeat from the future counts as long as it changes."""
    now = [1000.0]
    monkeypatch.setattr(claim, "time", SimpleNamespace(time=lambda: now[0], monotonic=lambda: now[0]))
    holder = {"token": "t", "host": "another", "pid": 1, "since": 50_000.0, "started": 5}
    write_json(cell.path("claim.json"), holder)
    assert cell.state() == "running"
    now[0] += claim.SILENCE - 1
    assert cell.state() == "running"
    write_json(cell.path("heartbeat.json"), {"time": 50_001.0})
    assert cell.state() == "running"
    now[0] += claim.SILENCE - 1
    assert cell.state() == "running"
    now[0] += 1
    assert cell.state() == "interrupted"


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"host": 3}'])
def test_a_damaged_claim_is_named_and_a_damaged_heartbeat_is_none(cell: Cell, content: str) -> None:
    cell.path("heartbeat.json").write_text(content)
    assert cell.heartbeat() == {}
    cell.path("claim.json").write_text(content)
    assert cell.state() == "damaged"
    assert str(cell.path("claim.json")) in cell.damage()


def test_a_holder_that_was_taken_over_finds_out_before_it_writes(cell: Cell) -> None:
    mine = Claim.take(cell.folder)
    assert mine is not None
    mine.verify()
    write_json(cell.path("claim.json"), {**(claim.read(cell.folder) or {}), "token": "another's"})
    with pytest.raises(ClaimLost):
        mine.verify()
    mine.release()
    assert claim.read(cell.folder) is not None  # the other's claim is left alone


def test_the_heartbeat_says_what_was_reported(cell: Cell) -> None:
    mine = Claim.take(cell.folder)
    assert mine is not None
    mine.report(epoch=3, loss=0.5)
    deadline = time.monotonic() + 600 * claim.BEAT
    while cell.heartbeat().get("epoch") != 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    mine.release()
    assert cell.heartbeat()["loss"] == 0.5


def test_a_torn_last_row_is_no_row(cell: Cell) -> None:
    cell.append_row(a_row(0))
    cell.append_row(a_row(1, values={"a": float("nan")}))
    with open(cell.path("metrics.jsonl"), "a") as file:
        file.write('{"epoch": 2, "val')
    assert [row["epoch"] for row in cell.rows()] == [0, 1]
    assert cell.rows()[1]["values"]["a"] is None
    cell.keep_rows(1)
    assert [row["epoch"] for row in cell.rows()] == [0]


def test_an_atomic_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"old": 1})

    def fail(file: Any) -> None:
        file.write(b"half")
        raise RuntimeError("torn")

    with pytest.raises(RuntimeError):
        write_atomic(path, fail)
    assert read_json(path) == {"old": 1}
    assert os.listdir(tmp_path) == ["a.json"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux only")
def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    def fill(_: Any) -> None:
        with open("/dev/full", "wb") as full:
            full.write(b"x" * 100_000)

    with pytest.raises(HarnessError, match=r"no space left on the disk .* make room and run the same command again"):
        write_atomic(tmp_path / "a", fill)
    assert os.listdir(tmp_path) == []


def test_a_run_is_found_by_the_beginning_of_its_fingerprint_or_its_name(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    first = ledger.add(a_spec("abc1", cell="one"))
    ledger.add(a_spec("abd2", cell="two"))
    assert ledger.find("abc").folder == first.folder
    assert ledger.find("two").fingerprint == "abd2"
    with pytest.raises(HarnessError, match="2 runs fit 'ab'"):
        ledger.find("ab")
    with pytest.raises(HarnessError, match="no run is called 'zzz'"):
        ledger.find("zzz")


def test_the_command_behind_a_cell() -> None:
    assert made_by({"grid": "demo"}) == "harness run demo"
    assert made_by({"grid": "demo-smoke"}) == "harness run demo --smoke"
    assert made_by({"grid": "demo"}, "rivals-smoke") == "harness run rivals --smoke"
    assert made_by({"grid": "fair-crcl-smoke", "sweep": "fair-crcl-smoke"}) == "harness sweep fair-crcl --smoke"
    given = {
        "dataset": "toy", "method": {"name": "crcl"}, "noise.rate": 0.4, "method.pieces": [3, 4], "method.beta": 0.8,
    }  # fmt: skip
    grid = single_run(given)
    [cell] = grid.cells
    words = shlex.split(made_by(cell.entry(grid.name)))
    assert words[:4] == ["harness", "train", "--dataset", "toy"]
    options = dict(zip(words[2::2], words[3::2], strict=True))
    again = {name: options[f"--{name}"] for name in ("dataset", "method", "noise", "backbone")}
    settings = dict(word.split("=", 1) for name, word in zip(words[2::2], words[3::2], strict=True) if name == "--set")
    read = {key: tomllib.loads(f"value = {text}")["value"] for key, text in settings.items()}
    assert [each.fingerprint for each in single_run({**again, **read}).cells] == [cell.fingerprint]
