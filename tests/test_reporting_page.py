"""The page says of every number what stands behind it, escapes every word, and is the same for the same runs."""

import json
import re
import statistics
from dataclasses import replace
from pathlib import Path

import pytest
from ledger_toys import a_row
from page_toys import HOSTILE, Elements, hostile_report, listing_report, toy_page, toy_report, toy_runs, url
from reporting_toys import rsum_of

from harness.ledger import Ledger
from harness.reporting.diagnosis import Finding
from harness.reporting.figures import style
from harness.reporting.page import write_page
from harness.reporting.page.drawings import draw
from harness.reporting.page.numbers import decimal, duration, signed
from harness.reporting.page.tables import of_listing, of_page
from harness.reporting.rendered import Listing, Rendered


def the_page(rendered: list[Rendered], ledger: Ledger, folder: Path, **more) -> Elements:
    return Elements(write_page(rendered, ledger, folder / "out", **{"links": {}, **more}).read_text())


def test_one_file_that_asks_for_no_other(tmp_path: Path) -> None:
    file = toy_page(tmp_path)
    assert file == tmp_path / "out" / "index.html"
    assert [path.name for path in file.parent.iterdir()] == ["index.html"]
    elements = Elements(file.read_text())
    fetched = [about for tag, about in elements.tags if tag in ("img", "iframe", "object", "embed", "audio", "video")]
    assert not fetched
    assert not [about for tag, about in elements.tags if tag == "script" and "src" in about]
    assert [about["href"] for tag, about in elements.tags if tag == "link"] == ["data:,"]
    links = {about["href"] or "" for tag, about in elements.tags if tag == "a"}
    assert {link.partition("#")[0] for link in links} == {"", "http://127.0.0.1:5000/"}
    assert set(re.findall(r"url\(([^)]?)", file.read_text())) <= {"#"}
    assert "@import" not in file.read_text()


def test_words_that_are_markup_are_words(tmp_path: Path) -> None:
    grid, ledger = toy_runs(tmp_path)
    waiting = next(cell for cell in grid.cells if ledger.cell(cell.fingerprint).state() == "waiting")
    ledger.add(waiting.entry("toy")).write_failure(HOSTILE, "", {})
    done = next(cell.fingerprint for cell in grid.cells if cell.labels["method"] == "crcl")
    result = {**(ledger.cell(done).result() or {}), "environment": {"device": HOSTILE, "git_commit": HOSTILE}}
    ledger.cell(done).path("result.json").write_text(json.dumps(result))
    found = {done: [Finding(HOSTILE, "found", HOSTILE)]}
    elements = the_page([hostile_report(tmp_path, ledger)], ledger, tmp_path, findings=found)
    assert sum(tag == "script" for tag, _ in elements.tags) == 1
    assert not [tag for tag, _ in elements.tags if tag == "img"]
    assert not [name for _, about in elements.tags for name in about if name.startswith("on")]
    assert " ".join(elements.words).count(HOSTILE) >= 12  # title, caption, notes, rows, machine, failure, findings
    assert "49" not in elements.words


def test_only_links_of_the_web_stand_in_the_page(tmp_path: Path) -> None:
    grid, ledger = toy_runs(tmp_path)
    links = {cell.fingerprint: "javascript:alert(1)" for cell in grid.cells}
    elements = the_page([toy_report(tmp_path, ledger)], ledger, tmp_path, links=links)
    assert not [about for tag, about in elements.tags if tag == "a" and not (about["href"] or "").startswith("#")]
    assert "In MLflow" not in elements.words


def test_the_same_bytes_for_the_same_runs(tmp_path: Path) -> None:
    grid, ledger = toy_runs(tmp_path)
    written = []
    for order in (1, -1):
        reports = [
            toy_report(tmp_path, ledger),
            hostile_report(tmp_path, ledger),
            listing_report(tmp_path, grid, ledger),
        ]
        links = {cell.fingerprint: url(cell.fingerprint) for cell in grid.cells[::order]}
        written.append(write_page(reports, Ledger(tmp_path / "runs"), tmp_path / "out", links=links).read_bytes())
    assert written[0] == written[1]


def test_what_stands_behind_a_row(tmp_path: Path) -> None:
    grid, ledger = toy_runs(tmp_path)
    mine = [c for c in grid.cells if c.labels["method"] == "crcl" and c.labels["noise.rate"] == 0.8]
    for cell in mine:
        result = ledger.cell(cell.fingerprint).result() or {}
        result["environment"] = {
            "device": "NVIDIA H100", "torch": "2.13.0", "precision": "bf16", "threads": 8, "git_commit": "abc-dirty",
        }  # fmt: skip
        result["noise"]["realised_rate"] = 0.7991
        result["seconds"] = 7500.0
        ledger.cell(cell.fingerprint).path("result.json").write_text(json.dumps(result))
    links = {cell.fingerprint: url(cell.fingerprint) for cell in mine}
    elements = the_page([toy_report(tmp_path, ledger)], ledger, tmp_path, links=links)
    where = next(name for name, words in elements.inside.items() if "-row-" in name and words[0] == "80 % · CRCL_x")
    said = elements.said(where)
    for cell in mine:
        numbers = f"{rsum_of(cell) / 6:.1f} {rsum_of(cell):.1f}"
        assert f"{cell.labels['seed']} {numbers} 79.9 % 2 h 5 min {cell.fingerprint}" in said
        assert url(cell.fingerprint) in [about.get("href") for _, about in elements.tags]
    values = [rsum_of(cell) for cell in mine]
    mean = statistics.fmean(values)
    assert re.search(rf"mean [\d.]+ {mean:.1f}", said)
    assert re.search(rf"± std [\d.]+ {statistics.stdev(values):.1f}", said)
    assert re.search(r"published [\d.]+ 412\.2 difference −[\d.]+ −89\.2", said)
    assert "CRCL repository, issue 1 (user quoting the paper): the paper's value as a user quotes it (quoted)" in said
    assert "Scored on test split, protocol 1k" in said
    assert "Selected the epoch with the best dev rSum of the last piece of training" in said
    assert "Computed with torch 2.13.0, NVIDIA H100, bf16, 8 threads" in said
    assert "Commit abc-dirty" in said
    settings = said.split("Settings that differ")[1]
    assert "noise.rate = 0.8" in settings
    assert "method.beta = 0.8" in settings
    assert "seed" not in settings
    assert "backbone.embed_dim = 32" in " ".join(elements.words)  # what all share stands below
    assert "backbone.embed_dim" not in settings


def test_every_number_leads_to_what_stands_behind_it(tmp_path: Path) -> None:
    _, ledger = toy_runs(tmp_path)
    rendered = toy_report(tmp_path, ledger)
    assert rendered.page is not None
    rows = [row for group in rendered.page.groups for row in group.rows]
    table = of_page(rendered.page, {id(row): f"row {number}" for number, row in enumerate(rows)})
    cells = [cell for body in table.bodies for row in body for cell in row[table.keys + 1 :]]
    assert len(cells) == len(rows) * 4  # i2t R@1; rSum ours, published, difference
    assert all(bool(cell.text) == bool(cell.about) for cell in cells)
    assert sum(cell.missing for cell in cells) == 2  # the triplet loss at 80 %: R@1 and rSum
    assert [cell.text for cell in cells if cell.missing] == ["–", "–"]
    assert all(cell.sort == "" for cell in cells if cell.missing)
    elements = the_page([rendered], ledger, tmp_path)
    ids = [about["id"] for _, about in elements.tags if about.get("id")]
    targets = {(about["href"] or "")[1:] for tag, about in elements.tags if tag == "a"}
    assert len(ids) == len(set(ids))
    assert targets <= set(ids)


def test_best_and_not_distinguishable_are_marked(tmp_path: Path) -> None:
    _, ledger = toy_runs(tmp_path)
    rendered = toy_report(tmp_path, ledger)
    assert rendered.page is not None
    triplet = rendered.page.groups[1].rows[0].entries["rsum"]
    triplet.tied, triplet.p = True, 0.25
    elements = the_page([rendered], ledger, tmp_path)
    assert "0.250†" in elements.words
    rows = [row for group in rendered.page.groups for row in group.rows]
    table = of_page(rendered.page, {id(row): "x" for row in rows})
    triplet_at_40, crcl_at_40 = (next(c for c in row if c.metric == "rsum") for row in table.bodies[1][:2])
    assert (triplet_at_40.mark, triplet_at_40.best) == ("†", False)
    assert (crcl_at_40.mark, crcl_at_40.best) == ("", True)
    assert table.shared == 1  # the noise rate, shown once


def test_figures_share_no_ids_and_bring_no_style() -> None:
    made, axes = style.figure(4, 3)
    axes[0].plot([1, 2], [3, 4], marker="o")
    axes[0].set_xlabel("epoch")
    axes[0].set_ylabel("dev rSum")
    axes[0].set_title(HOSTILE)
    one, two = draw(made, "a", HOSTILE), draw(made, "b", HOSTILE)
    elements = Elements(one.svg + two.svg)
    ids = [str(about["id"]) for _, about in elements.tags if about.get("id")]
    assert ids
    assert len(ids) == len(set(ids))
    used = re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', one.svg + two.svg)
    assert used
    assert {a or b for a, b in used} <= set(ids)
    assert not {"style", "metadata", "script", "img"} & {tag for tag, _ in elements.tags}
    assert "<!--" not in one.svg
    assert one.words == f"{HOSTILE}: dev rSum against epoch"
    assert one.width == 384
    assert draw(made, "a", HOSTILE) == one


def test_what_is_missing_stands_with_its_commands_and_failures(tmp_path: Path) -> None:
    grid, ledger = toy_runs(tmp_path)
    waiting = next(cell for cell in grid.cells if ledger.cell(cell.fingerprint).state() == "waiting")
    ledger.add(waiting.entry("toy")).write_failure("loss is nan", "", {})
    rendered = toy_report(tmp_path, ledger)
    elements = the_page([rendered, listing_report(tmp_path, grid, ledger)], ledger, tmp_path)
    said = elements.said("missing")
    assert "13 of 18 runs done, 1 failed, 4 waiting" in said
    assert said.count("harness run") == 2
    assert f"{waiting.name} failed: loss is nan" in said
    assert "harness sweep toy" in said
    assert "Runs 13 of 18 done" in " ".join(elements.words)


def test_where_all_is_done_nothing_is_missing(tmp_path: Path) -> None:
    _, ledger = toy_runs(tmp_path)
    rendered = toy_report(tmp_path, ledger)
    done = [cell for cell in rendered.cells if ledger.cell(cell.fingerprint).state() == "done"]
    page = replace(rendered.page, groups=[]) if rendered.page else None
    elements = the_page([replace(rendered, cells=done, notes=[], page=page)], ledger, tmp_path)
    assert "Nothing: every planned run is finished." in elements.said("missing")


def test_without_a_single_run_there_is_a_page(tmp_path: Path) -> None:
    toy_runs(tmp_path)
    nothing = Ledger(tmp_path / "nothing")
    elements = the_page([toy_report(tmp_path, nothing)], nothing, tmp_path)
    assert "0 of 18 done" in elements.words
    assert "Training time" not in elements.words
    assert "0 of 18 runs could be judged" in elements.said("findings")


def test_findings_are_counted_over_all_runs_and_the_found_ones_told(tmp_path: Path) -> None:
    grid, ledger = toy_runs(tmp_path)
    base = {"labels/share_zero": 0.4, "labels/mean_clean": 0.6, "dev/rsum": 300.0}
    crcl = [cell for cell in grid.cells if cell.labels["method"] == "crcl"]
    for number, cell in enumerate(crcl):
        values = {**base, "labels/share_zero": 0.99 if number == 2 else 0.4}
        ledger.cell(cell.fingerprint).append_row(a_row(0, values=values))
    said = the_page([toy_report(tmp_path, ledger)], ledger, tmp_path).said("findings")
    assert "9 of 18 runs could be judged; something was found in 1 run." in said
    assert "the labels collapsed 1 8 9" in said  # found, not found, not judged
    assert f"toy: {crcl[2].name} {crcl[2].fingerprint}" in said
    assert "99% of the labels are zero" in said
    assert said.count("labels are zero") == 1


def test_a_listing_sorts_by_value_and_knows_its_runs() -> None:
    rows = [["1", "391.0 ± 2.0", "abcdef0123456789"], ["2", "−1,002.5", "x"], ["3", "–", ""], ["4", "paper", "abc"]]
    table = of_listing(Listing(["Trial", "Value", "Run"], rows, [True, True, False]), {"abcdef0123456789": "there"})
    assert [row[1].sort for row in table.bodies[0]] == ["391", "-1002.5", "", "paper"]
    assert [row[1].missing for row in table.bodies[0]] == [False, False, True, False]
    assert [row[1].about for row in table.bodies[0]] == ["there", "", "", ""]  # three letters name no run


def test_trials_that_no_grid_plans_are_read_from_the_ledger(tmp_path: Path) -> None:
    grid, ledger = toy_runs(tmp_path)
    elements = the_page([listing_report(tmp_path, grid, ledger)], ledger, tmp_path)
    assert "2 of 2 done" in elements.words
    first = next(cell for cell in grid.cells if ledger.cell(cell.fingerprint).state() == "done")
    assert first.name in elements.said("report-search-run-0")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0.0 s"), (59.94, "59.9 s"), (90, "2 min"), (3570, "1 h 0 min"), (7500, "2 h 5 min"), (190_000, "2 d 5 h")],
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_numbers_as_printed() -> None:
    assert [decimal(value) for value in (None, 0.0, -0.04, 70.25, -3.14)] == ["", "0.0", "0.0", "70.2", "−3.1"]
    assert [signed(value) for value in (None, -0.04, 2.0, -2.0)] == ["", "0.0", "+2.0", "−2.0"]
