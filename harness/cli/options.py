"""Options that several verbs share, defined once."""

import re
import tomllib
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from harness.grids.rooms import Room

UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
MACHINE = ("device", "precision", "compile", "cuda_graphs", "pin_memory", "checkpoint_seconds")
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

runs = click.option(
    "--runs", type=click.Path(path_type=Path, file_okay=False), default=Path("runs"), envvar="HARNESS_RUNS",
    show_default=True, help="The ledger: a folder with a folder for each cell (HARNESS_RUNS).",
)  # fmt: skip
data = click.option(
    "--data", type=click.Path(path_type=Path, file_okay=False), default=Path("data"), envvar="HARNESS_DATA",
    show_default=True, help="The folder with the data sets (HARNESS_DATA).",
)  # fmt: skip
smoke = click.option(
    "--smoke", is_flag=True, help="Use the small settings of the [smoke] table: minutes, on the embedded benchmark."
)
only = click.option(
    "--only", "only", multiple=True, metavar="AXIS=VALUE", callback=lambda _c, _p, given: _by_axis(given),
    help="Only the cells with this value on this axis. May be repeated: a cell must have one of the values given for "
    "each axis.",
)  # fmt: skip
settings = click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", callback=lambda _c, _p, given: _settings(given),
    help="Set a key of the run, in every cell of a grid, e.g. method.beta=0.9. The value is written as in TOML; what "
    "is not TOML is text, and `none` means no value. May be repeated.",
)  # fmt: skip
processes = click.option(
    "--processes", type=click.IntRange(min=1), default=1, show_default=True,
    help="Training processes of each cell, which share its batches: for a run too large for one GPU.",
)  # fmt: skip
budget = click.option(
    "--budget", callback=lambda _c, _p, given: _seconds(given), metavar="TIME",
    help="Stop after this time, e.g. 12h or 1h30m, at a checkpoint. Cells expected to end within it start first.",
)  # fmt: skip


retrain = click.option(
    "--retrain", is_flag=True,
    help="Train again the finished cells that are of other data or code than now; the old ones move to runs/.old.",
)  # fmt: skip


storage = click.option(
    "--storage", metavar="URL", envvar="HARNESS_STORAGE",
    help="The database of a sweep's study (HARNESS_STORAGE).  [default: a journal file in runs/sweeps/NAME]",
)  # fmt: skip


def _targets(_context: click.Context, _parameter: click.Parameter, given: tuple[str, ...]) -> list[str]:
    """MLflow and what was named, or nothing at all."""
    if "none" not in given:
        return list(dict.fromkeys(("mlflow", *given)))
    if set(given) == {"none"}:
        return []
    others = " ".join(name for name in given if name != "none")
    raise click.BadParameter(f"none stands alone: name it without {others}")


mirrors = click.option(
    "--mirror", "mirrors", multiple=True, type=click.Choice(["tensorboard", "wandb", "none"]), callback=_targets,
    envvar="HARNESS_MIRROR", help="Show the runs there too, beside MLflow (HARNESS_MIRROR, names with spaces between). "
    "May be repeated. `none`: not in MLflow either; `harness sync` shows them later.",
)  # fmt: skip


def complete_names(room: "Room") -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]]:
    """What may follow where the name of a declaration is asked for: a name of the room, else a file."""

    def names(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from harness.grids.rooms import declarations

        found = [CompletionItem(name) for name in declarations(room) if name.startswith(incomplete)]
        return found or [CompletionItem(incomplete, type="file")]

    return names


def launcher(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options of where the workers run; how many run at once is an option of the verb."""
    options: list[Decorator] = [
        click.option("--launcher", type=click.Choice(["local", "slurm", "ray"]), default="local", show_default=True,
                     help="Where workers run: as processes here, as Slurm jobs, or on a Ray cluster."),
        click.option("--profile", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
                     help="A TOML file with settings of the launchers: tables [local], [slurm], [ray]."),
    ]  # fmt: skip
    for option in reversed(options):
        function = option(function)
    return function


def machine(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options of how a worker computes, none of them science. The verb gets `machine`, keywords of `Machine`."""
    options: list[Decorator] = [
        click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N or mps."),
        click.option("--precision", type=click.Choice(["float32", "tf32", "bf16"]), default="float32",
                     show_default=True, help="Number format of the forward pass."),
        click.option("--compile/--no-compile", default=False, help="Use torch.compile."),
        click.option("--cuda-graphs/--no-cuda-graphs", default=False,
                     help="With --compile on CUDA, replay the compiled parts as CUDA graphs."),
        click.option("--pin-memory/--no-pin-memory", default=True, show_default=True,
                     help="On CUDA, read batches into page-locked memory."),
        click.option("--checkpoint-seconds", type=click.FloatRange(min=0), default=120.0, show_default=True,
                     help="The longest time of training without a checkpoint."),
    ]  # fmt: skip

    @wraps(function)
    def bundled(**given: Any) -> Any:
        settings = {name: given.pop(name) for name in MACHINE}
        return function(machine=settings, **given)

    command: Callable[..., Any] = bundled
    for option in reversed(options):
        command = option(command)
    return command


def _by_axis(given: tuple[str, ...]) -> dict[str, list[str]]:
    values: dict[str, list[str]] = {}
    for item in given:
        axis, value = _pair(item, "AXIS=VALUE, for example method=crcl")
        values.setdefault(axis, []).append(value)
    return values


def _settings(given: tuple[str, ...]) -> dict[str, Any]:
    pairs = [_pair(item, "KEY=VALUE, for example method.beta=0.9") for item in given]
    return {key: _value(text) for key, text in pairs}


def _pair(item: str, form: str) -> tuple[str, str]:
    name, equals, value = item.partition("=")
    if not (name and equals):
        raise click.BadParameter(f"{item!r}: write {form}")
    return name, value


def _value(text: str) -> Any:
    """A value as it would stand in a spec; text needs no quotation marks."""
    if text == "none":  # which TOML has no word for
        return None
    try:
        table = tomllib.loads(f"value = {text}")
    except (tomllib.TOMLDecodeError, RecursionError):
        return text
    value = table["value"]
    return value if len(table) == 1 and isinstance(value, bool | int | float | str | list | dict) else text


def _seconds(given: str | None) -> float | None:
    """12h, 90m, 1h30m, ... in seconds."""
    if given is None:
        return None
    parts = re.findall(r"(\d+(?:\.\d+)?)([dhms])", given)
    seconds = sum(float(number) * UNITS[unit] for number, unit in parts)
    if "".join(number + unit for number, unit in parts) != given or seconds <= 0:
        raise click.BadParameter(f"{given!r}: write a time, for example 12h, 90m or 1h30m; units are d, h, m and s")
    return seconds
