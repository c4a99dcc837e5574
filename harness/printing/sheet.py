"""CSV for people, who open it in a spreadsheet."""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import Any

FORMULA = re.compile(r"[=+\-@\t\r]")  # what a spreadsheet takes for the beginning of one
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def as_text(value: Any) -> Any:
    """A cell that is shown and never computed: text that would begin a formula gets an apostrophe before it, as the
    programs themselves write it."""
    if isinstance(value, str) and FORMULA.match(value) and not NUMBER.fullmatch(value):
        return f"'{value}"
    return value


def sheet(header: Sequence[str], rows: Iterable[Iterable[object]]) -> bytes:
    """A CSV file, every cell as `as_text` has it."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(map(as_text, row) for row in rows)
    return out.getvalue().encode()
