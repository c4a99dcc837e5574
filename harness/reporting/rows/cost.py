"""What a row of a report costs to train and to use: means over its finished runs."""

import statistics
from collections.abc import Iterable
from dataclasses import dataclass

from harness.reporting.rows.rows import Group, Row
from harness.reporting.runs import Run


@dataclass(frozen=True)
class Cost:
    """None: unknown, as of a run that an older version trained.

    Attributes:
        seconds: of training for an epoch, evaluation of dev included.
        relative: the same, divided by that of the baseline in the row's group.
        peak_bytes: the most memory that training held.
        parameters: numbers learnt, of all networks.
        networks: that score together at test time.
        alone: rSum of a single network, where several score together.
    """

    seconds: float | None
    relative: float | None
    peak_bytes: float | None
    parameters: float | None
    networks: int | None
    alone: float | None


def cost_of(row: Row, baseline: Row | None, protocol: str) -> Cost:
    """The cost of a row, relative to that of another."""
    seconds = seconds_of(row)
    reference = seconds_of(baseline) if baseline else None
    counts = [max(1, len(run.alone("rsum", protocol))) for run in row.runs if run.result]
    alone = [value for run in row.runs for value in run.alone("rsum", protocol)]
    return Cost(
        seconds,
        seconds / reference if seconds is not None and reference else None,
        _mean(run.result.get("peak_bytes") for run in row.runs),
        _mean(run.result.get("parameters") for run in row.runs),
        max(counts, default=None),
        statistics.fmean(alone) if alone else None,
    )


def baseline_of(group: Group, axis: int, value: str) -> Row | None:
    """The row of a group whose place on an axis is the baseline's."""
    return next((row for row in group if row.runs and str(row.place[axis]) == value), None)


def seconds_of(row: Row) -> float | None:
    """Of an epoch."""
    return _mean(_seconds(run) for run in row.runs)


def _seconds(run: Run) -> float | None:
    return run.seconds / run.epochs if run.epochs else None


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None
