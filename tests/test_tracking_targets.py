"""TensorBoard and W&B hold what the ledger holds: once, whatever was killed, resumed or called twice."""

import json
import multiprocessing
import os
import shutil
import signal
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from toy import CRCL, wait_for, write_grid
from tracking_toys import finish, hold, make_cell, result, row

from harness.cli.run import command as run
from harness.cli.sync import command as sync
from harness.errors import HarnessError
from harness.ledger import Cell, Ledger
from harness.reporting.shown import EXTRAS
from harness.tracking import TARGETS, Mirror, Target, open_store, opener

Points = dict[str, list[tuple[int, float]]]
OPTIONAL = [name for name in TARGETS if name != "mlflow"]


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    for name in ("WANDB_DIR", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)


def in_tensorboard(runs: Path, cell: Cell) -> Points:
    """What TensorBoard itself reads of a run's folder."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (folder,) = (runs.parent / "tensorboard" / "toy").glob(f"*_{cell.fingerprint}")
    read = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    read.Reload()
    return {tag: [(e.step, round(e.value, 4)) for e in read.Scalars(tag)] for tag in read.Tags()["scalars"]}


def _records(content: bytes) -> Iterator[bytes]:
    """LevelDB's log format: blocks of 32 KiB; a head has a checksum, a length and which part of a record it is."""
    at, whole = 7, b""  # behind the file's own head
    while at + 7 <= len(content):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        length, part = struct.unpack("<HB", content[at + 4 : at + 7])
        whole += content[at + 7 : at + 7 + length]
        at += 7 + length
        if part in (1, 4):  # the whole of it, or its end
            yield whole
            whole = b""


def in_wandb(runs: Path, cell: Cell) -> Points:
    """What an offline run's file would send to a server."""
    from wandb.proto.wandb_internal_pb2 import Record

    (folder,) = (runs.parent / "wandb").glob(f"offline-run-*-{cell.fingerprint}-*")
    (file,) = folder.glob("*.wandb")
    points: Points = {}
    records: list[Any] = []

    def ended() -> bool:
        records[:] = [Record.FromString(data) for data in _records(file.read_bytes())]
        return bool(records) and records[-1].WhichOneof("record_type") == "exit"

    wait_for(ended)
    for record in records:
        values = {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
        for key, value in values.items():
            if "/" in key:
                points.setdefault(key, []).append(
                    (int(values["step" if key.startswith("train/steps/") else "epoch"]), value)
                )
        for item in record.summary.update:
            if (key := item.key or "/".join(item.nested_key)).startswith("test/"):
                points[key] = [(0, json.loads(item.value_json))]
    return points


pytest.importorskip("tensorboard")
pytest.importorskip("wandb")
READ: dict[str, Callable[[Path, Cell], Points]] = {"tensorboard": in_tensorboard, "wandb": in_wandb}


def opened(name: str, runs: Path) -> Target:
    return opener(name, runs, extras=EXTRAS)()


@pytest.mark.parametrize("name", OPTIONAL)
def test_a_run_is_followed_from_its_first_epoch_to_its_result(runs: Path, name: str) -> None:
    cell, target = make_cell(runs), opened(name, runs)
    hold(cell)
    for epoch in range(2):
        cell.append_row(row(epoch))
        target.mirror(cell, "toy")
    finish(cell, result())
    target.mirror(cell, "toy")
    target.mirror(cell, "toy")
    target.close()
    opened(name, runs).mirror(cell, "toy")
    points = READ[name](runs, cell)
    assert points["dev/rsum"] == [(1, 100.0), (2, 101.0)]
    assert points["train/steps/loss"] == [(0, 0.0), (5, 1.0), (10, 0.0), (15, 1.0)]
    assert points["test/rsum"] == [(0, 300.0)]
    assert "labels/auc" not in points  # undefined, not zero


def _mirror_and_die(name: str, folder: Path) -> None:
    for variable in [each for each in os.environ if "WANDB_SERVICE" in each]:
        del os.environ[variable]  # W&B's own process, which a launcher does not share with another
    opened(name, folder.parent).mirror(Cell(folder), "toy")
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("name", OPTIONAL)
def test_after_a_kill_no_point_is_there_twice(runs: Path, name: str) -> None:
    """The launcher dies without a word, the cell goes back to its checkpoint, and another launcher goes on."""
    cell = make_cell(runs)
    hold(cell)
    for epoch in range(3):
        cell.append_row(row(epoch))
    process = multiprocessing.get_context("spawn").Process(target=_mirror_and_die, args=(name, cell.folder))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    cell.keep_rows(1)
    for epoch in range(1, 4):
        cell.append_row(row(epoch, at=1_700_009_000.0 + epoch))
    finish(cell, result())
    target = opened(name, runs)
    target.mirror(cell, "toy")
    target.close()
    points = READ[name](runs, cell)
    assert points["dev/rsum"] == [(1, 100.0), (2, 101.0), (3, 102.0), (4, 103.0)]
    assert len(points["train/steps/loss"]) == 8
    assert points["test/rsum"] == [(0, 300.0)]


@pytest.mark.parametrize("name", OPTIONAL)
def test_a_cell_trained_anew_is_another_run(runs: Path, name: str) -> None:
    cell, target = make_cell(runs), opened(name, runs)
    cell.append_row(row(0))
    finish(cell, result())
    target.mirror(cell, "toy")
    shutil.rmtree(cell.folder)
    cell = make_cell(runs)
    cell.append_row({**row(0), "values": {"dev/rsum": 7.0}})
    finish(cell, {**result(), "seconds": 1.0})
    target.mirror(cell, "toy")
    assert READ[name](runs, cell)["dev/rsum"] == [(1, 7.0)]


@pytest.mark.parametrize("name", OPTIONAL)
def test_rebuilt_it_says_the_same(runs: Path, name: str) -> None:
    cell, target = make_cell(runs), opened(name, runs)
    cell.append_row(row(0))
    finish(cell, result())
    target.mirror(cell, "toy")
    before = READ[name](runs, cell)
    target.forget(cell, "toy")
    target.mirror(cell, "toy")
    assert READ[name](runs, cell) == before


def test_a_half_written_event_file_is_not_read(runs: Path) -> None:
    cell, target = make_cell(runs), opened("tensorboard", runs)
    cell.append_row(row(0))
    target.mirror(cell, "toy")
    (folder,) = (runs.parent / "tensorboard" / "toy").iterdir()
    (whole,) = folder.glob("*.to-0")
    (folder / "unfinished").write_bytes(whole.read_bytes()[:40])  # where a writer was killed
    assert in_tensorboard(runs, cell)["dev/rsum"] == [(1, 100.0)]


def test_tensorboard_shows_settings_and_words(runs: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    cell = make_cell(runs)
    cell.append_row(row(0))
    finish(cell, result())
    opened("tensorboard", runs).mirror(cell, "toy")
    (folder,) = (runs.parent / "tensorboard" / "toy").iterdir()
    read = EventAccumulator(str(folder))
    read.Reload()
    (content,) = read.PluginTagToContent("hparams").values()
    settings = HParamsPluginData.FromString(content).session_start_info.hparams
    assert settings["method.beta"].number_value == 0.8
    assert settings["method.pieces"].string_value == "[3, 4]"
    assert read.Tags()["images"] == ["figures/curves"]
    (words,) = read.Tensors("description/text_summary")
    assert "harness run toy" in words.tensor_proto.string_val[0].decode()


def test_a_failed_mirror_leaves_the_others_alone(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = make_cell(runs)
    cell.append_row(row(0))
    finish(cell, result())
    (runs.parent / "tensorboard").write_text("a file in its place")
    mirror = Mirror(runs, targets=("mlflow", "tensorboard"))
    mirror.update([cell])
    mirror.close()
    assert mirror.complaint is not None
    assert "harness sync --mirror tensorboard" in mirror.complaint
    assert "\n" not in mirror.complaint
    assert open_store(None, runs).find_run("toy", cell.fingerprint) is not None


@pytest.mark.parametrize("name", OPTIONAL)
def test_a_package_that_is_not_there_is_one_line_before_training(
    workplace: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.extras.find_spec", lambda word: None if word == name else word)
    where = ["--runs", str(workplace / "runs"), "--data", str(workplace / "data")]
    with pytest.raises(HarnessError, match=rf"pip install 'crcl-harness\[{name}\]'"):
        CliRunner().invoke(run, [str(write_grid(workplace, CRCL)), *where, "--mirror", name], catch_exceptions=False)
    assert not list((workplace / "runs").glob("*/spec.json"))


def test_an_unknown_mirror_is_one_line(runs: Path) -> None:
    with pytest.raises(HarnessError, match="did you mean 'tensorboard'"):
        opener("tensorbord", runs)


def test_what_is_not_there_is_not_mirrored(runs: Path) -> None:
    cell = make_cell(runs)
    for name in TARGETS:
        opened(name, runs).mirror(cell, "toy")
    assert not (runs.parent / "tensorboard").exists()
    assert not list((runs.parent).glob("wandb/offline-run-*"))


@pytest.mark.slow
def test_none_shows_a_run_nowhere_until_it_is_synced(
    workplace: Path, migrated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    where = ["--runs", str(workplace / "runs")]
    said = CliRunner().invoke(run, [str(write_grid(workplace, CRCL)), "--mirror", "none", "--mirror", "wandb"])
    assert said.exit_code == 2
    assert "none stands alone: name it without wandb" in said.output
    data = ["--data", str(workplace / "data")]
    ran = CliRunner().invoke(run, [str(workplace / "toy.toml"), *where, *data, "--mirror", "none"])
    assert ran.exit_code == 0, ran.output
    assert not (workplace / "mlflow.db").exists()
    shutil.copy(migrated, workplace / "mlflow.db")
    assert CliRunner().invoke(sync, where, catch_exceptions=False).exit_code == 0  # whatever HARNESS_MIRROR says
    [cell] = Ledger(workplace / "runs").cells()
    found = open_store(None, workplace / "runs").find_run("toy", cell.fingerprint)
    assert found is not None
    assert found.info.status == "FINISHED"
