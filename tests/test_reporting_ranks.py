"""Reports of ranks, of costs, and of robustness against cost, over made-up results."""

from pathlib import Path
from typing import Any

import pytest
from ledger_toys import rewrite
from reporting_toys import make_grid, make_report, rsum_of, train

from harness.errors import HarnessError
from harness.ledger import Ledger
from harness.reporting.declaration import load_report
from harness.reporting.report import format_markdown, render
from harness.reporting.reports.series import collect_points
from harness.reporting.runs import read_grids

COSTS: dict[str, dict[str, Any]] = {
    "triplet": {"seconds": 20.0, "epochs": 2, "peak_bytes": 3e8, "parameters": 1_500_000},
    "crcl": {"seconds": 100.0, "epochs": 4, "peak_bytes": 5e8, "parameters": 3_000_000},
}


def ledger_of(folder: Path, *, without: tuple[float, str] | None = None, costs: bool = True) -> Ledger:
    """All cells but those of a rate and method, with what they cost; CRCL has two networks, each 10 worse alone."""
    ledger = Ledger(folder / "runs")
    for cell in make_grid(folder).cells:
        method = cell.place["method"]
        if without == (cell.place["noise.rate"], method):
            continue
        train(ledger, cell)
        alone = [{"test": {"1k": {"rsum": rsum_of(cell) - 10}}}] * 2 if method == "crcl" else None
        more = {**(COSTS[method] if costs else {}), **({"networks": alone} if alone else {})}
        rewrite(ledger.cell(cell.fingerprint), **more)
    return ledger


def ranks_report(folder: Path, more: str = "") -> Path:
    path = folder / "ranks.toml"
    path.write_text(
        f'title = "toy"\ngrids = ["{folder / "toy.toml"}"]\nprotocol = "1k"\n'
        f'[values.method]\ncrcl = "CRCL"\n[figure]\nkind = "ranks"\n{more}'
    )
    return path


def test_ranks_over_rates(tmp_path: Path) -> None:
    """Both have 400 on clean pairs and share the place; CRCL is first at the other two rates."""
    rendered = render(ranks_report(tmp_path), ledger_of(tmp_path))
    text = format_markdown(rendered)
    assert [[value.text for value in row] for row in rendered.table.rows] == [
        ["CRCL", "1.17", "1.5", "1", "1"], ["triplet", "1.83", "1.5", "2", "2"],
    ]  # fmt: skip
    assert [column.title for column in rendered.table.columns[2:]] == ["0 %", "40 %", "80 %"]
    # 1.960 sqrt(2 . 3 / (6 . 3))
    assert "critical difference at 5 %: 1.13; rows whose mean ranks differ by less are not told apart" in text
    assert "A test is one noise" in text
    assert len(rendered.numbers) == 6


def test_a_test_that_some_row_has_not_run_is_left_out(tmp_path: Path) -> None:
    rendered = render(ranks_report(tmp_path), ledger_of(tmp_path, without=(0.4, "crcl")))
    assert [column.title for column in rendered.table.columns[2:]] == ["0 %", "80 %"]
    assert "1 test left out, in which some row has no finished run" in " ".join(rendered.notes)


def test_without_two_tests_there_are_no_ranks(tmp_path: Path) -> None:
    make_grid(tmp_path)
    rendered = render(ranks_report(tmp_path), Ledger(tmp_path / "runs"))
    assert "No ranks yet: they need two tests or more" in " ".join(rendered.notes)
    assert [[value.text for value in row] for row in rendered.table.rows] == [["CRCL", "–"], ["triplet", "–"]]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ('series = "backbone"', "has no 'backbone' to rank; accepted: figure.series = an axis of every grid"),
        ('over = "seed"', "figure.over = 'seed': unknown key"),
    ],
)
def test_a_wrong_declaration_of_ranks_is_one_line(tmp_path: Path, more: str, says: str) -> None:
    make_grid(tmp_path)
    with pytest.raises(HarnessError, match=says):
        render(ranks_report(tmp_path, more), Ledger(tmp_path / "runs"))


def test_costs_stand_beside_the_metrics(tmp_path: Path) -> None:
    ledger = ledger_of(tmp_path)
    report = make_report(tmp_path, title='"toy"\ncost = "triplet"')
    rendered = render(report, ledger)
    assert [column.title for column in rendered.table.columns[-6:]] == [
        "× Triplet", "s/epoch", "MB", "M numbers", "networks", "one alone",
    ]  # fmt: skip
    rows = {(row[0].text, row[1].text): [value.text for value in row[-6:]] for row in rendered.table.rows}
    assert rows["0 %", "Triplet"] == ["1.00", "10.0", "300", "1.50", "1", ""]
    # 393 is the mean over the seeds less the 10 by which a network alone is worse
    assert rows["0 %", "CRCL_x"] == ["2.50", "25.0", "500", "3.00", "2", "393.0"]
    assert "the rSum of one of them alone" in " ".join(rendered.notes)


def test_runs_of_an_older_version_have_no_costs(tmp_path: Path) -> None:
    rendered = render(make_report(tmp_path, title='"toy"\ncost = "triplet"'), ledger_of(tmp_path, costs=False))
    assert {value.text for row in rendered.table.rows for value in row[-6:-3]} == {"–"}


def robust(folder: Path, **changes: str) -> Path:
    more = 'kind = "robustness"\nrate = 0.8'
    return make_report(folder, more, **{"title": '"toy"\ncost = "triplet"', "highlight": '"crcl"', **changes})


def test_robustness_against_cost(tmp_path: Path) -> None:
    ledger = ledger_of(tmp_path)
    path = robust(tmp_path)
    path.write_text(path.read_text().replace('highlight = "crcl"\n', ""))
    report = load_report(path)
    runs = read_grids([make_grid(tmp_path)], ledger)
    points = {point.name: point for point in collect_points(report, report.figure, runs)}  # type: ignore[arg-type]
    assert (points["Triplet"].cost, points["CRCL_x"].cost) == (1, 2.5)
    assert points["Triplet"].lost == pytest.approx(240)  # 300 . 0.8
    assert points["CRCL_x"].lost == pytest.approx(80)
    assert points["CRCL_x"].spread == pytest.approx(0)  # seeds are as far apart on clean pairs
    assert set(render(path, ledger).figures) == {""}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"title": '"toy"'}, 'robustness" draws costs; accepted: with cost = "METHOD"'),
        ({"rows": '["method", "noise.rate"]'}, r'accepts rows = \["noise.rate", AXIS\]'),
    ],
)
def test_a_wrong_declaration_of_robustness_is_one_line(tmp_path: Path, changes: dict[str, str], says: str) -> None:
    make_grid(tmp_path)
    path = robust(tmp_path, **changes)
    path.write_text(path.read_text().replace('highlight = "crcl"\n', ""))
    with pytest.raises(HarnessError, match=says):
        load_report(path)
