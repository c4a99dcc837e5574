"""Options that several verbs share, defined once."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

MACHINE = ("device", "precision", "compile", "cuda_graphs", "pin_memory", "checkpoint_seconds")
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

runs = click.option(
    "--runs", type=click.Path(path_type=Path, file_okay=False), default=Path("runs"), envvar="HARNESS_RUNS",
    show_default=True, help="Folder of the cell folders (HARNESS_RUNS).",
)  # fmt: skip
data = click.option(
    "--data", type=click.Path(path_type=Path, file_okay=False), default=Path("data"), envvar="HARNESS_DATA",
    show_default=True, help="Folder of the datasets (HARNESS_DATA).",
)  # fmt: skip
smoke = click.option("--smoke", is_flag=True, help="The grid's [smoke] settings: the same in minutes.")
only = click.option(
    "--only", "only", multiple=True, metavar="AXIS=VALUE", callback=lambda _c, _p, given: _pairs(given),
    help="Only the cells with this value on this axis; repeated, any of an axis's values and all of the axes.",
)  # fmt: skip


def launcher(function: Callable[..., Any]) -> Callable[..., Any]:
    """Where the workers run; how many at once is an option of the verb."""
    options: list[Decorator] = [
        click.option("--launcher", type=click.Choice(["local", "slurm", "ray"]), default="local", show_default=True,
                     help="Where cells are trained: processes here, Slurm jobs, a Ray cluster."),
        click.option("--profile", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
                     help="Settings of the launchers: a TOML file with tables [local], [slurm], [ray]."),
    ]  # fmt: skip
    for option in reversed(options):
        function = option(function)
    return function


def machine(function: Callable[..., Any]) -> Callable[..., Any]:
    """How a worker computes, nothing that a fingerprint depends on: the verb gets `machine`, keywords of `Machine`."""
    options: list[Decorator] = [
        click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N or mps."),
        click.option("--precision", type=click.Choice(["float32", "tf32", "bf16"]), default="float32",
                     show_default=True, help="Number format of the forward pass."),
        click.option("--compile/--no-compile", default=False, help="Use torch.compile."),
        click.option("--cuda-graphs/--no-cuda-graphs", default=False,
                     help="With --compile on CUDA: replay the compiled parts as CUDA graphs."),
        click.option("--pin-memory/--no-pin-memory", default=True, show_default=True,
                     help="On CUDA: read batches into page-locked memory."),
        click.option("--checkpoint-seconds", type=click.FloatRange(min=0), default=120.0, show_default=True,
                     help="Longest stretch of training between checkpoints."),
    ]  # fmt: skip

    @wraps(function)
    def bundled(**given: Any) -> Any:
        settings = {name: given.pop(name) for name in MACHINE}
        return function(machine=settings, **given)

    command: Callable[..., Any] = bundled
    for option in reversed(options):
        command = option(command)
    return command


def for_worker(machine: dict[str, Any]) -> list[str]:
    """The options of `machine` again, as `harness cell` takes them."""
    words = []
    for name, value in machine.items():
        flag = name.replace("_", "-")
        words += [f"--{flag}" if value else f"--no-{flag}"] if isinstance(value, bool) else [f"--{flag}", str(value)]
    return words


def _pairs(given: tuple[str, ...]) -> dict[str, list[str]]:
    pairs: dict[str, list[str]] = {}
    for item in given:
        axis, equals, value = item.partition("=")
        if not (axis and equals):
            raise click.BadParameter(f"{item!r}: write AXIS=VALUE, for example method=crcl")
        pairs.setdefault(axis, []).append(value)
    return pairs
