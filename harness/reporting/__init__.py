"""Tables and figures as pure functions of finished runs; the only import of matplotlib.

`frame` gives the runs as tidy records, `load_report` reads what is to be printed, `write_report` prints it.
"""

from harness.reporting.frame import METRICS, frame
from harness.reporting.report import write_report
from harness.reporting.spec import Report, load_report

__all__ = ["METRICS", "Report", "frame", "load_report", "write_report"]
