"""Each kind of figure shows what its runs say; what is missing or unknown shows as such."""

import csv
from pathlib import Path

import pytest
from reporting_toys import make_grid, make_report, train, write_pairs

from harness.errors import HarnessError
from harness.grids import Grid, load_grid
from harness.ledger import Ledger
from harness.reporting import format_markdown as markdown
from harness.reporting import load_report, render, write_files
from harness.reporting.declaration import Bars, Labels, Pieces, Sensitivity
from harness.reporting.reports.labels import read_pairs
from harness.reporting.reports.rendered import Rendered
from harness.reporting.reports.series import collect_bars, collect_parameters, collect_pieces
from harness.reporting.runs import read_grids

BARS = """
kind = "bars"
x = "method"
series = "noise.rate"
"""
VARY = """
title = "toy"
[run]
dataset = "twemoji"
noise = { name = "caption_level", rate = 0.4 }
backbone = { name = "vse_infinity", embed_dim = 32, word_dim = 32 }
method = { name = "crcl", pieces = [2, 2, 4], freeze_epochs = 1 }
[axes]
seed = [0, 1]
[vary]
"method.beta" = [0.0, 0.9, 1.0]
"method.tau" = [0.2, 0.01]
"method.exponent" = [0.5]
"method.pieces" = [[8], [4, 4], [3, 3, 4], [2, 6]]
"""
VARIED = """
title = "toy"
grids = ["GRID"]
rows = ["parameter", "value"]
metrics = ["rsum"]
protocol = "1k"
[values.value]
None = "1 - y"
[figure]
kind = "KIND"
"""
LABELS = """
title = "toy"
grids = ["GRID"]
where = { seed = [0, 1] }
[figure]
kind = "labels"
panels = "method"
where = { "noise.rate" = [0.4] }
"""


def report_file(folder: Path, text: str, **words: str) -> Path:
    for word, value in {"GRID": str(folder / "toy.toml"), **words}.items():
        text = text.replace(word, value)
    path = folder / "toy_report.toml"
    path.write_text(text)
    return path


def axes_texts(rendered: Rendered) -> list[str]:
    return [text.get_text() for axes in rendered.figures[""].axes for text in axes.texts]


# -- bars ------------------------------------------------------------------------------------------------------------


def test_bars_are_means_and_a_missing_one_is_a_dash(tmp_path: Path) -> None:
    grid, ledger = make_grid(tmp_path), Ledger(tmp_path / "runs")
    for cell in grid.cells:
        if (cell.place["method"], cell.place["noise.rate"]) != ("triplet", 0.8):
            train(ledger, cell)
    path = make_report(tmp_path)
    path.write_text(path.read_text().replace('highlight = "crcl"', BARS))
    spec = load_report(path).figure
    assert isinstance(spec, Bars)
    found = collect_bars(load_report(path), spec, read_grids([grid], ledger))
    assert found["Triplet"]["40 %"] == pytest.approx((283.0, 3.0))
    assert found["Triplet"]["80 %"] is None
    rendered = render(path, ledger)
    assert sorted(axes_texts(rendered)) == sorted(["403.0", "283.0", "–", "403.0", "363.0", "323.0"])
    lengths = [bar.get_width() for bar in rendered.figures[""].axes[0].patches]
    assert sorted(lengths) == pytest.approx([283.0, 323.0, 363.0, 403.0, 403.0])
    assert [text.get_text() for text in rendered.figures[""].legends[0].get_texts()] == ["0 %", "40 %", "80 %"]


# -- lines in panels -------------------------------------------------------------------------------------------------


def test_panels_share_one_scale_and_name_every_line_once(tmp_path: Path) -> None:
    grid, ledger = make_grid(tmp_path), Ledger(tmp_path / "runs")
    for cell in grid.cells:
        if cell.place["seed"] < 2:
            train(ledger, cell)
    path = make_report(tmp_path)
    panels = 'series = "seed"\npanels = "method"'
    path.write_text(path.read_text().replace('highlight = "crcl"', panels))
    drawn = render(path, ledger).figures[""]
    assert [axes.get_title() for axes in drawn.axes] == ["Triplet", "CRCL_x"]
    assert drawn.axes[0].get_ylim() == drawn.axes[1].get_ylim()
    assert [text.get_text() for text in drawn.legends[0].get_texts()] == ["0", "1"]
    curves = [list(line.get_ydata()) for line in drawn.axes[1].get_lines()]
    assert [400.0, 360.0, 320.0] in curves
    assert [403.0, 363.0, 323.0] in curves


# -- one hyperparameter at a time ------------------------------------------------------------------------------------


def varied(folder: Path, kind: str, keep=lambda labels: True) -> tuple[Path, Grid, Ledger]:
    """The base run has 300 and 302; any other its place among the cells."""
    (folder / "toy.toml").write_text(VARY)
    grid, ledger = load_grid(folder / "toy.toml"), Ledger(folder / "runs")
    for place, cell in enumerate(grid.cells):
        rsum = 300.0 + 2 * cell.place["seed"] if cell.place["parameter"] == "base" else 100.0 + place
        if keep(cell.place):
            train(ledger, cell, rsum=rsum)
    return report_file(folder, VARIED, KIND=kind), grid, ledger


def test_the_base_run_stands_at_its_own_value_of_every_hyperparameter(tmp_path: Path) -> None:
    path, grid, ledger = varied(tmp_path, "sensitivity")
    report = load_report(path)
    assert isinstance(report.figure, Sensitivity)
    panels = collect_parameters(report, report.figure, read_grids([grid], ledger))
    assert [panel.name for panel in panels] == ["method.beta", "method.tau", "method.exponent", "method.pieces"]
    beta, tau, exponent, pieces = panels
    assert "2-2-4" in [value for value, _, _ in pieces.points]
    assert [value for value, _, _ in beta.points] == [0.0, 0.8, 0.9, 1.0]
    assert [value for value, _, _ in tau.points] == [0.01, 0.05, 0.2]
    assert beta.base == pytest.approx((0.8, 301.0, 2**0.5))
    assert tau.base == pytest.approx((0.05, 301.0, 2**0.5))
    assert exponent.base is not None
    assert exponent.base[0] == "1 - y"  # a rule, no number: a level across the panel
    drawn = render(path, ledger).figures[""]
    assert drawn.axes[1].get_xscale() == "log"  # 0.01 to 0.2
    assert drawn.axes[0].get_xscale() == "linear"
    rings = [line for line in drawn.axes[0].get_lines() if line.get_markerfacecolor() == "none"]
    assert [list(ring.get_xydata()[0]) for ring in rings] == [[0.8, 301.0]]


def test_the_table_of_a_varied_grid_has_the_base_in_every_group_and_counts_it_once(tmp_path: Path) -> None:
    path, grid, ledger = varied(tmp_path, "sensitivity", lambda at: at["parameter"] == "base" or at["seed"] == 0)
    rendered = render(path, ledger)
    text = markdown(rendered)
    assert text.count("(base) ") == 4
    assert "1 - y (base)" in text
    assert "**301.0 ± 1.4**" in text
    assert "(base): the run that the others differ from in one value" in text
    done = sum(ledger.cell(cell.fingerprint).state() == "done" for cell in grid.cells)
    assert f"Finished: {done} of {len(grid.cells)} runs" in text
    assert len(rendered.runs) == len(grid.cells)


def test_a_missing_base_run_is_asked_for_by_its_own_labels(tmp_path: Path) -> None:
    path, grid, ledger = varied(tmp_path, "sensitivity", lambda at: at["parameter"] != "base")
    path.write_text(path.read_text() + '[where]\nparameter = ["method.beta"]\n')
    text = markdown(render(path, ledger))
    assert "--only parameter=base --only value=` trains what is missing" in text
    assert {cell.place["parameter"] for cell in grid.only({"parameter": ["base"], "value": [""]})} == {"base"}


def test_pieces_by_number_and_by_length(tmp_path: Path) -> None:
    """Of [8], [4, 4], [3, 3, 4], [2, 6] against [2, 2, 4] three are as long in all, one as many with as long a last."""
    path, grid, ledger = varied(tmp_path, "pieces")
    report = load_report(path)
    assert isinstance(report.figure, Pieces)
    many, long = collect_pieces(report, report.figure, read_grids([grid], ledger))
    assert [value for value, _, _ in many.points] == [1, 2, 2, 3]
    assert [value for value, _, _ in long.points] == [2, 3]
    assert many.base is not None
    assert long.base is not None
    assert (many.base[:2], long.base[:2]) == ((3, 301.0), (2, 301.0))
    assert len(render(path, ledger).figures[""].axes) == 2


# -- labels ----------------------------------------------------------------------------------------------------------


def labelled(folder: Path) -> tuple[Path, Grid, Ledger]:
    """Similarities that tell pairs apart the wrong way round, matches the right way, labels not at all."""
    grid, ledger = make_grid(folder), Ledger(folder / "runs")
    for cell in grid.cells:
        train(ledger, cell)
        write_pairs(ledger, cell, labels=cell.place["method"] == "crcl")
    return report_file(folder, LABELS), grid, ledger


def test_labels_and_similarities_with_their_auc(tmp_path: Path) -> None:
    path, grid, ledger = labelled(tmp_path)
    report = load_report(path)
    assert isinstance(report.figure, Labels)
    triplet, crcl = read_pairs(report, report.figure, read_grids([grid], ledger))
    auc = {name: [each["labels/auc"] for _, each in crcl.judge(name)] for name in ("similarity", "match", "label")}
    assert auc["similarity"] == [0.0, 0.0]  # two seeds, each with the two largest similarities noisy
    assert (auc["match"], auc["label"]) == ([1.0, 1.0], [0.5, 0.5])
    assert triplet.judge("label") == []
    rendered = render(path, ledger)
    row = rendered.table.rows[1][:5]
    assert [value.text for value in row] == ["crcl", "2", "0.000", "1.000", "0.500"]
    assert [value.spread for value in row[2:]] == ["0.000"] * 3
    assert rendered.table.rows[0][4].missing
    texts = axes_texts(rendered)
    assert texts.count("the method keeps no labels") == 1
    assert texts.count("AUC 1.000") == 2
    assert "| crcl" in markdown(rendered)


def test_the_histograms_are_the_csv_and_each_kind_sums_to_a_hundred(tmp_path: Path) -> None:
    path, _, ledger = labelled(tmp_path)
    files = {file.suffix: file for file in write_files(render(path, ledger), tmp_path / "out")}
    lines = list(csv.DictReader(files[".csv"].read_text().splitlines()))
    total: dict[tuple[str, ...], float] = {}
    for line in lines:
        key = (line["panel"], line["quantity"], line["pairs"])
        total[key] = total.get(key, 0.0) + float(line["percent of these pairs"])
    assert len(total) == 2 * 2 * 2 + 2  # similarity and match of both methods, labels of one
    assert list(total.values()) == pytest.approx([100.0] * len(total))
    highest = [line for line in lines if line["quantity"] == "label" and float(line["to"]) == 1.0]
    assert [float(line["percent of these pairs"]) for line in highest] == [100.0, 100.0]
    assert {".md", ".tex", ".csv", ".json", ".png", ".svg", ".pdf", ".bib"} == set(files)
    assert "\\begin{tabular}{@{}lrrrrrrr@{}}" in files[".tex"].read_text()


def test_runs_of_one_kind_of_pair_and_runs_without_pairs_are_said(tmp_path: Path) -> None:
    path, grid, ledger = labelled(tmp_path)
    for cell in grid.cells:
        if cell.place["method"] == "crcl":
            write_pairs(ledger, cell, noisy=0)
        else:
            ledger.cell(cell.fingerprint).path("pairs.npz").unlink()
    rendered = render(path, ledger)
    assert axes_texts(rendered).count("AUC unknown: one kind alone") == 3
    assert "Finished runs without pairs.npz: 2." in markdown(rendered)


def test_with_nothing_trained_labels_are_all_missing(tmp_path: Path) -> None:
    make_grid(tmp_path)
    rendered = render(report_file(tmp_path, LABELS), Ledger(tmp_path / "none"))
    assert axes_texts(rendered).count("no finished runs yet") == 6
    assert "Finished: 0 of 4 runs" in markdown(rendered)
    assert [row[1].text for row in rendered.table.rows] == ["0/2", "0/2"]


def test_a_report_of_labels_has_no_recalls(tmp_path: Path) -> None:
    make_grid(tmp_path)
    with pytest.raises(HarnessError, match=r'protocol: figure.kind = "labels" has a table of its own; drop it'):
        load_report(report_file(tmp_path, LABELS.replace("where = { seed", 'protocol = "1k"\nwhere = { seed')))
