"""`harness bench`: what is timed, what is kept, what is printed, and what is refused."""

import json
import mmap
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from toy import harness

from harness.backbones import BACKBONES, VSEInfinity
from harness.bench import PAPER, SMALL, Plan
from harness.bench import measure as measuring
from harness.bench import run as bench_run
from harness.bench.flops import FORMULAS
from harness.bench.measure import Measured, measure
from harness.bench.profile import Operation
from harness.bench.run import load, save
from harness.bench.sizes import RELEASED, Sizes
from harness.bench.stage import Stage, draw_batch
from harness.bench.table import conditions, figures, markdown, warnings
from harness.cli import bench as verb
from harness.errors import HarnessError
from harness.methods import METHODS
from harness.training import resident
from harness.training.feeds import Round


def measured(**changes: Any) -> Measured:
    environment = {
        "device": "cpu",
        "threads": 2,
        "precision": "float32",
        "compile": False,
        "recompute": True,
        "torch": "2",
        "git_commit": "c",
    }
    one = Measured([2.0, 1.0, 6.0], [0.5, 0.25, 0.25], 90.0, 100.0, 7 * 10**8, 2 * 10**9, 50.0,
                   [Operation("aten::mm", 4, 0.5, 0.25)], environment)  # fmt: skip
    return replace(one, **changes)


@pytest.mark.slow
def test_the_command_end_to_end(tmp_path: Path) -> None:
    ran = harness("bench", "--small", "--backbone", "saf", "--profile", 3, "--save", "a.json", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "5 steps of 16 pairs, infonce; cpu, threads: 1, float32, torch" in ran.stdout
    assert "| seconds per step, median" in ran.stdout
    assert "of the released code" not in ran.stdout  # which was measured at other sizes
    assert len(ran.stdout.partition("| operation ")[2].partition("\n\n")[0].splitlines()) == 5
    row = json.loads((tmp_path / "a.json").read_text())["measured"]["saf"]
    assert len(row["step_seconds"]) == len(row["wait_seconds"]) == 5
    assert 0 < row["peak_bytes"] < row["resident_bytes"]
    assert row["environment"]["threads"] == 1


def test_each_figure_stands_beside_its_ratio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.bench.bench", lambda plans, report: {p.backbone: measured() for p in plans})
    save(tmp_path / "a.json", PAPER, {"sgr": measured(step_seconds=[1.0])})
    ran = CliRunner().invoke(verb.command, ["--backbone", "sgr", "--against", str(tmp_path / "a.json")])
    assert ran.exit_code == 0, ran.output
    assert "ratios: to " in ran.output
    (line,) = (line for line in ran.output.splitlines() if "seconds per step" in line)
    assert [cell.strip() for cell in line.split("|")][2:4] == ["2.000", "2.000"]  # it was 1 s before


def die(plan: Plan) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_measurement_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_run, "measure", die)
    with pytest.raises(
        HarnessError, match=r"the process of sgr was killed, .*take a smaller --batch-size, or --recompute"
    ):
        bench_run.bench([Plan("sgr", SMALL)])


@pytest.mark.parametrize("backbone", RELEASED)
@pytest.mark.parametrize("recompute", [False, True])
def test_the_trainers_own_steps_are_timed(backbone: str, recompute: bool) -> None:
    one = measure(Plan(backbone, SMALL, steps=3, warmup=1, recompute=recompute, operations=4))
    assert len(one.step_seconds) == len(one.wait_seconds) == 3
    assert min(one.step_seconds) > 0
    assert len(one.operations) == 4
    assert [o.seconds for o in one.operations] == sorted((o.seconds for o in one.operations), reverse=True)
    assert 0 < one.operations[0].share < 1
    assert all(0 < rate < 1e5 for rate in (one.matmul_before, one.matmul_after))  # GFLOP/s of a machine that exists


@pytest.mark.slow
@pytest.mark.parametrize("method", [name for name in METHODS if name != "zero_shot"])  # which trains nothing
def test_every_method_can_be_timed(method: str) -> None:
    one = measure(Plan("vse_infinity", replace(SMALL, method=method), steps=1, warmup=0, operations=0))
    assert len(one.step_seconds) == 1


def test_a_batch_that_lost_regions_can_be_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The regions that reach the network are as many as augmentation leaves."""
    seen: list[torch.Tensor] = []
    encode = VSEInfinity.encode_images

    def watched(self: VSEInfinity, regions: torch.Tensor, lengths: torch.Tensor) -> Any:
        seen.append(lengths)
        return encode(self, regions, lengths)

    monkeypatch.setattr(VSEInfinity, "encode_images", watched)
    measure(Plan("vse_infinity", replace(SMALL, region_rate=0.5), steps=1, warmup=0, operations=0))
    assert 0.3 < seen[0].float().mean() / SMALL.regions < 0.75
    seen.clear()
    measure(Plan("vse_infinity", SMALL, steps=1, warmup=0, operations=0))
    assert (seen[0] == SMALL.regions).all()


class Watch:
    """A clock that stands still unless it is told to go on."""

    now = 0.0

    def perf_counter(self) -> float:
        return self.now


def test_what_reading_and_what_a_step_takes_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    watch, batches, step = Watch(), Round.batches, torch.optim.AdamW.step

    def read(*arguments: Any) -> Any:
        for each in batches(*arguments):
            watch.now += 0.25
            yield each

    def take(*arguments: Any) -> Any:
        watch.now += 1.0
        return step(*arguments)

    monkeypatch.setattr(measuring, "time", watch)
    monkeypatch.setattr(Round, "batches", read)
    monkeypatch.setattr(torch.optim.AdamW, "step", take)
    one = measure(Plan("vse_infinity", SMALL, steps=3, warmup=1))
    assert one.wait_seconds == [0.25] * 3
    assert one.step_seconds == [1.0] * 3
    assert one.data_share == 0.2


def test_peak_memory_sees_what_was_given_back() -> None:
    resident.reset_peak()
    before = resident.resident()
    with mmap.mmap(-1, 320 * 10**6) as taken:  # past the C library, which may keep what it has
        np.frombuffer(taken, dtype=np.uint8)[:] = 1
    assert resident.peak() - before > 250e6
    assert resident.resident() - before < 100e6


def test_the_stage_has_the_papers_shapes_and_costs_no_disk(tmp_path: Path) -> None:
    sizes = replace(PAPER, images=1000)
    stage = Stage(tmp_path, sizes)
    train = stage.split("train")
    assert train.regions.shape == (1000, 36, 2048)
    assert (tmp_path / "train_ims.npy").stat().st_blocks * 512 < 10e6 < train.regions.nbytes
    assert stage.vocabulary_size == 8500
    lengths = train.captions.lengths
    assert lengths.mean() == pytest.approx(13.9, abs=0.3)  # Flickr8k's, with <start> and <end>
    assert lengths.std() == pytest.approx(4.1, abs=0.3)
    assert lengths.min() >= 3
    assert train.captions.ids.max() < 8500


def test_the_drawn_batch_is_the_same_every_time() -> None:
    one, two = draw_batch(SMALL), draw_batch(SMALL)
    assert one.regions.shape == (16, 6, 32)
    assert torch.equal(one.regions, two.regions)
    assert torch.equal(one.tokens, two.tokens)
    assert one.regions.std() == pytest.approx(1, abs=0.1)
    assert one.tokens.shape[1] == one.lengths.max()


def test_words_are_as_frequent_as_in_captions() -> None:
    one = draw_batch(PAPER)
    assert 0.2 < len(one.tokens.unique()) / int(one.lengths.sum()) < 0.35


def test_derived_figures() -> None:
    one = measured()
    assert one.seconds == 2.0
    assert one.data_share == pytest.approx(1 / 10)
    assert (one.matmul, one.unrest, one.work, one.achieved) == (100.0, pytest.approx(0.1), 200.0, 25.0)


def test_the_table_puts_the_released_code_and_another_commit_beside_ours() -> None:
    one = measured()
    rows = {row[0]: row[1:] for row in figures({"saf": one}, PAPER, {"saf": replace(one, step_seconds=[4.0])})}
    assert rows["seconds per step, median"] == ["2.000", "0.500"]
    assert rows["peak memory over the start, GB"] == ["0.700", "1.000"]
    assert rows["waiting for data, % of the loop"] == ["10.00", ""]
    assert rows["achieved, % of the matmul rate"] == ["25", ""]
    work, memory = RELEASED["saf"]
    assert rows["of the released code's GFLOP, %"] == [f"{200 / work:.0%}".rstrip("%"), ""]
    assert rows["of the released code's memory, %"] == [f"{0.7 / memory:.0%}".rstrip("%"), ""]
    for sizes in (SMALL, replace(PAPER, batch_size=64)):
        assert not any("released" in row[0] for row in figures({"saf": one}, sizes, None))
    alone = figures({"saf": one, "sgr": one}, PAPER, {"sgr": one})  # what the other commit lacks has no ratio
    assert alone[1][1:] == ["2.000", "", "2.000", "1.000"]


def test_markdown_lines_up() -> None:
    assert markdown([["", "a"], ["long", "1"]]).splitlines() == ["|      |   a |", "| :--- | --: |", "| long |   1 |"]


def test_conditions_are_one_line() -> None:
    assert conditions(measured()) == "cpu, threads: 2, float32, recomputing, torch 2, commit c"


def test_unrest_is_told() -> None:
    assert not warnings({"saf": measured(matmul_before=95.0)})
    (line,) = warnings({"saf": measured(matmul_before=50.0)})
    assert line.startswith("saf: the matmul rate was 50 GFLOP/s before and 100 after")


def test_what_is_saved_is_read_back(tmp_path: Path) -> None:
    save(tmp_path / "a.json", PAPER, {"sgr": measured()})
    assert load(tmp_path / "a.json", PAPER) == {"sgr": measured()}
    older = json.loads((tmp_path / "a.json").read_text())
    del older["sizes"]["region_rate"]
    (tmp_path / "a.json").write_text(json.dumps(older))
    assert load(tmp_path / "a.json", PAPER) == {"sgr": measured()}
    with pytest.raises(HarnessError, match="region_rate"):
        load(tmp_path / "a.json", replace(PAPER, region_rate=0.2))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "there is no such file"),
        ({"sizes": 1}, "not a measurement"),
        ([], "not a measurement"),
    ],
)
def test_what_is_no_measurement_is_refused(tmp_path: Path, content: Any, told: str) -> None:
    path = tmp_path / "a.json"
    if content is not None:
        path.write_text(json.dumps(content))
    with pytest.raises(HarnessError, match=told):
        load(path, PAPER)


def test_other_sizes_are_refused_before_anything_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_run, "measure", None)
    save(tmp_path / "a.json", PAPER, {"sgr": measured()})
    arguments = ["--regions", "20", "--method", "triplet", "--against", str(tmp_path / "a.json")]
    ran = CliRunner().invoke(verb.command, arguments)
    assert isinstance(ran.exception, HarnessError)
    assert "(regions 36 there and 20 here, method infonce there and triplet here)" in str(ran.exception)


@pytest.mark.parametrize(
    ("sizes", "told"),
    [
        (replace(SMALL, images=10), "accepted: at least 26 images"),
        (replace(SMALL, method="zero_shot"), "trains nothing"),
        (replace(SMALL, method="infonc"), "did you mean 'infonce'"),
    ],
)
def test_a_plan_that_does_not_fit_is_one_line(sizes: Sizes, told: str) -> None:
    with pytest.raises(HarnessError, match=told):
        measure(Plan("vse_infinity", sizes))


def test_the_verb_names_what_can_be_measured() -> None:
    assert set(verb.BACKBONES) == set(RELEASED) == {n for n, c in BACKBONES.items() if c in FORMULAS}
