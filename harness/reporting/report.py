"""From a report's declaration and the ledger to its tables and figures, and to their files."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from harness.data.cards import CARDS
from harness.files import write_atomic
from harness.grids import CellSpec, load_grid
from harness.ledger import Cell, Ledger
from harness.reporting import significance, sweep, words
from harness.reporting.figure_spec import Bars, Labels, Lines, Pieces, Sensitivity
from harness.reporting.figures import bars, labels, lines, sensitivity, style
from harness.reporting.figures import sweep as sweep_figures
from harness.reporting.formats.latex import latex
from harness.reporting.formats.markdown import markdown
from harness.reporting.formats.tidy import tidy_csv
from harness.reporting.frame import frame
from harness.reporting.published import Published
from harness.reporting.render import Page
from harness.reporting.rendered import Rendered
from harness.reporting.spec import Report, load_report
from harness.reporting.table import Group, build
from harness.reporting.vary import base_runs
from harness.spec import RunSpec

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_report(word: str | Path, *, runs: Path, out: Path, smoke: bool = False) -> tuple[str, list[Path]]:
    """Render a report and write its files; see `render` and `write_files`.

    Returns:
        The Markdown, and the files.
    """
    rendered = render(word, Ledger(runs), smoke=smoke)
    return markdown(rendered), write_files(rendered, out)


def render(word: str | Path, ledger: Ledger, *, smoke: bool = False) -> Rendered:
    """A report over the runs that are there.

    Args:
        word: a report by path or name.
        ledger: the runs.
        smoke: over the smoke cells of its grids or its sweep, without published numbers.

    Raises:
        HarnessError: the report, a grid or the sweep is faulty, or it would mix what must not be mixed.
    """
    report = load_report(word)
    if smoke:
        named = {"name": f"{report.name}-smoke", "title": f"{report.title} (smoke run)"}
        notes = [words.SMOKE, *report.notes]
        report = report.model_copy(update={**named, "notes": notes, "smoke": True, "published": None})
    if report.sweep is not None:
        return _of_sweep(report, report.sweep, ledger)
    grids = [load_grid(grid, smoke=smoke) for grid in report.grids]
    cells = [cell for grid in grids for cell in grid.cells] + _ensembles(ledger, {grid.name for grid in grids})
    planned = list({cell.fingerprint: cell for cell in cells}.values())
    if smoke:
        report = _fitted(report, planned)
    if isinstance(report.figure, Labels):
        return _of_labels(report, report.figure, planned, ledger)
    return _of_cells(report, planned, ledger)


def write_files(rendered: Rendered, out: Path) -> list[Path]:
    """Write `out/NAME.md`, `.tex`, `.csv`, `.png` and `.svg`, and NAME_FIGURE.png and .svg for further figures.

    The same bytes for the same runs.
    """
    out.mkdir(parents=True, exist_ok=True)
    name = rendered.report.name
    files = []
    for kind, content in (("md", markdown(rendered)), ("tex", latex(rendered)), ("csv", tidy_csv(rendered))):
        files.append(out / f"{name}.{kind}")
        write_atomic(files[-1], content.encode())
    for figure, drawing in rendered.figures.items():
        for kind in ("png", "svg"):
            files.append(out / f"{name}{'_' if figure else ''}{figure}.{kind}")
            style.save(drawing, files[-1])
    return files


def _of_cells(report: Report, planned: list[CellSpec], ledger: Ledger) -> Rendered:
    """A table of recalls and its figure."""
    published = None
    dataset = words.the_dataset(report, planned)
    if report.published is not None:
        published = Published(report.published, report.folder, dataset=dataset, protocol=report.protocol)
    records = frame(ledger.cell(cell.fingerprint) for cell in planned)
    groups = build(report, planned, records, published)
    judged = significance.judge(report, groups, records, ledger)
    rows = [row for group in groups for row in group.rows]
    shown = {cell.fingerprint for row in rows for cell in row.planned}
    cells = [cell for cell in planned if cell.fingerprint in shown]
    notes = [
        *report.notes,
        *([words.BASE_RUN] if base_runs(cells) else []),
        *words.judged(report, judged),
        *words.unscored(report, groups, ledger),
        *words.missing(report, planned, rows, report.rows, ledger),
    ]
    caption = words.caption(report, cells, groups, ledger)
    page = Page(report, groups, caption, notes, words.sources(groups, published is not None))
    drawing = _figure(report, planned, records, published, words.subtitle(report, planned, groups))
    return Rendered(report, caption, notes, page=page, figures={"": drawing}, cells=cells)


def _figure(
    report: Report, planned: list[CellSpec], records: pd.DataFrame, published: Published | None, subtitle: str
) -> "Figure":
    match report.figure:
        case Lines() as spec:
            return lines.draw(report, spec, planned, records, published, subtitle)
        case Bars() as spec:
            return bars.draw(report, spec, planned, records, subtitle)
        case Sensitivity() as spec:
            panels = sensitivity.sensitivity(report, spec, planned, records)
            return sensitivity.draw(report, spec, panels, subtitle)
        case Pieces() as spec:
            panels = sensitivity.pieces(report, spec, planned, records)
            return sensitivity.draw(report, spec, panels, subtitle)
    raise AssertionError(f"a figure of the kind {report.figure.kind} is no figure of a table")


def _of_labels(report: Report, spec: Labels, planned: list[CellSpec], ledger: Ledger) -> Rendered:
    """How well labels tell clean from noisy pairs, and how both lie."""
    found = labels.read(report, spec, planned, ledger)
    rows = [seen.row for seen in found]
    shown = {cell.fingerprint for row in rows for cell in row.planned}
    cells = [cell for cell in planned if cell.fingerprint in shown]
    groups = [Group((), rows)]
    without = words.states(cells, ledger)["done"] - sum(len(seen.clean) for seen in found)
    notes = [*report.notes, *words.missing(report, planned, rows, [spec.panels], ledger)]
    if without:
        notes.append(f"{without} finished runs keep no pairs.npz: an older version trained them; train them again.")
    caption = ". ".join(
        (
            report.title,
            words.subtitle(report, planned, groups),
            f"The network is that of {words.selection_of(cells)}; {words.noise_of(cells)}",
            "AUC: the chance that a clean pair stands above a noisy one",
            "Mean and standard deviation over the seeds",
        )
    )
    return Rendered(
        report, f"{caption}.", notes, listing=labels.listing(report, spec, found),
        figures={"": labels.draw(report, found, words.subtitle(report, planned, groups))}, cells=cells,
        numbers=labels.histograms(found),
    )  # fmt: skip


def _of_sweep(report: Report, name: str, ledger: Ledger) -> Rendered:
    """The trials of a search, and its figures."""
    trials = sweep.read(name, ledger.root, smoke=report.smoke)
    heads, rows = list(trials.table.columns), trials.table.astype(object).where(trials.table.notna(), None)
    cells = [ledger.cell(fingerprint) for fingerprint in trials.table["fingerprint"].dropna().unique()]
    return Rendered(
        report, sweep.caption(report.title, trials), [*report.notes, *sweep.notes(trials, smoke=report.smoke)],
        listing=sweep.listing(trials), figures=sweep_figures.draw(report.title, trials),
        cells=[_planned(cell) for cell in cells if cell.path("spec.json").exists()],
        numbers=(heads, rows.to_numpy().tolist()),
    )  # fmt: skip


def _fitted(report: Report, planned: list[CellSpec]) -> Report:
    """A report as the smoke cells allow: they may be on another dataset, with other protocols and fewer values."""

    def there(where: dict[str, list[Any]]) -> dict[str, list[Any]]:
        have = {axis: [cell.labels.get(axis) for cell in planned] for axis in where}
        return {axis: values for axis, values in where.items() if any(value in have[axis] for value in values)}

    scored = [protocol for cell in planned for protocol in cell.run.evaluation.protocols or _protocols(cell)]
    return report.model_copy(
        update={
            "protocol": report.protocol if report.protocol in scored or not scored else scored[0],
            "where": there(report.where),
            "figure": report.figure.model_copy(update={"where": there(report.figure.where)}),
        }
    )


def _protocols(cell: CellSpec) -> list[str]:
    return CARDS[cell.run.dataset].protocols if cell.run.dataset in CARDS else []


def _ensembles(ledger: Ledger, grids: set[str]) -> list[CellSpec]:
    """What `harness ensemble` scored over cells of these grids: no grid plans it, the ledger has it."""
    return [
        _planned(cell)
        for cell in ledger.cells()
        if "members" in cell.spec and cell.spec["grid"] in grids and cell.state() == "done"
    ]


def _planned(cell: Cell) -> CellSpec:
    return CellSpec(cell.name, cell.spec["labels"], RunSpec.from_table(cell.spec["run"]), cell.fingerprint)
