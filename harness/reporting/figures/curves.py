"""The curves of one run, and of two over each other: dev retrieval, and how well labels tell clean from noisy pairs.

A run is given by its name, its rows (one for each finished epoch) and {"piece", "epoch" in the piece} of the selected
network, None while it is not known.
"""

from itertools import groupby
from typing import TYPE_CHECKING, Any

from harness.ledger import Cell
from harness.printing.numbers import ordinal
from harness.reporting.figures import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Row = dict[str, Any]
Run = tuple[str, list[Row], dict[str, Any] | None]

LABELS = {
    "labels/auc": ("AUC", style.COLOURS[0]),
    "labels/mean_clean": ("mean of clean", style.COLOURS[2]),
    "labels/mean_noisy": ("mean of noisy", style.COLOURS[1]),
    "labels/share_zero": ("share at zero", style.GREY),
}
NAME = 90  # characters of a run's name that fit over the axes


def figures(cell: Cell) -> "dict[str, Figure]":
    """Name -> figure of a run's epochs; none for a run that has finished none."""
    rows = cell.rows()
    return {"curves": draw_one(cell.name, rows, (cell.result() or {}).get("best"))} if rows else {}


def draw_one(name: str, rows: list[Row], best: dict[str, Any] | None = None) -> "Figure":
    """Dev rSum over the epochs, the pieces marked, and the labels below where there are any."""
    with_labels = any(row["values"].get(key) is not None for row in rows for key in LABELS)
    made, axes = style.figure(7.2, 5.4 if with_labels else 3.4, rows=2 if with_labels else 1, sharex=True)
    style.title(axes[0], name)
    axes[0].set_ylabel("dev rSum")
    for row in rows:
        if row["epoch_in_piece"] == 0 and row["piece"]:
            _mark_start(axes, row["epoch"], row["piece"], style.GREY)
    _plot(axes[0], rows, "dev/rsum", style.COLOURS[0], "o")
    for at in _selected(rows, best):
        axes[0].plot(*at, "o", markersize=10, markerfacecolor="none", color=style.INK)
        axes[0].annotate(f"selected: {at[1]:.1f}", at, (0, 10), textcoords="offset points", ha="center", fontsize=9)
        axes[0].margins(y=0.16)
    if with_labels:
        _plot_labels(axes[1], rows)
    _count_epochs(axes[-1])
    return made


def draw_two(a: Run, b: Run) -> "Figure | None":
    """Dev rSum over the epochs; label AUC where both have labels and a known truth. None without an epoch."""
    if not a[1] and not b[1]:
        return None
    panels = {"dev/rsum": "dev rSum"}
    if all(series(rows, "labels/auc")[0] for _, rows, _ in (a, b)):
        panels["labels/auc"] = "label AUC"
    made, axes = style.figure(7.2, 5.6 if len(panels) == 2 else 3.8, rows=len(panels), sharex=True)
    looks = list(zip(style.COLOURS, style.MARKERS, strict=True))[:2]
    for (_, rows, _), look in zip((a, b), looks, strict=True):
        for each, key in zip(axes, panels, strict=True):
            _plot(each, rows, key, *look)
    kept = [
        (*at, colour)
        for (_, rows, best), (colour, _) in zip((a, b), looks, strict=True)
        for at in _selected(rows, best)
    ]
    for x, y, colour in kept:  # the higher one's value above it, the other's below
        axes[0].plot(x, y, "o", markersize=10, markerfacecolor="none", color=colour)
        offset = (0, 9 if y == max(height for _, height, _ in kept) else -17)
        axes[0].annotate(f"{y:.1f}", (x, y), offset, textcoords="offset points", ha="center", fontsize=9, color=colour)
    for each, title in zip(axes, panels.values(), strict=True):
        each.set_ylabel(title)
    _mark_both_starts(axes, a[1], b[1])
    _name_runs(axes[0], a, b)
    axes[0].margins(y=0.16)
    _count_epochs(axes[-1])
    return made


def series(rows: list[Row], key: str) -> tuple[list[float], list[float]]:
    """Epoch and value where there is one: a label AUC without noisy pairs is not a point."""
    found = [(ordinal(row["epoch"]), row["values"][key]) for row in rows if row["values"].get(key) is not None]
    return [x for x, _ in found], [y for _, y in found]


def _selected(rows: list[Row], best: dict[str, Any] | None) -> list[tuple[float, float]]:
    """Epoch and dev rSum of the network that was kept."""
    chosen = [row for row in rows if best and (row["piece"], row["epoch_in_piece"]) == (best["piece"], best["epoch"])]
    return list(zip(*series(chosen, "dev/rsum"), strict=True))


def _plot(axes: "Axes", rows: list[Row], key: str, colour: str, marker: str) -> None:
    """A line that is interrupted where a piece began anew."""
    for _, piece in groupby(rows, key=lambda row: row["piece"]):
        axes.plot(*series(list(piece), key), color=colour, marker=marker, markersize=3.5)


def _plot_labels(axes: "Axes", rows: list[Row]) -> None:
    axes.set_ylabel("correspondence labels")
    axes.set_ylim(-0.03, 1.03)
    ends = []
    for key, (name, colour) in LABELS.items():
        x, y = series(rows, key)
        if x:
            axes.plot(x, y, color=colour, marker="o", markersize=3)
            ends.append((y[-1], name, colour))
    heights = style.spread([end[0] for end in ends], 0.09, 0, 1)
    for (_, name, colour), height in zip(ends, heights, strict=True):
        at = axes.get_yaxis_transform()
        axes.annotate(name, (1.01, height), xycoords=at, va="center", color=colour, annotation_clip=False)


def _mark_start(axes: "list[Axes]", epoch: int, piece: int, colour: str, drop: int = -2) -> None:
    """A dotted line where training began anew, before this epoch, with the number of the piece."""
    x = ordinal(epoch) - 0.5
    for each in axes:
        each.axvline(x, color=colour, linewidth=0.8, linestyle=":")
    axes[0].annotate(
        f"piece {ordinal(piece)}", (x, 1), (3, drop), xycoords=axes[0].get_xaxis_transform(),
        textcoords="offset points", fontsize=8.5, color=colour, va="top",
    )  # fmt: skip


def _mark_both_starts(axes: "list[Axes]", *runs: list[Row]) -> None:
    """In a run's colour where it alone began anew; in grey where both did."""
    starts: dict[tuple[int, int], str] = {}  # (epoch, piece) -> who
    for side, rows in zip("AB", runs, strict=True):
        for row in rows:
            if row["epoch_in_piece"] == 0 and row["piece"]:
                starts[row["epoch"], row["piece"]] = starts.get((row["epoch"], row["piece"]), "") + side
    for (epoch, piece), who in starts.items():
        colour = {"A": style.COLOURS[0], "B": style.COLOURS[1]}.get(who, style.GREY)
        also = who == "B" and any(other == epoch and side == "A" for (other, _), side in starts.items())
        _mark_start(axes, epoch, piece, colour, drop=-14 if also else -2)


def _name_runs(axes: "Axes", *runs: Run) -> None:
    """The runs' names over the axes, in their colours."""
    from matplotlib.lines import Line2D

    handles = []
    for side, (name, rows, _), colour, marker in zip("AB", runs, style.COLOURS, style.MARKERS, strict=False):
        whole = f"{side}: {name}"
        words = (whole if len(whole) <= NAME else f"{whole[: NAME - 1]}…") + ("" if rows else " (no epoch finished)")
        handles.append(Line2D([], [], color=colour, marker=marker, markersize=4, label=words))
    axes.legend(
        handles=handles, loc="lower left", bbox_to_anchor=(0, 1.0), borderaxespad=0.4, handlelength=1.6,
        labelcolor="linecolor", fontsize=9.5, borderpad=0, frameon=False,
    )  # fmt: skip


def _count_epochs(axes: "Axes") -> None:
    axes.set_xlabel("epoch")
    axes.locator_params(axis="x", integer=True)
