"""A comparison of two runs as Markdown, and its files."""

from collections.abc import Sequence
from pathlib import Path

from tabulate import tabulate

from harness.evaluation.measures import MEASURES, WAYS
from harness.files import write_atomic
from harness.ledger import Cell
from harness.reporting.comparison.facts import ABSENT, Comparison, Differing, Outcome, Score, compare_runs
from harness.reporting.comparison.queries import Names, Query
from harness.reporting.figures import style
from harness.reporting.figures.compare import figure

CAPTION = 70  # characters of a caption that are shown
WHAT_P_IS = (
    "A − B in points, its 95 % interval and p by a paired bootstrap over the test images; the six recalls are judged "
    "together (p adjusted by Holm's rule), rSum by itself, at 5 %. This speaks of other test images for these two "
    "networks. How much training varies is another matter: for that, compare several seeds."
)


def write_comparison(a: Cell, b: Cell, out: Path, data: Path) -> tuple[str, list[Path]]:
    """The Markdown of a comparison and its files: compare.md, and compare.png and .svg if an epoch is finished.

    Arguments and errors: those of `compare_runs`; `out` is made.
    """
    comparison = compare_runs(a, b, data)
    drawn = figure(*((cell.name, cell.rows(), (cell.result() or {}).get("best")) for cell in (a, b)))
    text = markdown(comparison)
    out.mkdir(parents=True, exist_ok=True)
    files = [out / "compare.md"]
    if drawn is not None:
        files += [out / "compare.png", out / "compare.svg"]
        for file in files[1:]:
            style.save(drawn, file)
    picture = "\n![dev rSum of both runs over the epochs](compare.png)\n" if drawn is not None else ""
    write_atomic(files[0], (text + picture).encode())
    return text, files


def markdown(comparison: Comparison) -> str:
    """The whole page, most general first."""
    parts = ["# A against B", _about(comparison.a, comparison.b)]
    parts += [f"**Warning:** {warning}." for warning in comparison.warnings]
    parts += ["## Settings that differ", _differing(comparison.settings, "None: the two specs say the same.")]
    if comparison.environment is not None:
        parts += ["## Environment", _differing(comparison.environment, "The same, as far as they are recorded.")]
    for outcome in comparison.outcomes:
        parts += [f"## Test, protocol {outcome.protocol}", _scores(outcome)]
        parts += _queries(outcome, comparison.names) if outcome.tallies else []
    parts += ["\n".join(f"- {note}." for note in comparison.notes)] if comparison.notes else []
    return "\n\n".join(parts) + "\n"


def _about(a: Cell, b: Cell) -> str:
    columns = [_cell(cell) for cell in (a, b)]
    return _table(["", "A", "B"], [[key, columns[0][key], columns[1][key]] for key in columns[0]])


def _cell(cell: Cell) -> dict[str, str]:
    rows, result = cell.rows(), cell.result() or {}
    best = result.get("best")  # an ensemble has none
    scored = [row["values"]["dev/rsum"] for row in rows if row["values"].get("dev/rsum") is not None]
    if best:
        dev = f"{best['dev/rsum']:.1f}, selected in epoch {best['epochs']}"  # counted from 0, as in the figure
    else:
        dev = f"{scored[-1]:.1f} now, {max(scored):.1f} at best" if scored else ABSENT
    return {
        "run": cell.name,
        "grid": str(cell.spec["grid"]),
        "fingerprint": cell.fingerprint,
        "state": cell.state(),
        "epochs finished": str(len(rows)),
        "dev rSum": dev,
    }


def _differing(rows: list[Differing], nothing: str) -> str:
    return _table(["", "A", "B"], [[row.key, row.a, row.b] for row in rows]) if rows else nothing


def _scores(outcome: Outcome) -> str:
    paired = any(score.difference for score in outcome.scores)
    heads = ["", "A", "B", "A − B", *(["95 % interval", "p, adjusted", ""] if paired else [])]
    table = _table(heads, [_score(score, paired) for score in outcome.scores], numbers=range(1, 6 if paired else 4))
    ranks = " Of ranks the smaller is the better, and there is no interval." if paired else ""
    return f"{table}\n\n{WHAT_P_IS}{ranks}" if paired else table


def _score(score: Score, paired: bool) -> list[str]:
    row = [MEASURES[score.metric].title, f"{score.a:.1f}", f"{score.b:.1f}", _signed(score.a - score.b)]
    if not paired:
        return row
    if score.difference is None or score.p is None:
        return [*row, "", "", ""]
    interval = f"{_signed(score.difference.low)} to {_signed(score.difference.high)}"
    return [*row, interval, f"{score.p:.4f}", score.verdict]


def _queries(outcome: Outcome, names: Names | None) -> list[str]:
    heads = ["", "queries", "A better", "B better", "equal", "R@1 won by A", "R@1 lost by A"]
    rows = [[WAYS[t.way], *map(str, (t.queries, t.a_better, t.b_better, t.equal, t.won, t.lost))]
            for t in outcome.tallies]  # fmt: skip
    parts = [f"### Queries, protocol {outcome.protocol}", _table(heads, rows, numbers=range(1, 7))]
    for side, queries in (("A", outcome.gains), ("B", outcome.losses)):
        if queries:
            parts += [f"Ranked better by {side} (largest ratio of ranks first):", _listed(queries, names)]
    return parts


def _listed(queries: list[Query], names: Names | None) -> str:
    heads = ["query", "index", "rank A", "rank B", *(["image", "caption"] if names else [])]
    rows = []
    for query in queries:
        row = [WAYS[query.way], str(query.index), str(query.rank_a), str(query.rank_b)]
        if names:
            image, text = names.of(query)
            row += [image, text if len(text) <= CAPTION else text[: CAPTION - 1] + "…"]
        rows.append(row)
    return _table(heads, rows, numbers=range(1, 4))


def _signed(value: float, digits: int = 1) -> str:
    text = f"{value:+.{digits}f}"
    return "0" + text[2:] if float(text) == 0 else text.replace("-", "−")


def _table(heads: list[str], rows: list[list[str]], numbers: Sequence[int] = ()) -> str:
    align = ["right" if column in numbers else "left" for column in range(len(heads))]
    body = [[word.replace("|", "\\|") for word in row] for row in rows]
    return tabulate(body, heads, tablefmt="pipe", disable_numparse=True, colalign=align)
