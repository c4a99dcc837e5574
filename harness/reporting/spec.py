"""What a report prints: `reports/*.toml`, read and checked.

title = "..."
grids = ["demo"]                       # the cells, from experiments/
rows = ["noise.rate", "method"]        # axes of the grids, outermost first; seeds are averaged over
metrics = ["i2t_r1", "t2i_r1", "rsum"]
protocol = "full"

[published]                            # numbers as printed, from reports/published/
file = "flickr30k.csv"
noise_kind = "caption_level"           # rows of another kind of noise are never looked at
compare = ["rsum"]                     # these metrics get the published value and the difference beside ours
also = [{ method = "ncr", backbone = "sgr" }]   # published rows without a run of ours

[names]                                # what is printed for an axis or a metric
method = "Method"

[values.method]                        # and for its values, in this order
crcl = "CRCL"

[figure]                               # x and series are axes, y is a metric
x = "noise.rate"
y = "rsum"
series = "method"
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from harness.errors import HarnessError
from harness.grids import find, read_toml
from harness.reporting.frame import METRICS
from harness.spec.explain import explain

Metric = Literal[
    "i2t_r1", "i2t_r5", "i2t_r10", "t2i_r1", "t2i_r5", "t2i_r10", "rsum",
    "i2t_medr", "i2t_meanr", "t2i_medr", "t2i_meanr",
]  # fmt: skip
Split = Literal["test", "dev"]
Status = Literal["printed", "quoted", "secondary", "rerun"]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Key(Strict):
    """A published row by what it trained."""

    method: str
    backbone: str


class PublishedSpec(Strict):
    """Which published numbers may stand beside ours, best first."""

    file: str
    noise_kind: Literal["caption_level", "image_level", "mixed", "real"]
    noise_models: list[str] = []  # noise models of ours that count as this kind, besides the one of that name
    compare: Annotated[list[Metric], Field(min_length=1)] = ["rsum"]
    accept: list[Status] = ["printed", "quoted"]
    sources: list[str] = []  # where several disagree, the first whose source contains one of these words
    also: list[Key] = []


class FigureSpec(Strict):
    """One metric over one axis, a line for each value of another."""

    x: str = "noise.rate"
    y: Metric = "rsum"
    series: str = "method"
    split: Split = "test"
    where: dict[str, list[Any]] = {}
    highlight: str | None = None  # the value of the series to draw stronger


class Report(Strict):
    """A checked report. `name` and `folder` are its file's; `smoke` takes the grids' smoke cells."""

    name: str
    folder: Path
    smoke: bool = False
    title: str
    grids: Annotated[list[str], Field(min_length=1)]
    rows: Annotated[list[str], Field(min_length=1)]
    metrics: Annotated[list[Metric], Field(min_length=1)]
    protocol: str
    split: Split = "test"
    where: dict[str, list[Any]] = {}
    names: dict[str, str] = {}
    values: dict[str, dict[str, str]] = {}
    published: PublishedSpec | None = None
    figure: FigureSpec = FigureSpec()

    @model_validator(mode="after")
    def _compared_metrics_are_shown(self) -> "Report":
        unseen = [m for m in (self.published.compare if self.published else []) if m not in self.metrics]
        if unseen:
            raise ValueError(f"published.compare: {unseen[0]} is not among the metrics {', '.join(self.metrics)}")
        return self

    def word(self, axis: str, value: Any) -> str:
        """What is printed for an axis's value; a noise rate in percent."""
        if str(value) in self.values.get(axis, {}):
            return self.values[axis][str(value)]
        return f"{100 * value:g} %" if axis == "noise.rate" else str(value)

    def heading(self, name: str) -> str:
        """What is printed for an axis or a metric."""
        return self.names.get(name) or HEADINGS.get(name, name)


HEADINGS = {
    "rsum": "rSum",
    "noise.rate": "Noise",
    "method": "Method",
    "backbone": "Backbone",
    "dataset": "Dataset",
}
HEADINGS |= {name: f"{name[:3]} R@{name.split('_r')[1]}" for name in METRICS if name.split("_r")[-1].isdigit()}
HEADINGS |= {f"{way}_{rank}r": f"{way} {rank}R" for way in ("i2t", "t2i") for rank in ("med", "mean")}


def load_report(word: str | Path) -> Report:
    """A report by path or name.

    Raises:
        HarnessError: one line with every fault: file, key, value, what is accepted.
    """
    path = find(str(word), "reports")
    try:
        return Report(**{"name": path.stem, "folder": path.parent, **read_toml(path)})
    except ValidationError as error:
        raise HarnessError(explain(error, where=str(path), accepted=Report.model_fields)) from None
