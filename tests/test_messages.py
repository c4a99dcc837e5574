"""Messages that read oddly once, and what stands in their place. Faults of declarations: test_spec_explain.py."""

import re
from pathlib import Path

import pytest

from harness.reporting.reports.words import _count_seeds

SOURCES = {
    path: path.read_text(encoding="utf-8")
    for path in sorted((Path(__file__).parents[1] / "harness").rglob("*"))
    if path.suffix in (".py", ".jinja", ".js")
}
ODD = (
    r"no finished cell to judge", r": is missing\"", r"Input should be", r"over no seed", r"It speaks of",
    r"its checkpoint continues it", r"\btransform: f\.", r"confirm .*seeds of both", r"stand with a foreign one",
    r"\"all \{[^}]*\} wrong",
)  # fmt: skip
# Counts of what may be one of its kind.
COUNTED = re.compile(r"\{len\([\w.]+\)(?::,)?\} (cells|runs|seeds|trials|epochs|files|findings|faults|members)\b")


@pytest.mark.parametrize("odd", ODD)
def test_no_message_reads_oddly(odd: str) -> None:
    assert [path.name for path, text in SOURCES.items() if re.search(odd, text)] == []


def test_numbers_and_their_nouns_agree() -> None:
    found = {(path.name, hit[0]) for path, text in SOURCES.items() for hit in COUNTED.finditer(text)}
    several = {("cell.py", "{len(found)} runs"), ("delimited.py", "{len(cells)} cells")}  # always two or more there
    assert found == several


def test_what_no_run_stands_behind_is_said_in_words() -> None:
    assert _count_seeds([]) == "No run is finished yet"


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("cli/check.py", "is unknown: no similar cell was trained yet"),
        ("launch/display.py", "the same command continues it from its checkpoint"),
        ("methods/crcl.py", "transform: the function that the complementary loss applies, the paper's f."),
        ("audit/audit.py", "Low pairs whose caption is another picture's: {of}; "),
        ("reporting/comparison/compare.py", "They say how the difference of these two networks "),
    ],
)
def test_what_stands_there_now(file: str, words: str) -> None:
    assert [path for path, text in SOURCES.items() if path.as_posix().endswith(f"harness/{file}") and words in text]
