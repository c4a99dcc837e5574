"""The command behind a cell, for its description and for what must be trained again."""

import json
import shlex
from collections.abc import Mapping
from typing import Any

SMALL = "-smoke"  # how the grid of `--smoke` is called
SINGLE = "train"  # the grid of all runs that are described on the command line
NAMED = ("dataset", "method", "noise", "backbone", "seed")  # options of `harness train`; other keys stand behind --set


def made_by(spec: Mapping[str, Any], grid: str | None = None) -> str:
    """What makes a cell, e.g. "harness run demo --smoke". Of a file of one's own the name alone is known.

    Args:
        spec: spec.json of the cell.
        grid: the grid that is meant, where several share the cell.

    >>> made_by({"grid": "demo-smoke"})
    'harness run demo --smoke'
    """
    grid = grid or spec["grid"]
    if grid == SINGLE:
        return shlex.join(["harness", SINGLE, *_describe(spec)])
    name = grid.removesuffix(SMALL)
    return f"harness {'sweep' if 'sweep' in spec else 'run'} {name}{'' if name == grid else ' --smoke'}"


def _describe(spec: Mapping[str, Any]) -> list[str]:
    words = []
    for key in spec["labels"]:
        value: Any = spec["run"]
        for part in key.split("."):
            value = value[part]
        if key in NAMED:
            words += [f"--{key}", str(value["name"] if isinstance(value, Mapping) else value)]
        elif value is not None:
            words += ["--set", f"{key}={value if isinstance(value, str) else json.dumps(value)}"]
    return words
