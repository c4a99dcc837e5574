"""What a report comes to before it is written to files: tables and figures, in no format yet."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness.grids import CellSpec
from harness.reporting.render import Page
from harness.reporting.spec import Report

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Listing:
    """A plain table without published numbers: the trials of a sweep, the settings of a sensitivity study.

    Attributes:
        heads: one for each column.
        rows: as printed, one string for each column.
        numeric: which columns are numbers, to align and to sort by value.
    """

    heads: list[str]
    rows: list[list[str]]
    numeric: list[bool]


@dataclass(frozen=True)
class Rendered:
    """One report over the runs that are there.

    Attributes:
        caption: what a reader must know to compare: dataset, protocol, selection, seeds.
        notes: what is missing and the command that makes it.
        page: the table over cells of grids, with the published numbers; None where the report is a listing.
        listing: the plain table, or None.
        figures: "" is the report's own figure, NAME.png; "importance" would be NAME_importance.png.
        cells: the planned cells behind it, finished or not.
        numbers: heads and rows of what the figures show, where the table does not say it; for the CSV.
    """

    report: Report
    caption: str
    notes: list[str] = field(default_factory=list)
    page: Page | None = None
    listing: Listing | None = None
    figures: "dict[str, Figure]" = field(default_factory=dict)
    cells: list[CellSpec] = field(default_factory=list)
    numbers: tuple[list[str], list[list[object]]] | None = None
