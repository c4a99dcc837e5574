"""What was measured, as Markdown tables."""

from collections.abc import Callable

from harness.bench.measure import Measured
from harness.bench.sizes import PAPER, RELEASED, Sizes

Figure = Callable[[Measured], float]

# Title, value, format, and whether a ratio to another commit says something.
FIGURES: list[tuple[str, Figure, str, bool]] = [
    ("seconds per step, median", lambda m: m.seconds, "{:,.3f}", True),
    ("fastest", lambda m: min(m.step_seconds), "{:,.3f}", False),
    ("slowest", lambda m: max(m.step_seconds), "{:,.3f}", False),
    ("seconds x matmul rate, GFLOP", lambda m: m.work, "{:,.4g}", True),
    ("waiting for data, % of the loop", lambda m: 100 * m.data_share, "{:.2f}", False),
    ("peak memory over the start, GB", lambda m: m.peak_bytes / 1e9, "{:,.3f}", True),
    ("most resident memory, GB", lambda m: m.resident_bytes / 1e9, "{:,.3f}", True),
    ("model, GFLOP per step", lambda m: m.model_gflop, "{:,.4g}", True),
    ("achieved, GFLOP/s", lambda m: m.achieved, "{:,.4g}", True),
    ("matmul rate, GFLOP/s", lambda m: m.matmul, "{:,.4g}", True),
    ("achieved, % of the matmul rate", lambda m: 100 * m.achieved / m.matmul, "{:.3g}", False),
]
QUIET = 0.1  # two rates further apart than this were not measured on a quiet machine


def figures(measured: dict[str, Measured], sizes: Sizes, against: dict[str, Measured] | None) -> list[list[str]]:
    """A header, then a row for each figure: its title, and for each backbone its value (and the ratio)."""
    beside = [] if against is None else [""]  # a column of ratios behind each backbone's
    rows = [["", *(cell for name in measured for cell in (name, *(["ratio"] if beside else [])))]]
    for title, value, form, comparable in FIGURES:
        row = [title]
        for name, one in measured.items():
            other = (against or {}).get(name)
            ratio = [f"{value(one) / value(other):.3f}"] if comparable and other else beside
            row += [form.format(value(one)), *ratio]
        rows.append(row)
    if _comparable(sizes):
        shares = {name: (one.work, one.peak_bytes / 1e9) for name, one in measured.items()}
        for place, what in enumerate(("GFLOP", "memory")):
            row = [f"of the released code's {what}, %"]
            for name, ours in shares.items():
                row += [f"{100 * ours[place] / RELEASED[name][place]:.0f}", *beside]
            rows.append(row)
    return rows


def _comparable(sizes: Sizes) -> bool:
    """Whether the released code was measured at these sizes: the paper's, with any number of images in the file."""
    ours, paper = vars(sizes).copy(), vars(PAPER).copy()
    return all(ours[key] == paper[key] for key in paper if key not in ("images", "method"))


def profile(one: Measured) -> list[list[str]]:
    """A header, then the largest operations of one step by their own time."""
    rows = [["operation", "calls", "own seconds", "share, %"]]
    for operation in one.operations:
        name = operation.name.replace("autograd::engine::evaluate_function: ", "")
        rows.append([name, f"{operation.calls:,}", f"{operation.seconds:.4f}", f"{100 * operation.share:.1f}"])
    return rows


def markdown(rows: list[list[str]]) -> str:
    """The rows as a Markdown table, numbers to the right, padded so that it reads well as text."""
    widths = [max(3, *(len(row[column]) for row in rows)) for column in range(len(rows[0]))]

    def line(row: list[str]) -> str:
        cells = [
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        return f"| {' | '.join(cells)} |"

    rule = [":" + "-" * (widths[0] - 1), *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join([line(rows[0]), line(rule), *map(line, rows[1:])])


def conditions(one: Measured) -> str:
    """The circumstances in one line."""
    where = one.environment
    compiled = ", compiled" if where["compile"] else ""
    recomputing = ", recomputing" if where["recompute"] else ""
    return (
        f"{where['device']}, threads: {where['threads']}, {where['precision']}{compiled}{recomputing}, "
        f"torch {where['torch']}, commit {where['git_commit'] or 'unknown'}"
    )


def warnings(measured: dict[str, Measured]) -> list[str]:
    """What a reader should know before believing the figures."""
    return [
        f"{name}: the matmul rate was {one.matmul_before:.0f} GFLOP/s before and {one.matmul_after:.0f} after: "
        "the machine was not quiet, measure again"
        for name, one in measured.items()
        if one.unrest > QUIET
    ]
