"""Every declaration in the rooms is real: each cell of its smoke grid trains an epoch, each report renders."""

from pathlib import Path

import golden_fingerprints as golden
import pytest

from harness.grids import PlannedCell, declarations, load_grid
from harness.ledger import Ledger
from harness.reporting import load_report, write_report
from harness.spec import build, fingerprint
from harness.training.machine import Machine
from harness.training.work import work


def on_toy(cell: PlannedCell) -> PlannedCell:
    """The cell over the toy dataset, its pieces and epochs as short as they can be."""
    run = cell.run
    short = {"pieces": [2], "freeze_epochs": 1, "freeze_steps": None}
    method = run.method.parameters | {key: value for key, value in short.items() if key in run.method.parameters}
    schedule = run.schedule.model_copy(update={"epochs": run.schedule.epochs and 1, "batch_size": 100})
    run = run.model_copy(
        update={
            "dataset": "toy", "schedule": schedule, "method": run.method.model_copy(update={"parameters": method}),
            "evaluation": run.evaluation.model_copy(update={"protocols": None}),
        }
    )  # fmt: skip
    return PlannedCell(cell.name, cell.place, run, fingerprint(run))


# Grids of many methods, or of SGR: test_testing.py trains each method.
LONG = ("rivals", "variants", "srem_ablation")


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.long) if any(word in name for word in LONG) else name
        for name in sorted(declarations("experiments"))
    ],
)
def test_every_cell_of_a_smoke_grid_trains(name: str, tmp_path: Path, toy_data: Path) -> None:
    grid = load_grid(name, smoke=True)
    shortened = {cell.fingerprint: cell for cell in map(on_toy, grid.cells)}  # other pieces may end up the same
    for planned in shortened.values():
        cell = Ledger(tmp_path).add(planned.entry(grid.name))
        assert work(cell, toy_data, Machine()) == "done", cell.failure()
        assert (cell.result() or {})["test"]["full"]["rsum"] > 0


def test_the_grids_that_repeat_settings_of_the_rivals_have_theirs() -> None:
    rivals = {cell.fingerprint: cell.place for cell in load_grid("rivals").cells}
    variants, ablation = load_grid("variants").cells, load_grid("srem_ablation").cells
    methods = {cell.place["method"] for cell in variants}
    ours = [rivals[cell.fingerprint] for cell in variants if cell.fingerprint in rivals]
    assert {(place["method"], place["noise.rate"]) for place in ours} == {(method, 0.4) for method in methods}
    assert len(ours) == len(variants) / 2
    assert all(cell.fingerprint in rivals for cell in ablation if cell.place["variant"] == "whole")


@pytest.mark.parametrize("name", sorted(declarations("experiments")))
def test_every_smoke_grid_fits_the_embedded_benchmark(name: str) -> None:
    """A freeze counted in steps, say, must end before a piece does."""
    for cell in load_grid(name, smoke=True).cells:
        assert cell.run.dataset == "twemoji"
        steps = -(-2_944 * 5 // cell.run.schedule.batch_size)
        build(cell.run.method).phases(cell.run.schedule.epochs, steps)


@pytest.mark.parametrize("name", sorted(declarations("reports")))
def test_every_report_renders_with_nothing_trained(name: str, tmp_path: Path) -> None:
    text, files = write_report(name, runs=tmp_path / "runs", out=tmp_path / "out")
    assert text.startswith("# ")
    names = [file.name for file in files]
    assert names[:7] == [f"{name}.{kind}" for kind in ("md", "tex", "csv", "json", "png", "svg", "pdf")]
    assert names[7:] == ([] if load_report(name).sweep else ["papers.bib"])
    assert all(file.stat().st_size for file in files)
    assert "harness run" in text or "harness sweep" in text  # the command that trains what is missing


def test_no_fingerprint_has_moved() -> None:
    assert {"grids": golden.grids(), "components": golden.components()} == golden.read(), "see golden_fingerprints.py"
