"""The figures of a search: its history, which parameters matter, the value over each, and over the two that matter
most."""

from typing import TYPE_CHECKING, Literal

import numpy as np

from harness.printing.numbers import count
from harness.reporting.figures import style
from harness.reporting.trials import PAPER, Trials

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 3  # slices beside each other
FEWEST = 5  # points below which a surface is not drawn through them


def draw_sweep(title: str, trials: Trials) -> "dict[str, Figure]":
    """The figures by name: "" is the history; the others are there when there is something to show."""
    found = {"": _draw_history(title, trials)}
    if trials.importance:
        found["importance"] = _draw_importance(title, trials)
    if len(trials.complete):
        found["slices"] = _draw_slices(title, trials)
    surface = _draw_contour(title, trials)
    if surface is not None:
        found["contour"] = surface
    return found


def _draw_history(title: str, trials: Trials) -> "Figure":
    """The value of every trial and the best so far."""
    made, [axes] = style.figure(7.2, 3.8)
    done = trials.complete
    style.head(made, title, f"{len(done)} of {trials.budget} trials have a value")
    axes.set(xlabel="trial", ylabel=trials.objective)
    if done.empty:
        style.nothing(axes, "no finished trials yet")
        return made
    best = done["value"].cummax() if trials.higher_is_better else done["value"].cummin()
    shown = {}
    [shown["best so far"]] = axes.step(done["number"], best, where="post", color=style.GREY, linewidth=1.4)
    [shown["trial"]] = axes.plot(done["number"], done["value"], "o", color=style.COLOURS[0])
    pruned = trials.table[(trials.table["state"] == "pruned") & trials.table["value"].notna()]
    if len(pruned):
        [shown["stopped early"]] = axes.plot(pruned["number"], pruned["value"], "x", color=style.COLOURS[0])
    if trials.paper is not None:
        shown[f"the paper's values (trial {PAPER})"] = style.ring(axes, trials.paper["number"], trials.paper["value"])
    style.legend(made, shown)
    axes.locator_params(axis="x", integer=True)
    return made


def _draw_importance(title: str, trials: Trials) -> "Figure":
    """The share of the value's variance that goes with each parameter, as the search estimated it."""
    names = trials.by_importance()
    made, [axes] = style.figure(7.2, 1.4 + 0.36 * len(names))
    style.head(made, title, f"importance for {trials.objective}, estimated from {count(len(trials.complete), 'trial')}")
    axes.grid(visible=False)
    shares = [100 * trials.importance.get(name, 0.0) for name in names]
    axes.barh(range(len(names)), shares, height=0.6, color=style.COLOURS[0])
    for place, share in enumerate(shares):
        axes.annotate(f"{share:.0f} %", (share, place), (4, 0), textcoords="offset points", va="center", fontsize=9)
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="percent", xlim=(0, 1.12 * max([*shares, 1.0])), ylim=(len(names) - 0.4, -0.6))
    return made


def _draw_slices(title: str, trials: Trials) -> "Figure":
    """The value over each parameter by itself; the others differ from trial to trial."""
    names = trials.by_importance()
    columns = min(COLUMNS, len(names))
    made, axes = style.panels(len(names), columns, 0.6, 2.9, 0.9, 2.5, narrowest=5.0)
    style.head(made, title, "each trial over one parameter, the others as they were; ring: the paper's values")
    done = trials.complete
    for number, (name, each) in enumerate(zip(names, axes, strict=True)):
        each.set_xlabel(name)
        if number % columns == 0:
            each.set_ylabel(trials.objective)
        places = _x(each, trials, name)
        each.plot([places[at] for at in done["number"]], done["value"], "o", color=style.COLOURS[0], alpha=0.8)
        if trials.paper is not None:
            style.ring(each, places[PAPER], trials.paper["value"])
    return made


def _draw_contour(title: str, trials: Trials) -> "Figure | None":
    """The value over the two most important numeric parameters; None where there are not two, or too few trials.

    The surface between the trials is interpolated linearly on their triangles.
    """
    names = [name for name in trials.by_importance() if trials.is_numeric(name)][:2]
    done = trials.complete
    if len(names) < 2 or len(done) < FEWEST:
        return None
    x, y = (done[name].to_numpy(float) for name in names)
    mean = done.groupby(names)["value"].mean().reset_index()
    scaled = [np.log10(mean[name]) if name in trials.log else mean[name] for name in names]
    points = np.column_stack([(values - values.min()) / ((values.max() - values.min()) or 1) for values in scaled])
    if len(points) < FEWEST or np.linalg.matrix_rank(points - points[0], tol=1e-6) < 2:
        return None
    from matplotlib.tri import Triangulation

    near = Triangulation(*points.T).triangles  # neighbours as they are seen, whatever the units
    triangles = Triangulation(mean[names[0]], mean[names[1]], near)
    made, [axes] = style.figure(6.4, 4.6)
    style.head(made, title, f"{trials.objective}, interpolated between the trials (points); ring: the paper's values")
    axes.grid(visible=False)
    surface = axes.tricontourf(triangles, mean["value"], levels=12, cmap="viridis")
    made.colorbar(surface, ax=axes, label=trials.objective)
    axes.plot(x, y, "o", color="white", markeredgecolor=style.INK, markersize=5)
    _scale(axes, "x", names[0] in trials.log)
    _scale(axes, "y", names[1] in trials.log)
    if trials.paper is not None:
        style.ring(axes, *(float(trials.paper[name]) for name in names))
    axes.use_sticky_edges = False
    axes.margins(0.04)
    axes.set(xlabel=names[0], ylabel=names[1])
    return made


def _scale(axes: "Axes", which: Literal["x", "y"], log: bool) -> None:
    """A logarithmic axis where the search drew from one, with its ticks as plain numbers."""
    if log:
        from matplotlib.ticker import LogLocator, NullLocator

        axes.set(**{f"{which}scale": "log"})
        axis = axes.xaxis if which == "x" else axes.yaxis
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(lambda value, _: f"{value:g}")


def _x(axes: "Axes", trials: Trials, name: str) -> "dict[int, float]":
    """Trial number -> place on a parameter's axis, which is made to fit; words stand in the order of the alphabet."""
    numbers, values = trials.complete["number"].tolist(), trials.complete[name].tolist()
    if trials.is_numeric(name):
        _scale(axes, "x", name in trials.log)
        return dict(zip(numbers, map(float, values), strict=True))
    words = sorted(set(map(str, values)))
    axes.set_xticks(range(len(words)), words, rotation=35, ha="right")
    axes.set_xlim(-0.5, len(words) - 0.5)
    return {number: float(words.index(str(value))) for number, value in zip(numbers, values, strict=True)}
