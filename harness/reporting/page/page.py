"""From reports that are rendered, but in no format yet, to one HTML file."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.files import write_atomic
from harness.printing.html import render_html
from harness.reporting.diagnosis import Finding
from harness.reporting.figures import style
from harness.reporting.page.behind import explain_row, part_settings
from harness.reporting.page.overview import describe_progress, list_facts, list_failures, tally_findings
from harness.reporting.reports.rendered import Rendered

TEMPLATE = Path(__file__).parent / "page.html.jinja"


def write_page(
    rendered: Sequence[Rendered],
    out: Path,
    *,
    links: Mapping[str, str],
    findings: Mapping[str, Sequence[Finding]] | None = None,
    name: str = "index",
    title: str = "",
    figures_alone: bool = False,
) -> Path:
    """Write `out/NAME.html`: one file that asks for no other, the same bytes for the same reports and runs.

    Finished reports come first, and the others fold into a line each. A report that is alone is the page.

    Args:
        rendered: the reports, in the order of the page.
        out: a folder, made if it is not there.
        links: fingerprint -> URL of its MLflow run; what is not http or https is left out.
        findings: fingerprint -> what `diagnosis.diagnose` says of the run; None judges every run here.
        name: the file's, without its ending.
        title: of the page; "": that of its one report, or "Results".
        figures_alone: the runs are known by their figures alone, so nothing is said of what failed or is missing.

    Raises:
        HarnessError: a file of the ledger is not readable, or the disk is full.
    """
    links = {run: link for run, link in links.items() if link.startswith(("http://", "https://"))}
    places = _name_places([each.report.name for each in rendered])
    runs = {run.fingerprint: run for each in rendered for run in each.runs}
    text = render_html(
        TEMPLATE,
        title=title or (rendered[0].report.title if len(rendered) == 1 else "Results"),
        facts=list_facts(runs, links, of=len(runs) if len(rendered) == 1 else 0),
        parts=[_make_part(each, place, links) for each, place in zip(rendered, places, strict=True)],
        found=None if figures_alone else tally_findings(runs, findings),
        links=links,
    )
    out.mkdir(parents=True, exist_ok=True)
    file = out / f"{name}.html"
    write_atomic(file, text.encode())
    return file


def _make_part(each: Rendered, place: str, links: Mapping[str, str]) -> dict[str, Any]:
    """One report on the page: `place` is its anchor and begins every id in it; `ids`: of the rows of its table. A
    report without a finished run has no figure to show."""
    title, runs = each.report.title, each.runs
    differing, common = part_settings(runs)
    ids = [f"{place}-row-{number}" if row.runs or row.published else "" for number, row in enumerate(each.rows)]
    return {
        "place": place,
        "rendered": each,
        "finished": each.finished,
        "progress": describe_progress(each),
        "ids": ids,
        "behind": [
            {"id": id, **explain_row(row, each.report, differing, links)}
            for row, id in zip(each.rows, ids, strict=True)
            if id
        ],
        "common": common,
        "drawings": [
            style.draw_inline(made, f"{title} {name}".strip(), titled=False)
            for name, made in each.figures.items()
            if any(run.result for run in runs)
        ],
        "failures": list_failures(each),
    }


def _name_places(names: list[str]) -> list[str]:
    """An anchor for each report: its name in letters, digits and hyphens, numbered where that makes two the same."""
    found: list[str] = []
    for name in names:
        word = "report-" + re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
        found.append(word if word not in found else f"{word}-{len(found)}")
    return found
