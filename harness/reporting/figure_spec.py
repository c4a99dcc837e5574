"""What figure a report draws: the `[figure]` table of its file, by `kind` (lines, where none is named)."""

from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from harness.errors import HarnessError, suggest
from harness.evaluation.measures import Metric
from harness.spec.explain import explain

Split = Literal["test", "dev"]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Lines(Strict):
    """One metric over one axis, a line for each value of another: kind = "lines"."""

    kind: ClassVar[str] = "lines"

    x: str = "noise.rate"
    y: Metric = "rsum"
    series: str = "method"
    panels: str | None = None  # an axis: one panel for each of its values, on one scale
    split: Split = "test"
    where: dict[str, list[Any]] = {}
    highlight: str | None = None  # the value of the series to draw stronger


class Bars(Strict):
    """One metric by the values of one axis, side by side for those of another: kind = "bars"."""

    kind: ClassVar[str] = "bars"

    x: str
    y: Metric = "rsum"
    series: str | None = None
    split: Split = "test"
    where: dict[str, list[Any]] = {}


class Labels(Strict):
    """How similarities and labels of clean and noisy training pairs lie, one row of panels for each value of an axis:
    kind = "labels"."""

    kind: ClassVar[str] = "labels"

    panels: str
    where: dict[str, list[Any]] = {}


class Sensitivity(Strict):
    """One metric over each hyperparameter of a grid's [vary], one panel each: kind = "sensitivity"."""

    kind: ClassVar[str] = "sensitivity"

    y: Metric = "rsum"
    split: Split = "test"
    where: dict[str, list[Any]] = {}


class Pieces(Strict):
    """One metric over the number and over the length of the self-refining pieces: kind = "pieces"."""

    kind: ClassVar[str] = "pieces"

    y: Metric = "rsum"
    split: Split = "test"
    where: dict[str, list[Any]] = {}


FigureSpec = Lines | Bars | Labels | Sensitivity | Pieces
KINDS: dict[str, type[FigureSpec]] = {each.kind: each for each in (Lines, Bars, Labels, Sensitivity, Pieces)}


def figure_spec(table: Any, where: str) -> FigureSpec:
    """A checked `[figure]`; only the keys of its kind are known.

    Raises:
        HarnessError: one line: file, key, value, what is accepted.
    """
    if not isinstance(table, dict):
        raise HarnessError(f"{where}: figure = {table!r}: accepted: a table, [figure]")
    kind = table.get("kind", Lines.kind)
    if kind not in KINDS:
        raise HarnessError(f"{where}: figure.kind = {kind!r}: unknown kind; {suggest(str(kind), KINDS)}")
    keys = {key: value for key, value in table.items() if key != "kind"}
    try:
        return KINDS[kind](**keys)
    except ValidationError as error:
        accepted = KINDS[kind].model_fields
        raise HarnessError(explain(error, where=where, prefix="figure", accepted=accepted)) from None
