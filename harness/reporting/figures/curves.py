"""One run at a glance: retrieval on the dev split, and how well the labels tell clean from noisy pairs."""

from typing import TYPE_CHECKING, Any

from harness.ledger import Cell
from harness.reporting.figures import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Row = dict[str, Any]
LABELS = {
    "labels/auc": ("AUC", style.COLOURS[0]),
    "labels/mean_clean": ("mean of clean", style.COLOURS[2]),
    "labels/mean_noisy": ("mean of noisy", style.COLOURS[1]),
    "labels/share_zero": ("share at zero", style.GREY),
}


def figures(cell: Cell) -> "dict[str, Figure]":
    """Name -> figure of a run's epochs; none for a run that has finished none."""
    rows = cell.rows()
    return {"curves": curves(cell.name, rows, (cell.result() or {}).get("best"))} if rows else {}


def curves(name: str, rows: list[Row], best: dict[str, Any] | None = None) -> "Figure":
    """Dev rSum over the epochs, the pieces told apart, and the labels below where there are any.

    Args:
        name: the title.
        rows: a cell's rows, one per epoch.
        best: {"piece", "epoch" in the piece} of the selected network.
    """
    with_labels = any(row["values"].get(key) is not None for row in rows for key in LABELS)
    made, axes = style.figure(7.2, 5.4 if with_labels else 3.4, rows=2 if with_labels else 1, sharex=True)
    style.title(axes[0], name)
    axes[0].set_ylabel("dev rSum")
    _pieces(axes, rows)
    for piece in sorted({row["piece"] for row in rows}):
        x, y = series([row for row in rows if row["piece"] == piece], "dev/rsum")
        axes[0].plot(x, y, color=style.COLOURS[0], marker="o", markersize=3.5)
    for row in rows:
        chosen = best is not None and (row["piece"], row["epoch_in_piece"]) == (best["piece"], best["epoch"])
        if chosen and row["values"].get("dev/rsum") is not None:
            at = (row["epoch"], row["values"]["dev/rsum"])
            axes[0].plot(*at, "o", markersize=10, markerfacecolor="none", color=style.INK)
            axes[0].annotate(f"selected: {at[1]:.1f}", at, (0, 10), textcoords="offset points", ha="center", fontsize=9)
            axes[0].margins(y=0.16)
    if with_labels:
        _labels(axes[1], rows)
    axes[-1].set_xlabel("epoch")
    axes[-1].locator_params(axis="x", integer=True)
    return made


def _labels(axes: "Axes", rows: list[Row]) -> None:
    axes.set_ylabel("correspondence labels")
    axes.set_ylim(-0.03, 1.03)
    ends = []
    for key, (label, colour) in LABELS.items():
        x, y = series(rows, key)
        if x:
            axes.plot(x, y, color=colour, marker="o", markersize=3)
            ends.append((x[-1], y[-1], label, colour))
    for (_, _, label, colour), height in zip(ends, style.spread([e[1] for e in ends], 0.09, 0, 1), strict=True):
        axes.annotate(
            label, (1.01, height), xycoords=axes.get_yaxis_transform(), va="center", color=colour,
            annotation_clip=False,
        )  # fmt: skip


def _pieces(axes: "list[Axes]", rows: list[Row]) -> None:
    """A line where training began anew, and the number of each piece above it."""
    starts = [row["epoch"] for row in rows if row["epoch_in_piece"] == 0]
    for number, start in enumerate(starts[1:], start=1):
        for each in axes:
            each.axvline(start - 0.5, color=style.GREY, linewidth=0.8, linestyle=":")
        axes[0].annotate(
            f"piece {number}", (start - 0.5, 1), (3, -2), xycoords=axes[0].get_xaxis_transform(),
            textcoords="offset points", fontsize=8.5, color=style.GREY, va="top",
        )  # fmt: skip


def series(rows: list[Row], key: str) -> tuple[list[float], list[float]]:
    """Epoch and value where there is one: a label AUC without noisy pairs is not a point."""
    found = [(row["epoch"], row["values"][key]) for row in rows if row["values"].get(key) is not None]
    return [x for x, _ in found], [y for _, y in found]
