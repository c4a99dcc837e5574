"""A report on how well labels tell clean from noisy training pairs, and how similarities and labels of both lie.

Three quantities of a run, each known for every training pair: the similarity that its selected network gives the pair,
the match (P_ii + Q_ii) / 2 that a label estimates, and the label itself.
"""

import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.evaluation.correspondence import label_report
from harness.printing.table import Table, Value, number, plain
from harness.reporting.declaration import Labels, Report
from harness.reporting.figures.labels import QUANTITIES, draw_labels
from harness.reporting.reports import words
from harness.reporting.reports.cells import count_seeds
from harness.reporting.reports.rendered import Rendered
from harness.reporting.rows.places import runs_by_place
from harness.reporting.rows.rows import Row
from harness.reporting.runs import Run

BINS = 40
Pairs = dict[str, NDArray[Any]]  # what a run knows of its pairs, see `Run.pairs`


@dataclass(frozen=True)
class Seen:
    """A row, and seed and pairs of those of its runs that keep them."""

    row: Row
    runs: list[tuple[int, Pairs]]

    @property
    def pairs(self) -> list[Pairs]:
        return [pairs for _, pairs in self.runs]

    def judge(self, quantity: str) -> list[tuple[int, dict[str, float]]]:
        """How well a quantity tells pairs apart, for each run that has it, with its seed; see `label_report`."""
        return [(seed, label_report(pairs[quantity], pairs["clean"])) for seed, pairs in self.runs if quantity in pairs]


def render_labels(report: Report, spec: Labels, runs: list[Run]) -> Rendered:
    """How well labels tell clean from noisy pairs, and how both lie."""
    found = read_pairs(report, spec, runs)
    rows = [seen.row for seen in found]
    notes = [
        *report.notes,
        *words.list_apart(report, rows),
        *words.list_missing(report, runs, rows, [spec.panels]),
    ]
    without = sum(bool(run.result) for row in rows for run in row.runs) - sum(len(seen.pairs) for seen in found)
    if without:
        notes.append(f"Finished runs without pairs.npz: {without}. An older version trained them; train them again.")
    histograms = pd.DataFrame(
        _bins(found), columns=["panel", "quantity", "pairs", "from", "to", "percent of these pairs"]
    )
    said = {(seen.row.words[0], quantity): _describe(seen, quantity) for seen in found for quantity in QUANTITIES}
    names = [row.words[0] for row in rows]
    drawn = draw_labels(histograms, said, names, report.title, words.subtitle_figure(report, rows))
    return Rendered(
        report, words.caption_labels(report, rows), tabulate_pairs(report, spec, found), rows, [spec.panels],
        histograms, notes,
        figures={"": drawn},
    )  # fmt: skip


def read_pairs(report: Report, spec: Labels, runs: list[Run]) -> list[Seen]:
    """What the runs know, by the values of the panels' axis."""
    places = runs_by_place(report, runs, [spec.panels], {**report.where, **spec.where})
    rows = [Row(place, [report.word_for(spec.panels, place[0])], here) for place, here in places.items()]
    return [Seen(row, [(run.planned.run.seed, pairs) for run in row.runs if (pairs := run.pairs())]) for row in rows]


def tabulate_pairs(report: Report, spec: Labels, found: list[Seen]) -> Table:
    """AUC of each quantity, and mean label of clean and noisy pairs: mean and standard deviation over the seeds."""
    titles = [report.title_of(spec.panels), "n", *(f"AUC, {name}" for name in QUANTITIES)]
    titles += ["mean label, clean", "mean label, noisy", "labels at zero"]
    rows: list[list[str | Value]] = []
    for seen in found:
        asked = [(quantity, "auc") for quantity in QUANTITIES]
        asked += [("label", key) for key in ("mean_clean", "mean_noisy", "share_zero")]
        numbers = [
            _average([(seed, each[f"labels/{key}"]) for seed, each in seen.judge(quantity)]) for quantity, key in asked
        ]
        rows.append([seen.row.words[0], count_seeds(seen.row, len(seen.pairs)), *numbers])
    return plain(titles, rows, numbers=range(1, len(titles)), leads=True)


def _average(values: list[tuple[int, float]]) -> Value:
    over = [(seed, value) for seed, value in values if not np.isnan(value)]
    known = [value for _, value in over]
    spread = statistics.stdev(known) if len(known) > 1 else None
    return number(statistics.fmean(known) if known else None, 3, spread=spread, over=over)


def _bins(found: list[Seen]) -> Iterator[tuple[str, str, str, float, float, float]]:
    """Of the first finished run of each row; a kind of pair that there is none of is absent."""
    for quantity in QUANTITIES:
        first = {seen.row.words[0]: pairs for seen in found if (pairs := _first(seen, quantity))}
        edges = _edges([pairs[quantity] for pairs in first.values()], quantity)
        for name, pairs in first.items():
            for kind, chosen in (("clean", pairs["clean"]), ("noisy", ~pairs["clean"])):
                values = pairs[quantity][chosen]
                counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
                for low, high, many in zip(edges[:-1], edges[1:], counts if len(values) else [], strict=False):
                    yield name, quantity, kind, low, high, 100 * many / len(values)


def _first(seen: Seen, quantity: str) -> Pairs | None:
    return next((pairs for pairs in seen.pairs if quantity in pairs), None)


def _edges(values: list[NDArray[np.float64]], quantity: str) -> NDArray[np.float64]:
    """Bins that all panels of a quantity share."""
    if quantity != "similarity":
        return np.linspace(0, 1, BINS + 1)
    low, high = (min(map(np.min, values)), max(map(np.max, values))) if values else (0.0, 1.0)
    return np.linspace(low, high if high > low else low + 1, BINS + 1)


def _describe(seen: Seen, quantity: str) -> str:
    """The AUC of the run that is drawn, or why none is."""
    judged = seen.judge(quantity)
    if not judged:
        if quantity == "label" and seen.pairs:
            return "the method keeps no labels"
        return "no finished runs yet" if not seen.pairs else "not kept"
    auc = judged[0][1]["labels/auc"]
    return "AUC unknown: one kind alone" if np.isnan(auc) else f"AUC {auc:.3f}"
