"""The two figures of the theory: lines are what it says, marks are what was measured."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from harness.reporting.figures import style
from harness.theory import momentum, trials
from harness.theory.labels import EPOCHS, EPSILON, ERROR, MEAN, NOISES, RETURN, SLOPES, START, VARIANCE, Noise
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
    made, axes = _four()
    tan = frame[(frame["transform"] == "tan") & frame["q"].notna()]
    here = tan[tan["candidates"] == SHOWN_CANDIDATES]
    _over_eta(axes[0], here, SHOWN_CANDIDATES, [(trials.WITNESS, "o", True), (trials.RANDOM, "v", False)])
    style.title(
        axes[0],
        f"Noise rate, {SHOWN_CANDIDATES} candidates",
        "line: bound; dot: built to attain it; triangle: worst random class",
    )
    _over_candidates(axes[1], tan[tan["eta"] == SHOWN_ETA])
    style.title(axes[1], f"Candidates, noise rate {SHOWN_ETA:g}", "falls to a limit as there are more")
    _all_cases(axes[2], frame)
    style.title(axes[2], "Every setting, all transforms", "nothing lies above the line of equality")
    _over_eta(axes[3], frame[frame["claim"] == LINEAR], LINEAR_CANDIDATES, [(LINEAR, "D", True)])
    style.title(
        axes[3],
        f"Illustration: trained linear softmax, K = {LINEAR_CANDIDATES}",
        "local minima, each the better from the other's end",
    )
    return made


def draw_momentum(frame: pd.DataFrame) -> "Figure":
    """Mean and variance of the label, the cost of drift, the return from 0; for uniform p."""
    made, axes = _four()
    noise, here = NOISES[SHOWN_NOISE], frame[frame["noise"] == SHOWN_NOISE]
    _forgetting(axes[0], here[(here["claim"] == MEAN) & (here["phi"] == 0)], noise)
    _variance(axes[1], here[(here["claim"] == VARIANCE) & (here["epochs"] == LAST)], noise)
    _drift(axes[2], here[(here["claim"] == ERROR) & (here["epochs"] == LAST) & (here["slope"] > 0)], noise)
    _return(axes[3], here[here["claim"] == RETURN], noise)
    for axis in axes:
        axis.set_ylim(bottom=0)
        axis.legend(fontsize=8.5, frameon=False)
    return made


def _forgetting(axes: "Axes", frame: pd.DataFrame, noise: Noise) -> None:
    epochs = range(LAST + 1)
    for beta, colour in zip(SHOWN_BETAS, style.COLOURS, strict=False):
        line = [momentum.mean(t, START, beta, noise.mean) for t in epochs]
        axes.plot(epochs, line, color=colour, label=f"β = {beta:g}")
        _marks(axes, frame[frame["beta"] == beta], "epochs", colour)
    half_life = f"half-life {momentum.half_life(0.8):.1f} epochs at β = 0.8"
    style.title(axes, "The mean forgets its start", f"line: closed form; dot: simulated; {half_life}")
    axes.set(xlabel="Epoch", ylabel="Mean of the label")


def _variance(axes: "Axes", frame: pd.DataFrame, noise: Noise) -> None:
    for phi, colour in zip(sorted(frame["phi"].unique()), style.COLOURS, strict=False):
        line = [momentum.variance(LAST, b, noise.variance, phi) / noise.variance for b in FINE_BETAS]
        axes.plot(FINE_BETAS, line, color=colour, label=f"φ = {phi:g}")
        some = frame[frame["phi"] == phi]
        _marks(axes, some.assign(measured=some["measured"] / noise.variance), "beta", colour)
    below = f"after {LAST} epochs; φ: correlation of p from epoch to epoch"
    style.title(axes, "The variance does not vanish", below)
    axes.set(xlabel="Momentum β", ylabel="Variance of the label / of p")


def _drift(axes: "Axes", frame: pd.DataFrame, noise: Noise) -> None:
    level, slope, variance = noise.mean / 2, max(SLOPES), noise.variance / 4
    spread = np.array([momentum.variance(LAST, b, variance) for b in FINE_BETAS])
    error = np.array([momentum.square_error(LAST, level, b, level, slope, variance) for b in FINE_BETAS])
    lag = np.maximum(error - spread, 0)
    for values, colour, dash, label in (
        (error, style.COLOURS[0], "-", "error"),
        (spread, style.COLOURS[1], "--", "from the variance"),
        (lag, style.COLOURS[2], "--", "from the lag"),
    ):
        axes.plot(FINE_BETAS, np.sqrt(values), color=colour, linestyle=dash, label=label)
    _marks(axes, frame.assign(measured=np.sqrt(frame["measured"])), "beta", style.COLOURS[0])
    below = f"p rises by 1/60 an epoch; label and p start alike; epoch {LAST}"
    style.title(axes, "Drift: too much momentum lags", below)
    axes.set(xlabel="Momentum β", ylabel="Root mean square of label − E p")


def _return(axes: "Axes", frame: pd.DataFrame, noise: Noise) -> None:
    epochs = range(LAST + 1)
    for beta, colour in zip(SHOWN_BETAS, style.COLOURS, strict=False):
        chance = noise.tail(momentum.needed_to_return(beta, EPSILON))
        line = [momentum.chance_of_return(t, chance) for t in epochs]
        axes.plot(epochs, line, color=colour, label=f"β = {beta:g}")
        _marks(axes, frame[frame["beta"] == beta], "epochs", colour)
    style.title(axes, "From 0 back", f"needs p ≥ ε / (1 − β), ε = {EPSILON:g}; at β = 0.95 never")
    axes.set(xlabel="Epoch", ylabel="Share of pairs that have returned")


def _over_eta(axes: "Axes", frame: pd.DataFrame, candidates: int, marks: list[tuple[str, str, bool]]) -> None:
    """Bound as a line for each q, and what was measured for each claim with its marker, filled or hollow."""
    etas = np.linspace(0, 1 - 1 / candidates, 300, endpoint=False)
    for q, colour in zip(sorted(frame["q"].unique()), style.COLOURS, strict=False):
        axes.plot(etas, [clean_excess_bound(float(e), q, candidates) for e in etas], color=colour, label=f"q = {q:g}")
        for claim, marker, filled in marks:
            some = frame[(frame["claim"] == claim) & (frame["q"] == q)]
            face = colour if filled else "white"
            axes.plot(
                some["eta"], some["measured"], marker, color=colour, markerfacecolor=face, markersize=5, clip_on=False
            )
    axes.set(xlabel="Noise rate η", ylabel="Excess of the clean risk", ylim=(0, None), xlim=(0, 1))
    axes.legend(fontsize=8.5, frameon=False)


def _over_candidates(axes: "Axes", frame: pd.DataFrame) -> None:
    many = np.unique(np.geomspace(2, 1000, 60).astype(int))
    for q, colour in zip(sorted(frame["q"].unique()), style.COLOURS, strict=False):
        axes.plot(many, [clean_excess_bound(SHOWN_ETA, q, int(k)) for k in many], color=colour, label=f"q = {q:g}")
        some = frame[(frame["claim"] == trials.WITNESS) & (frame["q"] == q)]
        axes.plot(some["candidates"], some["measured"], "o", color=colour, markersize=5, clip_on=False)
    axes.set(xscale="log", xlabel="Candidates K", ylabel="Excess of the clean risk", ylim=(0, None))


def _all_cases(axes: "Axes", frame: pd.DataFrame) -> None:
    claims = [trials.RANDOM, trials.GRID, trials.SAMPLED, trials.WITNESS]
    for claim, colour, marker in zip(claims, style.COLOURS, style.MARKERS, strict=False):
        some = frame[(frame["claim"] == claim) & (frame["theory"] > 1e-6) & (frame["measured"] > 1e-6)]
        label = claim.removeprefix("clean excess, ")
        axes.plot(some["theory"], some["measured"], marker, color=colour, markersize=3, alpha=0.7, label=label)
    ends = [1e-4, 10]
    axes.plot(ends, ends, color=style.GREY, linewidth=1)
    axes.set(xscale="log", yscale="log", xlabel="Bound", ylabel="Measured excess", xlim=ends, ylim=ends)
    axes.legend(fontsize=8, loc="upper left", frameon=False)


def _marks(axes: "Axes", frame: pd.DataFrame, x: str, colour: str) -> None:
    axes.plot(frame[x], frame["measured"], "o", color=colour, markersize=4.5, clip_on=False, zorder=4)


def _four() -> "tuple[Figure, list[Axes]]":
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(style.STYLE):
        made = Figure(figsize=(10.4, 7.6), layout="constrained")
        axes = made.subplots(2, 2)
    return made, list(axes.flat)
