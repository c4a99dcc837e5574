"""A search in print, from the files it leaves, without the library that made them."""

import csv
import json
from pathlib import Path

import pytest

from harness.errors import HarnessError
from harness.ledger import Ledger
from harness.reporting import format_markdown as markdown
from harness.reporting import render, write_files

SWEEP = """
title = "toy"
trials = 8
[run]
dataset = "twemoji"
noise = { name = "caption_level", rate = 0.4 }
[space]
"method.beta" = { low = 0.0, high = 1.0 }
"method.tau" = { low = 0.01, high = 0.2, log = true }
"method.pieces" = { choices = [[11], [5, 6]] }
[smoke]
trials = 3
"""
ASKED = {
    "run": {"dataset": "twemoji", "noise": {"name": "caption_level", "rate": 0.4}},
    "space": {
        "method.beta": {"low": 0.0, "high": 1.0}, "method.tau": {"low": 0.01, "high": 0.2, "log": True},
        "method.pieces": {"choices": [[11], [5, 6]]},
    },
    "objective": "dev/rsum", "direction": "max",
}  # fmt: skip
HEAD = "number,state,value,method.beta,method.tau,method.pieces,fingerprint,seconds,host"
TRIALS = f"""{HEAD}
1,COMPLETE,392.5,0.2,0.02,11,bbbb,21.5,h
0,COMPLETE,390,0.8,0.05,5-6,aaaa,20,h
2,COMPLETE,395,0.5,0.1,5-6,cccc,20,h
3,PRUNED,350,0.9,0.15,11,dddd,10,h
4,FAIL,,0.1,0.03,11,eeee,,h
5,COMPLETE,380,0.95,0.19,11,ffff,20,h
6,COMPLETE,381,0.05,0.011,5-6,0000,20,h
7,RUNNING,,0.3,0.07,11,1111,,h
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "sweeps" / "toy.toml").write_text(SWEEP)
    (tmp_path / "toy_report.toml").write_text('title = "Toy search"\nsweep = "toy"\n')
    monkeypatch.chdir(tmp_path)
    return tmp_path


def searched(
    here: Path, trials: str = TRIALS, *, name: str = "toy", budget: int = 8, direction: str = "max", **files: dict
) -> None:
    """What a search leaves."""
    folder = here / "runs" / "sweeps" / name
    folder.mkdir(parents=True)
    (folder / "trials.csv").write_text(trials)
    files["sweep"] = {"trials": budget, "asked": {**ASKED, "direction": direction}}
    for file, content in files.items():
        (folder / f"{file}.json").write_text(json.dumps(content))


def rendered(here: Path, **options):
    return render("toy_report.toml", Ledger(here / "runs"), **options)


def test_trials_stand_by_number_with_what_they_tried(here: Path) -> None:
    searched(here)
    table = rendered(here).table
    assert [column.title for column in table.columns] == [
        "Trial", "State", "dev rSum", "method.beta", "method.tau", "method.pieces", "Run", "Seconds",
    ]  # fmt: skip
    rows = [[value.text for value in row] for row in table.rows]
    assert [row[0] for row in rows] == [str(number) for number in range(8)]
    assert rows[1] == ["1", "complete", "392.5", "0.2", "0.02", "11", "bbbb", "22"]
    assert rows[4][1:3] == ["failed", "–"]
    words = [column.kind == "word" for column in table.columns]
    assert words == [False, True, False, False, False, True, True, False]


def test_the_winner_stands_beside_the_papers_setting(here: Path) -> None:
    searched(here, summary={"test": {"full": {"rsum": 391.25}}})
    text = markdown(rendered(here))
    assert "Best: trial 2, 395.0, with method.beta = 0.5, method.tau = 0.1, method.pieces = 5-6." in text
    assert "The paper's setting (trial 0): 390.0" in text
    assert "5.0 from the best, which is the best of 5 and so looks better than it is." in text
    assert "The winner's network on the test split, scored once: full: rSum 391.2." in text
    assert "5 trials complete; 1 failed, 1 stopped early, 1 running." in text
    assert "7 of 8 trials are over; `harness sweep toy` makes the others." in text
    assert "The test split had no part in the search." in text


def test_a_smaller_value_can_be_better(here: Path) -> None:
    searched(here, direction="min")
    assert "Best: trial 5, 380.0" in markdown(rendered(here))


def test_where_nothing_is_better_the_papers_setting_wins(here: Path) -> None:
    searched(here, f"{HEAD}\n0,COMPLETE,390,0.8,0.05,5-6,aaaa,20,h\n1,COMPLETE,380,0.2,0.02,11,bbbb,20,h\n")
    assert "It is the paper's setting: nothing that was tried is better." in markdown(rendered(here))


def test_the_figures_show_the_trials(here: Path) -> None:
    searched(here, importance={"method.tau": 0.7, "method.beta": 0.2, "method.pieces": 0.1})
    figures = rendered(here).figures
    assert list(figures) == ["", "importance", "slices", "contour"]
    history = [(list(line.get_xdata()), list(line.get_ydata())) for line in figures[""].axes[0].get_lines()]
    assert ([0, 1, 2, 5, 6], [390.0, 392.5, 395.0, 380.0, 381.0]) in history
    assert ([0, 1, 2, 5, 6], [390.0, 392.5, 395.0, 395.0, 395.0]) in history  # the best so far
    assert ([3], [350.0]) in history  # stopped early
    bars = figures["importance"].axes[0].patches
    assert [bar.get_width() for bar in bars] == pytest.approx([70.0, 20.0, 10.0])
    tau, beta, pieces = figures["slices"].axes
    assert (tau.get_xlabel(), tau.get_xscale(), beta.get_xscale()) == ("method.tau", "log", "linear")
    assert [label.get_text() for label in pieces.get_xticklabels()] == ["11", "5-6"]
    assert ([0.8], [390.0]) in [(list(line.get_xdata()), list(line.get_ydata())) for line in beta.get_lines()]
    assert (figures["contour"].axes[0].get_xlabel(), figures["contour"].axes[0].get_ylabel()) == (
        "method.tau",
        "method.beta",
    )
    assert "interpolated" in " ".join(text.get_text() for text in figures["contour"].texts)


def test_no_surface_through_few_points_or_points_on_a_line(here: Path) -> None:
    rows = [f"{n},COMPLETE,{380 + n},{0.1 * n},{0.01 * 10 ** (0.1 * n)},11,f{n},1,h" for n in range(6)]
    searched(here, "\n".join([HEAD, *rows, ""]))
    assert "contour" not in rendered(here).figures


def test_every_format_is_written_and_the_csv_is_the_trials(here: Path) -> None:
    searched(here, importance={"method.beta": 1.0})
    files = [path.name for path in write_files(rendered(here), here / "out")]
    assert files[:7] == [f"toy_report.{kind}" for kind in ("md", "tex", "csv", "json", "png", "svg", "pdf")]
    assert {"toy_report_importance.png", "toy_report_slices.svg", "toy_report_contour.png"} <= set(files)
    lines = list(csv.DictReader((here / "out" / "toy_report.csv").read_text().splitlines()))
    assert [line["number"] for line in lines] == [str(number) for number in range(8)]
    assert (lines[4]["value"], lines[4]["state"], float(lines[1]["value"])) == ("", "fail", 392.5)


def test_a_search_that_has_not_begun_says_so(here: Path) -> None:
    found = rendered(here)
    assert list(found.figures) == [""]
    assert [text.get_text() for text in found.figures[""].axes[0].texts] == ["no finished trials yet"]
    assert "No trial has begun; `harness sweep toy` begins the search." in markdown(found)
    write_files(found, here / "out")


def test_smoke_reads_the_smoke_search(here: Path) -> None:
    searched(here, f"{HEAD}\n0,COMPLETE,390,0.8,0.05,5-6,aaaa,20,h\n", name="toy-smoke", budget=3)
    text = markdown(rendered(here, smoke=True))
    assert "1 of 3 trials are over; `harness sweep toy --smoke` makes the others." in text


def test_a_torn_table_and_an_unknown_search_are_one_line(here: Path) -> None:
    searched(here, "nonsense\n1\n")
    with pytest.raises(HarnessError, match=r"trials.csv: has no column 'number'; `harness sweep` writes it again"):
        rendered(here)
    (here / "toy_report.toml").write_text('title = "t"\nsweep = "tou"\n')
    with pytest.raises(HarnessError, match=r"tou: there is no such file in sweeps/; did you mean 'toy'\?"):
        rendered(here)
