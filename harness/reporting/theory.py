"""The theory on trial, as a table, a CSV and two figures: pure functions of the cases."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from tabulate import tabulate

from harness.files import write_atomic
from harness.reporting.figures import style
from harness.reporting.figures.theory import draw_bound, draw_momentum
from harness.reporting.rendered import Listing
from harness.theory import Case

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HEADS = ["Claim", "Cases", "Largest measured", "Share of what is allowed", "Holds"]
NOTE = (
    "Allowed is the bound, or 5 standard errors around a closed form; the share is that of the worst case, and a claim "
    "holds where no case goes over 1. At q = 1 the bound is 0, met to 1e-9. A line in brackets is outside the "
    "assumptions and shows what they are for."
)


def tidy(cases: Iterable[Case]) -> pd.DataFrame:
    """The worst case of every claim at every setting, with the number of cases it stands for."""
    frame = pd.DataFrame(
        {
            "claim": case.claim,
            **case.at,
            "measured": case.measured,
            "theory": case.theory,
            "used": case.used,
            "holds": case.holds,
            "claimed": case.claimed,
        }
        for case in cases
    )
    keys = [name for name in frame if name not in ("measured", "theory", "used", "holds", "claimed")]
    groups = frame.groupby(keys, dropna=False, sort=False)
    worst = frame.loc[groups["used"].idxmax()].assign(cases=groups.size().to_numpy())
    return worst.reset_index(drop=True)


def listing(cases: list[Case]) -> Listing:
    """One line a claim, and one for everything at q = 1."""
    rows = [_row(claim, [c for c in cases if c.claim == claim]) for claim in dict.fromkeys(c.claim for c in cases)]
    exact = [c for c in cases if c.claimed and c.at.get("q") == 1 and c.theory == 0]
    if exact:
        rows.append(_row("q = 1: every excess above whose bound is 0", exact))
    return Listing(HEADS, rows, [False, True, True, True, False])


def figures(cases: list[Case]) -> "dict[str, Figure]":
    """`bound`: measured against bound. `momentum`: the label's laws against simulation."""
    frame = tidy(cases)
    return {"bound": draw_bound(frame), "momentum": draw_momentum(frame)}


def markdown(table: Listing) -> str:
    """The table with its explanation."""
    align = ["right" if numeric else "left" for numeric in table.numeric]
    body = tabulate(table.rows, table.heads, tablefmt="pipe", disable_numparse=True, colalign=align)
    return f"# The theory on trial\n\n{NOTE}\n\n{body}\n"


def write_theory(cases: list[Case], out: Path) -> tuple[str, list[Path]]:
    """Write theory.md, theory.csv and the figures as PNG and SVG into `out`; the table's text and the paths."""
    out.mkdir(parents=True, exist_ok=True)
    text = markdown(listing(cases))
    page, data = out / "theory.md", out / "theory.csv"
    write_atomic(page, text.encode())
    write_atomic(data, tidy(cases).to_csv(index=False, lineterminator="\n").encode())
    pictures = [
        (figure, out / f"theory_{name}{kind}") for name, figure in figures(cases).items() for kind in (".png", ".svg")
    ]
    for figure, path in pictures:
        style.save(figure, path)
    return text, [page, data, *(path for _, path in pictures)]


def _row(claim: str, cases: list[Case]) -> list[str]:
    worst = max(cases, key=lambda case: case.used)
    largest = f"{max(case.measured for case in cases):.2g}"
    if not worst.claimed:
        return [
            f"({claim})",
            f"{len(cases)}",
            largest,
            "over" if worst.used > 1 else f"{worst.used:.3f}",
            "not claimed",
        ]
    return [claim, f"{len(cases)}", largest, f"{worst.used:.3f}", "yes" if all(c.holds for c in cases) else "NO"]
