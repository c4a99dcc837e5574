"""The page says of every number what stands behind it, escapes every word, and is the same for the same runs."""

import base64
import json
import re
import statistics
from dataclasses import replace
from pathlib import Path

import pytest
from ledger_toys import a_row
from page_toys import HOSTILE, Elements, hostile_report, search_report, toy_page, toy_report, toy_runs, url
from reporting_toys import rsum_of, write_ranks

from harness.ledger import Ledger
from harness.printing.numbers import duration
from harness.reporting.diagnosis import Finding
from harness.reporting.figures import style
from harness.reporting.page import write_page
from harness.reporting.reports.rendered import Rendered


def the_page(rendered: list[Rendered], folder: Path, **more) -> Elements:
    return Elements(write_page(rendered, folder / "out", **{"links": {}, **more}).read_text())


def links_of(elements: Elements) -> list[dict[str, str | None]]:
    """The numbers that lead to what stands behind them."""
    return [about for tag, about in elements.tags if tag == "a" and "data-metric" in about]


def test_one_file_that_asks_for_no_other(tmp_path: Path) -> None:
    file = toy_page(tmp_path)
    assert file == tmp_path / "out" / "index.html"
    assert [path.name for path in file.parent.iterdir()] == ["index.html"]
    elements = Elements(file.read_text())
    fetched = [about for tag, about in elements.tags if tag in ("img", "iframe", "object", "embed", "audio", "video")]
    assert fetched  # the figures, each whole in its address
    assert all((about["src"] or "").startswith("data:image/svg+xml;base64,") for about in fetched)
    assert not [about for tag, about in elements.tags if tag == "script" and "src" in about]
    assert [about["href"] for tag, about in elements.tags if tag == "link"] == ["data:,"]
    links = {about["href"] or "" for tag, about in elements.tags if tag == "a"}
    assert {link.partition("#")[0] for link in links} == {"", "http://127.0.0.1:5000/"}
    assert "url(" not in file.read_text()
    assert "@import" not in file.read_text()


def test_words_that_are_markup_are_words(tmp_path: Path) -> None:
    grid, ledger = toy_runs(tmp_path)
    waiting = next(cell for cell in grid.cells if ledger.cell(cell.fingerprint).state() == "waiting")
    ledger.add(waiting.entry("toy")).write_failure(HOSTILE, "", {})
    done = next(cell.fingerprint for cell in grid.cells if cell.place["method"] == "crcl")
    result = {**(ledger.cell(done).result() or {}), "environment": {"device": HOSTILE, "git_commit": HOSTILE}}
    ledger.cell(done).path("result.json").write_text(json.dumps(result))
    found = {done: [Finding(HOSTILE, "found", HOSTILE)]}
    elements = the_page([hostile_report(tmp_path, ledger)], tmp_path, findings=found)
    assert sum(tag == "script" for tag, _ in elements.tags) == 1
    assert {(about["src"] or "")[:18] for tag, about in elements.tags if tag == "img"} == {"data:image/svg+xml"}
    assert not [name for _, about in elements.tags for name in about if name.startswith("on")]
    assert " ".join(elements.words).count(HOSTILE) >= 12  # title, caption, notes, rows, machine, failure, findings
    assert "49" not in elements.words


def test_only_links_of_the_web_stand_in_the_page(tmp_path: Path) -> None:
    grid, ledger = toy_runs(tmp_path)
    links = {cell.fingerprint: "javascript:alert(1)" for cell in grid.cells}
    elements = the_page([toy_report(tmp_path, ledger)], tmp_path, links=links)
    assert not [about for tag, about in elements.tags if tag == "a" and not (about["href"] or "").startswith("#")]
    assert "In MLflow" not in elements.words


def test_the_same_bytes_for_the_same_runs(tmp_path: Path) -> None:
    grid, ledger = toy_runs(tmp_path)
    written = []
    for order in (1, -1):
        reports = [
            toy_report(tmp_path, ledger),
            hostile_report(tmp_path, ledger),
            search_report(tmp_path, grid, ledger),
        ]
        links = {cell.fingerprint: url(cell.fingerprint) for cell in grid.cells[::order]}
        written.append(write_page(reports, tmp_path / "out", links=links).read_bytes())
    assert written[0] == written[1]


def test_what_stands_behind_a_row(tmp_path: Path) -> None:
    grid, ledger = toy_runs(tmp_path)
    mine = [c for c in grid.cells if c.place["method"] == "crcl" and c.place["noise.rate"] == 0.8]
    for cell in mine:
        result = ledger.cell(cell.fingerprint).result() or {}
        result["environment"] = {
            "device": "NVIDIA H100", "torch": "2.13.0", "precision": "bf16", "threads": 8, "git_commit": "abc-dirty",
        }  # fmt: skip
        result["noise"]["realised_rate"] = 0.7991
        result["seconds"] = 7500.0
        ledger.cell(cell.fingerprint).path("result.json").write_text(json.dumps(result))
    links = {cell.fingerprint: url(cell.fingerprint) for cell in mine}
    elements = the_page([toy_report(tmp_path, ledger)], tmp_path, links=links)
    where = next(name for name, words in elements.inside.items() if "-row-" in name and words[0] == "80 % · CRCL_x")
    said = elements.said(where)
    for cell in mine:
        numbers = f"{rsum_of(cell) / 6:.1f} {rsum_of(cell):.1f}"
        assert f"{cell.place['seed']} {numbers} 79.9 % 2 h 5 min {cell.fingerprint}" in said
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
    elements = the_page([rendered], tmp_path)
    numbers = [value for row in rendered.table.rows for value in row[rendered.table.keys + 1 :] if value.text]
    assert len(links_of(elements)) == len(numbers) == 12 + 1 + 1 + 1  # i2t R@1 and rSum; published twice; a difference
    missing = [about for about in links_of(elements) if about.get("aria-label") == "missing"]
    assert len(missing) == sum(value.missing for value in numbers) == 2  # the triplet loss at 80 %: R@1 and rSum
    assert {value.sort for value in numbers if value.missing} == {""}
    ids = [about["id"] for _, about in elements.tags if about.get("id")]
    targets = {(about["href"] or "")[1:] for tag, about in elements.tags if tag == "a"}
    assert len(ids) == len(set(ids))
    assert targets <= set(ids)


def test_best_and_not_distinguishable_are_marked(tmp_path: Path) -> None:
    grid, ledger = toy_runs(tmp_path)
    for cell in grid.cells:
        if ledger.cell(cell.fingerprint).state() == "done":
            write_ranks(ledger, cell, 0.795 if cell.place["method"] == "triplet" else 0.8)
    rendered = toy_report(tmp_path, ledger)
    elements = the_page([rendered], tmp_path)
    entry = rendered.rows[3].entries["rsum"]
    assert entry.tied
    assert f"{entry.p:.3f}†" in elements.words
    triplet_at_40, crcl_at_40 = rendered.table.groups[1]
    assert (triplet_at_40[4].mark, triplet_at_40[4].best) == ("†", False)
    assert (crcl_at_40[4].mark, crcl_at_40[4].best) == ("", True)
    assert rendered.table.shared == 1  # the noise rate, shown once


def test_a_figure_is_an_image_that_holds_all_of_it() -> None:
    made, axes = style.figure(4, 3)
    axes[0].plot([1, 2], [3, 4], marker="o")
    axes[0].set_xlabel("epoch")
    axes[0].set_ylabel("dev rSum")
    drawing = style.draw_inline(made, HOSTILE)
    head, _, content = drawing.address.partition(",")
    assert head == "data:image/svg+xml;base64"
    assert b"<svg " in base64.b64decode(content)
    assert drawing.words == f"{HOSTILE}: dev rSum against epoch"
    assert (drawing.width, drawing.height) == (384, 288)
    assert style.draw_inline(made, HOSTILE) == drawing


def test_on_a_page_a_figure_leaves_its_title_to_the_page() -> None:
    made, axes = style.figure(4, 3)
    axes[0].plot([1, 2], [3, 4])
    style.head(made, "The title", "and what else")
    as_file = style.draw_inline(made, "x")
    drawing = style.draw_inline(made, "x", titled=False)
    assert (as_file.caption, drawing.caption) == ("", "and what else")
    assert (drawing.width, as_file.height) == (384, 288)
    assert drawing.height < 288 - 30  # without the room of the head
    texts = [base64.b64decode(each.address.partition(",")[2]).decode() for each in (as_file, drawing)]
    assert ["The title" in text for text in texts] == [True, False]
    assert list(made.get_size_inches()) == [4, 3]
    assert all(text.get_visible() for text in made.texts)  # the file that is written later has both


def test_what_is_missing_stands_with_its_commands_and_failures(tmp_path: Path) -> None:
    grid, ledger = toy_runs(tmp_path)
    waiting = next(cell for cell in grid.cells if ledger.cell(cell.fingerprint).state() == "waiting")
    ledger.add(waiting.entry("toy")).write_failure("loss is nan", "", {})
    rendered = toy_report(tmp_path, ledger)
    elements = the_page([rendered, search_report(tmp_path, grid, ledger)], tmp_path)
    said = elements.said("unfinished")
    assert "13 of 18 runs done, 1 failed, 4 waiting" in said
    assert said.count("harness run") == 2
    assert f"{waiting.name} failed: loss is nan" in said
    assert re.search(r"harness sweep \S*toy_search\.toml makes the others", said)
    assert "3 of 9 trials over" in said
    assert "Runs 13 done" in " ".join(elements.words)
    alone = the_page([rendered], tmp_path)
    assert "Runs 13 of 18 done" in " ".join(alone.words)
    assert alone.words.count("Toy & 100 % honest") == 1  # beside the title of the window
    assert "unfinished" not in alone.inside


def finished(rendered: Rendered) -> Rendered:
    """A report as if no more runs were planned than are done."""
    rows = [replace(row, runs=[run for run in row.runs if run.state == "done"]) for row in rendered.rows]
    report = rendered.report.model_copy(update={"name": "over", "title": "All is over"})
    return replace(rendered, report=report, rows=rows)


def test_finished_reports_come_first_and_the_others_fold(tmp_path: Path) -> None:
    grid, ledger = toy_runs(tmp_path)
    rendered = toy_report(tmp_path, ledger)
    none_done = toy_report(tmp_path, Ledger(tmp_path / "nothing"))
    none_done = replace(none_done, report=rendered.report.model_copy(update={"name": "not-begun"}))
    assert [each.finished for each in (none_done, rendered, finished(rendered))] == [False, False, True]
    elements = the_page([none_done, rendered, finished(rendered), search_report(tmp_path, grid, ledger)], tmp_path)
    sections = [about["id"] for tag, about in elements.tags if tag == "section"]
    assert sections == ["report-over", "unfinished"]
    folds = [about for tag, about in elements.tags if tag == "details" and "part" in (about["class"] or "")]
    assert [about["id"] for about in folds] == ["report-not-begun", "report-toy-report", "report-search"]
    assert all("open" not in about for about in folds)
    assert "0 of 18 runs done, 18 waiting" in elements.said("report-not-begun")
    drawn = sum(tag == "img" for tag, _ in elements.tags)
    assert drawn == 1 + 1 + 2  # none of the report that has nothing to draw
    contents = [about["href"] for tag, about in elements.tags if tag == "a" and "data-metric" not in about]
    assert contents == ["#report-over", "#unfinished"]


def test_where_all_is_done_nothing_is_missing(tmp_path: Path) -> None:
    _, ledger = toy_runs(tmp_path)
    rendered = toy_report(tmp_path, ledger)
    elements = the_page([finished(rendered), finished(rendered)], tmp_path)
    assert "unfinished" not in elements.inside


def test_without_a_single_run_there_is_a_page(tmp_path: Path) -> None:
    toy_runs(tmp_path)
    nothing = Ledger(tmp_path / "nothing")
    elements = the_page([toy_report(tmp_path, nothing)], tmp_path)
    assert "0 of 18 done" in elements.words
    assert "Training time" not in elements.words
    assert "findings" not in elements.inside  # where nothing could be judged


def test_findings_are_counted_over_all_runs_and_the_found_ones_told(tmp_path: Path) -> None:
    grid, ledger = toy_runs(tmp_path)
    base = {"labels/share_zero": 0.4, "labels/mean_clean": 0.6, "dev/rsum": 300.0}
    crcl = [cell for cell in grid.cells if cell.place["method"] == "crcl"]
    for number, cell in enumerate(crcl):
        values = {**base, "labels/share_zero": 0.99 if number == 2 else 0.4}
        ledger.cell(cell.fingerprint).append_row(a_row(0, values=values))
    said = the_page([toy_report(tmp_path, ledger)], tmp_path).said("findings")
    assert "9 of 18 runs could be judged; something was found in 1 run." in said
    assert "the labels collapsed 1 8 9" in said  # found, ok, not judged
    assert f"toy: {crcl[2].name} {crcl[2].fingerprint}" in said
    assert "99% of the labels are zero" in said
    assert said.count("labels are zero") == 1


def test_the_trials_of_a_search_sort_by_value_and_lead_to_their_runs(tmp_path: Path) -> None:
    grid, ledger = toy_runs(tmp_path)
    rendered = search_report(tmp_path, grid, ledger)
    assert [row[2].sort for row in rendered.table.rows] == ["391", "1002.5", ""]
    assert [row[2].missing for row in rendered.table.rows] == [False, False, True]
    elements = the_page([rendered], tmp_path)
    assert {about["href"] for about in links_of(elements)} == {"#report-search-row-0", "#report-search-row-1"}
    assert "2 of 2 done" in elements.words
    first = next(cell for cell in grid.cells if ledger.cell(cell.fingerprint).state() == "done")
    assert first.name in elements.said("report-search-row-0")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0.0 s"), (59.94, "59.9 s"), (90, "2 min"), (3570, "1 h 0 min"), (7500, "2 h 5 min"), (190_000, "2 d 5 h")],
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words
