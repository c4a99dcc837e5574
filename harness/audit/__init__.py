"""Which training pairs of a finished run look wrong: a ranking, its quality where the truth is known, and a gallery.

`write_audit` reads a cell of the ledger and its data set and leaves `index.html`, `pairs.csv` and `summary.json`.
"""

from harness.audit.audit import Audit, write_audit

__all__ = ["Audit", "write_audit"]
