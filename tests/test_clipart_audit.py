"""The labelled pairs of Open Clip Art: the file is well-formed, and the table in docs/results.md is counted from it."""

import csv
from pathlib import Path

import pytest

from harness.clean.estimates import wilson
from harness.data.build import clipart

ROOT = Path(__file__).parents[1]
FILE = ROOT / "reports" / "results" / "clipart_audit.csv"
COLUMNS = ["id", "title", "drawn", "rank", "rank_infonce", "score", "noticed", "verdict", "reason"]
SIZES = {"lowest": 200, "infonce": 200, "random": 100, "noticed": 100, "characters": 77}
Rows = list[dict[str, str]]


@pytest.fixture(scope="module")
def rows() -> Rows:
    with FILE.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def drawn(rows: Rows, why: str) -> Rows:
    return [row for row in rows if why in row["drawn"].split()]


def test_columns_and_verdicts(rows: Rows) -> None:
    assert list(rows[0]) == COLUMNS
    assert {row["verdict"] for row in rows} == {"right", "poor", "wrong"}
    assert all(bool(row["reason"]) == (row["verdict"] != "right") for row in rows)
    assert {row["noticed"] for row in rows} == {"", "blank picture", "boilerplate caption"}
    assert all(row["title"] and float(row["score"]) for row in rows)


@pytest.mark.parametrize("column", ["id", "rank", "rank_infonce"])
def test_nothing_is_there_twice(rows: Rows, column: str) -> None:
    assert len({row[column] for row in rows}) == len(rows)


def test_why_a_pair_was_drawn(rows: Rows) -> None:
    assert {why: len(drawn(rows, why)) for why in SIZES} == SIZES
    assert all(set(row["drawn"].split()) <= set(SIZES) for row in rows)
    for why, column in (("lowest", "rank"), ("infonce", "rank_infonce")):
        assert sorted(int(row[column]) for row in drawn(rows, why)) == list(range(1, 201))
    assert not [row for row in drawn(rows, "random") if {"lowest", "infonce"} & set(row["drawn"].split())]
    assert all(row["noticed"] for row in drawn(rows, "noticed"))


def test_the_table_of_the_page_is_counted_from_the_file(rows: Rows) -> None:
    def between(column: str, low: int) -> Rows:
        return [row for row in rows if low < int(row[column]) <= low + 50]

    noticed = drawn(rows, "noticed")
    groups = {
        "OSA, lowest 200": drawn(rows, "lowest"),
        **{f"ranks {low + 1} to {low + 50}": between("rank", low) for low in range(0, 200, 50)},
        "InfoNCE, lowest 200": drawn(rows, "infonce"),
        "random, of all others": drawn(rows, "random"),
        "dropped with --tokenizer characters": drawn(rows, "characters"),
        "noticed: boilerplate caption": [row for row in noticed if row["noticed"] == "boilerplate caption"],
        "noticed: blank picture": [row for row in noticed if row["noticed"] == "blank picture"],
    }
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    table = page.partition("<!-- clipart -->\n\n")[2].partition("\n\n<!-- end of clipart -->")[0].splitlines()
    assert table[2:] == [line(name, group) for name, group in groups.items()]


def line(name: str, group: Rows) -> str:
    shares = []
    for bad in (("wrong",), ("wrong", "poor")):
        hits = sum(row["verdict"] in bad for row in group)
        low, high = wilson(hits, len(group))
        shares.append(f"{hits} | {100 * hits / len(group):.1f} ({100 * low:.1f} to {100 * high:.1f})")
    return f"| {name} | {len(group)} | {' | '.join(shares)} |"


@pytest.mark.skipif(not (clipart.PLACE / "svg").is_dir(), reason="Debian's openclipart-svg is not here")
def test_the_titles_are_the_package_s(rows: Rows) -> None:
    for row in rows[::10]:
        drawing = (clipart.PLACE / "svg" / row["id"]).with_suffix(".svg")
        assert clipart._title(drawing) == row["title"], row["id"]
