"""Files of results: every committed one holds, what does not hold is refused, tables and leaderboard are of them."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from chromium import PROGRAM, browser
from click.testing import CliRunner
from page_toys import HOSTILE, Elements
from reporting_toys import make_grid, make_report, train

from harness.cli import group
from harness.errors import HarnessError
from harness.grids import Grid
from harness.ledger import Ledger
from harness.ledger.comparable import Nothing
from harness.reporting import format_markdown, render
from harness.reporting.page import write_page
from harness.sharing.leaderboard import render_leaderboard
from harness.sharing.results import FOLDER, as_ledgers, collect, files_of, read_results, write_results

ROOT = Path(__file__).parents[1]
LABELS = "clipart_audit.csv"  # no figures of runs; test_clipart_audit.py holds it
COMMITTED = sorted(file for file in (ROOT / "reports" / FOLDER).glob("*") if file.name != LABELS)
DEMO = ROOT / "reports" / FOLDER / "demo.json"
README = (ROOT / "README.md").read_text(encoding="utf-8")
MARKED = re.compile(r"<!-- demo -->\n\n(.*?)\n\n<!-- end of demo -->", flags=re.DOTALL)


# -- what is committed ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", COMMITTED, ids=lambda file: file.name)
def test_every_committed_file_holds(file: Path) -> None:
    assert file.suffix == ".json", f"{file}: accepted: files of `harness results collect`"
    assert read_results(file).entries


def demo_table() -> str:
    """The table of `harness report demo` as the committed file of results renders it."""
    with as_ledgers([DEMO]) as contributed:
        rendered = render("demo", Ledger(contributed[0].cell.folder.parent), now=Nothing())
    return "\n".join(line for line in format_markdown(rendered).splitlines() if line.startswith("|"))


def cells(table: str) -> list[list[str]]:
    """Without the marks of the bootstrap, which needs the runs' ranks, and without the widths of the columns."""
    return [
        [cell.strip().removesuffix(" †") for cell in line.replace("-", "").split("|")] for line in table.splitlines()
    ]


@pytest.mark.skipif(not MARKED.search(README), reason="README.md has no <!-- demo --> ... <!-- end of demo -->")
def test_the_readme_s_table_is_that_of_the_committed_results() -> None:
    found = MARKED.search(README)
    assert found is not None
    assert cells(found[1]) == cells(demo_table()), "put in its place what `harness report demo` prints"


@pytest.mark.skipif(not DEMO.exists(), reason="no committed results of the demo")
def test_the_demo_s_table_is_rendered_from_its_file() -> None:
    lines = demo_table().splitlines()
    assert lines[0].replace(" ", "").startswith("|Noise|Method|n|i2tR@1|")
    numbers = {round(entry.result["test"]["full"]["rsum"], 1) for entry in read_results(DEMO).entries}
    assert all(any(f"{number:.1f}" in line for line in lines) for number in numbers)


# -- a file --------------------------------------------------------------------------------------------------------


@pytest.fixture
def toy(tmp_path: Path) -> tuple[Grid, Ledger]:
    """A toy grid on Flickr30K, nine runs of which are finished."""
    grid, ledger = make_grid(tmp_path, dataset="flickr30k"), Ledger(tmp_path / "runs")
    for cell in grid.cells:
        if cell.place["seed"] < 2 and cell.place["noise.rate"] < 0.8:
            train(ledger, cell)
    return grid, ledger


@pytest.fixture
def file(toy: tuple[Grid, Ledger], tmp_path: Path) -> Path:
    path = tmp_path / "files" / "ada.json"
    write_results(collect(toy[1].cells(), "Ada"), path)
    return path


def change(file: Path, how: Callable[[Any], object]) -> Path:
    table = json.loads(file.read_text())
    how(table)
    file.write_text(json.dumps(table))
    return file


def test_a_file_has_all_finished_runs_and_nothing_private(toy: tuple[Grid, Ledger], file: Path) -> None:
    grid, ledger = toy
    first = next(cell for cell in ledger.cells() if cell.result())
    result = {key: value for key, value in (first.result() or {}).items() if key not in ("files", "seal")}
    imported = [{"kind": "method", "name": "m", "file": "/home/ada/m.py", "sha256": "ab"}]
    private = {"hostname": "ada-laptop", "command": "harness /home/ada", "slurm_job": "7", "imported": imported}
    private["platform"] = "Linux-6.1.0-adas-build-x86_64-with-glibc2.36"
    first.write_result({**result, "environment": {**result["environment"], **private}})
    results = collect(ledger.cells(), "Ada")
    assert len(results.entries) == 8 < len(grid.cells)
    write_results(results, file)
    assert read_results(file) == results
    assert not re.search("ada-laptop|adas-build|/home|slurm", file.read_text())
    assert '"platform": "Linux x86_64"' in file.read_text()
    write_results(collect(ledger.cells(), "Ada"), file.with_name("again.json"))
    assert file.with_name("again.json").read_bytes() == file.read_bytes()


def test_a_report_is_the_same_from_runs_and_from_their_file(
    toy: tuple[Grid, Ledger], file: Path, tmp_path: Path
) -> None:
    report = make_report(tmp_path)
    expected = render(report, toy[1])
    with as_ledgers([file]) as contributed:
        found = render(report, Ledger(contributed[0].cell.folder.parent))
    assert found.table == expected.table
    assert found.caption == expected.caption
    done = CliRunner().invoke(group, ["report", str(report), "--results", str(file), "--out", str(tmp_path / "out")])
    assert done.exception is None, done.exception
    assert done.output.startswith(format_markdown(found))
    assert (tmp_path / "out" / "toy_report.png").stat().st_size


FAULTS: dict[str, tuple[Callable[[Any], object], str]] = {
    "no file of results": (lambda t: t.pop("by"), "by: "),
    "another key": (lambda t: t.update(extra=1), "extra = 1: "),
    "nobody": (lambda t: t.update(by=" "), "by = ' ': "),
    "empty": (lambda t: t.update(entries=[]), "entries = []: "),
    "newer": (lambda t: t.update(format=9), "has format 9, written by a newer version of harness; update"),
    "a key is missing": (lambda t: t["entries"][0]["result"].pop("dev"), "entry 1: dev: "),
    "twice": (lambda t: t["entries"].append(t["entries"][0]), "entry 9: the run "),
    "other settings": (
        lambda t: t["entries"][1]["spec"]["run"]["schedule"].update(lr=0.1), "entry 2: its settings are those of",
    ),
    "a rounded sum": (
        lambda t: t["entries"][0]["result"]["test"]["1k"].update(rsum=500), "rsum = 500: is not the sum of the six",
    ),
    "no percents": (lambda t: t["entries"][0]["result"]["test"]["1k"].update(i2t_r1=101), "test.1k: accepted: i2t_r1"),
    "a recall is missing": (lambda t: t["entries"][0]["result"]["test"]["1k"].pop("t2i_r5"), "test.1k: accepted: i2t"),
    "of another run": (lambda t: t["entries"][0]["result"].update(fingerprint="0" * 16), "result of 0000000000000000"),
    "a host": (
        lambda t: t["entries"][0]["result"]["environment"].update(hostname="h"), "hostname: says where somebody works",
    ),
    "no test": (lambda t: t["entries"][0]["result"].update(test={}), "test: is empty"),
    "no method": (lambda t: t["entries"][0]["spec"]["run"]["method"].update(name="crclx"), "did you mean 'crcl'"),
    "no run": (lambda t: t["entries"][0]["spec"].update(run={}), "entry 1: "),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_what_does_not_hold_is_refused_in_one_line(fault: str, file: Path) -> None:
    how, message = FAULTS[fault]
    with pytest.raises(HarnessError) as refused:
        read_results(change(file, how))
    assert message in str(refused.value)
    assert str(file) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_no_file_is_one_line(tmp_path: Path, toy: tuple[Grid, Ledger]) -> None:
    with pytest.raises(HarnessError, match="there is no such file; `harness results collect --out` makes one"):
        read_results(tmp_path / "none.json")
    with pytest.raises(HarnessError, match="no file of results"):
        files_of([tmp_path])
    with pytest.raises(HarnessError, match="no finished run with test figures"):
        collect(Ledger(tmp_path / "none").cells(), "Ada")
    (tmp_path / "half.json").write_text('{"format": 1, "by"')
    with pytest.raises(HarnessError, match="is not readable JSON"):
        read_results(tmp_path / "half.json")


def test_the_verbs(toy: tuple[Grid, Ledger], tmp_path: Path) -> None:
    def verb(*words: object) -> str:
        done = CliRunner().invoke(group, ["results", *map(str, words)])
        assert done.exception is None, done.exception
        return done.output

    out = tmp_path / "new" / "ada.json"
    assert f"{out}: 8 runs by Ada" in verb("collect", "--by", "Ada", "--runs", toy[1].root, "--out", out)
    only = verb("collect", tmp_path / "toy.toml", "--by", "Ada", "--runs", toy[1].root, "--out", out)
    assert "8 runs" in only
    assert f"{out}: 8 runs by Ada" in verb("check", out.parent)
    said = verb("page", out, "--out", tmp_path / "out")
    assert "caption level 40 %" in said
    assert (tmp_path / "out" / "leaderboard.md").read_text() in said
    assert "<title>Leaderboard " in (tmp_path / "out" / "leaderboard.html").read_text()


# -- the leaderboard -----------------------------------------------------------------------------------------------


@pytest.fixture
def two(file: Path) -> list[Path]:
    """Ada's file, and Bob's, whose network at 40 % noise is 6 points better than hers, and bigger."""
    bob = file.with_name("bob.json")
    table = json.loads(file.read_text())
    table["by"] = HOSTILE[:80]
    table["entries"] = [each for each in table["entries"] if each["spec"]["labels"]["noise.rate"] == 0.4]
    for entry in table["entries"]:
        test = entry["result"]["test"]["1k"]
        test.update({key: value + 1 for key, value in test.items() if "_r" in key}, rsum=test["rsum"] + 6)
    bob.write_text(json.dumps(table))
    return [file, bob]


def test_contributors_stand_in_one_table_best_first(two: list[Path]) -> None:
    with as_ledgers(two) as contributed:
        (table,) = render_leaderboard(contributed)
        clean, noisy = ([[value.text for value in row] for row in group] for group in table.table.groups)
        assert [row[0] for row in clean] == ["caption level 0 %"] * 2
        assert [(row[1], row[3]) for row in noisy] == [
            ("crcl", HOSTILE[:80]), ("crcl", "Ada"), ("triplet", HOSTILE[:80]), ("triplet", "Ada"),
        ]  # fmt: skip
        assert [row[4] for row in noisy] == ["2"] * 4
        sums = [float(row[5]) for row in noisy]
        assert sums == sorted(sums, reverse=True)
        assert sums[0] - sums[1] == pytest.approx(6, abs=0.11)
        assert [[value.best for value in row][5] for row in table.table.groups[1]] == [True, False, False, False]
        assert [row.words for row in table.rows] == [[value.text for value in row[:4]] for row in table.table.rows]


def test_settings_that_differ_stand_beside_the_method(toy: tuple[Grid, Ledger], tmp_path: Path, file: Path) -> None:
    from harness.grids import load_grid

    larger = load_grid(tmp_path / "toy.toml", settings={"backbone.embed_dim": 64})
    for cell in larger.cells:
        if cell.place["seed"] == 0 and cell.place["noise.rate"] == 0.4:
            train(toy[1], cell)
    write_results(collect(toy[1].cells(), "Ada"), file)
    with as_ledgers([file]) as contributed:
        (table,) = render_leaderboard(contributed)
    names = {row.words[1] for row in table.rows}
    assert {"crcl, backbone.embed_dim = 64", "crcl, backbone.embed_dim = 32", "crcl", "triplet"} <= names


def test_other_data_stand_apart_and_other_pairs_are_left_out(two: list[Path]) -> None:
    change(two[1], lambda t: [each["result"]["dataset"].update(digest="ef" * 32) for each in t["entries"]])
    with as_ledgers(two) as contributed:
        assert [len(each.runs) for each in render_leaderboard(contributed)] == [8, 4]
    change(two[1], lambda t: [each["result"]["dataset"].update(digest="cd") for each in t["entries"]])
    change(two[0], lambda t: t["entries"][0]["result"]["noise"].update(sha256="other"))
    with as_ledgers(two) as contributed:
        (table,) = render_leaderboard(contributed)
    assert any(note.startswith("1 left out, trained on other pairs") for note in table.notes)


def test_the_page_shows_words_as_words(two: list[Path], tmp_path: Path) -> None:
    with as_ledgers(two) as contributed:
        page = write_page(
            render_leaderboard(contributed),
            tmp_path,
            links={},
            name="leaderboard",
            title="Leaderboard",
            figures_alone=True,
        )
        again = write_page(
            render_leaderboard(contributed), tmp_path / "2", links={}, title="Leaderboard", figures_alone=True
        )
    assert page.read_bytes() == again.read_bytes()
    elements = Elements(page.read_text())
    assert [tag for tag, _ in elements.tags].count("script") == 1
    assert "img" not in {tag for tag, _ in elements.tags}
    assert HOSTILE[:80] in elements.words


@pytest.mark.skipif(PROGRAM is None, reason="no Chromium")
def test_the_page_works_in_a_browser(two: list[Path], tmp_path: Path) -> None:
    with as_ledgers(two) as contributed:
        page = write_page(
            render_leaderboard(contributed),
            tmp_path,
            links={},
            name="leaderboard",
            title="Leaderboard",
            figures_alone=True,
        )
    with browser() as tab:
        tab.open(page, width=390)
        assert tab.run("document.documentElement.scrollWidth <= innerWidth")
        tab.click("document.querySelector('td.ours a')")
        tab.wait("document.querySelector('#provenance').innerText.includes('Realised noise')")
        assert not tab.errors
        assert not tab.requests[1:]
