"""Reports say what the ledger and the literature say, mark what is missing, and come out the same every
time."""

import csv
import itertools
import os
import re
import shlex
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from reporting_toys import make_grid, make_report, rsum_of, train, write_pairs

from harness.cli import report as report_verb
from harness.errors import HarnessError
from harness.grids import Grid, declarations, load_grid
from harness.ledger import Ledger
from harness.methods import METHODS
from harness.printing.latex import escape
from harness.reporting import load_report, render, write_report
from harness.reporting.declaration import Lines
from harness.reporting.page import write_page
from harness.reporting.reports.series import collect_lines
from harness.reporting.rows.published import Published
from harness.reporting.runs import read_grids

PUBLISHED = """
[published]
file = "flickr30k.csv"
noise_kind = "caption_level"
also = [{ method = "ncr", backbone = "sgr" }]
"""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    shutil.copytree(Path(__file__).parent.parent / "reports" / "published", tmp_path / "published")
    return tmp_path


def trained(here: Path, grid: Grid, keep=lambda labels: True) -> Ledger:
    ledger = Ledger(here / "runs")
    for cell in grid.cells:
        if keep(cell.place):
            train(ledger, cell)
    return ledger


def written(here: Path, report: Path) -> dict[str, str]:
    _, files = write_report(report, runs=here / "runs", out=here / "out")
    return {file.suffix[1:]: file.read_text() for file in files if file.suffix not in (".png", ".pdf", ".bib")}


def table(markdown: str) -> list[list[str]]:
    rows = [line.strip("|").split("|") for line in markdown.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows if not set("".join(row)) <= set(":- ")]


def test_mean_standard_deviation_and_best_by_hand(here: Path) -> None:
    grid = make_grid(here)
    trained(here, grid)
    rows = table(written(here, make_report(here))["md"])
    assert rows[0] == ["Noise", "Method", "n", "i2t R@1", "rSum"]
    assert [row[0] for row in rows[1:]] == ["0 %", "", "40 %", "", "80 %", ""]
    assert [row[1] for row in rows[1:]] == ["Triplet", "CRCL_x"] * 3
    for row, (rate, method) in zip(rows[1:], itertools.product((0.0, 0.4, 0.8), ("triplet", "crcl")), strict=True):
        at = [rsum_of(c) for c in grid.cells if (c.place["noise.rate"], c.place["method"]) == (rate, method)]
        value = f"{sum(at) / 3:.1f} ± {statistics.stdev(at):.1f}"
        assert row[2] == "3"
        assert row[4] == (f"**{value}**" if rate == 0 or method == "crcl" else value)  # equal when clean


def test_published_value_and_difference_stand_beside_ours(here: Path) -> None:
    trained(here, make_grid(here, dataset="flickr30k"))
    text = written(here, make_report(here, PUBLISHED))["md"]
    rows = table(text)
    assert rows[0] == ["Noise", "Method", "n", "i2t R@1", "rSum", "published", "difference"]
    crcl = next(row for row in rows if row[4].startswith("**323.0"))
    assert crcl[5:] == ["412.2 [b]", "−89.2"]
    assert "- [b] CRCL repository, issue 1 (user quoting the paper): the paper's value as a user quotes it" in text
    ncr = next(row for row in rows if row[1] == "NCR")
    assert ncr == ["", "NCR", "", "", "", "502.7 [a]", ""]  # at 0 %: a row of the literature alone
    assert [row[5] for row in rows if row[1] == "CRCL_x"] == ["", "", "412.2 [b]"]  # not sourced: blank


def test_numbers_of_mixed_noise_stand_beside_ours_without_a_difference(here: Path) -> None:
    trained(here, make_grid(here, dataset="flickr30k"))
    mixed = PUBLISHED.replace("caption_level", "mixed") + 'accept = ["secondary"]\nsources = ["IN2R"]\n'
    files = written(here, make_report(here, mixed))
    rows = table(files["md"])
    assert rows[0][-2:] == ["rSum", "published, mixed noise"]
    assert [row[-1] for row in rows if row[1] == "NCR"] == ["486.8 [b]", "21.0 [b]"]  # at 40 and 80 %
    assert "They are not comparable with ours, and no difference is given." in files["md"]
    assert {line["difference"] for line in csv.DictReader(files["csv"].splitlines())} == {""}


def test_what_is_missing_shows_with_the_command_that_makes_it(here: Path) -> None:
    grid = make_grid(here)
    trained(
        here,
        grid,
        lambda at: at["method"] == "crcl" or at["noise.rate"] == 0 or (at["noise.rate"] == 0.4 and at["seed"] == 1),
    )
    text = written(here, make_report(here))["md"]
    rows = table(text)
    assert rows[3][2:] == ["1/3", "47.2", "283.0"]  # one seed has no standard deviation
    assert rows[5][2:] == ["0/3", "–", "–"]
    assert "Finished: 13 of 18 runs" in text
    commands = re.findall(r"`(harness run [^`]*)`", text)
    made = []
    for command in commands:
        words = shlex.split(command)
        conditions = dict(word.split("=") for option, word in itertools.pairwise(words) if option == "--only")
        made.append({c.fingerprint for c in load_grid(words[2]).only(conditions)})
    lacking = {c.fingerprint for c in grid.cells if Ledger(here / "runs").cell(c.fingerprint).state() != "done"}
    assert len(made) == 2
    assert lacking <= set.union(*made)


def test_a_failed_run_is_said_to_have_failed(here: Path) -> None:
    grid = make_grid(here)
    ledger = trained(here, grid, lambda at: at != grid.cells[0].place)
    ledger.add(grid.cells[0].entry("toy")).write_failure("loss is nan", "Traceback", {})
    assert "0 % Triplet: 1 failed; `harness run" in written(here, make_report(here))["md"]


def test_with_nothing_trained_yet_it_is_all_missing(here: Path) -> None:
    make_grid(here)
    files = written(here, make_report(here))
    assert "trains the 18 that are missing" not in files["md"]  # six rows: each has its own command
    assert files["md"].count("3 waiting") == 6
    assert "0 of 18 runs" in files["md"]
    assert "No run is finished yet." in files["md"]
    assert "Bold:" not in files["md"]
    assert {row[4] for row in table(files["md"])[1:]} == {"–"}


def test_runs_scored_under_another_protocol_are_not_taken_for_it(here: Path) -> None:
    grid = make_grid(here)
    ledger = Ledger(here / "runs")
    for cell in grid.cells:
        train(ledger, cell, protocol="full")
    text = written(here, make_report(here))["md"]
    assert "Without a score under protocol 1k: 18 finished runs." in text
    assert {row[4] for row in table(text)[1:]} == {"–"}


def test_the_caption_says_what_a_reader_must_know(here: Path) -> None:
    trained(here, make_grid(here))
    text = written(here, make_report(here))["md"]
    for words in (
        "stand-in",
        "protocol 1k",
        "best dev rSum of the last piece",
        "the test split selects nothing",
        "over 3 seeds",
        "caption-level",
    ):
        assert words in text


def test_the_caption_says_when_dev_doubles_as_test(here: Path) -> None:
    grid = make_grid(here)
    ledger = trained(here, grid)
    cell = ledger.cell(grid.cells[0].fingerprint)
    result = cell.result() or {}
    cell.write_result({**result, "dataset": {**result["dataset"], "test_is_dev": True}})
    text = written(here, make_report(here))["md"]
    assert "dev chose the epoch and is scored here, so the figures are optimistic" in text
    assert "the test split selects nothing" not in text


def test_an_ensemble_stands_among_the_grids_cells(here: Path) -> None:
    """What `harness ensemble` scored is in the ledger, not in the grid."""
    grid = make_grid(here)
    ledger = trained(here, grid)
    member, other = (ledger.cell(cell.fingerprint) for cell in grid.cells[:2])
    run = {**member.spec["run"], "method": {"name": "both"}}
    labels = {**member.spec["labels"], "method": "both"}
    spec = {
        **member.spec,
        "fingerprint": "e" * 16,
        "members": [member.fingerprint, other.fingerprint],
        "labels": labels,
        "run": run,
    }
    result = {**(member.result() or {}), "best": None, "dev": None}
    ledger.add(spec).write_result({**result, "test": {"1k": {"rsum": 500.0}}})
    rows = table(written(here, make_report(here))["md"])
    assert rows[3] == ["", "both", "1", "–", "**500.0**"]


def test_the_dev_split_can_be_reported(here: Path) -> None:
    trained(here, make_grid(here))
    rows = table(written(here, make_report(here, protocol='"1k"\nsplit = "dev"'))["md"])
    assert rows[1][4] == "**404.0 ± 3.0**"


def test_csv_has_every_number_at_full_precision(here: Path) -> None:
    grid = make_grid(here, dataset="flickr30k")
    trained(here, grid)
    lines = list(csv.DictReader(written(here, make_report(here, PUBLISHED))["csv"].splitlines()))
    at = {(line["noise.rate"], line["method"], line["metric"]): line for line in lines}
    line = at["0.8", "crcl", "rsum"]
    assert (float(line["mean"]), float(line["std"]), line["n"], line["planned"]) == (323.0, 3.0, "3", "3")
    assert (float(line["published"]), float(line["difference"]), line["status"]) == (412.2, -89.2, "quoted")
    assert float(at["0.8", "crcl", "i2t_r1"]["difference"]) == pytest.approx(323 / 6 - 55.3, abs=1e-4)
    assert at["0.0", "ncr", "rsum"]["mean"] == ""
    assert float(at["0.8", "crcl", "i2t_medr"]["mean"]) == 2.0


def test_latex_has_as_many_columns_in_every_row_and_nothing_unescaped(here: Path) -> None:
    trained(here, make_grid(here, dataset="flickr30k"), lambda at: at["seed"] == 0)
    text = written(here, make_report(here, PUBLISHED))["tex"]
    columns = len(re.search(r"\\begin{tabular}{@{}([lr]*)@{}}", text)[1])
    inside = text[text.index("\\toprule") : text.index("\\bottomrule")]
    rows = [line for line in inside.splitlines() if line.endswith("\\\\")]
    assert len(rows) == 9
    for line in rows:
        spans = sum(int(n) - 1 for n in re.findall(r"\\multicolumn{(\d+)}", line))
        assert len(re.findall(r"(?<!\\)&", line)) + 1 + spans == columns
    assert re.search(r"(?<!\\)[%#]", text) is None
    assert text.count("{") - text.count("\\{") == text.count("}") - text.count("\\}")
    assert "Toy \\& 100 \\% honest" in text
    assert "CRCL\\_x" in text
    assert "\\texttt{harness run" in text


def test_every_special_character_is_escaped() -> None:
    assert escape(r"a_b & 5 % ~ ^ \ {x} $ #") == (
        r"a\_b \& 5 \% \textasciitilde{} \textasciicircum{} \textbackslash{} \{x\} \$ \#"
    )


@pytest.mark.slow
def test_rendering_twice_gives_the_same_bytes(here: Path) -> None:
    """In two processes, with another hash seed, after the cells were listed in another order."""
    trained(here, make_grid(here, dataset="flickr30k"), lambda at: at["seed"] < 2)
    report = make_report(here, PUBLISHED)
    code = (
        "from pathlib import Path; from harness.reporting import write_report; import sys;"
        "write_report(sys.argv[1], runs=Path(sys.argv[2]), out=Path(sys.argv[3]))"
    )
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", code, str(report), str(here / "runs"), str(here / seed)]
        subprocess.run(command, check=True, env=environment, cwd=Path(__file__).parent.parent)
    first, second = (sorted((here / seed).iterdir()) for seed in ("1", "2"))
    kinds = ("csv", "json", "md", "pdf", "png", "svg", "tex")
    assert [f.name for f in first] == ["papers.bib", *(f"toy_report.{kind}" for kind in kinds)]
    for a, b in zip(first, second, strict=True):
        assert a.read_bytes() == b.read_bytes(), a.name


def test_the_figure_draws_what_the_table_says(here: Path) -> None:
    grid = make_grid(here, dataset="flickr30k")
    ledger = trained(here, grid)
    report = load_report(make_report(here, PUBLISHED))
    assert report.published is not None
    assert isinstance(report.figure, Lines)
    published = Published(report.published, report.folder, dataset="flickr30k", protocol="1k")
    found = collect_lines(report, report.figure, read_grids([grid], ledger), published)[""]
    assert [line.name for line in found] == ["Triplet", "CRCL_x", "NCR"]
    triplet, crcl, ncr = found
    assert triplet.ours == [pytest.approx(point) for point in ((0.0, 403.0, 3.0), (0.4, 283.0, 3.0), (0.8, 163.0, 3.0))]
    assert crcl.published == [(0.8, 412.2)]
    assert (ncr.ours, ncr.published) == ([], [(0.0, 502.7)])


@pytest.mark.parametrize(
    ("changes", "more", "message"),
    [
        ({"rows": '["noise.rate"]'}, "", r"the cells also differ in 'method', which must not be"),
        ({"rows": '["noise.rat", "method"]'}, "", r"toy.toml has no axis 'noise.rat'; did you mean 'noise.rate'\?"),
        ({"metrics": '["rsums"]'}, "", r"metrics.0 = 'rsums': accepted: 'i2t_r1'"),
        ({"title": '"t"\nmetrik = ["rsum"]'}, "", r"metrik = .*unknown key; did you mean 'metrics'\?"),
        ({"title": '"t"\nwhere = { method = ["x"] }'}, "", r"where = .*no cell of .* fits"),
        ({}, PUBLISHED.replace("caption", "image"), r"compares with image_level noise, but cell .* has caption_level"),
        ({}, 'kind = "line"', r"figure.kind = 'line': unknown kind; did you mean 'lines'\?"),
        ({}, 'kind = "bars"', r"figure.x: is missing; accepted: text in quotation marks; figure.highlight = 'crcl': "),
        ({"protocol": '"1k"\ngroups = ["method"]'}, "", r"groups = .*: accepted: the first one or more of rows"),
        ({"protocol": '"1k"\nsweep = "momentum"'}, "", r"grids: a report about a sweep has none; drop it, or drop"),
        ({"protocol": '""'}, "", r"toy_report.toml: protocol: is missing"),
        ({"protocol": '"1k"\ngroups = []'}, PUBLISHED, r'published.also: such a row .* groups = \["noise.rate"\]'),
        ({}, PUBLISHED + 'compare = ["t2i_r1"]', r"published.compare: t2i_r1 is not among the metrics"),
    ],
)  # fmt: skip
def test_a_faulty_report_is_one_clear_line(here: Path, changes: dict[str, str], more: str, message: str) -> None:
    make_grid(here, dataset="flickr30k")
    with pytest.raises(HarnessError, match=message) as error:
        written(here, make_report(here, more, **changes))
    assert "\n" not in str(error.value)


def without_noise_axis(here: Path, figure: str = "") -> Path:
    """A report by method alone over a grid without a noise axis."""
    make_grid(here)
    grid = here / "toy.toml"
    grid.write_text(grid.read_text().replace('"noise.rate" = [0.0, 0.4, 0.8]\n', ""))
    path = make_report(here, rows='["method"]')
    path.write_text(path.read_text().replace('[figure]\nhighlight = "crcl"\n', figure))
    return path


def test_without_a_figure_table_a_report_draws_none(here: Path) -> None:
    report = without_noise_axis(here)
    files = written(here, report)
    assert set(files) == {"md", "tex", "csv", "json"}
    assert [row[0] for row in table(files["md"])] == ["Method", "Triplet", "CRCL_x"]
    assert "<figure" not in write_page([render(report, Ledger(here / "runs"))], here, links={}).read_text()


def test_the_case_of_a_grid_without_a_noise_axis(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shared / "cases" / "report-default-axis")
    text, files = write_report("r.toml", runs=tmp_path / "runs", out=tmp_path)
    assert [row[0] for row in table(text)] == ["Method", "infonce", "rcl"]
    assert [file.suffix for file in files] == [".md", ".tex", ".csv", ".json", ".bib"]


@pytest.mark.parametrize(
    ("figure", "message"),
    [
        (
            "[figure]\n",
            r"lines over 'method', whose values are words, such as 'triplet'; accepted: .*bars",
        ),
        ('[figure]\nkind = "sensitivity"\n', r'figure.kind = "sensitivity" needs a grid with a \[vary\]; .* has none'),
        ('[figure]\nkind = "pieces"\n', r'figure.kind = "pieces" needs a grid with method.pieces in its \[vary\]'),
    ],
)
def test_no_message_names_an_axis_that_nobody_wrote(here: Path, figure: str, message: str) -> None:
    with pytest.raises(HarnessError, match=message) as error:
        written(here, without_noise_axis(here, figure))
    for axis in ("noise.rate", "'parameter'", "'value'"):
        assert axis not in str(error.value)


def test_lines_take_their_axes_from_the_rows(here: Path) -> None:
    make_grid(here)
    figure = load_report(make_report(here)).figure
    assert isinstance(figure, Lines)
    assert (figure.x, figure.series, figure.highlight) == ("noise.rate", "method", "crcl")


def test_stand_in_numbers_never_stand_beside_flickr30k(here: Path) -> None:
    make_grid(here, dataset="twemoji")
    with pytest.raises(HarnessError, match="numbers on flickr30k, but the runs are on twemoji"):
        written(here, make_report(here, PUBLISHED))


def test_two_datasets_are_not_one_table(here: Path) -> None:
    make_grid(here, dataset="flickr30k")
    other = here / "other.toml"
    other.write_text((here / "toy.toml").read_text().replace("flickr30k", "twemoji"))
    both = f'["{here / "toy.toml"}", "{other}"]'
    with pytest.raises(HarnessError, match="its cells are on flickr30k and twemoji"):
        written(here, make_report(here, grids=both))


@pytest.mark.parametrize("name", sorted(declarations("reports")))
def test_every_shipped_report_renders_its_smoke_runs(name: str, tmp_path: Path) -> None:
    """On another dataset, with other protocols, and without most values of its axes."""
    ledger = Ledger(tmp_path)
    for grid in load_report(name).grids:
        for cell in load_grid(grid, smoke=True).cells:
            train(ledger, cell, protocol="full", rsum=300.0)
            write_pairs(ledger, cell)
    rendered = render(name, ledger, smoke=True)
    assert rendered.figures[""].get_axes()
    assert rendered.report.sweep or all(run.result for run in rendered.runs)
    assert {row.entries["rsum"].mean for row in rendered.rows if row.entries} <= {300.0}


def test_the_flickr_report_carries_the_papers_value(tmp_path: Path) -> None:
    text, _ = write_report("table1", runs=tmp_path / "runs", out=tmp_path)
    [row] = [row for row in table(text) if "412.2" in " ".join(row)]
    assert row[1:3] == ["VSE∞", "CRCL"]


def test_smoke_reports_need_no_published_numbers(tmp_path: Path) -> None:
    """The Flickr30K grid's smoke cells are on the stand-in, where the paper's numbers must not stand."""
    text, files = write_report("table1", runs=tmp_path / "runs", out=tmp_path, smoke=True)
    assert files[0].name == "table1-smoke.md"
    assert "(smoke run)" in text
    assert "published" not in text
    assert "harness run flickr30k_noise --smoke" in text


def test_the_report_verb_prints_and_writes(here: Path) -> None:
    trained(here, make_grid(here))
    arguments = [str(make_report(here)), "--runs", str(here / "runs"), "--out", str(here / "out")]
    outcome = CliRunner().invoke(report_verb.command, arguments, catch_exceptions=False)
    assert outcome.exit_code == 0
    assert "| Noise" in outcome.output
    assert f"written: {here / 'out' / 'toy_report.md'}" in outcome.output
    assert f"page: {here / 'out' / 'index.html'}" in outcome.output
    assert "Toy &amp; 100 % honest" in (here / "out" / "index.html").read_text()

    arguments[0:1] = [arguments[0], "nowhere"]
    (here / "out" / "toy_report.md").unlink()
    with pytest.raises(HarnessError, match="nowhere: there is no such file in reports/"):
        CliRunner().invoke(report_verb.command, arguments, catch_exceptions=False)
    assert not (here / "out" / "toy_report.md").exists()


def test_with_no_name_every_report_is_written_and_a_faulty_one_is_told(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained(here, make_grid(here))
    (here / "reports").mkdir()
    for name in ("table1", "momentum"):
        (here / "reports" / f"{name}.toml").write_text(make_report(here).read_text())
    (here / "reports" / "fig_bad.toml").write_text('title = "bad"\ngrids = ["toy"]\n')
    monkeypatch.setattr("harness.grids.rooms.folders", lambda room: [here / room])
    monkeypatch.chdir(here)
    runner = CliRunner()
    outcome = runner.invoke(report_verb.command, ["--runs", "runs", "--out", "out"])
    said = outcome.output.splitlines()
    assert said[0] == "table1: 18 of 18 runs finished: Toy & 100 % honest"
    assert said[1].startswith("fig_bad: not written: ")
    assert said[1].endswith(
        'rows: is missing; accepted: the axes that tell rows apart, rows = ["noise.rate", "method"]'
    )
    assert said[2].startswith("momentum: 18 of 18")
    assert isinstance(outcome.exception, HarnessError)
    assert "1 of 3 reports could not be written: fig_bad" in str(outcome.exception)
    assert {path.name for path in (here / "out").glob("*.md")} == {"table1.md", "momentum.md"}
    assert (here / "out" / "index.html").exists()
    (here / "out" / "table1.md").unlink()
    outcome = runner.invoke(report_verb.command, [str(here / "toy_report.toml"), "--runs", "runs", "--out", "out"])
    anchors = re.findall(r'<section id="(report-[^"]*)"', (here / "out" / "index.html").read_text())
    assert anchors == ["report-momentum", "report-toy-report"]  # what was written before stays on the page


def test_a_reconstruction_is_said_over_the_table(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained(here, make_grid(here))
    assert "reconstruction" not in written(here, make_report(here))["md"]
    monkeypatch.setattr(METHODS["crcl"], "reconstruction", "built from an abstract")
    text = written(here, make_report(here))["md"]
    assert "crcl is a reconstruction, built from an abstract." in text.partition("| ")[0]
