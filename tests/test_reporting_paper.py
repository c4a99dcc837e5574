"""What a paper takes from a report: tables that fit its column, figures as PDF, BibTeX; and JSON for programs."""

import csv
import json
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator
from matplotlib.figure import Figure
from reporting_toys import make_grid, make_report, train, write_pairs

from harness.backbones import BACKBONES
from harness.cli import report as report_verb
from harness.errors import HarnessError
from harness.grids import declarations, find, load_grid
from harness.ledger import Ledger
from harness.methods import METHODS
from harness.printing.layout import PAPERS, Style
from harness.reporting import format_json, load_report, render, write_files
from harness.reporting.export import SCHEMA
from harness.reporting.figures import style as figures
from harness.reporting.papers import FILE, cite, read_papers
from harness.reporting.report import format_latex
from harness.reporting.reports.rendered import Rendered

REPORTS = Path(__file__).parents[1] / "reports"
NEURIPS = r"\documentclass{article}\usepackage[textwidth=397pt,textheight=650pt]{geometry}"
DOCUMENTS: list[tuple[Style, str, str]] = [  # what a table must fit, the document, its style of citations
    ("narrow", r"\documentclass{article}", "plain"),
    ("narrow", rf"{NEURIPS}\usepackage{{natbib}}", "plainnat"),
    ("wide", NEURIPS, "plain"),
    ("wide", r"\documentclass[twocolumn]{article}\usepackage[textwidth=500pt,textheight=650pt]{geometry}", "plain"),
    ("rotated", r"\documentclass{article}", "plain"),
]  # fmt: skip
TABULAR = re.compile(r"(\\fontsize\S+tabcolsep\}\{[\d.]+pt\})\n(.*?)\\par\}\n", re.DOTALL)


@pytest.fixture(scope="module")
def every(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Rendered]:
    """Every declared report over a few made-up cells and trials, with wide deviations."""
    ledger = Ledger(tmp_path_factory.mktemp("runs"))
    for name in declarations("reports"):
        report = load_report(name)
        for grid in report.grids:
            for cell in load_grid(grid).cells[:9]:
                train(ledger, cell, protocol=report.protocol or "1k", rsum=300 + 37.5 * cell.place.get("seed", 0))
                write_pairs(ledger, cell)
        if report.sweep is not None:
            write_trials(ledger, report.sweep)
    return {name: render(name, ledger) for name in sorted(declarations("reports"))}


def write_trials(ledger: Ledger, sweep: str) -> None:
    """Two trials of a declared search."""
    space = tomllib.loads(find(sweep, "sweeps").read_text())["space"]
    folder = ledger.root / "sweeps" / sweep
    folder.mkdir(parents=True)
    asked = {
        "run": {"dataset": "twemoji", "noise": {"name": "caption_level"}}, "space": {key: {} for key in space},
        "objective": "dev/rsum", "direction": "max",
    }  # fmt: skip
    (folder / "sweep.json").write_text(json.dumps({"trials": 9, "asked": asked}))
    lines = ["number,state,value," + ",".join(space) + ",fingerprint,seconds,host"]
    lines += [f"{n},COMPLETE,39{n}.25," + ",".join(f"0.{n}2345" for _ in space) + f",{n:016x},1234,h" for n in (0, 1)]
    (folder / "trials.csv").write_text("\n".join(lines) + "\n")


def compile_latex(folder: Path, document: str) -> str:
    """The log of a document that is compiled with its bibliography, without broken lines."""
    (folder / "all.tex").write_text(document)
    environment = {**os.environ, "max_print_line": "1000"}
    latex = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    for command in (latex, ["bibtex", "all"], latex, latex):
        ran = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, errors="replace")
        assert ran.returncode == 0, ran.stdout[-3000:]
        assert "Warning--" not in ran.stdout, ran.stdout
    return (folder / "all.log").read_text(errors="replace")


@pytest.mark.slow
@pytest.mark.skipif(not (shutil.which("pdflatex") and shutil.which("bibtex")), reason="there is no LaTeX")
def test_every_declared_report_fits_its_column(every: dict[str, Rendered], tmp_path: Path) -> None:
    """In the sizes that TeX itself measures; with every BibTeX entry."""
    for number, (style, head, citations) in enumerate(DOCUMENTS):
        folder = tmp_path / str(number)
        folder.mkdir()
        shutil.copy(REPORTS / FILE, folder)
        body = []
        for name, rendered in every.items():
            text = format_latex(rendered, cite(rendered), style)
            (folder / f"{name}.tex").write_text(text)
            body += [rf"\typeout{{== {name}}}\input{{{name}}}\clearpage"]
            tables = [
                (size, table) for size, block in TABULAR.findall(text) for table in block.split("\\par\\smallskip\n")
            ]
            assert len(tables) == text.count(r"\begin{tabular}") >= 1
            body += [rf"\sbox0{{{size}{table}}}\typeout{{WIDTH \the\wd0}}" for size, table in tables]
        body += [rf"\typeout{{== end}}\nocite{{*}}\bibliographystyle{{{citations}}}\bibliography{{papers}}"]
        begin = rf"{head}\usepackage{{booktabs,rotating}}\begin{{document}}"
        log = compile_latex(folder, "\n".join([begin, *body, r"\end{document}"]))
        assert "undefined" not in log
        assert "Missing character" not in log
        parts = re.split(r"^.*== (\S+)$", log, flags=re.MULTILINE)
        found = dict(zip(parts[1::2], parts[2::2], strict=True))
        assert set(found) == {*every, "end"}
        for name in every:
            widths = [float(width) for width in re.findall(r"WIDTH ([\d.]+)pt", found[name])]
            assert widths
            assert max(widths) <= PAPERS[style].width, (name, style)
            assert r"Overfull \hbox" not in found[name], (name, style)
            assert "Float too large" not in found[name], (name, style)


def test_a_caption_is_the_title_and_the_protocol_stands_below(every: dict[str, Rendered]) -> None:
    text = format_latex(every["table1"], cite(every["table1"]))
    [caption, *others] = re.findall(r"\\caption\{(.*)\}", text)
    assert caption == "Table 1, Flickr30K half: 1K test images, caption-level noise"
    assert set(others) <= {f"{caption} (cont.)"}
    assert text.index("best dev rSum of the last piece") > text.rindex(r"\end{tabular}")
    crcl = next(letter for letter, source in every["table1"].footnotes.items() if source.startswith("CRCL repository"))
    assert re.search(rf"\\textsuperscript\{{{crcl}\}}\\,CRCL repository[^~]*~\\cite\{{qin2023crcl\}}", text)
    assert r"NCR~\cite{huang2021ncr}" in text.partition("Papers: ")[2]


def test_every_source_and_every_method_has_its_paper() -> None:
    papers = read_papers(REPORTS / FILE)
    for file in sorted((REPORTS / "published").glob("*.csv")):
        for row in csv.DictReader(file.read_text().splitlines()):
            assert len([paper for paper in papers if paper.has_source(row["source"])]) == 1, row["source"]
            of_method = [paper for paper in papers if row["method"] in paper.methods]
            assert len(of_method) == (row["method"] != "sps"), row["method"]  # whose paper is not known here
    for method in METHODS:
        assert [paper for paper in papers if method in paper.methods], method
    for backbone in BACKBONES:
        assert [paper for paper in papers if backbone in paper.backbones], backbone


def test_no_entry_lacks_a_title_and_none_is_said_twice() -> None:
    text = (REPORTS / FILE).read_text()
    keys = re.findall(r"^@\w+\{(.*),$", text, re.MULTILINE)
    assert len(keys) == len(set(keys)) == len(re.findall(r"^  title = \{.+\},$", text, re.MULTILINE))
    assert all(re.fullmatch(r"\d{4}\.\d{5}", number) for number in re.findall(r"eprint = \{(.*)\}", text))


def test_a_faulty_bibliography_is_one_clear_line(tmp_path: Path) -> None:
    file = tmp_path / FILE
    file.write_text("@misc{a,\n  title = {A},\n}\n@misc{b, title = {B}}\n")
    with pytest.raises(HarnessError, match=r"papers.bib: b: accepted: one entry of each key"):
        read_papers(file)


def test_a_report_cites_from_the_bibliography_beside_it(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("@misc{mine,\n  title = {Mine},\n  abbr = {My CRCL},\n  methods = {crcl; other},\n}\n")
    make_grid(tmp_path)
    rendered = render(make_report(tmp_path), Ledger(tmp_path / "runs"))
    assert cite(rendered).named == {"My CRCL": "mine"}
    files = {
        file.name: file.read_text()
        for file in write_files(rendered, tmp_path / "out")
        if file.suffix in (".tex", ".bib")
    }
    assert r"Papers: My CRCL~\cite{mine}." in files["toy_report.tex"]
    assert files[FILE] == (tmp_path / FILE).read_text()


def drawn() -> Figure:
    made, [axes] = figures.figure(4, 3)
    axes.plot([0, 1], [1, 2])
    axes.set_xlabel("Noise rate β")
    figures.head(made, "Retrieval against noise")
    return made


def test_a_pdf_has_text_and_the_same_bytes_each_time(tmp_path: Path) -> None:
    first, second = (figures.save_all(drawn(), tmp_path / name) for name in ("a", "b"))
    assert [file.suffix for file in first] == [".png", ".svg", ".pdf"]
    assert [file.read_bytes() for file in first] == [file.read_bytes() for file in second]
    content = first[-1].read_bytes()
    assert b"/CreationDate" not in content
    assert b"/Subtype /Type0" in content or b"/Subtype /TrueType" in content
    assert b"/Type3" not in content


@pytest.mark.skipif(not shutil.which("pdftotext"), reason="there is no pdftotext")
def test_the_text_of_a_pdf_can_be_selected(tmp_path: Path) -> None:
    file = figures.save_all(drawn(), tmp_path / "a")[-1]
    said = subprocess.run(["pdftotext", str(file), "-"], capture_output=True, text=True, check=True).stdout
    assert "Noise rate β" in said
    assert "Retrieval against noise" in said


def check_schema(exported: Any) -> None:
    Draft202012Validator(json.loads(SCHEMA.read_text())).validate(exported)


def test_every_kind_of_report_is_as_the_schema_says(every: dict[str, Rendered]) -> None:
    Draft202012Validator.check_schema(json.loads(SCHEMA.read_text()))
    kinds = set()
    for name, rendered in every.items():
        exported = json.loads(format_json(rendered))
        check_schema(exported)
        kinds.add(exported["kind"])
        assert exported["report"] == name
        assert exported["cells"]
    assert kinds == {"cells", "labels", "ranks", "sweep"}


PUBLISHED = """
[published]
file = "flickr30k.csv"
noise_kind = "caption_level"
also = [{ method = "ncr", backbone = "sgr" }]
"""


def test_json_has_a_line_for_each_row_and_metric(tmp_path: Path) -> None:
    shutil.copytree(REPORTS / "published", tmp_path / "published")
    grid, ledger = make_grid(tmp_path, dataset="flickr30k"), Ledger(tmp_path / "runs")
    for cell in grid.cells:
        train(ledger, cell)
    exported = json.loads(format_json(render(make_report(tmp_path, PUBLISHED), ledger)))
    check_schema(exported)
    assert len(exported["cells"]) == (6 + 1) * 3  # six rows and one of the literature; n, R@1 and rSum
    found = {(cell["place"]["noise.rate"], cell["place"]["method"], cell["metric"]): cell for cell in exported["cells"]}
    crcl = found[0.8, "crcl", "rsum"]
    assert (crcl["words"], crcl["column"], crcl["planned"]) == (["80 %", "CRCL_x"], "rSum", 3)
    assert crcl["seeds"] == [{"seed": seed, "value": 320.0 + 3 * seed} for seed in (0, 1, 2)]
    assert (crcl["value"], crcl["std"]) == pytest.approx((323, 3))
    assert crcl["interval"] == pytest.approx([323 - 4.302653 * 3 / 3**0.5, 323 + 4.302653 * 3 / 3**0.5])
    assert (crcl["published"], crcl["difference"]) == pytest.approx((412.2, -89.2))
    assert (crcl["source"], crcl["status"]) == ("CRCL repository, issue 1 (user quoting the paper)", "quoted")
    assert (crcl["paper"], crcl["marks"]) == ("qin2023crcl", ["best"])
    ncr = found[0.0, "ncr", "rsum"]
    assert (ncr["value"], ncr["seeds"], ncr["published"], ncr["planned"]) == (None, [], 502.7, 0)
    assert found[0.8, "triplet", "rsum"]["paper"] is None


def test_json_alone_is_printed_where_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_grid(tmp_path)
    report = str(make_report(tmp_path))
    outcome = CliRunner().invoke(report_verb.command, [report, report, "--format", "json", "--latex-style", "rotated"])
    assert outcome.exception is None
    assert [json.loads(line)["report"] for line in outcome.stdout.splitlines()] == ["toy_report"] * 2
    assert "written: " in outcome.stderr
    assert json.loads(Path("out/toy_report.json").read_text()) == json.loads(outcome.stdout.splitlines()[0])
    assert r"\begin{sidewaystable}" in Path("out/toy_report.tex").read_text()
