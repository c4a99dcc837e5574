"""A run's name for the machine: a hash of the science, the same wherever the data and the runs lie."""

import hashlib
import json
from typing import Any

from harness.spec.component import Component, keywords
from harness.spec.marks import science
from harness.spec.run import RunSpec, Strict

# Raised by hand when a change to the code changes what an unchanged spec computes: old cells then count as not trained.
ALGORITHM = 1


def fingerprint(run: RunSpec) -> str:
    """16 hex digits."""
    canonical = json.dumps({"algorithm": ALGORITHM, **_science(run)}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def _science(run: RunSpec) -> dict[str, Any]:
    """What the numbers of a run depend on."""
    table = run.table()
    for key, value in run:
        if isinstance(value, Component):
            table[key] = science(keywords(value.cls), table[key])
        elif isinstance(value, Strict):
            table[key] = science(type(value).model_fields, table[key])
    return science(type(run).model_fields, table)
