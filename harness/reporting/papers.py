"""The papers behind a table: which BibTeX entry its methods, backbones and published numbers have.

The entries lie in papers.bib beside the reports. Three fields, which BibTeX ignores, say what an entry is the paper of:
`methods`, `backbones` and `sources`, separated by semicolons; `abbr` is what a table calls it.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from harness.errors import HarnessError
from harness.grids.rooms import folders
from harness.reporting.reports.rendered import Rendered
from harness.reporting.rows.rows import Row

FILE = "papers.bib"
LISTS = ("methods", "backbones", "sources")
ENTRY = re.compile(r"^@\w+\{([^,\s]+),$(.*?)^\}$", re.MULTILINE | re.DOTALL)
FIELD = re.compile(r"^\s*(\w+) = \{(.*)\},$", re.MULTILINE)


@dataclass(frozen=True)
class Paper:
    """An entry: its key, and what it is the paper of."""

    key: str
    abbr: str
    methods: list[str]
    backbones: list[str]
    sources: list[str]

    def has_source(self, source: str) -> bool:
        return any(source.startswith(start) for start in self.sources)


@dataclass(frozen=True)
class Cited:
    """What a table cites.

    Attributes:
        named: BibTeX key of a method or backbone, by what it is called.
        footnotes: BibTeX key of a published number's source, by the letter of its footnote.
        file: the entries; None where there is no file.
    """

    named: dict[str, str]
    footnotes: dict[str, str]
    file: Path | None


def find_file(folder: Path) -> Path | None:
    """The papers.bib of a report in this folder: beside it, else that of the declared reports."""
    return next((path for each in (folder, *folders("reports")) if (path := each / FILE).is_file()), None)


def read_papers(path: Path) -> list[Paper]:
    """The entries of a file in its order: one field a line, in braces.

    Raises:
        HarnessError: the file has an entry of another form, or two with one key.
    """
    text = path.read_text(encoding="utf-8")
    found = []
    for key, body in ENTRY.findall(text):
        fields = dict(FIELD.findall(body))
        lists = {name: [word.strip() for word in fields.get(name, "").split(";") if word.strip()] for name in LISTS}
        found.append(Paper(key, fields.get("abbr", key), **lists))
    opened = re.findall(r"^@\w+\{([^,\s]*)", text, re.MULTILINE)
    keys = [paper.key for paper in found]
    faulty = next((key for key in opened if opened.count(key) > 1 or key not in keys), None)
    if faulty is not None:
        raise HarnessError(
            f"{path}: {faulty}: accepted: one entry of each key, as @type{{key, fields = {{...}}, }} with a line each"
        )
    return found


def cite(rendered: Rendered) -> Cited:
    """The papers of a report's rows and of its footnotes, in the order of the table."""
    file = find_file(rendered.report.folder)
    papers = read_papers(file) if file else []
    named = {}
    for row in rendered.rows:
        for method, backbone in _parts(row, rendered.axes):
            for paper in papers:
                if method in paper.methods or backbone in paper.backbones:
                    named[paper.abbr] = paper.key
    footnotes = {
        letter: paper.key
        for letter, source in rendered.footnotes.items()
        for paper in papers
        if paper.has_source(source)
    }
    return Cited(named, footnotes, file)


def _parts(row: Row, axes: list[str]) -> list[tuple[str, str]]:
    """Method and backbone of a row's runs, or of a row of the literature alone."""
    if row.runs:
        return [(run.planned.run.method.name, run.planned.run.backbone.name) for run in row.runs]
    place = dict(zip(axes, row.place, strict=True))
    return [(str(place.get("method", "")), str(place.get("backbone", "")))] if row.published else []
