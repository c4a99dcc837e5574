"""Where workers may run; a package that an engine needs is imported when that engine is asked for."""

from harness.launch.engines.base import Command, Engine, Worker
from harness.launch.engines.local import Local
from harness.launch.engines.ray import Ray
from harness.launch.engines.slurm import Slurm

__all__ = ["ENGINES", "Command", "Engine", "Worker"]

ENGINES: dict[str, type[Engine]] = {"local": Local, "slurm": Slurm, "ray": Ray}
