"""What a table calls distinguishable is what the paired bootstrap over its runs' ranks says, and nothing is called so
without ranks."""

import csv
from pathlib import Path

import pytest
from reporting_toys import make_grid, make_report, train, write_ranks

from harness.evaluation import bootstrap
from harness.grids import Grid
from harness.ledger import Ledger
from harness.reporting import format_markdown as markdown
from harness.reporting import render, write_files
from harness.reporting.reports.rendered import Rendered
from harness.reporting.rows.rows import Entry


def judged(here: Path, hits: dict[str, float], *, without: str = "", more: str = "", **changes: str) -> Rendered:
    """The toy report with rSum and ranks of each method as `hits` has them, without ranks for one method."""
    grid = make_grid(here)
    ledger = Ledger(here / "runs")
    for cell in grid.cells:
        method = cell.place["method"]
        ledger.add(cell.entry("toy"))
        if method != without:
            write_ranks(ledger, cell, hits[method])
        train(ledger, cell, rsum=600 * hits[method])
    return render(make_report(here, more, **changes), ledger)


def entries(rendered: Rendered, metric: str = "rsum") -> dict[tuple, Entry]:
    return {row.place: row.entries[metric] for row in rendered.rows}


def test_a_large_difference_is_distinguishable_and_a_small_one_is_not(tmp_path: Path) -> None:
    far = judged(tmp_path, {"triplet": 0.2, "crcl": 0.8})
    assert not any(entry.tied for entry in entries(far).values())
    assert entries(far)[0.4, "crcl"].p is None  # the best is not held against itself
    text = markdown(far)
    assert "†" not in text
    assert "Every row judged is distinguishable from the best of its group: paired bootstrap" in text
    near = judged(tmp_path, {"triplet": 0.795, "crcl": 0.8})  # one image of 200
    assert [place for place, entry in entries(near).items() if entry.tied] == [
        (rate, "triplet") for rate in (0.0, 0.4, 0.8)
    ]
    assert "477.0 ± 0.0 † |" in markdown(near)
    assert "† not distinguishable from the best of its group: paired bootstrap" in markdown(near)
    assert "for the 3 comparisons of a column" in markdown(near)


def test_p_is_the_bootstraps_adjusted_by_holm_over_the_column(tmp_path: Path) -> None:
    rendered = judged(tmp_path, {"triplet": 0.76, "crcl": 0.8})
    ranks: dict[str, list[bootstrap.Ranks]] = {"triplet": [], "crcl": []}
    for run in rendered.runs:
        if run.planned.place["noise.rate"] == 0.8:  # the ranks of the other rates are the same
            ranks[run.planned.place["method"]].append(run.ranks("1k"))
    assert [len(seeds) for seeds in ranks.values()] == [3, 3]
    p = bootstrap.compare(ranks["crcl"], ranks["triplet"], "rsum").p
    assert 0 < p < 0.05
    found = [entry.p for (_, method), entry in entries(rendered).items() if method == "triplet"]
    assert found == pytest.approx([3 * p] * 3)


def test_more_comparisons_draw_more_so_that_a_clear_difference_can_still_be_clear(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []
    compare = bootstrap.compare
    monkeypatch.setattr(bootstrap, "compare", lambda *a, **k: drawn.append(k["resamples"]) or compare(*a, **k))
    monkeypatch.setattr("harness.reporting.rows.significance.RESAMPLES", 100)
    judged(tmp_path, {"triplet": 0.2, "crcl": 0.8})
    assert set(drawn) == {600}  # 200 for each of the column's three comparisons


@pytest.mark.parametrize("without", ["triplet", "crcl"])
def test_without_ranks_nothing_is_judged_and_the_notes_say_so(tmp_path: Path, without: str) -> None:
    rendered = judged(tmp_path, {"triplet": 0.2, "crcl": 0.8}, without=without)
    assert all(entry.p is None and not entry.tied for entry in entries(rendered).values())
    text = markdown(rendered)
    assert "distinguishable" not in text
    assert "Not judged against the best, because there are no ranks of single test queries (ranks.npz)" in text
    assert "0 % Triplet, 40 % Triplet, 80 % Triplet." in text


def test_one_seed_without_ranks_leaves_its_row_unjudged(tmp_path: Path) -> None:
    judged(tmp_path, {"triplet": 0.2, "crcl": 0.8})
    grid: Grid = make_grid(tmp_path)
    ledger = Ledger(tmp_path / "runs")
    at = next(c for c in grid.cells if (c.place["method"], c.place["noise.rate"]) == ("triplet", 0.4))
    ledger.cell(at.fingerprint).path("ranks.npz").unlink()
    rendered = render(make_report(tmp_path), ledger)
    assert entries(rendered)[0.4, "triplet"].p is None
    assert entries(rendered)[0.8, "triplet"].p is not None
    assert "same data: 40 % Triplet." in markdown(rendered)


def test_rows_scored_on_different_data_are_not_judged(tmp_path: Path) -> None:
    """A row of a backbone that reads pixels: whether the test queries are those of the others nobody knows."""
    judged(tmp_path, {"triplet": 0.2, "crcl": 0.8})
    ledger = Ledger(tmp_path / "runs")
    for planned in make_grid(tmp_path).cells:
        if planned.place["noise.rate"] == 0 and planned.place["method"] == "triplet":
            cell = ledger.cell(planned.fingerprint)
            result = cell.result() or {}
            cell.write_result({**result, "dataset": {**result["dataset"], "digest": "other", "reads": "pixels"}})
    rendered = render(make_report(tmp_path), ledger)
    assert entries(rendered)[0.0, "triplet"].p is None
    assert entries(rendered)[0.4, "triplet"].p is not None


def test_dev_is_not_judged_and_neither_are_mean_ranks(tmp_path: Path) -> None:
    dev = judged(tmp_path, {"triplet": 0.2, "crcl": 0.8}, protocol='"1k"\nsplit = "dev"')
    assert all(entry.p is None for entry in entries(dev).values())
    assert "because there are no ranks on dev" in markdown(dev)
    ranks = judged(tmp_path, {"triplet": 0.2, "crcl": 0.8}, metrics='["rsum", "i2t_medr"]')
    assert "Median and mean ranks are not judged." in markdown(ranks)
    assert entries(ranks, "i2t_medr")[0.4, "triplet"].p is None


def test_groups_decide_what_is_held_against_what(tmp_path: Path) -> None:
    """In one group nothing but one row is best; with groups of one row each nothing is."""
    one = judged(tmp_path, {"triplet": 0.2, "crcl": 0.8}, protocol='"1k"\ngroups = []')
    assert len(one.table.groups) == 1
    assert sum(entry.best for entry in entries(one).values()) == 3  # the three equal rates of one method
    assert "Bold: the best of ours." in one.caption
    rows = [line.split("|")[1].strip() for line in markdown(one).splitlines() if line.startswith("| ")]
    assert rows[1:] == ["0 %", "", "40 %", "", "80 %", ""]
    single = judged(tmp_path, {"triplet": 0.2, "crcl": 0.8}, protocol='"1k"\ngroups = ["noise.rate", "method"]')
    assert not any(entry.best or entry.tied for entry in entries(single).values())


def test_every_format_carries_the_mark(tmp_path: Path) -> None:
    rendered = judged(tmp_path, {"triplet": 0.795, "crcl": 0.8})
    files = {file.suffix: file for file in write_files(rendered, tmp_path / "out")}
    assert r"477.0$_{\pm0.0}^{\dagger}$" in files[".tex"].read_text()
    lines = list(csv.DictReader(files[".csv"].read_text().splitlines()))
    at = {(line["noise.rate"], line["method"], line["metric"]): line for line in lines}
    assert float(at["0.4", "triplet", "rsum"]["p_against_best"]) >= 0.05
    assert at["0.4", "crcl", "rsum"]["p_against_best"] == ""
    assert at["0.4", "crcl", "rsum"]["selection"] == "best_dev_rsum_of_last_piece"
