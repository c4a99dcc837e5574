"""A table with the words around it, and what its cells say in every format."""

from dataclasses import dataclass
from typing import Literal

from harness.reporting.spec import Report
from harness.reporting.table import Group, Row

Part = Literal["ours", "published", "difference"]

NOTHING = "–"  # a run that is not there; a published value that is not sourced is blank instead
DAGGER = "†"  # not distinguishable from the best


@dataclass(frozen=True)
class Page:
    """A table with the words around it. `marks` gives the letter of a footnote."""

    report: Report
    groups: list[Group]
    caption: str
    notes: list[str]
    marks: dict[str, str]

    @property
    def columns(self) -> list[tuple[str, Part]]:
        """Metric and part; compared metrics have three."""
        compare = self.report.published.compare if self.report.published else []
        parts: list[tuple[str, Part]] = []
        for metric in self.report.metrics:
            parts.append((metric, "ours"))
            if metric in compare:
                parts += [(metric, "published"), (metric, "difference")]
        return parts

    def mark(self, row: Row) -> str:
        return self.marks.get(row.published.footnote, "") if row.published else ""

    def keys(self, row: Row, above: Row | None) -> list[str]:
        """A row's words; the outermost is not said again below a row that said it."""
        repeated = above is not None and len(row.words) > 1 and row.words[0] == above.words[0]
        return ["", *row.words[1:]] if repeated else row.words


def count(row: Row) -> str:
    """How many seeds, of how many that are planned."""
    if not row.planned:
        return ""
    return str(row.n) if row.n == len(row.planned) else f"{row.n}/{len(row.planned)}"


def signed(value: float | None) -> str:
    if value is None:
        return ""
    rounded = round(value, 1) + 0.0  # no -0.0
    return f"{rounded:+.1f}" if rounded else "0.0"
