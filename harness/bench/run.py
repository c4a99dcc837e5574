"""All the backbones asked for, each in a process of its own; kept as a file, and held against an earlier one."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from harness.bench.measure import Measured, measure
from harness.bench.profile import Operation
from harness.bench.sizes import Plan, Sizes
from harness.errors import HarnessError
from harness.files import read_json, write_json

Bench = dict[str, Measured]  # by backbone


def bench(plans: Sequence[Plan], report: Callable[[str], None] = lambda _: None) -> Bench:
    """Measures each plan in a fresh process, so that peak memory is its own, one after the other.

    Raises:
        HarnessError: a plan does not fit, or its process was killed.
    """
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler's own lines, in the processes that start here
    measured = {}
    for plan in plans:
        report(plan.backbone)
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            try:
                measured[plan.backbone] = process.submit(measure, plan).result()
            except BrokenProcessPool:
                raise HarnessError(
                    f"harness bench: the process of {plan.backbone} was killed, most likely because the memory was "
                    "used up; take a smaller --batch-size, or --recompute"
                ) from None
    return measured


def save(path: Path, sizes: Sizes, measured: Bench) -> None:
    """Figures, sizes, versions, commit, threads and matmul rates as JSON; `load` reads them back."""
    rows = {name: asdict(one) for name, one in measured.items()}
    write_json(path, {"sizes": asdict(sizes), "measured": rows})


def load(path: Path, sizes: Sizes) -> Bench:
    """What `save` wrote.

    Raises:
        HarnessError: no such file, not from `save`, or measured at other sizes than `sizes`.
    """
    content: Any = read_json(path)
    try:
        before, rows = {"region_rate": 0.0, **content["sizes"]}, content["measured"]
        measured = {name: Measured(**row | {"operations": _operations(row)}) for name, row in rows.items()}
        differ = [f"{key} {before[key]} there and {value} here" for key, value in asdict(sizes).items()
                  if before[key] != value]  # fmt: skip
    except (KeyError, TypeError):
        what = "there is no such file" if content is None else "not a measurement of this version"
        raise HarnessError(f"{path}: {what}; accepted: a file written by `harness bench --save`") from None
    if differ:
        raise HarnessError(f"{path}: measured at other sizes ({', '.join(differ)}); measure both at the same ones")
    return measured


def _operations(row: dict[str, Any]) -> list[Operation]:
    return [Operation(**operation) for operation in row["operations"]]
