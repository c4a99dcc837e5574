"""The profile file: how each engine is to be set up on a cluster, one TOML table per engine.

    [slurm]
    partition = "gpu"
    time = "12:00:00"
    gpus = 1

It says where and how cells run, never what they compute, so it is no part of a grid.
"""

from pathlib import Path
from typing import Any

from harness.errors import HarnessError, suggest
from harness.grids import read_toml
from harness.launch.engines import ENGINES, Engine
from harness.spec import check


def open_engine(launcher: str, jobs: int, profile: Path | None) -> Engine:
    """The engine that is called `launcher`, set up as the profile says, by its defaults without one.

    Raises:
        HarnessError: the file is missing or no TOML, or a table, key or value of it is unknown or out of range.
    """
    tables: dict[str, Any] = {} if profile is None else read_toml(profile)
    for name, table in tables.items():
        if name not in ENGINES:
            raise HarnessError(f"{profile}: [{name}]: unknown launcher; {suggest(name, ENGINES)}")
        if not isinstance(table, dict) or "name" in table:
            raise HarnessError(f"{profile}: {name} = {table!r}: accepted: a table of settings, [{name}]")
    settings = check(ENGINES[launcher], tables.get(launcher, {}), where=str(profile), prefix=launcher)
    return ENGINES[launcher](jobs, **settings)
