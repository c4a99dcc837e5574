"""How similarities and labels of clean and of noisy training pairs lie, and how well each tells them apart.

Three quantities of a run, each known for every training pair: the similarity that its selected network gives the pair,
the match (P_ii + Q_ii) / 2 that a label estimates, and the label itself. The truth colours them; no method saw it.
"""

import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.evaluation.correspondence import label_report
from harness.grids import CellSpec
from harness.ledger import Cell, Ledger
from harness.reporting.figure_spec import Labels
from harness.reporting.figures import style
from harness.reporting.rendered import Listing
from harness.reporting.spec import Report
from harness.reporting.table import Row, places

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

QUANTITIES = {"similarity": "similarity", "match": "match (P + Q) / 2", "label": "correspondence label"}
BINS = 40
KINDS = {"clean": style.COLOURS[0], "noisy": style.COLOURS[1]}


@dataclass
class Seen:
    """One value of the panels' axis: its cells, and what the finished ones know of their pairs.

    values: quantity -> one array (pairs,) for each run that has it. clean: the truth, one array (pairs,) for each run.
    """

    row: Row
    values: dict[str, list[NDArray[np.float64]]] = field(default_factory=lambda: {name: [] for name in QUANTITIES})
    clean: list[NDArray[np.bool_]] = field(default_factory=list)

    def auc(self, quantity: str) -> list[float]:
        """ROC AUC of the quantity, one for each run; NaN where all pairs are of one kind."""
        found = zip(self.values[quantity], self.clean, strict=False)
        return [label_report(values, clean)["labels/auc"] for values, clean in found]


def read(report: Report, spec: Labels, planned: list[CellSpec], ledger: Ledger) -> list[Seen]:
    """What the runs know, by the values of the panels' axis."""
    found = []
    for place, cells in places(report, planned, [spec.panels], {**report.where, **spec.where}).items():
        seen = Seen(Row(place, [report.word(spec.panels, place[0])], cells, {}, None))
        for cell in cells:
            _read_cell(ledger.cell(cell.fingerprint), seen)
        found.append(seen)
    return found


def _read_cell(cell: Cell, seen: Seen) -> None:
    if cell.state() != "done" or not cell.path("pairs.npz").exists():
        return
    with np.load(cell.path("pairs.npz"), allow_pickle=False) as file:
        seen.clean.append(file["clean"])
        seen.values["similarity"].append(file["similarity"].astype(np.float64))
        seen.values["match"].append(file["match"].astype(np.float64))
    if cell.path("labels.npy").exists():
        seen.values["label"].append(np.load(cell.path("labels.npy"), allow_pickle=False).astype(np.float64))


def listing(report: Report, spec: Labels, found: list[Seen]) -> Listing:
    """AUC of each quantity, and mean label of clean and noisy pairs: mean and standard deviation over the seeds."""
    heads = [report.heading(spec.panels), "n", *(f"AUC, {name}" for name in QUANTITIES)]
    heads += ["mean label, clean", "mean label, noisy", "labels at zero"]
    rows = []
    for seen in found:
        reports = [label_report(labels, clean) for labels, clean in zip(seen.values["label"], seen.clean, strict=False)]
        numbers = [seen.auc(name) for name in QUANTITIES]
        numbers += [[each[f"labels/{key}"] for each in reports] for key in ("mean_clean", "mean_noisy", "share_zero")]
        done, planned = len(seen.clean), len(seen.row.planned)
        rows.append([seen.row.words[0], str(done) if done == planned else f"{done}/{planned}", *map(_spread, numbers)])
    return Listing(heads, rows, [False, *[True] * (len(heads) - 1)])


def _spread(values: list[float]) -> str:
    known = [value for value in values if not np.isnan(value)]
    if not known:
        return "–"
    return f"{statistics.fmean(known):.3f}" + (f" ± {statistics.stdev(known):.3f}" if len(known) > 1 else "")


def histograms(found: list[Seen]) -> tuple[list[str], list[list[object]]]:
    """What the figure draws, tidy: one line a panel, quantity, kind of pair and bin."""
    rows: list[list[object]] = []
    for quantity in QUANTITIES:
        edges = _edges(found, quantity)
        for seen in found:
            for kind, values in _kinds(seen, quantity).items():
                share = _shares(values, edges)
                for low, high, each in zip(edges[:-1], edges[1:], share, strict=True):
                    rows.append([seen.row.words[0], quantity, kind, float(low), float(high), float(each)])
    return ["panel", "quantity", "pairs", "from", "to", "percent of these pairs"], rows


def _kinds(seen: Seen, quantity: str) -> dict[str, NDArray[np.float64]]:
    """The values of the first finished run by kind of pair; a kind without pairs is absent."""
    if not seen.values[quantity]:
        return {}
    values, clean = seen.values[quantity][0], seen.clean[0]
    return {kind: part for kind, part in (("clean", values[clean]), ("noisy", values[~clean])) if len(part)}


def _edges(found: list[Seen], quantity: str) -> NDArray[np.float64]:
    """Bins that all panels of a quantity share."""
    if quantity != "similarity":
        return np.linspace(0, 1, BINS + 1)
    first = [seen.values[quantity][0] for seen in found if seen.values[quantity]]
    low, high = (min(map(np.min, first)), max(map(np.max, first))) if first else (0.0, 1.0)
    return np.linspace(low, high if high > low else low + 1, BINS + 1)


def _shares(values: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    return 100 * counts / len(values)


def draw(report: Report, found: list[Seen], subtitle: str) -> "Figure":
    """A row of three panels for each value; the panels of a column share their axes."""
    from matplotlib.patches import Patch

    made, axes = style.figure(8.6, 1.2 + 1.9 * len(found), len(found), 3, sharex="col", sharey="col")
    style.head(made, report.title, f"{subtitle}; each kind of pair sums to 100 %; the first finished seed is drawn")
    for column, (quantity, name) in enumerate(QUANTITIES.items()):
        edges = _edges(found, quantity)
        for line, seen in enumerate(found):
            each = axes[3 * line + column]
            _panel(each, seen, quantity, edges)
            if line == 0:
                each.set_title(name, fontsize=10)
            if column == 0:
                each.set_ylabel(f"{seen.row.words[0]}\n% of pairs")
        axes[column].set_ylim(0, 1.2 * axes[column].get_ylim()[1])  # room for the AUC
    style.legend(made, {f"{kind} pairs": Patch(color=colour, alpha=0.55) for kind, colour in KINDS.items()})
    return made


def _panel(axes: "Axes", seen: Seen, quantity: str, edges: NDArray[np.float64]) -> None:
    kinds = _kinds(seen, quantity)
    if not kinds:
        style.nothing(axes, _why_empty(seen, quantity))
        return
    for kind, values in kinds.items():
        axes.stairs(_shares(values, edges), edges, fill=True, alpha=0.45, color=KINDS[kind])
        axes.stairs(_shares(values, edges), edges, color=KINDS[kind], linewidth=1.2)
    auc = seen.auc(quantity)[0]
    text: dict[str, Any] = {"transform": axes.transAxes, "ha": "center", "va": "top", "fontsize": 9}
    axes.text(0.5, 0.96, "AUC unknown: one kind alone" if np.isnan(auc) else f"AUC {auc:.3f}", **text)


def _why_empty(seen: Seen, quantity: str) -> str:
    if quantity == "label" and seen.clean:
        return "the method keeps no labels"
    return "no finished runs yet" if not seen.clean else "not kept"
