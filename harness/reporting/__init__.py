"""Tables and figures as pure functions of finished runs; the only import of matplotlib.

`frame` gives the runs as tidy records, `load_report` reads what is to be printed, `render` makes its tables and
figures, `write_files` and `page.write_page` write them.
"""

from harness.reporting.formats.markdown import markdown
from harness.reporting.frame import frame
from harness.reporting.report import render, write_files, write_report
from harness.reporting.spec import Report, load_report

__all__ = ["Report", "frame", "load_report", "markdown", "render", "write_files", "write_report"]
