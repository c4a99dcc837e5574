"""The tables of all methods say in README.md, docs/results.md and each method's page what the committed file of results
says."""

import re
import statistics
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from markdown_tables import tables

from harness.grids import load_grid
from harness.sharing.results import read_results

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "reports" / "results" / "rivals.json"
WORDS = tomllib.loads((ROOT / "reports" / "rivals.toml").read_text(encoding="utf-8"))["values"]["method"]


@pytest.fixture(scope="module")
def figures() -> dict[tuple[str, str], tuple[list[float], list[float]]]:
    """(word of a method, noise rate) -> its test rSum over the seeds, and those of single networks where it has two."""
    entries = {entry.spec["fingerprint"]: entry.result for entry in read_results(RESULTS).entries}
    found: dict[tuple[str, str], tuple[list[float], list[float]]] = {}
    for cell in load_grid("rivals").cells:
        if cell.fingerprint in entries:
            result = entries[cell.fingerprint]
            key = (WORDS[cell.place["method"]], f"{100 * float(cell.place['noise.rate']):.0f} %")
            both, single = found.setdefault(key, ([], []))
            both.append(result["test"]["full"]["rsum"])
            single += [network["test"]["full"]["rsum"] for network in result.get("networks") or []]
    return found


def printed(page: str) -> Iterator[tuple[str, str, str]]:
    """(method, noise rate, what stands there) of the table between the marks of a page."""
    text = (ROOT / page).read_text(encoding="utf-8")
    (table,) = re.findall(r"<!-- rivals -->\n\n(.*?)\n\n<!-- end of rivals -->", text, flags=re.DOTALL)
    for row in tables(table):
        for head, cell in row.items():
            if re.fullmatch(r"\d+ %", head) and cell:
                yield row["Method"], head, cell


PAGES = [f"docs/methods/{path.stem}.md" for path in (ROOT / "docs" / "methods").glob("*.md") if path.stem != "README"]


@pytest.mark.parametrize("page", ["README.md", "docs/results.md", *sorted(PAGES)])
def test_the_figures_of_the_rivals(page: str, figures: dict[tuple[str, str], tuple[list[float], list[float]]]) -> None:
    rows = list(printed(page))
    methods = {method for method, _, _ in rows}
    if page in PAGES:
        assert {WORDS[Path(page).stem], WORDS["infonce"], WORDS["oracle"]} <= methods
    else:
        assert methods == set(WORDS.values())
    for method, rate, cell in rows:
        both, single = figures[method, rate]
        assert len(both) == 3, (method, rate)
        words = f"{statistics.fmean(both):.1f}±{statistics.stdev(both):.1f}"
        if single:
            words += f"({statistics.fmean(single):.1f})"
        assert re.sub(r"[*†\s]", "", cell) == words, (method, rate)
