"""No table, figure or verdict is over results that are not comparable."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ledger_toys import a_dataset
from reporting_toys import make_grid, make_report, rsum_of, train, write_pairs
from test_ledger_comparable import NEW, OLD, Fake, There
from test_reporting_diagnosis import a_run, verdicts
from test_reporting_sweep import SWEEP, searched

from harness.data.now import DataNow
from harness.errors import HarnessError
from harness.grids import Grid, PlannedCell, load_grid
from harness.launch.retrain import find_others, move_aside
from harness.ledger import Cell, Ledger
from harness.reporting import format_markdown, render, write_files
from harness.reporting.page import write_page
from harness.reporting.reports.rendered import Rendered
from harness.reporting.runs import LEFT_OUT, read_grids
from harness.training.machine import Machine
from harness.training.work import work

TWO_DATA = "no mean is over both"


class OfToys(Fake):
    """As `Fake`, of the data set that the toy grid is on."""

    def state(self, dataset: str, /) -> There | None:
        return self.toy


HOLDS_NEW = OfToys(There({"regions": NEW}))


def of_data(ledger: Ledger, planned: PlannedCell, digest: str, **changes: Any) -> Cell:
    """Pretend that a cell was trained on data of this digest."""
    train(ledger, planned)
    cell = ledger.cell(planned.fingerprint)
    result = cell.result() or {}
    cell.write_result({**result, **changes, "dataset": {**result["dataset"], "digest": digest}})
    return cell


def mixed(folder: Path, *old_seeds: int) -> tuple[Grid, Ledger]:
    """The toy grid, of which the triplet's seeds `old_seeds` at 40 % are of the data before."""
    grid, ledger = make_grid(folder), Ledger(folder / "runs")
    for cell in grid.cells:
        old = cell.place["method"] == "triplet" and cell.place["noise.rate"] == 0.4
        of_data(ledger, cell, OLD if old and cell.place["seed"] in old_seeds else NEW)
    return grid, ledger


def row_of(rendered: Rendered, rate: float = 0.4, method: str = "triplet") -> Any:
    [row] = [row for row in rendered.rows if row.place == (rate, method)]
    return row


def test_a_mean_is_over_one_state_of_the_data(tmp_path: Path) -> None:
    grid, ledger = mixed(tmp_path, 0, 1)
    rendered = render(make_report(tmp_path), ledger, now=HOLDS_NEW)
    [new] = [rsum_of(c) for c in grid.cells if c.place == {"method": "triplet", "noise.rate": 0.4, "seed": 2}]
    entry = row_of(rendered).entries["rsum"]
    assert entry.seeds == [new]
    assert [note for note in rendered.notes if TWO_DATA in note] == [
        f"2 finished runs left out, trained on another state of the data: {TWO_DATA}; "
        f"`harness run {tmp_path / 'toy.toml'} --retrain` trains them again and keeps what there is."
    ]
    assert not any("not scored" in note for note in rendered.notes)
    assert not any("Finished: " in note for note in rendered.notes)  # none is missing


def test_every_format_says_so(tmp_path: Path) -> None:
    _, ledger = mixed(tmp_path, 0, 1)
    rendered = render(make_report(tmp_path), ledger, now=HOLDS_NEW)
    files = {
        file.suffix: file.read_text() for file in write_files(rendered, tmp_path) if file.suffix not in (".png", ".pdf")
    }
    assert f"2 finished runs left out, trained on another state of the data: {TWO_DATA}" in files[".md"]
    assert "2 finished runs left out" in files[".tex"]
    assert "| 1/3 |" in files[".md"]
    triplet = [line for line in files[".csv"].splitlines() if line.startswith("0.4,triplet,rsum")]
    assert len(triplet) == 1
    assert ",1,3," in triplet[0]  # n, planned
    page = write_page([rendered], tmp_path, links={}).read_text()
    assert "2 finished runs left out" in page
    assert page.count(f"</code> {LEFT_OUT}") == 2  # behind the row: these seeds have no figures
    assert "16 of 18 done" in page


def test_without_the_data_the_most_frequent_state_counts(tmp_path: Path) -> None:
    grid, ledger = mixed(tmp_path, 0, 1)
    assert len(row_of(render(make_report(tmp_path), ledger)).entries["rsum"].seeds) == 1  # 16 of 18 are new
    for cell in grid.cells:
        of_data(ledger, cell, NEW if cell.place["seed"] == 0 else OLD)
    assert len(row_of(render(make_report(tmp_path), ledger)).entries["rsum"].seeds) == 2
    assert len(row_of(render(make_report(tmp_path), ledger, now=HOLDS_NEW)).entries["rsum"].seeds) == 1


def test_a_table_of_older_data_alone_is_printed_and_says_so(tmp_path: Path) -> None:
    grid, ledger = make_grid(tmp_path), Ledger(tmp_path / "runs")
    for cell in grid.cells:
        of_data(ledger, cell, OLD)
    rendered = render(make_report(tmp_path), ledger, now=HOLDS_NEW)
    assert len(row_of(rendered).entries["rsum"].seeds) == 3
    assert [note for note in rendered.notes if "--retrain" in note] == [
        "18 runs of this table: trained on other data than data/toy holds now (digest aaaaaaaa, there bbbbbbbb); "
        f"`harness run {tmp_path / 'toy.toml'} --retrain` trains them again and keeps what there is."
    ]


def test_other_pairs_at_one_noise_and_seed_are_left_out(tmp_path: Path) -> None:
    """The methods of a table are to have seen the same pairs."""
    grid, ledger = make_grid(tmp_path), Ledger(tmp_path / "runs")
    for cell in grid.cells:
        drawn = f"{cell.place['noise.rate']} {cell.place['seed']}"
        of_data(ledger, cell, NEW, noise={"realised_rate": 0.4, "sha256": drawn})
    assert not any(TWO_DATA in note for note in render(make_report(tmp_path), ledger).notes)
    [odd] = [c for c in grid.cells if c.place == {"method": "crcl", "noise.rate": 0.4, "seed": 1}]
    early = {"finished": "2020-01-01T00:00:00+00:00", "noise": {"realised_rate": 0.4, "sha256": "other"}}
    of_data(ledger, odd, NEW, **early)
    rendered = render(make_report(tmp_path), ledger)
    assert len(row_of(rendered, method="crcl").entries["rsum"].seeds) == 2
    assert any("trained on other pairs than the others at the same noise and seed" in note for note in rendered.notes)


def test_figures_and_labels_are_over_one_state_too(tmp_path: Path) -> None:
    grid, ledger = mixed(tmp_path, 0, 1)
    for cell in grid.cells:
        write_pairs(ledger, cell)
    figure = render(make_report(tmp_path), ledger, now=HOLDS_NEW).figures[""]
    heights = {y for line in figure.axes[0].get_lines() for y in np.atleast_1d(line.get_ydata())}
    [new] = [rsum_of(c) for c in grid.cells if c.place == {"method": "triplet", "noise.rate": 0.4, "seed": 2}]
    assert new in heights
    assert new - 1.5 not in heights  # the mean over three seeds
    path = tmp_path / "labels.toml"
    path.write_text(
        f'title = "labels"\ngrids = ["{tmp_path / "toy.toml"}"]\n'
        '[figure]\nkind = "labels"\npanels = "method"\nwhere = { "noise.rate" = [0.4] }\n'
    )
    rendered = render(path, ledger, now=HOLDS_NEW)
    assert any("2 finished runs left out" in note for note in rendered.notes)
    [row] = [row for row in rendered.rows if row.place == ("triplet",)]
    assert [run.state for run in row.runs] == [LEFT_OUT, LEFT_OUT, "done"]


# -- cells that share a row but not a setting ----------------------------------------------------------------------


def test_an_exception_that_makes_seeds_differ_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "toy.toml"
    make_grid(tmp_path)
    path.write_text(path.read_text() + "[[exception]]\nwhere = { seed = 1 }\nrun.schedule.lr = 1e-3\n")
    with pytest.raises(HarnessError) as said:
        render(make_report(tmp_path), Ledger(tmp_path / "runs"))
    assert "share a row but differ in schedule.lr; accepted: cells that differ in the seed alone" in str(said.value)


def test_two_grids_whose_cells_differ_beside_the_axes_are_refused(tmp_path: Path) -> None:
    make_grid(tmp_path)
    text = (tmp_path / "toy.toml").read_text()
    (tmp_path / "other.toml").write_text(text.replace("embed_dim = 32", "embed_dim = 64"))
    both = json.dumps([str(tmp_path / "toy.toml"), str(tmp_path / "other.toml")])
    with pytest.raises(HarnessError, match=r"share a row but differ in backbone.embed_dim"):
        render(make_report(tmp_path, grids=both), Ledger(tmp_path / "runs"))


def test_dev_figures_over_different_numbers_of_images_are_refused(tmp_path: Path) -> None:
    make_grid(tmp_path)
    path = tmp_path / "toy.toml"
    exception = '[[exception]]\nwhere = { method = "crcl" }\nrun.evaluation.dev_images = 10\n'
    path.write_text(path.read_text() + exception)
    render(make_report(tmp_path), Ledger(tmp_path / "runs"))  # on test the figures stand beside each other
    with pytest.raises(HarnessError, match=r'split = "dev", but its cells have evaluation.dev_images = 10 and None'):
        render(make_report(tmp_path, protocol='"1k"\nsplit = "dev"'), Ledger(tmp_path / "runs"))
    chosen = '"1k"\nsplit = "dev"\nwhere = { method = ["crcl"] }'
    render(make_report(tmp_path, protocol=chosen), Ledger(tmp_path / "runs"))


# -- ensembles -----------------------------------------------------------------------------------------------------


def an_ensemble(ledger: Ledger, name: str, members: list[str], like: PlannedCell, **result: Any) -> None:
    first = ledger.cell(like.fingerprint)
    spec = {**first.spec, "fingerprint": name * 16, "members": members}
    spec |= {"labels": {**first.spec["labels"], "method": "both"}}
    ledger.add(spec).write_result({**(first.result() or {}), "best": None, "dev": None, **result})


def test_an_ensemble_of_settings_that_the_grid_no_longer_has_is_not_averaged_in(tmp_path: Path) -> None:
    grid, ledger = mixed(tmp_path)
    planned = [cell.fingerprint for cell in grid.cells[:2]]
    an_ensemble(ledger, "e", planned, grid.cells[0])
    an_ensemble(ledger, "f", [planned[0], "gone"], grid.cells[0])
    runs = [run for run in read_grids([grid], ledger) if run.planned.place["method"] == "both"]
    assert [run.fingerprint for run in runs] == ["e" * 16]


def test_an_ensemble_of_members_that_were_trained_again_is_left_out(tmp_path: Path) -> None:
    grid, ledger = mixed(tmp_path)
    members = [cell.fingerprint for cell in grid.cells[:2]]
    an_ensemble(ledger, "e", members, grid.cells[0], members_finished=["2020-01-01T00:00:00+00:00"] * 2)
    [run] = [run for run in read_grids([grid], ledger) if run.planned.place["method"] == "both"]
    assert (run.state, run.left_out) == (LEFT_OUT, "an ensemble of members that were trained again since")
    notes = render(make_report(tmp_path), ledger).notes
    assert any(f"`harness run {tmp_path / 'toy.toml'}` scores it again" in note for note in notes)


# -- searches and diagnoses ----------------------------------------------------------------------------------------


def test_trials_on_different_data_have_no_best(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "sweeps" / "toy.toml").write_text(SWEEP)
    (tmp_path / "toy_report.toml").write_text('title = "Toy search"\nsweep = "toy"\n')
    monkeypatch.chdir(tmp_path)
    searched(tmp_path)
    grid, ledger = make_grid(tmp_path / "runs"), Ledger(tmp_path / "runs")
    for name, planned in zip(("aaaa", "bbbb", "cccc"), grid.cells, strict=False):
        cell = ledger.add({**planned.entry("toy"), "fingerprint": name})
        train(ledger, planned)
        result = ledger.cell(planned.fingerprint).result() or {}
        cell.write_result({**result, "dataset": a_dataset(digest=OLD if name == "cccc" else NEW)})
    with pytest.raises(HarnessError) as said:
        render("toy_report.toml", ledger)
    assert "1 of 3 finished trials of the sweep toy were trained on another state of the data" in str(said.value)
    assert "`harness sweep toy --retrain` begins the sweep again and keeps the old one" in str(said.value)
    third = ledger.cell("cccc")
    third.write_result({**(third.result() or {}), "dataset": a_dataset(digest=NEW)})
    assert not any("Its trials" in note for note in render("toy_report.toml", ledger).notes)
    other = OfToys(There({"regions": OLD}))
    notes = render("toy_report.toml", ledger, now=other).notes
    assert any(note.startswith("Its trials: trained on other data than data/toy holds now") for note in notes)


def test_a_diagnosis_holds_no_run_against_one_on_other_data(tmp_path: Path) -> None:
    low, high = a_run(tmp_path, beta=0.5, rsum=300.0), a_run(tmp_path, beta=0.9, rsum=200.0)
    name = "a higher beta made things worse"
    assert verdicts(high, [low])[name][0] == "found"
    high.write_result({**(high.result() or {}), "dataset": a_dataset(digest=NEW)})
    assert verdicts(high, [low])[name] == (
        "not judged", "no other finished run differs from this one in beta alone"
    )  # fmt: skip


# -- the whole story -----------------------------------------------------------------------------------------------


def test_the_case_of_mended_captions(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Captions are mended between two seeds of a grid; the report prints the runs of the mended data alone."""
    shutil.copytree(shared / "cases" / "mixed-data", tmp_path / "case")
    monkeypatch.chdir(tmp_path / "case")
    code = "from mk import feats; from pathlib import Path; feats(Path('data/dup'), dup=True)"
    subprocess.run([sys.executable, "-c", code], check=True)
    cells, ledger, data = load_grid("g.toml").cells, Ledger(Path("runs")), Path("data")

    def work_on(seed: int) -> None:
        for cell in cells:
            if cell.place["seed"] == seed:
                assert work(ledger.add(cell.entry("g")), data, Machine("cpu")) == "done"

    def reported() -> str:
        return format_markdown(render("r.toml", ledger, now=DataNow(data)))

    work_on(0)
    captions = data / "dup" / "train_caps.txt"
    lines = captions.read_text().splitlines()
    captions.write_text("\n".join(["a new caption after mending the file"] * 20 + lines[20:]) + "\n")
    work_on(1)
    assert "Each value is of one seed" in reported()
    assert f"2 finished runs left out, trained on another state of the data: {TWO_DATA}" in reported()
    moved = move_aside(find_others((ledger.cell(cell.fingerprint) for cell in cells), DataNow(data)))
    assert len(moved) == 2
    work_on(0)
    assert "Mean ± standard deviation over 2 seeds" in reported()
    assert "left out" not in reported()
