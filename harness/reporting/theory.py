"""The theory on trial, as a table, a CSV and two figures: pure functions of the cases."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from harness.files import write_atomic
from harness.printing.markdown import markdown
from harness.printing.table import Section, Table, plain
from harness.reporting.figures import style
from harness.reporting.figures.theory import draw_bound, draw_momentum
from harness.theory import Case

TITLES = ["Claim", "Cases", "Largest measured", "Share of what is allowed", "Holds"]
NOTE = (
    "Allowed is the bound, or 5 standard errors around a closed form; the share is that of the worst case, and a claim "
    "holds where no case goes over 1. At q = 1 the bound is 0, met to 1e-9. A line in brackets is outside the "
    "assumptions and shows what they are for."
)


def worst_cases(cases: Iterable[Case]) -> pd.DataFrame:
    """The worst case of every claim at every setting, with the number of cases it stands for."""
    fields = ("measured", "theory", "used", "holds", "claimed")
    frame = pd.DataFrame(
        {"claim": case.claim, **case.at, **{name: getattr(case, name) for name in fields}} for case in cases
    )
    groups = frame.groupby([name for name in frame if name not in fields], dropna=False, sort=False)
    worst = frame.loc[groups["used"].idxmax()].assign(cases=groups.size().to_numpy())
    return worst.reset_index(drop=True)


def tabulate_claims(cases: list[Case]) -> Table:
    """One line a claim, and one for everything at q = 1."""
    rows = [_row(claim, [c for c in cases if c.claim == claim]) for claim in dict.fromkeys(c.claim for c in cases)]
    exact = [c for c in cases if c.claimed and c.at.get("q") == 1 and c.theory == 0]
    if exact:
        rows.append(_row("q = 1: every excess above whose bound is 0", exact))
    return plain(TITLES, rows, numbers=range(1, 4))


def write_theory(cases: list[Case], out: Path) -> tuple[str, list[Path]]:
    """Write theory.md, theory.csv and the figures as PNG, SVG and PDF into `out`; the table's text and the paths."""
    out.mkdir(parents=True, exist_ok=True)
    frame = worst_cases(cases)
    text = markdown(Section("The theory on trial", [NOTE, tabulate_claims(cases)], level=1))
    files = [out / "theory.md", out / "theory.csv"]
    write_atomic(files[0], text.encode())
    write_atomic(files[1], frame.to_csv(index=False, lineterminator="\n").encode())
    for name, draw in (("bound", draw_bound), ("momentum", draw_momentum)):
        files += style.save_all(draw(frame), out / f"theory_{name}")
    return text, files


def _row(claim: str, cases: list[Case]) -> list[str]:
    worst = max(cases, key=lambda case: case.used)
    largest = f"{max(case.measured for case in cases):.2g}"
    if not worst.claimed:
        share = "over" if worst.used > 1 else f"{worst.used:.3f}"
        return [f"({claim})", f"{len(cases)}", largest, share, "not claimed"]
    return [claim, f"{len(cases)}", largest, f"{worst.used:.3f}", "yes" if all(c.holds for c in cases) else "NO"]
