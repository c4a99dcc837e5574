"""From a report's declaration and the ledger to its table, words and figures, and to their files."""

from pathlib import Path
from typing import Any

from harness.data.cards import CARDS
from harness.files import write_atomic
from harness.grids import load_grid
from harness.ledger import Ledger
from harness.ledger.comparable import Now
from harness.printing.latex import latex
from harness.printing.layout import Style
from harness.printing.markdown import markdown
from harness.printing.sheet import as_text
from harness.printing.table import Section
from harness.reporting.declaration import Labels, Ranks, Report, load_report
from harness.reporting.export import dump, export
from harness.reporting.figures.style import save_all
from harness.reporting.papers import Cited, cite
from harness.reporting.reports.cells import render_cells
from harness.reporting.reports.labels import render_labels
from harness.reporting.reports.ranks import render_ranks
from harness.reporting.reports.rendered import Rendered
from harness.reporting.reports.sweep import render_sweep
from harness.reporting.reports.words import SMOKE
from harness.reporting.runs import Run, read_grids


def write_report(
    word: str | Path, *, runs: Path, out: Path, smoke: bool = False, now: Now | None = None
) -> tuple[str, list[Path]]:
    """Render a report and write its files; see `render` and `write_files`.

    Returns:
        The Markdown, and the files.
    """
    rendered = render(word, Ledger(runs), smoke=smoke, now=now)
    return format_markdown(rendered), write_files(rendered, out)


def render(word: str | Path, ledger: Ledger, *, smoke: bool = False, now: Now | None = None) -> Rendered:
    """A report over the runs that are there.

    Args:
        word: a report by path or name.
        ledger: the runs.
        smoke: over the smoke cells of its grids or its sweep, without published numbers.
        now: what lies in the data folder: the runs that were trained on it count, not those of an older state.

    Raises:
        HarnessError: the report, a grid or the sweep is faulty, or it would mix what must not be mixed.
    """
    report = load_report(word)
    if smoke:
        named = {"name": f"{report.name}-smoke", "title": f"{report.title} (smoke run)"}
        notes = [SMOKE, *report.notes]
        report = report.model_copy(update={**named, "notes": notes, "smoke": True, "published": None})
    if report.sweep is not None:
        return render_sweep(report, report.sweep, ledger, now)
    runs = read_grids([load_grid(grid, smoke=smoke) for grid in report.grids], ledger, now)
    report = _fit(report, runs) if smoke else report
    if isinstance(report.figure, Labels):
        return render_labels(report, report.figure, runs)
    if isinstance(report.figure, Ranks):
        return render_ranks(report, report.figure, runs)
    return render_cells(report, runs)


def write_files(rendered: Rendered, out: Path, style: Style = "narrow") -> list[Path]:
    """Write `out/NAME.md`, `.tex`, `.csv` and `.json`, for each figure NAME.png, .svg and .pdf, or NAME_FIGURE.png and
    so on, and papers.bib if the table cites a paper.

    The same bytes for the same runs.
    """
    out.mkdir(parents=True, exist_ok=True)
    name, cited = rendered.report.name, cite(rendered)
    contents = {
        "md": format_markdown(rendered),
        "tex": format_latex(rendered, cited, style),
        "csv": rendered.numbers.map(as_text).to_csv(index=False, float_format="%.6g", lineterminator="\n"),
        "json": dump(export(rendered, cited), indent=1) + "\n",
    }
    files = [out / f"{name}.{kind}" for kind in contents]
    for file, content in zip(files, contents.values(), strict=True):
        write_atomic(file, content.encode())
    for figure, drawing in rendered.figures.items():
        files += save_all(drawing, out / f"{name}{'_' if figure else ''}{figure}")
    if cited.file and (cited.named or cited.footnotes):
        files.append(out / cited.file.name)
        write_atomic(files[-1], cited.file.read_bytes())
    return files


def format_markdown(rendered: Rendered) -> str:
    """A report as Markdown: the caption above the table, footnotes and notes below."""
    notes = [f"[{letter}] {source}" for letter, source in rendered.footnotes.items()] + rendered.notes
    return markdown(Section(rendered.report.title, [rendered.caption, rendered.table, notes], level=1))


def format_json(rendered: Rendered) -> str:
    """A report as one line of JSON; report.schema.json says what it holds."""
    return dump(export(rendered, cite(rendered)))


def format_latex(rendered: Rendered, cited: Cited, style: Style = "narrow") -> str:
    """A report as LaTeX: the title alone as caption; protocol, sources and papers below the table."""
    return latex(
        rendered.report.name, rendered.report.title, rendered.table, [rendered.protocol, *rendered.notes],
        footnotes=rendered.footnotes, cited=cited.footnotes, papers=cited.named, style=style,
    )  # fmt: skip


def _fit(report: Report, runs: list[Run]) -> Report:
    """A report as the smoke cells allow: they may be on another dataset, with other protocols and fewer values."""

    def there(where: dict[str, list[Any]]) -> dict[str, list[Any]]:
        have = {axis: [run.planned.place.get(axis) for run in runs] for axis in where}
        return {axis: values for axis, values in where.items() if any(value in have[axis] for value in values)}

    specs = [run.planned.run for run in runs]
    cards = {spec.dataset: CARDS[spec.dataset].protocols for spec in specs if spec.dataset in CARDS}
    scored = [name for spec in specs for name in spec.evaluation.protocols or cards.get(spec.dataset, [])]
    figure = report.figure and report.figure.model_copy(update={"where": there(report.figure.where)})
    protocol = report.protocol if report.protocol in scored or not scored else scored[0]
    return report.model_copy(update={"protocol": protocol, "where": there(report.where), "figure": figure})
