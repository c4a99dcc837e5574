"""What a report prints: `reports/*.toml`, read and checked.

title = "..."
grids = ["demo"]                       # the cells, from experiments/
rows = ["noise.rate", "method"]        # axes of the grids, outermost first; seeds are averaged over
groups = ["noise.rate"]                # rows with the same values of these are held against each other: the first of
                                       # `rows`; without it the first of several, []: all rows with each other
metrics = ["i2t_r1", "t2i_r1", "rsum"]
protocol = "full"
notes = ["..."]                        # what else a reader must know, below the table

[published]                            # numbers as printed, from reports/published/
file = "flickr30k.csv"
noise_kind = "caption_level"           # rows of another kind of noise are never looked at; "mixed" and "unstated" ones
                                       # stand beside ours without a difference
compare = ["rsum"]                     # these metrics get the published value and the difference beside ours
also = [{ method = "ncr", backbone = "sgr" }]   # published rows without a run of ours

cost = "infonce"                       # columns of what each row costs, relative to this value of the last of `rows`

[names]                                # what is printed for an axis or a metric
method = "Method"

[values.method]                        # and for its values, in this order
crcl = "CRCL"

[figure]                               # without it there is no figure; other kinds than lines: see `KINDS`
x = "noise.rate"                       # without it the first of `rows`
y = "rsum"
series = "method"                      # without it the last of `rows`, where there are several

A report whose figure is of the kind `labels` prints how well labels tell pairs apart, in place of rows and metrics; one
of the kind `ranks` prints mean ranks, under its protocol. A report about a search has

sweep = "momentum"                     # from sweeps/

in place of grids, rows, metrics, protocol and figure: its trials are the table, its figures follow from its space.
"""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.errors import HarnessError, suggest
from harness.evaluation.measures import MEASURES, Metric
from harness.grids import find, name_of, read_toml
from harness.spec.explain import explain

Split = Literal["test", "dev"]
Status = Literal["printed", "quoted", "secondary", "rerun"]

TITLES = {
    "noise.rate": "Noise",
    "noise": "Noise model",
    "method": "Method",
    "backbone": "Backbone",
    "dataset": "Dataset",
    "setting": "Setting",
    "parameter": "Parameter",
    "value": "Value",
    **{name: measure.title for name, measure in MEASURES.items()},
}


EXAMPLES = {
    "grids": 'names in experiments/, grids = ["demo"]',
    "rows": 'the axes that tell rows apart, rows = ["noise.rate", "method"]',
    "metrics": 'what its columns show, metrics = ["i2t_r1", "rsum"]',
    "protocol": 'how the test split is ranked, protocol = "full"',
}  # of the keys that a report needs


class Strict(BaseModel):
    """Frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Drawn(Strict):
    """What every kind of figure has: which cells it draws, besides the report's own `where`."""

    kind: ClassVar[str]

    where: dict[str, list[Any]] = {}


class Scored(Drawn):
    """A figure of one metric on one split."""

    y: Metric = "rsum"
    split: Split = "test"


class Lines(Scored):
    """One metric over one axis of numbers, a line for each value of another: kind = "lines"."""

    kind: ClassVar[str] = "lines"

    x: str
    series: str | None = None
    panels: str | None = None  # an axis: one panel for each of its values, on one scale
    highlight: str | None = None  # the value of the series to draw stronger


class Bars(Scored):
    """One metric by the values of one axis, side by side for those of another: kind = "bars"."""

    kind: ClassVar[str] = "bars"

    x: str
    series: str | None = None


class Labels(Drawn):
    """How similarities and labels of clean and noisy training pairs lie, one row of panels for each value of an axis:
    kind = "labels"."""

    kind: ClassVar[str] = "labels"

    panels: str


class Sensitivity(Scored):
    """One metric over each hyperparameter of a grid's [vary], one panel each: kind = "sensitivity"."""

    kind: ClassVar[str] = "sensitivity"


class Pieces(Scored):
    """One metric over the number and over the length of the self-refining pieces: kind = "pieces"."""

    kind: ClassVar[str] = "pieces"


class Robustness(Scored):
    """What is lost from clean pairs to a noise rate, over what an epoch costs, a point for each row of a report with
    `cost`: kind = "robustness"."""

    kind: ClassVar[str] = "robustness"

    rate: float


class Ranks(Scored):
    """The mean rank of each value of an axis over data sets, noise rates and what else the cells differ in, and the
    critical difference: kind = "ranks"."""

    kind: ClassVar[str] = "ranks"

    series: str = "method"


FigureSpec = Lines | Bars | Labels | Sensitivity | Pieces | Robustness | Ranks
KINDS: dict[str, type[FigureSpec]] = {
    each.kind: each for each in (Lines, Bars, Labels, Sensitivity, Pieces, Robustness, Ranks)
}


class Key(Strict):
    """A published row by what it trained."""

    method: str
    backbone: str


class PublishedTable(Strict):
    """Which published numbers may stand beside ours, best first."""

    file: str
    noise_kind: Literal["caption_level", "image_level", "mixed", "unstated", "real"]
    noise_models: list[str] = []  # noise models of ours that count as this kind, besides the one of that name
    datasets: list[str] = []  # names under which we have the file's dataset, besides its own
    compare: Annotated[list[Metric], Field(min_length=1)] = ["rsum"]
    accept: list[Status] = ["printed", "quoted"]
    sources: list[str] = []  # where several disagree, the first whose source contains one of these words
    also: list[Key] = []

    @property
    def comparable(self) -> bool:
        """Whether the numbers are of one known kind of noise, so that ours may be held against them."""
        return self.noise_kind not in ("mixed", "unstated")


class Report(Strict):
    """A checked report. `name` and `folder` are its file's; `smoke` takes the smoke cells of grids and sweep."""

    name: str
    folder: Path
    smoke: bool = False
    title: str
    grids: list[str] = []
    sweep: str | None = None
    rows: list[str] = []
    groups: list[str] | None = None
    metrics: list[Metric] = []
    protocol: str = ""
    split: Split = "test"
    where: dict[str, list[Any]] = {}
    names: dict[str, str] = {}
    values: dict[str, dict[str, str]] = {}
    notes: list[str] = []
    published: PublishedTable | None = None
    cost: str | None = None
    figure: FigureSpec | None = None

    @property
    def grouped_by(self) -> list[str]:
        """The axes whose values the rows of a group share; rows of a single axis are one group."""
        if self.groups is not None:
            return self.groups
        return self.rows[:1] if len(self.rows) > 1 else []

    def word_for(self, axis: str, value: Any) -> str:
        """What is printed for an axis's value; a noise rate in percent."""
        if str(value) in self.values.get(axis, {}):
            return self.values[axis][str(value)]
        return f"{100 * value:g} %" if axis == "noise.rate" else str(value)

    def title_of(self, name: str) -> str:
        """What is printed for an axis or a metric."""
        return self.names.get(name) or TITLES.get(name, name)


def load_report(word: str | Path) -> Report:
    """A report by path or name.

    Raises:
        HarnessError: one line with every fault: file, key, value, what is accepted.
    """
    path = find(str(word), "reports")
    table = read_toml(path)
    if "figure" in table:
        table["figure"] = read_figure(table["figure"], table.get("rows"), str(path))
    try:
        report = Report(**{"name": name_of(path, "reports"), "folder": path.parent, **table})
    except ValidationError as error:
        raise HarnessError(explain(error, where=str(path), accepted=Report.model_fields)) from None
    fault = _fault_of_kind(report) or _fault_of_published(report)
    if fault:
        raise HarnessError(f"{path}: {fault}")
    return report


def read_figure(table: Any, rows: Any, where: str) -> FigureSpec:
    """A checked `[figure]`; only the keys of its kind are known.

    Args:
        table: as written.
        rows: of the report, which lines take their axes from where the table names none.
        where: the file, for messages.

    Raises:
        HarnessError: one line: file, key, value, what is accepted.
    """
    if not isinstance(table, dict):
        raise HarnessError(f"{where}: figure = {table!r}: accepted: a table, [figure]")
    kind = table.get("kind", Lines.kind)
    if kind not in KINDS:
        raise HarnessError(f"{where}: figure.kind = {kind!r}: unknown kind; {suggest(str(kind), KINDS)}")
    keys = {key: value for key, value in table.items() if key != "kind"}
    if kind == Lines.kind and isinstance(rows, list) and rows:
        keys = {"x": rows[0], "series": rows[-1] if len(rows) > 1 else None, **keys}
    try:
        return KINDS[kind](**keys)
    except ValidationError as error:
        accepted = KINDS[kind].model_fields
        raise HarnessError(explain(error, where=where, prefix="figure", accepted=accepted)) from None


def _fault_of_kind(report: Report) -> str:
    """What is missing for this kind of report, or stands there for another kind; or nothing."""
    given, figure = report.model_fields_set, report.figure
    table: tuple[str, ...] = ("rows", "metrics", "protocol")
    if report.sweep is not None:
        superfluous = [key for key in ("grids", *table, "where", "published", "figure") if key in given]
        return f"{superfluous[0]}: a report about a sweep has none; drop it, or drop sweep" if superfluous else ""
    needed: tuple[str, ...] = ("grids", *table)
    if isinstance(figure, Labels):
        needed = ("grids",)
    elif isinstance(figure, Ranks):
        needed, table = ("grids", "protocol"), ("rows", "metrics")
    missing = [key for key in needed if not getattr(report, key)]
    if missing:
        return f"{missing[0]}: is missing; accepted: {EXAMPLES[missing[0]]}"
    if report.grouped_by != report.rows[: len(report.grouped_by)]:
        return f"groups = {report.groups}: accepted: the first one or more of rows = {report.rows}, or []"
    if isinstance(figure, Labels | Ranks):
        superfluous = [key for key in (*table, "groups", "published", "cost") if key in given]
        return f'{superfluous[0]}: figure.kind = "{figure.kind}" has a table of its own; drop it' if superfluous else ""
    if isinstance(figure, Robustness):
        if report.cost is None:
            return 'figure.kind = "robustness" draws costs; accepted: with cost = "METHOD", what they are relative to'
        if report.rows[0] != "noise.rate" or len(report.rows) != 2:
            return f'rows = {report.rows}: figure.kind = "robustness" accepts rows = ["noise.rate", AXIS]'
    return ""


def _fault_of_published(report: Report) -> str:
    if report.published is None:
        return ""
    unseen = [metric for metric in report.published.compare if metric not in report.metrics]
    if unseen:
        return f"published.compare: {unseen[0]} is not among the metrics {', '.join(report.metrics)}"
    by_rate = report.grouped_by == ["noise.rate"]
    real = report.published.noise_kind == "real" and not report.grouped_by
    if report.published.also and not (by_rate or real):
        where = 'groups = ["noise.rate"], or groups = [] under real noise'
        return f"published.also: such a row needs a place; accepted: {where}"
    return ""
