"""From the runs of a report to what its figure draws: means and spreads by their place on the figure's axes."""

import statistics
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from harness.errors import HarnessError
from harness.grids.expand import BASE, PARAMETER, VALUE
from harness.reporting.declaration import Bars, Lines, Pieces, Report, Robustness, Scored, Sensitivity
from harness.reporting.figures.bars import Bar, draw_bars
from harness.reporting.figures.lines import Line, draw_lines
from harness.reporting.figures.robustness import Point, draw_points
from harness.reporting.figures.sensitivity import Panel, draw_panels
from harness.reporting.rows.cost import cost_of
from harness.reporting.rows.places import base_runs, runs_by_place
from harness.reporting.rows.published import Published
from harness.reporting.rows.rows import Row, score_runs
from harness.reporting.runs import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_figure(report: Report, runs: list[Run], published: Published | None, subtitle: str) -> "Figure":
    """The figure of a report over cells."""
    spec = report.figure
    assert isinstance(spec, Scored)
    scale = f"{report.title_of(spec.y)}, {spec.split} split"
    match spec:
        case Lines():
            rate = spec.x == "noise.rate"
            xlabel = "Noise rate of the training pairs" if rate else report.title_of(spec.x)
            panels = collect_lines(report, spec, runs, published)
            return draw_lines(panels, report.title, subtitle, xlabel, scale, percent=rate)
        case Bars():
            return draw_bars(collect_bars(report, spec, runs), report.title, subtitle, scale)
        case Pieces():
            return draw_panels(collect_pieces(report, spec, runs), report.title, subtitle, scale)
        case Robustness():
            said = report.word_for(report.rows[-1], report.cost)
            lost = (
                f"{report.title_of(spec.y)} lost from clean pairs to {report.word_for('noise.rate', spec.rate)} noise"
            )
            points = collect_points(report, spec, runs)
            return draw_points(points, report.title, subtitle, f"Seconds of an epoch, {said} = 1", lost)
        case Sensitivity():
            return draw_panels(collect_parameters(report, spec, runs), report.title, subtitle, scale)
    raise AssertionError(f"a figure of the kind {spec.kind} is no figure of a table")


def collect_bars(report: Report, spec: Bars, runs: list[Run]) -> dict[str, dict[str, Bar]]:
    """Value of x -> value of the series ("" without one) -> bar."""
    axes = [spec.x, spec.series] if spec.series else [spec.x]
    found: dict[str, dict[str, Bar]] = {}
    for place, here in runs_by_place(report, runs, axes, {**report.where, **spec.where}).items():
        words = [report.word_for(axis, value) for axis, value in zip(axes, place, strict=True)]
        found.setdefault(words[0], {})[words[1] if spec.series else ""] = _mean(report, spec, here)
    return found


def collect_points(report: Report, spec: Robustness, runs: list[Run]) -> list[Point]:
    """A point for each row that is finished on clean pairs and at the rate. Its loss is a mean over the seeds that both
    have; its cost, of the rate's group."""
    rows: dict[float, dict[str, Row]] = {}
    for (rate, value), here in runs_by_place(report, runs, report.rows, {**report.where, **spec.where}).items():
        words = [report.word_for(report.rows[0], rate), report.word_for(report.rows[1], value)]
        rows.setdefault(rate, {})[str(value)] = Row((rate, value), words, here)
    noisy, clean = rows.get(spec.rate, {}), rows.get(0, {})
    baseline = noisy.get(str(report.cost))
    points = []
    for name, row in noisy.items():
        before, after = (_by_seed(report, spec, each.runs) for each in (clean.get(name, row), row))
        lost = [before[seed] - after[seed] for seed in before if seed in after]
        cost = cost_of(row, baseline, report.protocol).relative
        if name in clean and lost and cost is not None:
            spread = statistics.stdev(lost) if len(lost) > 1 else 0.0
            points.append(Point(row.words[1], cost, statistics.fmean(lost), spread))
    return points


def _by_seed(report: Report, spec: Scored, runs: list[Run]) -> dict[int, float]:
    scores = {run.planned.run.seed: run.score(spec.y, spec.split, report.protocol) for run in runs}
    return {seed: score for seed, score in scores.items() if score is not None}


def collect_lines(report: Report, spec: Lines, runs: list[Run], published: Published | None) -> dict[str, list[Line]]:
    """Panel ("" where there is one alone) -> its lines, then one for each published row alone.

    Raises:
        HarnessError: a value of x is no number.
    """
    axes = [spec.panels or "", spec.series or "", spec.x]
    found: dict[Any, dict[Any, Line]] = {}
    where = {**report.where, **spec.where}
    published = published if spec.split == "test" else None
    for place, here in runs_by_place(report, runs, [axis for axis in axes if axis], where).items():
        values = iter(place)
        panel, series, x = (next(values) if axis else "" for axis in axes)
        if not isinstance(x, int | float):
            raise HarnessError(
                f"{report.name}: the figure draws lines over {spec.x!r}, whose values are words, such as {x!r}; "
                'accepted: figure.x = an axis of numbers, or figure.kind = "bars"'
            )
        name = report.word_for(spec.series, series) if spec.series else report.title_of(spec.y)
        line = found.setdefault(panel, {}).setdefault(series, Line(name, strong=series == spec.highlight))
        mean = _mean(report, spec, here)
        line.ours += [(float(x), *mean)] if mean else []
        value = published.of_run(here[0].planned) if published else None
        line.published += [(float(x), value.metrics[spec.y])] if value and spec.y in value.metrics else []
    if published and spec.x == "noise.rate":
        rates = sorted({float(run.planned.place[spec.x]) for run in runs})
        for panel, lines in found.items():
            lines |= _collect_literature(spec, published, rates, panel if spec.panels == "backbone" else None)
    return {
        report.word_for(spec.panels, panel) if spec.panels else "": [
            line for line in lines.values() if line.ours or line.published
        ]
        for panel, lines in found.items()
    }


def _collect_literature(spec: Lines, published: Published, rates: list[float], backbone: str | None) -> dict[Any, Line]:
    """A line for each published row without a run of ours; of one backbone, where one is named."""
    found: dict[Any, Line] = {}
    for key in published.spec.also:
        for rate in rates if backbone in (None, key.backbone) else []:
            value = published.find(key.method, key.backbone, rate)
            if value is not None and spec.y in value.metrics:
                line = found.setdefault(key, Line(value.printed_name, literature=True))
                line.published.append((rate, value.metrics[spec.y]))
    return found


def collect_parameters(report: Report, spec: Sensitivity, runs: list[Run]) -> list[Panel]:
    """A panel for each hyperparameter of the grids, in their order."""
    found: dict[str, Panel] = {}
    for key, value, mean, base in _vary(report, spec, runs):
        panel = found.setdefault(key, Panel(report.word_for(PARAMETER, key)))
        panel.add(value if isinstance(value, int | float) else report.word_for(VALUE, value), mean, base)
    return list(found.values())


def collect_pieces(report: Report, spec: Pieces, runs: list[Run]) -> list[Panel]:
    """Two panels from the lengths of the runs' pieces.

    How many: those that train as many epochs as the base run in all. How long: those that have as many pieces and as
    long a last one as the base, over the length of their first. What is neither stands in no panel.
    """
    many, long = Panel("number of pieces, epochs in all as the base"), Panel("epochs of each piece before the last")
    found = [
        (list(map(int, str(value).split("-"))), mean, base)
        for _, value, mean, base in _vary(report, spec, runs, "method.pieces")
    ]
    own = next((lengths for lengths, _, base in found if base), None)
    if own is None:
        raise HarnessError(f"{report.name}: figure.where leaves out the base run, which the others are compared with")
    for lengths, mean, base in found:
        if sum(lengths) == sum(own):
            many.add(len(lengths), mean, base)
        if (len(lengths), lengths[-1]) == (len(own), own[-1]) and len(set(lengths[:-1])) == 1:
            long.add(lengths[0], mean, base)
    for panel in (many, long):
        panel.points.sort()
    return [many, long]


def _vary(report: Report, spec: Scored, runs: list[Run], only: str = "") -> Iterator[tuple[str, Any, Bar, bool]]:
    """Hyperparameter, value, mean, and whether it is the base run; of all hyperparameters or of one.

    Raises:
        HarnessError: the grids vary none, or not this one.
    """
    have = {run.planned.place.get(PARAMETER) for run in runs} - {None}
    if not have or (only and only not in have):
        what = f"{only} in its [vary]" if only else "a [vary]"
        grids = ", ".join(report.grids)
        raise HarnessError(f'{report.name}: figure.kind = "{spec.kind}" needs a grid with {what}; {grids} has none')
    where = {**report.where, **spec.where, **({PARAMETER: [only]} if only else {})}
    base = base_runs(runs)
    for (key, value), here in runs_by_place(report, runs, [PARAMETER, VALUE], where).items():
        if key != BASE:
            yield key, value, _mean(report, spec, here), here[0].fingerprint in base


def _mean(report: Report, spec: Scored, runs: list[Run]) -> Bar:
    """Mean and standard deviation of the figure's metric over those runs that have it; None where none has."""
    entry = score_runs(runs, spec.y, spec.split, report.protocol)
    return None if entry.mean is None else (entry.mean, entry.std or 0.0)
