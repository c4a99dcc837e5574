"""The files of the ledger: today's format, the one before, a later one, and what is none of them."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from ledger_toys import a_dataset, a_result, a_row, a_spec

from harness.errors import HarnessError
from harness.ledger import Cell, Ledger
from harness.ledger.schema import FORMAT, Checkpoint, Network
from harness.ledger.seal import unsealed
from harness.spec.fingerprint import ALGORITHM

# Every key of each file, as the version before formats wrote it; `noise.sha256` and `dataset.digest` shortened.
BEFORE = {
    "spec.json": {
        "fingerprint": "0d5f01e14e3bd3b2", "grid": "demo", "cell": "crcl noise.rate=0.4 seed=0",
        "labels": {"method": "crcl", "noise.rate": 0.4, "seed": 0}, "run": {"dataset": "twemoji", "seed": 0},
    },
    "metrics.jsonl": {
        "epoch": 3, "piece": 1, "epoch_in_piece": 1, "step": 400, "time": 1700000000.5, "seconds": 12.5,
        "values": {"train/loss": 1.5, "dev/rsum": 390.1, "labels/auc": None}, "steps": [[379, {"step/loss": 1.25}]],
    },
    "result.json": {
        "fingerprint": "0d5f01e14e3bd3b2", "finished": "2026-11-25T19:05:04+00:00",
        "selection": "best_dev_rsum_of_last_piece",
        "best": {"piece": 1, "epoch": 1, "epochs": 3, "dev/rsum": 390.1}, "dev": {"rsum": 390.1},
        "test": {"full": {"i2t_r1": 58.6, "rsum": 390.9}}, "labels": {"labels/auc": 0.98},
        "noise": {"realised_rate": 0.4, "sha256": "ab12"},
        "dataset": {"name": "twemoji", "digest": "cd34", "images": 2944, "pairs": 14720, "test_is_dev": False},
        "environment": {"harness": "0.1.0", "device": "cpu", "hostname": "one"}, "seconds": 60.5, "steps": 400,
        "parameters": 1000,
    },
}  # fmt: skip


@pytest.fixture
def cell(tmp_path: Path) -> Cell:
    return Ledger(tmp_path).add(a_spec())


def read(cell: Cell, name: str) -> Any:
    fresh = Cell(cell.folder)  # a spec is read once
    return {"spec.json": lambda: fresh.spec, "result.json": fresh.result, "metrics.jsonl": fresh.rows}[name]()


def test_what_is_written_carries_the_format_and_the_result_the_version_of_the_code(cell: Cell) -> None:
    cell.append_row(a_row(0))
    cell.write_result(a_result())
    assert written(cell, "spec.json") == {"format": FORMAT, **a_spec()}
    assert written(cell, "metrics.jsonl") == {"format": FORMAT, **a_row(0)}
    assert written(cell, "result.json") == {"format": FORMAT, "algorithm": ALGORITHM, "files": {}, **a_result()}


def written(cell: Cell, name: str) -> Any:
    """The object in a file of one, without its seal."""
    value = json.loads(cell.path(name).read_text())
    assert "seal" in value
    return unsealed(value, cell.path(name))


@pytest.mark.parametrize("name", BEFORE)
def test_files_of_the_format_before_are_read(cell: Cell, name: str) -> None:
    cell.path(name).write_text(json.dumps(BEFORE[name]) + "\n")
    found = read(cell, name)
    expected = {**BEFORE[name], "format": FORMAT}
    if name == "result.json":
        expected["algorithm"] = 1  # it did not say, and there was no other
    assert found == ([expected] if name == "metrics.jsonl" else expected)


def test_a_result_of_the_very_first_version_is_read(cell: Cell) -> None:
    about = a_dataset()
    del about["test_is_dev"]
    cell.path("result.json").write_text(json.dumps(a_result(dataset=about)))
    assert (cell.result() or {})["dataset"] == about


@pytest.mark.parametrize("name", BEFORE)
@pytest.mark.parametrize("number", [FORMAT + 1, "new"])
def test_a_later_format_is_one_clear_line(cell: Cell, name: str, number: Any) -> None:
    cell.path(name).write_text(json.dumps({"format": number, "what": "nobody knows"}) + "\n")
    with pytest.raises(HarnessError, match=r"written by a newer version of harness; accepted: up to 2; update") as said:
        read(cell, name)
    assert str(said.value).startswith(f"{cell.path(name)}: has format {number}")


@pytest.mark.parametrize("name", ["spec.json", "result.json"])
def test_a_key_that_is_missing_or_of_another_kind_is_one_clear_line(cell: Cell, name: str) -> None:
    for key, value in BEFORE[name].items():
        if name == "result.json" and key == "parameters":
            continue  # an ensemble has none
        without = {k: v for k, v in BEFORE[name].items() if k != key}
        for changed, why in (
            (without, f"{key}: is missing"),
            ({**BEFORE[name], key: 7 if isinstance(value, list) else [value]}, f"{key} = "),
        ):
            cell.path(name).write_text(json.dumps(changed) + "\n")
            with pytest.raises(HarnessError) as said:
                read(cell, name)
            assert str(said.value).startswith(f"{cell.path(name)}: ")
            assert why in str(said.value)
            assert "\n" not in str(said.value)


@pytest.mark.parametrize("name", ["spec.json", "result.json"])
def test_a_foreign_file_is_one_clear_line(cell: Cell, name: str) -> None:
    for foreign in ("[1, 2]", '"text"', '{"epochs": 3}'):
        cell.path(name).write_text(foreign + "\n")
        with pytest.raises(HarnessError, match="damaged or another program's"):
            read(cell, name)


def test_a_damaged_line_is_an_epoch_that_is_lost(cell: Cell) -> None:
    for epoch in range(4):
        cell.append_row(a_row(epoch))
    lines = cell.path("metrics.jsonl").read_text().splitlines(keepends=True)
    lines[1] = "{half\n"
    lines[2] = lines[2].replace('"seconds": 60.0', '"seconds": 61.0')  # as a bit that flipped
    cell.path("metrics.jsonl").write_text("".join(lines))
    assert [row["epoch"] for row in cell.rows()] == [0, 3]
    assert cell.lost_epochs() == [1, 2]
    for foreign in ("[1, 2]", '"text"', '{"epochs": 3}'):
        cell.path("metrics.jsonl").write_text(foreign + "\n" + lines[0])
        assert [row["epoch"] for row in cell.rows()] == [0]


def test_what_nobody_could_read_is_not_written(cell: Cell) -> None:
    with pytest.raises(HarnessError, match="seconds: is missing"):
        cell.write_result({key: value for key, value in a_result().items() if key != "seconds"})
    with pytest.raises(HarnessError, match="values: is missing"):
        cell.append_row({key: value for key, value in a_row(0).items() if key != "values"})
    assert cell.state() == "waiting"
    assert cell.rows() == []


def test_rows_of_both_formats_stand_in_one_file(cell: Cell) -> None:
    """A run that the version before began goes on."""
    cell.path("metrics.jsonl").write_text(json.dumps(a_row(0)) + "\n")
    cell.append_row(a_row(1))
    assert [row["epoch"] for row in cell.rows()] == [0, 1]
    cell.keep_rows(2)
    assert [row["format"] for row in cell.rows()] == [FORMAT, FORMAT]


# -- the checkpoint ------------------------------------------------------------------------------------------------


def through_torch(saved: dict[str, Any]) -> dict[str, Any]:
    """Written and read as the trainer does."""
    buffer = io.BytesIO()
    torch.save(saved, buffer)
    buffer.seek(0)
    return dict(torch.load(buffer, weights_only=True))


def test_a_checkpoint_goes_through_torch_and_back() -> None:
    weights = [{"w": torch.ones(2)}, {"w": torch.zeros(2)}]
    plan = [{"captions": torch.arange(3), "images": None, "split": "train", "drop_last": True}]
    best = {"rsum": 1.5, "piece": 0, "epoch": 1, "epochs": 1, "dev": {"rsum": 1.5}, "weights": weights}
    saved = Checkpoint(
        fingerprint="ab", data={"training pairs": "12"}, position={"piece": 0, "epoch": 1, "round": 1, "step": 2},
        networks=[Network(each, {"main": {"state": {}}}, {"meta": {"v": torch.ones(1)}}) for each in weights],
        state={"label": torch.rand(5)}, plan=plan, best=best, meters={"count": 2}, seconds=1.0, epoch_seconds=0.5,
    )  # fmt: skip
    table = saved.to_dict()
    assert table["networks"][0]["weights"]["w"] is weights[0]["w"]  # no copy of a gigabyte
    again = Checkpoint.from_dict(through_torch(table))
    assert again.format == FORMAT
    for mine, found in zip(saved.networks, again.networks, strict=True):
        assert torch.equal(mine.weights["w"], found.weights["w"])
        assert torch.equal(mine.parts["meta"]["v"], found.parts["meta"]["v"])
    assert torch.equal(saved.state["label"], again.state["label"])
    assert again.plan is not None
    assert torch.equal(again.plan[0]["captions"], torch.arange(3))
    assert (again.fingerprint, again.data, again.position, again.seconds) == ("ab", saved.data, saved.position, 1.0)


def before(best: dict[str, Any] | None = None) -> dict[str, Any]:
    """A checkpoint of format 1."""
    return {
        "fingerprint": "ab", "data": {"training pairs": "12", "features or captions": "34"},
        "position": {"piece": 1, "epoch": 2, "step": 3, "epochs": 4, "steps": 50},
        "backbone": {"w": torch.ones(2)}, "optimizer": {"state": {}, "param_groups": []},
        "state": {"label": torch.ones(5)},
        "best": best or {"rsum": 9.0, "epochs": 3, "piece": 1, "epoch": 1, "weights": {"w": torch.zeros(2)},
                         "dev": {"rsum": 9.0}},
        "meters": {"sums": {"loss": 6.0}, "count": 3, "samples": []}, "seconds": 7.0, "epoch_seconds": 0.25,
    }  # fmt: skip


def test_a_checkpoint_of_the_format_before_is_read() -> None:
    old = before()
    found = Checkpoint.from_dict(through_torch(old))
    assert found.position == {**old["position"], "round": 0}
    (network,) = found.networks
    assert torch.equal(network.weights["w"], torch.ones(2))
    assert network.optimizers == {"main": {"state": {}, "param_groups": []}}
    assert network.parts == {}
    assert found.plan == []
    assert torch.equal(found.best["weights"][0]["w"], torch.zeros(2))
    assert {key: found.best[key] for key in ("rsum", "epochs", "dev")} == {"rsum": 9.0, "epochs": 3, "dev": {"rsum": 9}}
    assert found.meters == {"sums": {"loss": 6.0}, "counts": {"loss": 3}, "samples": []}
    assert (found.data, found.seconds, found.epoch_seconds) == (old["data"], 7.0, 0.25)
    assert found.format == FORMAT
    none = {"rsum": float("-inf"), "epochs": -1, "piece": 0, "epoch": 0, "weights": None, "dev": None}
    assert Checkpoint.from_dict(before(none)).best["weights"] is None


def test_a_checkpoint_of_a_later_format_or_of_another_program_is_one_line() -> None:
    with pytest.raises(HarnessError, match=r"a/checkpoint.pt: has format 3, written by a newer version"):
        Checkpoint.from_dict({"format": FORMAT + 1}, "a/checkpoint.pt")
    for foreign in ({"epoch": 3}, {"format": FORMAT, "networks": [{}]}, {**before(), "backbone": None, "best": {}}):
        with pytest.raises(HarnessError, match=r"no whole checkpoint of this harness; delete it"):
            Checkpoint.from_dict(foreign)
