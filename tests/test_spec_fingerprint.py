"""What enters a run's fingerprint is said by the annotation of each keyword, and of each field of the run."""

from typing import Annotated, Any

import pytest
from pydantic import Field

from harness.grids.resolve import resolve_run
from harness.methods import METHODS, Method
from harness.spec import AddedLater, NotScience, RunSpec, Schedule, fingerprint
from harness.spec.marks import neutral_values, science
from harness.spec.run import Strict

BASE: dict[str, Any] = {"dataset": "toy", "noise": "caption_level", "backbone": "saf", "schedule": {"epochs": 1}}


class Before(Method):
    """As runs were trained with it."""

    def __init__(self, *, weight: float = 0.5) -> None:
        self.weight = weight


class After(Method):
    """With keywords that were added since; the default of one is no longer what it was before."""

    def __init__(
        self,
        *,
        weight: float = 0.5,
        warm: Annotated[bool, AddedLater(neutral=False)] = True,
        steps: Annotated[tuple[int, ...], AddedLater(neutral=(1, 2))] = (1, 2),
        block: Annotated[int, Field(ge=1), NotScience] | None = None,
    ) -> None:
        self.weight, self.warm, self.steps, self.block = weight, warm, steps, block


class Confusing(Method):
    """Keywords that are called as some of a backbone are that do not count."""

    def __init__(
        self, *, path: str = "a", chunk: int = 1, recompute: bool = False, model: str = "a", sha256: str = "x"
    ):
        pass


def run(method: Any, **more: Any) -> RunSpec:
    return resolve_run({**BASE, "method": method, **more}, "a test")


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setitem(METHODS, "toy", Before)
    return monkeypatch


def test_a_finished_run_stays_finished_when_its_method_gains_keywords(toy: pytest.MonkeyPatch) -> None:
    before = run("toy")
    name, stored = fingerprint(before), before.table()
    toy.setitem(METHODS, "toy", After)
    read = RunSpec.from_table(stored)
    assert read.method.parameters == {"weight": 0.5, "warm": False, "steps": [1, 2]}
    assert fingerprint(read) == name
    assert fingerprint(run({"name": "toy", "warm": False, "block": 3})) == name
    others = [run("toy"), run({"name": "toy", "warm": False, "steps": [2, 1]})]
    assert len({name, *map(fingerprint, others)}) == 3
    assert RunSpec.from_table(others[0].table()) == others[0]


def test_only_an_annotation_takes_a_keyword_out(toy: pytest.MonkeyPatch) -> None:
    toy.setitem(METHODS, "toy", Confusing)
    changed = [{"path": "b"}, {"chunk": 2}, {"recompute": True}, {"model": "b"}]
    assert len({fingerprint(run({"name": "toy", **change})) for change in ({}, *changed)}) == 5
    backbones = [{"name": "saf", **change} for change in ({}, {"chunk": 2}, {"recompute": True}, {"sim_dim": 2})]
    assert len({fingerprint(run("toy", backbone=backbone)) for backbone in backbones}) == 2


def test_the_fields_of_a_run_and_its_parts_are_marked_alike(toy: pytest.MonkeyPatch) -> None:
    class Longer(Schedule):
        patience: Annotated[int, AddedLater(neutral=0)] = 3
        look: Annotated[int, NotScience] = 1

    class LongerRun(RunSpec):
        schedule: Longer = Longer()
        extra: Annotated[Longer | None, AddedLater(neutral=None)] = None

    before = run("toy")
    stored = before.table()
    read = LongerRun.from_table(stored)
    assert (read.schedule.patience, read.schedule.look, read.extra) == (0, 1, None)  # type: ignore[attr-defined]
    assert fingerprint(read) == fingerprint(before)
    changed = [
        read.model_copy(update={"schedule": Longer(epochs=1, patience=0, look=2)}),
        read.model_copy(update={"schedule": Longer(epochs=1)}),
        read.model_copy(update={"extra": Longer()}),
    ]
    assert [fingerprint(one) == fingerprint(before) for one in changed] == [True, False, False]


def test_a_pinned_place_counts_only_without_its_digest() -> None:
    class Pinned(Strict):
        model: Annotated[str, NotScience(beside="sha256")]
        sha256: str = ""

    fields = Pinned.model_fields
    assert science(fields, {"model": "a", "sha256": "1"}) == {"sha256": "1"}
    assert science(fields, {"model": "a", "sha256": ""}) == {"model": "a", "sha256": ""}
    assert neutral_values(fields) == {}


def test_a_run_of_a_component_that_is_gone_can_be_read(toy: pytest.MonkeyPatch) -> None:
    stored = run("toy").table()
    toy.delitem(METHODS, "toy")
    assert RunSpec.from_table(stored).method.parameters == {"weight": 0.5}
