"""From a report's declaration and the ledger to its files."""

from pathlib import Path
from typing import TYPE_CHECKING

from harness.files import write_atomic
from harness.grids import CellSpec, load_grid
from harness.ledger import Ledger
from harness.reporting import noise_figure, render, style, words
from harness.reporting.frame import frame
from harness.reporting.published import Published
from harness.reporting.spec import Report, load_report
from harness.reporting.table import build
from harness.spec import RunSpec

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_report(word: str | Path, *, runs: Path, out: Path, smoke: bool = False) -> tuple[str, list[Path]]:
    """Write `out/NAME.md`, `.tex`, `.csv`, `.png` and `.svg`: the same bytes for the same runs.

    Args:
        word: a report by path or name.
        runs: the folder of the ledger.
        out: made if it is not there.
        smoke: over the grids' smoke cells, without published numbers.

    Returns:
        The Markdown, and the files in the order above.

    Raises:
        HarnessError: the report or one of its grids is faulty, or it would mix what must not be mixed.
    """
    report = load_report(word)
    if smoke:
        report = report.model_copy(update={"name": f"{report.name}-smoke", "smoke": True, "published": None})
    page, drawing = render_report(report, Ledger(runs))
    out.mkdir(parents=True, exist_ok=True)
    text = render.markdown(page)
    contents = {"md": text, "tex": render.latex(page), "csv": render.tidy_csv(page)}
    files = [out / f"{report.name}.{kind}" for kind in (*contents, "png", "svg")]
    for file, content in zip(files, contents.values(), strict=False):
        write_atomic(file, content.encode())
    for file in files[len(contents) :]:
        style.save(drawing, file)
    return text, files


def render_report(report: Report, ledger: Ledger) -> "tuple[render.Page, Figure]":
    """The table with its words, and the figure."""
    grids = [load_grid(grid, smoke=report.smoke) for grid in report.grids]
    cells = [cell for grid in grids for cell in grid.cells] + _ensembles(ledger, {grid.name for grid in grids})
    planned = list({cell.fingerprint: cell for cell in cells}.values())
    dataset = words.the_dataset(report, planned)
    published = None
    if report.published is not None:
        published = Published(report.published, report.folder, dataset=dataset, protocol=report.protocol)
    records = frame(ledger.cell(cell.fingerprint) for cell in planned)
    groups = build(report, planned, records, published)
    page = render.Page(
        report,
        groups,
        words.caption(report, planned, groups, ledger),
        words.missing(report, planned, groups, ledger),
        words.sources(groups, published is not None),
    )
    return page, noise_figure.draw(report, planned, records, published, words.subtitle(report, planned, groups))


def _ensembles(ledger: Ledger, grids: set[str]) -> list[CellSpec]:
    """What `harness ensemble` scored over cells of these grids: no grid plans it, the ledger has it."""
    return [
        CellSpec(cell.name, cell.spec["labels"], RunSpec.from_table(cell.spec["run"]), cell.fingerprint)
        for cell in ledger.cells()
        if "members" in cell.spec and cell.spec["grid"] in grids and cell.state() == "done"
    ]
