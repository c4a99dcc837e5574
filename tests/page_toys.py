"""A page over toy reports: a table with published numbers, one with hostile names, the trials of a search."""

import json
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

from reporting_toys import make_grid, make_report, train

from harness.grids import Grid
from harness.ledger import Ledger
from harness.reporting.declaration import load_report
from harness.reporting.page import write_page
from harness.reporting.report import render
from harness.reporting.reports.rendered import Rendered
from harness.reporting.reports.sweep import render_sweep

HOSTILE = '</script><script>hacked=1</script><img src=x onerror="hacked=1">\'"&amp;{{7*7}}'
LONG = "a_method_with_a_name_without_any_place_to_break_it_" * 3
PUBLISHED = """
[published]
file = "flickr30k.csv"
noise_kind = "caption_level"
also = [{ method = "ncr", backbone = "sgr" }]
"""


class Elements(HTMLParser):
    """Every element of a page as (tag, attributes), its words, and the words inside each element that has an id."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.inside: dict[str, list[str]] = {}
        self._open: list[tuple[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        about = dict(attrs)
        self.tags.append((tag, about))
        if tag not in ("meta", "link", "img", "br"):
            self._open.append((tag, about.get("id")))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.words.append(data.strip())
            for _, name in self._open:
                if name is not None:
                    self.inside.setdefault(name, []).append(data.strip())

    def said(self, name: str) -> str:
        return " ".join(self.inside[name])


def toy_runs(folder: Path) -> tuple[Grid, Ledger]:
    """The toy grid on Flickr30K: CRCL is finished, of the triplet loss what has no noise and one seed at 40 %."""
    shutil.copytree(Path(__file__).parent.parent / "reports" / "published", folder / "published")
    grid, ledger = make_grid(folder, dataset="flickr30k"), Ledger(folder / "runs")
    for cell in grid.cells:
        rate, seed = cell.place["noise.rate"], cell.place["seed"]
        if cell.place["method"] == "crcl" or rate == 0 or (rate == 0.4 and seed == 1):
            train(ledger, cell)
    return grid, ledger


def toy_report(folder: Path, ledger: Ledger) -> Rendered:
    return render(make_report(folder, PUBLISHED), ledger)


def hostile_report(folder: Path, ledger: Ledger) -> Rendered:
    """The toy report again, with words that are markup, in every place that words come from."""
    made = render(make_report(folder), ledger)
    report = made.report.model_copy(update={"name": f'x" onclick={HOSTILE}', "title": HOSTILE})
    groups = [
        [[row[0], replace(row[1], text={"Triplet": LONG, "CRCL_x": HOSTILE}[row[1].text]), *row[2:]] for row in group]
        for group in made.table.groups
    ]
    for row in made.rows:
        row.words[-1] = HOSTILE
    columns = [replace(column, title=HOSTILE) for column in made.table.columns]
    return replace(
        made, report=report, caption=f"{HOSTILE}. {HOSTILE}", table=replace(made.table, columns=columns, groups=groups),
        notes=[HOSTILE, f"`harness {HOSTILE}` makes it"], footnotes={"a": HOSTILE},
    )  # fmt: skip


def search_report(folder: Path, grid: Grid, ledger: Ledger) -> Rendered:
    """Trials of a search, the first two of them finished runs of the toy grid."""
    done = [cell.fingerprint for cell in grid.cells if ledger.cell(cell.fingerprint).state() == "done"]
    report = load_report(make_report(folder)).model_copy(update={"name": "search", "title": "A search", "metrics": []})
    (folder / "toy_search.toml").write_text("")
    sweep = ledger.root / "sweeps" / "toy_search"
    sweep.mkdir(parents=True, exist_ok=True)
    asked = {
        "run": {"dataset": "twemoji", "noise": {"name": "caption_level"}}, "space": {"method.beta": {}},
        "objective": "dev/rsum", "direction": "max",
    }  # fmt: skip
    (sweep / "sweep.json").write_text(json.dumps({"trials": 9, "asked": asked}))
    (sweep / "trials.csv").write_text(
        "number,state,value,method.beta,fingerprint,seconds,host\n"
        f"0,COMPLETE,391.0,0.8,{done[0]},1,h\n1,COMPLETE,1002.5,0.25,{done[1]},1,h\n2,FAIL,,1e-3,0123456789abcdef,,h\n"
    )
    return render_sweep(report, str(folder / "toy_search.toml"), ledger)


def toy_page(folder: Path, *, links: bool = True) -> Path:
    """All three on one page."""
    grid, ledger = toy_runs(folder)
    reports = [toy_report(folder, ledger), hostile_report(folder, ledger), search_report(folder, grid, ledger)]
    known = {cell.fingerprint: url(cell.fingerprint) for cell in grid.cells} if links else {}
    return write_page(reports, folder / "out", links=known)


def url(fingerprint: str) -> str:
    return f"http://127.0.0.1:5000/#/experiments/1/runs/{fingerprint}"
