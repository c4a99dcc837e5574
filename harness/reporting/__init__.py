"""Tables and figures as pure functions of finished runs; the only import of matplotlib.

Where a table gets its numbers: `runs.py` reads the cells of the ledger; `rows/` puts the runs into rows, averages over
seeds and looks up what is published; `reports/` makes a table with its words and figures of that; `harness.printing`
and `page/` print it. `declaration.py` says what a report may ask for, `report.py` goes all the way.
"""

from harness.reporting.declaration import Report, load_report
from harness.reporting.report import format_json, format_markdown, render, write_files, write_report

__all__ = [
    "Report", "format_json", "format_markdown", "load_report", "render", "write_files", "write_report",
]  # fmt: skip
