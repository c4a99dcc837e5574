"""The pages of the methods: what they print is published, and what the index says is so."""

import csv
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from markdown_tables import tables

from harness.methods import METHODS

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "methods"
NAMES = sorted(path.stem for path in FOLDER.glob("*.md") if path.stem != "README")
INDEX = (FOLDER / "README.md").read_text(encoding="utf-8")
PUBLISHED = [
    row
    for path in sorted((ROOT / "reports" / "published").glob("*.csv"))
    for row in csv.DictReader(path.read_text(encoding="utf-8").splitlines())
]
SECTIONS = ["Idea", "Equations", "Hyperparameters", "Our numbers beside published ones", "Cost"]


def printed(name: str) -> Iterator[dict[str, str]]:
    """Every number that a page calls published, with the words of the CSV files."""
    text = (FOLDER / f"{name}.md").read_text(encoding="utf-8")
    cells = []
    for row in tables(text):
        if "Protocol" in row:
            keys = (row["Data set"], row["Protocol"], row["Noise"], row["Backbone"], row["Source"])
            cells += [(*keys, str(int(head[:-2]) / 100), value) for head, value in row.items() if head.endswith(" %")]
    for backbone, rsum, source in re.findall(r"^CC152K \(1k, real noise, (\w+).*?\): ([\d.]+) \((.+)\)\.$", text, re.M):
        cells.append(("cc152k", "1k", "real", backbone, source, "", rsum))
    for dataset, protocol, noise, backbone, source, rate, rsum in cells:
        status = re.search(r" \((secondary|rerun)\)$", source)
        if rsum:
            yield {
                "method": name, "dataset": dataset, "protocol": protocol, "noise_kind": noise, "backbone": backbone,
                "rate": "0" if rate == "0.0" else rate, "rsum": rsum, "status": status[1] if status else "printed",
                "source": source.removesuffix(status[0]) if status else source,
            }  # fmt: skip


def test_all_rivals_have_a_page() -> None:
    baselines = {"crcl", "triplet", "sum_hinge", "infonce", "rcl", "zero_shot"}
    assert set(NAMES) <= set(METHODS)
    assert set(NAMES) == set(METHODS) - baselines


@pytest.mark.parametrize("name", NAMES)
def test_a_published_number_is_in_the_files_with_its_source(name: str) -> None:
    for number in printed(name):
        assert any(number.items() <= row.items() for row in PUBLISHED), number


def test_numbers_are_found_on_the_pages() -> None:
    counts = {name: len(list(printed(name))) for name in NAMES}
    assert counts["tal"] == counts["dcl"] == counts["osa"] == 0
    assert min(counts[name] for name in ("ncr", "decl", "bicro", "l2rm", "gsc", "srem", "mscn", "npc")) >= 7


@pytest.mark.parametrize("name", NAMES)
def test_a_page_has_its_sections_and_one_screen_and_a_half(name: str) -> None:
    text = (FOLDER / f"{name}.md").read_text(encoding="utf-8")
    titles = re.findall(r"^## (.+)$", text, re.M)
    assert [title for title in titles if title in SECTIONS] == SECTIONS
    assert len(re.findall(r"^[1-5]\. ", text.partition("## Equations")[0], re.M)) == 5
    assert "results.md" in text
    assert len(text.splitlines()) <= 110


@pytest.mark.parametrize("name", NAMES)
def test_the_index_says_what_the_class_says(name: str) -> None:
    method = METHODS[name]()
    [row] = [row for row in tables(INDEX) if f"({name}.md)" in row["Method"]]
    assert row["Networks"][0] == str(method.networks)
    assert row["Warm-up, epochs"].partition(",")[0] == str(getattr(method, "warmup_epochs", "none"))
    kept = re.findall(r"`([\w.]+)`", row["Kept for each pair"].partition(";")[0])
    assert set(kept) == set(method.declare_state())
    assert f"{name}.py" in row["File"]
    assert ("reconstruction" in row["Method"]) == bool(method.reconstruction)


@pytest.mark.parametrize("name", METHODS)
def test_a_file_opens_with_its_source_and_what_it_takes_from_there(name: str) -> None:
    words = sys.modules[METHODS[name].__module__].__doc__ or ""
    assert "\nSource: " in words
    assert "\nHyperparameters" in words or name == "zero_shot"
    if name in NAMES:
        assert "\nDiffers from the released code in:" in words


@pytest.mark.parametrize("name", METHODS)
def test_a_paper_has_one_title(name: str) -> None:
    """On the method's page and in its file the title that papers.bib has, where they give one."""
    text = (ROOT / "reports" / "papers.bib").read_text(encoding="utf-8")
    entries = re.findall(r"  title = \{(.+)\},\n(?:  .*\n)*?  methods = \{(.*)\},$", text, re.M)
    titles = {plain(title) for title, methods in entries if name in methods.split("; ")}
    assert titles
    page = (FOLDER / f"{name}.md").read_text(encoding="utf-8").partition("## Idea")[0] if name in NAMES else ""
    source = (sys.modules[METHODS[name].__module__].__doc__ or "").partition("\nSource: ")[2].partition("\n\n")[0]
    quoted = {plain(title) for words in (page, source) for title in re.findall(r'"([^"]{30,})"', words)}
    assert quoted <= titles
    assert quoted or name not in NAMES


def plain(title: str) -> str:
    return " ".join(re.sub(r"[{}]", "", title).lower().split())
