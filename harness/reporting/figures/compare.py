"""The dev curves of two runs over each other, and below them how well their labels tell clean from noisy pairs."""

from itertools import groupby
from typing import TYPE_CHECKING, Any

from harness.reporting.figures import style
from harness.reporting.figures.curves import Row, series

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    Run = tuple[str, list[Row], dict[str, Any] | None]

PANELS = {"dev/rsum": "dev rSum", "labels/auc": "label AUC"}
NAME = 90  # characters of a run's name that fit over the axes


def figure(a: "Run", b: "Run") -> "Figure | None":
    """Dev rSum over the epochs; label AUC where both have labels and a known truth. None without an epoch.

    a, b: name, rows of the cell, and {"piece", "epoch" in the piece} of the selected network if it is known.
    """
    runs = [run for run in (a, b) if run[1]]
    if not runs:
        return None
    both = all(series(rows, "labels/auc")[0] for _, rows, _ in (a, b))
    keys = [key for key in PANELS if key == "dev/rsum" or both]
    made, axes = style.figure(7.2, 5.6 if both else 3.8, rows=len(keys), sharex=True)
    for (_, rows, _), colour, marker in zip((a, b), style.COLOURS, style.MARKERS, strict=False):
        for each, key in zip(axes, keys, strict=True):
            _line(each, rows, key, colour, marker)
    _selected(axes[0], (a, b))
    for each, key in zip(axes, keys, strict=True):
        each.set_ylabel(PANELS[key])
    _pieces(axes, a[1], b[1])
    _who(axes[0], [(f"{side}: {run[0]}", bool(run[1])) for side, run in zip("AB", (a, b), strict=True)])
    axes[0].margins(y=0.16)
    axes[-1].set_xlabel("epoch")
    axes[-1].locator_params(axis="x", integer=True)
    return made


def _line(axes: "Axes", rows: list[Row], key: str, colour: str, marker: str) -> None:
    """Interrupted where a piece began anew."""
    for _, piece in groupby(rows, key=lambda row: row["piece"]):
        x, y = series(list(piece), key)
        axes.plot(x, y, color=colour, marker=marker, markersize=3.5)


def _selected(axes: "Axes", runs: "tuple[Run, Run]") -> None:
    """A ring around the epoch whose network was kept, with its dev rSum: the higher one's above, the other's below."""
    kept = []
    for (_, rows, best), colour in zip(runs, style.COLOURS, strict=False):
        chosen = [
            row for row in rows if best and (row["piece"], row["epoch_in_piece"]) == (best["piece"], best["epoch"])
        ]
        kept += [(*point, colour) for point in zip(*series(chosen, "dev/rsum"), strict=True)]
    for x, y, colour in kept:
        axes.plot(x, y, "o", markersize=10, markerfacecolor="none", color=colour)
        offset = 9 if y == max(height for _, height, _ in kept) else -17
        axes.annotate(
            f"{y:.1f}", (x, y), (0, offset), textcoords="offset points", ha="center", fontsize=9, color=colour
        )


def _pieces(axes: "list[Axes]", *runs: list[Row]) -> None:
    """A dotted line where a run began anew, in its colour; in grey where both did."""
    starts: dict[tuple[int, int], str] = {}  # (epoch, piece) -> who
    for side, rows in zip("AB", runs, strict=True):
        for row in rows:
            if row["epoch_in_piece"] == 0 and row["piece"]:
                starts[row["epoch"], row["piece"]] = starts.get((row["epoch"], row["piece"]), "") + side
    for (epoch, piece), who in starts.items():
        colour = {"A": style.COLOURS[0], "B": style.COLOURS[1]}.get(who, style.GREY)
        for each in axes:
            each.axvline(epoch - 0.5, color=colour, linewidth=0.8, linestyle=":")
        also = who == "B" and any(other == epoch and side == "A" for (other, _), side in starts.items())
        axes[0].annotate(
            f"piece {piece}", (epoch - 0.5, 1), (3, -14 if also else -2), xycoords=axes[0].get_xaxis_transform(),
            textcoords="offset points", fontsize=8.5, color=colour, va="top",
        )  # fmt: skip


def _who(axes: "Axes", names: list[tuple[str, bool]]) -> None:
    """The runs' names over the axes, in their colours."""
    from matplotlib.lines import Line2D

    handles = []
    for (name, there), colour, marker in zip(names, style.COLOURS, style.MARKERS, strict=False):
        short = name if len(name) <= NAME else name[: NAME - 1] + "…"
        words = short if there else f"{short} (no epoch finished)"
        handles.append(Line2D([], [], color=colour, marker=marker, markersize=4, label=words))
    axes.legend(
        handles=handles, loc="lower left", bbox_to_anchor=(0, 1.0), borderaxespad=0.4, handlelength=1.6,
        labelcolor="linecolor", fontsize=9.5, borderpad=0, frameon=False,
    )  # fmt: skip
