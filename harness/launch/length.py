"""How long runs are. Their methods say it, which import torch; so it is kept from one command to the next."""

import json
from collections.abc import Iterable
from typing import Any

from harness.kept import keep
from harness.spec import RunSpec, build
from harness.spec.facts import own_facts


def count_steps(runs: Iterable[tuple[RunSpec, int | None]]) -> list[tuple[int, int] | None]:
    """Epochs and optimiser steps of each run, given with its number of training pairs; None where that is unknown."""
    given = [None if pairs is None else (run, pairs) for run, pairs in runs]
    asked = {_key(*one): one for one in given if one is not None}  # seeds and data share it

    def count() -> dict[str, tuple[int, int]]:
        return {key: _count(*one) for key, one in asked.items()}

    ours = all(run.method.name in own_facts("method") for run, _ in asked.values())
    known: dict[str, Any] = keep("steps", sorted(asked), count) if ours else count()
    return [None if one is None else tuple(known[_key(*one)]) for one in given]


def _key(run: RunSpec, pairs: int) -> str:
    return json.dumps([run.method.model_dump(), run.schedule.epochs, run.schedule.batch_size, pairs], sort_keys=True)


def _count(run: RunSpec, pairs: int) -> tuple[int, int]:
    method, usual = build(run.method), run.schedule.batch_size
    phases = method.phases(run.schedule.epochs, -(-pairs // usual))
    steps = sum(phase.epochs * -(-pairs // (phase.batch_size or usual)) for phase in phases) * method.rounds
    return sum(phase.epochs for phase in phases), steps
