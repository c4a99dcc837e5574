"""The two figures of the theory: lines are what it says, marks are what was measured."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from harness.reporting.figures import style
from harness.theory import momentum, trials
from harness.theory.labels import EPOCHS, EPSILON, ERROR, MEAN, NOISES, RETURN, SLOPES, START, VARIANCE
from harness.theory.linear import CANDIDATES as LINEAR_CANDIDATES
from harness.theory.linear import LINEAR
from harness.theory.robustness import clean_excess_bound

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN_CANDIDATES = 20
SHOWN_ETA = 0.4
SHOWN_NOISE = "uniform"
SHOWN_BETAS = (0.0, 0.5, 0.8, 0.85, 0.95)
FINE_BETAS = [number / 100 for number in range(96)]
LAST = max(EPOCHS)


def draw_bound(frame: pd.DataFrame) -> "Figure":
    """Bound and measured excess over noise rate, over candidates, over all cases, and for a trained model."""
    made, axes = style.figure(10.4, 7.6, 2, 2)
    excess = "Excess of the clean risk"
    tan = frame[(frame["transform"] == "tan") & frame["q"].notna()]

    below = "line: bound; dot: built to attain it; triangle: worst random class"
    style.title(axes[0], f"Noise rate, {SHOWN_CANDIDATES} candidates", below)
    here = tan[tan["candidates"] == SHOWN_CANDIDATES]
    _draw_over_eta(axes[0], here, SHOWN_CANDIDATES, {trials.WITNESS: "o", trials.RANDOM: "v"})

    style.title(axes[1], f"Candidates, noise rate {SHOWN_ETA:g}", "falls to a limit as there are more")
    many = np.unique(np.geomspace(2, 1000, 60).astype(int)).tolist()
    here = tan[(tan["eta"] == SHOWN_ETA) & (tan["claim"] == trials.WITNESS)]
    _draw(
        axes[1], here, "q", "candidates", many, lambda k, q: clean_excess_bound(SHOWN_ETA, q, k), markersize=5, zorder=2
    )
    axes[1].set(xscale="log", xlabel="Candidates K", ylabel=excess, ylim=(0, None))

    style.title(axes[2], "Every setting, all transforms", "nothing lies above the line of equality")
    _draw_all_cases(axes[2], frame)

    name = f"Illustration: trained linear softmax, K = {LINEAR_CANDIDATES}"
    style.title(axes[3], name, "local minima, each the better from the other's end")
    _draw_over_eta(axes[3], frame[frame["claim"] == LINEAR], LINEAR_CANDIDATES, {LINEAR: "D"})

    for each in (axes[0], axes[3]):
        each.set(xlabel="Noise rate η", ylabel=excess, ylim=(0, None), xlim=(0, 1))
        each.legend(fontsize=8.5, frameon=False)
    return made


def draw_momentum(frame: pd.DataFrame) -> "Figure":
    """Mean and variance of the label, the cost of drift, the return from 0; for uniform p."""
    made, axes = style.figure(10.4, 7.6, 2, 2)
    noise, here = NOISES[SHOWN_NOISE], frame[frame["noise"] == SHOWN_NOISE]
    epochs = range(LAST + 1)

    def variance(beta: float, phi: float) -> float:
        return momentum.variance(LAST, beta, noise.variance, phi) / noise.variance

    def chance(epoch: int, beta: float) -> float:
        return momentum.chance_of_return(epoch, noise.tail(momentum.needed_to_return(beta, EPSILON)))

    below = f"line: closed form; dot: simulated; half-life {momentum.half_life(0.8):.1f} epochs at β = 0.8"
    style.title(axes[0], "The mean forgets its start", below)
    some = here[(here["claim"] == MEAN) & (here["phi"] == 0)]
    _draw(axes[0], some, "beta", "epochs", epochs, lambda t, b: momentum.mean(t, START, b, noise.mean), SHOWN_BETAS)
    axes[0].set(xlabel="Epoch", ylabel="Mean of the label")

    below = f"after {LAST} epochs; φ: correlation of p from epoch to epoch"
    style.title(axes[1], "The variance does not vanish", below)
    some = here[(here["claim"] == VARIANCE) & (here["epochs"] == LAST)]
    some = some.assign(measured=some["measured"] / noise.variance)
    _draw(axes[1], some, "phi", "beta", FINE_BETAS, variance)
    axes[1].set(xlabel="Momentum β", ylabel="Variance of the label / of p")

    below = f"p rises by 1/60 an epoch; label and p start alike; epoch {LAST}"
    style.title(axes[2], "Drift: too much momentum lags", below)
    _draw_drift(axes[2], here[(here["claim"] == ERROR) & (here["epochs"] == LAST) & (here["slope"] > 0)])

    style.title(axes[3], "From 0 back", f"needs p ≥ ε / (1 − β), ε = {EPSILON:g}; at β = 0.95 never")
    _draw(axes[3], here[here["claim"] == RETURN], "beta", "epochs", epochs, chance, SHOWN_BETAS)
    axes[3].set(xlabel="Epoch", ylabel="Share of pairs that have returned")
    for each in axes:
        each.set_ylim(bottom=0)
        each.legend(fontsize=8.5, frameon=False)
    return made


SYMBOLS = {"q": "q", "beta": "β", "phi": "φ"}


def _draw(
    axes: "Axes", frame: pd.DataFrame, series: str, x: str, at: Sequence[Any], law: Callable[[Any, float], float],
    values: Sequence[float] = (), marker: str = "o", **look: Any,
) -> None:  # fmt: skip
    """The law at the places `at` as a line for each value of a series, and what was measured there as marks."""
    for value, colour in zip(values or sorted(frame[series].unique()), style.COLOURS, strict=False):
        axes.plot(at, [law(place, value) for place in at], color=colour, label=f"{SYMBOLS[series]} = {value:g}")
        _mark(axes, frame[frame[series] == value], x, colour, marker, **look)


def _mark(axes: "Axes", frame: pd.DataFrame, x: str, colour: str, marker: str = "o", **look: Any) -> None:
    axes.plot(
        frame[x], frame["measured"], marker, color=colour, clip_on=False, **{"markersize": 4.5, "zorder": 4, **look}
    )


def _draw_over_eta(axes: "Axes", frame: pd.DataFrame, candidates: int, markers: dict[str, str]) -> None:
    """Bound as a line for each q; what was measured with the marker of its claim, a triangle hollow."""
    etas = np.linspace(0, 1 - 1 / candidates, 300, endpoint=False)
    for q, colour in zip(sorted(frame["q"].unique()), style.COLOURS, strict=False):
        axes.plot(etas, [clean_excess_bound(float(e), q, candidates) for e in etas], color=colour, label=f"q = {q:g}")
        for claim, marker in markers.items():
            face = "white" if marker == "v" else colour
            some = frame[(frame["claim"] == claim) & (frame["q"] == q)]
            _mark(axes, some, "eta", colour, marker, markersize=5, zorder=2, markerfacecolor=face)


def _draw_all_cases(axes: "Axes", frame: pd.DataFrame) -> None:
    claims = [trials.RANDOM, trials.GRID, trials.SAMPLED, trials.WITNESS]
    for claim, colour, marker in zip(claims, style.COLOURS, style.MARKERS, strict=False):
        some = frame[(frame["claim"] == claim) & (frame["theory"] > 1e-6) & (frame["measured"] > 1e-6)]
        name = claim.removeprefix("clean excess, ")
        axes.plot(some["theory"], some["measured"], marker, color=colour, markersize=3, alpha=0.7, label=name)
    ends = [1e-4, 10]
    axes.plot(ends, ends, color=style.GREY, linewidth=1)
    axes.set(xscale="log", yscale="log", xlabel="Bound", ylabel="Measured excess", xlim=ends, ylim=ends)
    axes.legend(fontsize=8, loc="upper left", frameon=False)


def _draw_drift(axes: "Axes", frame: pd.DataFrame) -> None:
    noise = NOISES[SHOWN_NOISE]
    level, slope, variance = noise.mean / 2, max(SLOPES), noise.variance / 4
    spread = np.array([momentum.variance(LAST, b, variance) for b in FINE_BETAS])
    error = np.array([momentum.square_error(LAST, level, b, level, slope, variance) for b in FINE_BETAS])
    lines = {"error": error, "from the variance": spread, "from the lag": np.maximum(error - spread, 0)}
    for (name, values), colour in zip(lines.items(), style.COLOURS, strict=False):
        axes.plot(FINE_BETAS, np.sqrt(values), "-" if name == "error" else "--", color=colour, label=name)
    _mark(axes, frame.assign(measured=np.sqrt(frame["measured"])), "beta", style.COLOURS[0])
    axes.set(xlabel="Momentum β", ylabel="Root mean square of label − E p")
