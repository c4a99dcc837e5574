"""From reports that are rendered, but in no format yet, to one HTML file."""

import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from harness.files import write_atomic
from harness.grids import CellSpec
from harness.ledger import Ledger
from harness.reporting.page import summary
from harness.reporting.page.drawings import Drawing, draw
from harness.reporting.page.numbers import count
from harness.reporting.page.provenance import Provenance, common_settings, differing_settings, of_row, of_run
from harness.reporting.page.runs import Runs, read_runs, specs_of
from harness.reporting.page.summary import Findings
from harness.reporting.page.tables import Table, of_listing, of_page
from harness.reporting.rendered import Rendered

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Section:
    """One report on the page; `place` is its anchor and begins every id in it."""

    place: str
    title: str
    caption: str
    done: int
    planned: int
    table: Table | None
    drawings: list[Drawing]
    sources: list[tuple[str, str]]
    notes: list[str]
    provenance: list[Provenance]
    common: list[tuple[str, str]]


def write_page(
    rendered: list[Rendered],
    ledger: Ledger,
    out: Path,
    *,
    links: Mapping[str, str],
    findings: Findings | None = None,
    name: str = "index",
) -> Path:
    """Write `out/NAME.html`: one file that asks for no other, the same bytes for the same reports and runs.

    Args:
        rendered: the reports, in the order of the page.
        ledger: the runs behind them.
        out: a folder, made if it is not there.
        links: fingerprint -> URL of its MLflow run; what is not http or https is left out.
        findings: fingerprint -> what `diagnosis.diagnose` says of the run; None judges every run here.
        name: the file's, without its ending.

    Raises:
        HarnessError: a file of the ledger is not readable, or the disk is full.
    """
    specs = [specs_of(each, ledger) for each in rendered]
    runs = read_runs(chain.from_iterable(specs), ledger, links)
    parts = list(zip(rendered, _places([each.report.name for each in rendered]), specs, strict=True))
    script = (HERE / "page.js").read_text(encoding="utf-8")
    text = _environment().get_template("page.html.jinja").render(
        title=rendered[0].report.title if len(rendered) == 1 else "Results",
        facts=summary.facts(runs),
        sections=[_section(*part, runs) for part in parts],
        missing=[lacks for part in parts if (lacks := summary.missing(*part, runs))],
        signatures=summary.signatures(runs, findings),
        verdicts=summary.VERDICTS,
        style=Markup((HERE / "page.css").read_text(encoding="utf-8")),
        script=Markup(script),
        script_hash=b64encode(sha256(script.encode()).digest()).decode(),
    )  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    file = out / f"{name}.html"
    write_atomic(file, text.encode())
    return file


def _section(each: Rendered, place: str, planned: list[CellSpec], runs: Runs) -> Section:
    report, page = each.report, each.page
    differing = differing_settings(planned)
    table: Table | None = None
    provenance: list[Provenance] = []
    if page is not None:
        about: dict[int, str] = {}
        for row in (row for group in page.groups for row in group.rows):
            about[id(row)] = f"{place}-row-{len(about)}"
            provenance.append(of_row(row, report, runs, differing, about[id(row)]))
        table = of_page(page, about)
    else:
        names = {spec.fingerprint: f"{place}-run-{number}" for number, spec in enumerate(planned)}
        provenance = [of_run(runs[fingerprint], report, differing, name) for fingerprint, name in names.items()]
        table = of_listing(each.listing, names) if each.listing else None
    drawings = [
        draw(figure, f"{place}-figure-{number}", f"{report.title}, {name}" if name else report.title)
        for number, (name, figure) in enumerate(each.figures.items())
    ]
    return Section(
        place, report.title, each.caption.removeprefix(f"{report.title}. "),
        done=sum(bool(runs[spec.fingerprint].result) for spec in planned),
        planned=len(planned),
        table=table,
        drawings=drawings,
        sources=[(mark, text) for text, mark in page.marks.items()] if page else [],
        notes=list(dict.fromkeys([*(page.notes if page else []), *each.notes])),
        provenance=provenance,
        common=common_settings(planned),
    )  # fmt: skip


def _places(names: list[str]) -> list[str]:
    """An anchor for each report: its name in letters, digits and hyphens, numbered where that makes two the same."""
    found: list[str] = []
    for name in names:
        word = "report-" + re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
        found.append(word if word not in found else f"{word}-{len(found)}")
    return found


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["code"] = _code
    environment.filters["count"] = count
    return environment


def _code(text: str) -> Markup:
    """What stands between backticks in typewriter, everything escaped."""
    parts = text.split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if number % 2 else escape(part) for number, part in enumerate(parts)
    )
