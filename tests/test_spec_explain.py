"""No fault of a declaration is told in pydantic's words: each says in ours what is accepted."""

import math
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core._pydantic_core import list_all_errors

from harness.api.training import How
from harness.data.cards import DatasetCard
from harness.grids.load import _File
from harness.ledger import schema
from harness.reporting.declaration import KINDS as FIGURES
from harness.reporting.declaration import PublishedTable, Report
from harness.search.declaration import Pruner
from harness.search.space import Choices, Range
from harness.spec import KINDS, RunSpec, find, own
from harness.spec.component import _constructor, _model
from harness.spec.explain import ACCEPTED, explain
from harness.spec.run import Augmentation, Evaluation, Schedule

WRONG: list[Any] = [
    None, "fast", "", "0.5x", -1, 0, 2, 0.5, 1e99, 10**5000, math.nan, math.inf, True, b"\xff", object(), [], [1],
    ["a"], [[1]], [1, 2, 3], (), {}, {"a": 1}, {1: "a"}, {"name": 3}, {"sha256": "x"},
]  # fmt: skip
OURS = ("value_error", "missing", "extra_forbidden")  # what a check of our own says, and what `explain` says itself


def models() -> Iterator[type[BaseModel]]:
    yield from (
        RunSpec,
        Schedule,
        Evaluation,
        Augmentation,
        _File,
        Report,
        PublishedTable,
        DatasetCard,
        Pruner,
        Choices,
        Range,
        *FIGURES.values(),
    )
    for kind in KINDS:
        yield from (_model(_constructor(find(kind, name))) for name in own(kind))


def faults(model: type[BaseModel]) -> Iterator[ValidationError]:
    """Every wrong value in every field."""
    for name in model.model_fields:
        for value in WRONG:
            try:
                model(**{name: value})
            except ValidationError as error:
                yield error


def test_every_fault_of_every_field_is_in_our_words() -> None:
    seen = set()
    for model in set(models()):
        for error in faults(model):
            seen |= {fault["type"] for fault in error.errors()}
            assert "Input should" not in explain(error, where="x", accepted=model.model_fields)
    for kind in (How, schema.Spec, schema.Result, schema.Row, schema.Holder, schema.Failure):
        for name in kind.__annotations__:
            for value in WRONG:
                try:
                    TypeAdapter(kind).validate_python({name: value})
                except ValidationError as error:
                    seen |= {fault["type"] for fault in error.errors()}
    assert seen - set(OURS) <= ACCEPTED.keys()
    assert {"float_type", "float_parsing", "int_from_float", "literal_error", "dict_type"} <= seen


def test_every_template_fits_what_pydantic_gives() -> None:
    known = {each["type"]: each.get("example_context") or {} for each in list_all_errors()}
    for name, words in ACCEPTED.items():
        if name in known:  # the others are raised from Python
            assert "{" not in words.format(**known[name]), name


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"lr": "fast"}, "x: schedule.lr = 'fast': accepted: a number"),
        ({"lr": 0}, "x: schedule.lr = 0: accepted: more than 0"),
        ({"epochs": 2.5}, "x: schedule.epochs = 2.5: accepted: a whole number"),
        ({"optimizer": "sgd"}, "x: schedule.optimizer = 'sgd': accepted: 'adamw' or 'adam'"),
        ({"grad_clip": math.inf}, "x: schedule.grad_clip = inf: accepted: a finite number"),
    ],
)  # fmt: skip
def test_a_fault_says_where_what_and_what_is_accepted(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as error:
        Schedule(**values)
    assert explain(error.value, where="x", prefix="schedule", accepted=Schedule.model_fields) == said


def test_a_missing_key_says_what_kind_of_value_it_takes() -> None:
    with pytest.raises(ValidationError) as error:
        Range(low=0)
    said = explain(error.value, where="x", accepted=Range.model_fields)
    assert said == "x: high: is missing; accepted: a whole number or a number"
