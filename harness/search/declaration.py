"""A declared search: `sweeps/NAME.toml`, read and checked.

title = "Momentum of the labels"
objective = "dev/rsum"           # of the selected network; test is never looked at
direction = "max"
sampler = "tpe"                  # random, grid, gp
pruner = "none"                  # or "median", or { name = "median", patience = 1, startup = 5, warmup = 1 }
trials = 12
seed = 0
paper = { "method.beta" = 0.8 }  # trial 0; without it the values that the run has

[run]                            # a run as in experiments/, the values below laid over it

[space]
"method.beta" = { low = 0.0, high = 0.99 }          # step, log
"method.pieces" = { choices = [[7, 32], [7, 7, 32]] }
"method.warmup_epochs, schedule.epochs" = { choices = [[2, 4], [3, 3], [5, 1]] }  # keys that go together

[confirm]
seeds = [0, 1, 2]                # NAME_best.toml trains the winner and the paper's setting with these

[smoke]                          # `--smoke`: run, space, paper, trials in its place
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from harness.errors import HarnessError, suggest
from harness.evaluation.measures import MEASURES
from harness.grids import find, name_of, read_toml
from harness.grids.resolve import resolve_run
from harness.grids.tables import at, merge, nested
from harness.ledger.command import SMALL
from harness.search.space import Choices, Parameter, Point, Range
from harness.spec import RunSpec
from harness.spec.explain import explain
from harness.spec.run import Strict

PARTS = ("method", "backbone", "schedule", "augmentation")  # what may be searched: the rest says what is compared
UNTOUCHED: dict[str, Any] = {"evaluation": {"protocols": []}}  # a trial's worker leaves the test split alone

OBJECTIVES = {f"dev/{name}": measure for name, measure in MEASURES.items() if not name.endswith("medr")}  # too coarse
if TYPE_CHECKING:
    Objective = str
else:
    Objective = Literal[tuple(OBJECTIVES)]
Sampler = Literal["tpe", "random", "grid", "gp"]
Values = dict[str, Any]  # key of the space -> value


class Pruner(Strict):
    """When a trial is stopped early: after `warmup` epochs of its last piece, if it is worse than the median of at
    least `startup` trials at the same epoch and has not improved for `patience` epochs.

    Only the last piece counts: each piece of CRCL starts a fresh network, so the curve of one says little about the
    next.
    """

    name: Literal["none", "median"] = "none"
    patience: Annotated[int, Field(ge=0)] = 1
    startup: Annotated[int, Field(ge=1)] = 5
    warmup: Annotated[int, Field(ge=0)] = 1


class _Confirm(Strict):
    seeds: list[Annotated[int, Field(ge=0)]] = Field(default=[0, 1, 2], min_length=1)


class _Smoke(Strict):
    run: dict[str, Any] = Field(default_factory=dict)
    space: dict[str, dict[str, Any]] = Field(default_factory=dict)
    paper: dict[str, Any] = Field(default_factory=dict)
    trials: Annotated[int, Field(ge=1)] = 3


class _File(Strict):
    title: str
    claim: str = ""
    objective: Objective = "dev/rsum"
    direction: Literal["max", "min"] = "max"
    sampler: Sampler = "tpe"
    pruner: Pruner = Pruner()
    trials: Annotated[int, Field(ge=1)]
    seed: Annotated[int, Field(ge=0)] = 0
    paper: dict[str, Any] = Field(default_factory=dict)
    run: dict[str, Any]
    space: Annotated[dict[str, dict[str, Any]], Field(min_length=1)]
    confirm: _Confirm = _Confirm()
    smoke: _Smoke = _Smoke()

    @field_validator("pruner", mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _the_better_way(self) -> "_File":
        better, word = ("max", "higher") if OBJECTIVES[self.objective].higher_is_better else ("min", "lower")
        if self.direction != better:
            raise ValueError(f'direction: a {word} {self.objective} is better; write direction = "{better}"')
        return self


@dataclass(frozen=True)
class Sweep:
    """A checked search."""

    name: str
    title: str
    claim: str
    path: Path
    base: dict[str, Any]  # the table [run]
    space: dict[str, Parameter]
    paper: Values  # the paper's setting, a value for every key of the space
    objective: str
    direction: str
    sampler: str
    pruner: Pruner
    trials: int
    seed: int
    seeds: list[int]  # for the confirmation

    def run(self, values: Values) -> RunSpec:
        """The run of a trial.

        Raises:
            HarnessError: these values do not go together.
        """
        where = f"{self.path}: {', '.join(f'{key} = {value}' for key, value in values.items())}"
        return resolve_run(laid_over(merge(self.base, UNTOUCHED), values), where)

    def values(self, points: Mapping[str, Point]) -> Values:
        """A trial's parameters as values of the run."""
        return {key: self.space[key].value(point) for key, point in points.items()}

    def points(self, values: Values) -> dict[str, Point]:
        """Values of the run as a trial's parameters."""
        return {key: self.space[key].point(value) for key, value in values.items()}

    def asked(self) -> dict[str, Any]:
        """All that the trials depend on: how many there are, and what is done with the winner, may change."""
        return {
            "run": self.run(self.paper).table(),
            "space": {key: parameter.model_dump(mode="json") for key, parameter in self.space.items()},
            "paper": self.paper,
            "objective": self.objective,
            "direction": self.direction,
            "sampler": self.sampler,
            "pruner": self.pruner.model_dump(),
            "seed": self.seed,
        }

    def digest(self) -> str:
        """16 hex digits of what is asked."""
        canonical = json.dumps(self.asked(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def load_sweep(word: str | Path, *, smoke: bool = False, trials: int | None = None) -> Sweep:
    """A search by path or name, checked: every key is one of the run, every range lies within what the key accepts.

    Args:
        word: a name in sweeps/ or a .toml file.
        smoke: with its [smoke] settings; it is called NAME-smoke.
        trials: a budget in place of the file's.

    Raises:
        HarnessError: one line: file, key, value, what is accepted.
    """
    path = find(str(word), "sweeps")
    try:
        file = _File(**read_toml(path))
    except ValidationError as error:
        raise HarnessError(_line(error, str(path), _File.model_fields)) from None
    run, space, paper = file.run, file.space, file.paper
    if smoke:
        run, space, paper = merge(run, file.smoke.run), {**space, **file.smoke.space}, {**paper, **file.smoke.paper}
    base = resolve_run(run, str(path)).table()
    _each_once(space, path)
    parameters = {key: _parameter(key, table, base, path) for key, table in space.items()}
    values = _paper(paper, parameters, base, path)
    sweep = Sweep(
        name=name_of(path, "sweeps") + (SMALL if smoke else ""),
        title=file.title,
        claim=file.claim,
        path=path,
        base=run,
        space=parameters,
        paper=values,
        objective=file.objective,
        direction=file.direction,
        sampler=file.sampler,
        pruner=file.pruner,
        trials=trials or (file.smoke.trials if smoke else file.trials),
        seed=file.seed,
        seeds=file.confirm.seeds,
    )
    _try_the_ends(sweep)
    return sweep


def _parameter(key: str, table: dict[str, Any], base: dict[str, Any], path: Path) -> Parameter:
    keys = _split(key)
    for name in keys:
        part, dot, rest = name.partition(".")
        if part not in PARTS or not dot or rest == "name":
            accepted = "; ".join(f"{part}.KEY" for part in PARTS)
            raise HarnessError(
                f"{path}: space: {name!r} is not searched; accepted: {accepted}, so that all trials answer one question"
            )
        siblings = base[part]
        if isinstance(siblings, dict) and rest not in siblings:
            raise HarnessError(f"{path}: space: {name}: unknown key; {suggest(rest, siblings.keys() - {'name'})}")
    kind: type[Parameter] = Choices if "choices" in table else Range
    try:
        parameter = kind(**table)
    except ValidationError as error:
        raise HarnessError(_line(error, f'{path}: space."{key}"', kind.model_fields)) from None
    if len(keys) > 1:
        _check_the_choices(parameter, keys, f'{path}: space."{key}"')
    return parameter


def _check_the_choices(parameter: Parameter, keys: list[str], where: str) -> None:
    """Raises `HarnessError` where keys that go together have not each a value in every choice."""
    accepted = f"choices = [[...], ...], each a list of {len(keys)}: a value of {', one of '.join(keys)}"
    if isinstance(parameter, Range):
        raise HarnessError(f"{where}: keys that go together have no range; accepted: {accepted}")
    for choice in parameter.choices:
        if not isinstance(choice, list) or len(choice) != len(keys):
            raise HarnessError(f"{where}: {choice!r}; accepted: {accepted}")


def _each_once(space: Iterable[str], path: Path) -> None:
    seen: dict[str, str] = {}
    for key in space:
        for name in _split(key):
            if name in seen:
                raise HarnessError(f'{path}: space: {name} stands in "{seen[name]}" and in "{key}"; drop one')
            seen[name] = key


def _line(error: ValidationError, where: str, accepted: Iterable[str]) -> str:
    """As `explain`; a fault of the whole table names itself."""
    first = error.errors()[0]
    if not first["loc"]:
        return f"{where}: {first['msg'].removeprefix('Value error, ')}"
    return explain(error, where=where, accepted=accepted)


def _paper(given: Values, space: dict[str, Parameter], base: dict[str, Any], path: Path) -> Values:
    for key in given:
        if key not in space:
            raise HarnessError(f"{path}: paper: {key!r} is not in the space; {suggest(key, space)}")
    values = {}
    for key, parameter in space.items():
        value = given.get(key, _value_of(base, key))
        if value is None:
            raise HarnessError(f'{path}: paper: the run says nothing of {key}; write paper = {{ "{key}" = ... }}')
        try:
            parameter.point(value)
        except HarnessError as error:
            where = "paper" if key in given else "paper (what the run has)"
            raise HarnessError(f"{path}: {where}: {key} = {error}; widen the space or name another value") from None
        values[key] = value
    return values


def _try_the_ends(sweep: Sweep) -> None:
    base = merge(sweep.base, UNTOUCHED)
    for key, parameter in sweep.space.items():
        for value in parameter.probes():
            where = f'{sweep.path}: space."{key}" at {value}'
            resolve_run(laid_over(base, {**sweep.paper, key: value}), where)
        if sweep.sampler == "grid" and parameter.points() is None:
            raise HarnessError(f'{sweep.path}: space."{key}": the sampler "grid" needs a step or choices')


def _split(key: str) -> list[str]:
    """A key of the space as keys of the run: several, divided by commas, where they go together."""
    return [name.strip() for name in key.split(",")]


def _value_of(run: dict[str, Any], key: str) -> Any:
    """What the run has at a key of the space: a list of values for several keys."""
    values = [at(run, name) for name in _split(key)]
    return values[0] if len(values) == 1 else values


def laid_over(run: dict[str, Any], values: Values) -> dict[str, Any]:
    """The table [run] with a trial's values in their places."""
    for key, value in values.items():
        names = _split(key)
        for name, part in zip(names, [value] if len(names) == 1 else value, strict=True):
            run = merge(run, nested(name, part))
    return run
