"""What a search may choose from: each key of the run with its range or its choices. Knows nothing of optuna."""

import json
import math
from collections.abc import Sequence
from typing import Annotated, Any, Protocol

from pydantic import BeforeValidator, Field, model_validator

from harness.errors import HarnessError
from harness.spec.run import Strict


def _finite(value: Any) -> Any:
    try:
        if not isinstance(value, bool) and isinstance(value, int | float) and math.isfinite(value):
            return value
    except OverflowError:  # a whole number beyond all floats
        pass
    raise ValueError("accepted: a finite number")


Number = Annotated[int | float, BeforeValidator(_finite)]
Point = str | int | float | bool  # a value as the study, a table's column and a cell's name hold it


class Suggester(Protocol):
    """The part of `optuna.trial.Trial` that a parameter asks."""

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int: ...

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float: ...

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any: ...


class Range(Strict):
    """Numbers from low to high, both included; whole numbers if both ends (and the step) are written as such."""

    low: Number
    high: Number
    step: Annotated[Number, Field(gt=0)] | None = None
    log: bool = False

    @model_validator(mode="after")
    def _makes_sense(self) -> "Range":
        if not self.low < self.high:
            raise ValueError("low must be less than high")
        if self.log and self.step is not None:
            raise ValueError("log and step exclude each other; drop one")
        if self.log and self.low <= 0:
            raise ValueError("log needs low > 0")
        if self.step is not None and not _whole((self.high - self.low) / self.step):
            raise ValueError("high must be a whole number of steps from low")
        return self

    @property
    def integer(self) -> bool:
        return all(isinstance(value, int) for value in (self.low, self.high, self.step) if value is not None)

    def suggest(self, trial: Suggester, name: str) -> Point:
        if self.integer:
            return trial.suggest_int(name, int(self.low), int(self.high), step=int(self.step or 1), log=self.log)
        return trial.suggest_float(name, self.low, self.high, step=self.step, log=self.log)

    def point(self, value: Any) -> Point:
        """The value of a run as the study holds it.

        Raises:
            HarnessError: it lies outside.
        """
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not (number and self.low <= value <= self.high and self._on_a_step(value)):
            raise HarnessError(f"{value!r} is outside of {self.words()}")
        return int(value) if self.integer else float(value)

    def value(self, point: Point) -> Any:
        return _tidy(point) if self.step and isinstance(point, float) else point

    def probes(self) -> list[Any]:
        """Both ends and a value between: what a component refuses, it refuses at one of them."""
        between = self.low + (self.step or (self.high - self.low) / math.pi)
        return [self.low, self.high, math.floor(between) if self.integer else between]

    def points(self) -> list[Point] | None:
        """All values, where they can be counted."""
        step = self.step or (1 if self.integer and not self.log else None)
        if step is None:
            return None
        return [self.point(_tidy(self.low + i * step)) for i in range(round((self.high - self.low) / step) + 1)]

    def words(self) -> str:
        return f"{self.low:g} to {self.high:g}" + (f" in steps of {self.step:g}" if self.step else "")

    def _on_a_step(self, value: float) -> bool:
        step = self.step or (1 if self.integer else None)
        return step is None or _whole((value - self.low) / step)


class Choices(Strict):
    """A few values of any kind; a list of numbers goes by the name "7-7-32"."""

    choices: Annotated[list[Any], Field(min_length=2)]

    @model_validator(mode="after")
    def _are_distinct(self) -> "Choices":
        seen: list[Point] = []
        for value in self.choices:
            point = _point(value)
            if point in seen:  # also 1 beside true, which the study could not tell apart
                raise ValueError(f"{value!r} is there twice; drop one")
            seen.append(point)
        return self

    def suggest(self, trial: Suggester, name: str) -> Point:
        chosen: Point = trial.suggest_categorical(name, self.points())
        return chosen

    def point(self, value: Any) -> Point:
        """As for `Range`."""
        if value not in self.choices:
            raise HarnessError(f"{value!r} is not among {self.words()}")
        return _point(value)

    def value(self, point: Point) -> Any:
        return self.choices[self.points().index(point)]

    def probes(self) -> list[Any]:
        return list(self.choices)

    def points(self) -> list[Point]:
        return [_point(value) for value in self.choices]

    def words(self) -> str:
        return json.dumps(self.choices)


Parameter = Range | Choices


def _point(value: Any) -> Point:
    if isinstance(value, list):
        return "-".join(map(str, value))
    if not isinstance(value, str | int | float):
        raise ValueError(f"{value!r} is neither a number, a word, true or false, nor a list")
    return value


def _whole(value: float) -> bool:
    return math.isclose(value, round(value), abs_tol=1e-9)


def _tidy(value: float) -> float:
    """0.1 + 2 * 0.1 as 0.3: a value of a grid is what its writer would write."""
    return value if isinstance(value, int) else float(f"{value:.12g}")
