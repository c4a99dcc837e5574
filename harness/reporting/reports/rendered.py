"""What a report comes to before it is written: a table, words and figures, in no format yet."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pandas as pd

from harness.printing.table import Table
from harness.reporting.declaration import Report
from harness.reporting.rows.rows import Row
from harness.reporting.runs import LEFT_OUT, Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Rendered:
    """One report over the runs that are there.

    Attributes:
        caption: what a reader must know to compare: dataset, protocol, selection, seeds.
        table: as printed.
        rows: what stands behind each row of the table, in their order.
        axes: what the values of a row's place are of.
        numbers: for the CSV, at full precision.
        notes: what else a reader must know; what is missing and the command that makes it.
        footnotes: letter -> source of the published numbers that bear it.
        figures: "" is the report's own, NAME.png; "importance" would be NAME_importance.png.
        trials: of a search: how many are over, and of how many.
    """

    report: Report
    caption: str
    table: Table
    rows: list[Row]
    axes: list[str]
    numbers: pd.DataFrame
    notes: list[str] = field(default_factory=list)
    footnotes: dict[str, str] = field(default_factory=dict)
    figures: "dict[str, Figure]" = field(default_factory=dict)
    trials: tuple[int, int] | None = None

    @property
    def protocol(self) -> str:
        """The caption without the title that it begins with."""
        return self.caption.removeprefix(f"{self.report.title}. ")

    @property
    def runs(self) -> list[Run]:
        """All that stand behind the table, finished or not, each once."""
        return list({run.fingerprint: run for row in self.rows for run in row.runs}.values())

    @property
    def finished(self) -> bool:
        """Whether nothing more is to be trained for it."""
        if self.trials is not None:
            over, planned = self.trials
            return 0 < planned <= over
        states = {run.state for run in self.runs}
        return "done" in states and states <= {"done", LEFT_OUT}
