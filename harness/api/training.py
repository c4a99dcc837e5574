"""Train from Python: a grid, or one run."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict, Unpack

from harness.api.opened import Run
from harness.api.running import run_grid
from harness.errors import HarnessError
from harness.grids import load_grid, single_run
from harness.ledger import Cell
from harness.spec import name_of
from harness.spec.explain import explain
from harness.tracking.records import flatten

if TYPE_CHECKING:
    from harness.backbones import Backbone
    from harness.methods import Method
    from harness.noise import NoiseModel


@with_config(ConfigDict(extra="forbid"))
class Machine(TypedDict, total=False):
    """How a worker computes. No result's name depends on it."""

    device: str  # "auto" (CUDA, else MPS, else CPU), "cpu", "cuda", "cuda:1", "mps"
    precision: Literal["float32", "tf32", "bf16"]  # of the forward pass
    compile: bool  # use torch.compile
    cuda_graphs: bool  # with `compile` on CUDA: replay the compiled parts as CUDA graphs
    pin_memory: bool  # on CUDA: read batches into page-locked memory
    checkpoint_seconds: Annotated[float, Field(ge=0)]  # longest stretch of training between checkpoints


class How(Machine, total=False):
    """How cells are trained, as the options of `harness run` say it."""

    jobs: Annotated[int, Field(ge=1)]  # cells at once; 1
    processes: Annotated[int, Field(ge=1)]  # training processes of each cell, which share its batches; 1
    launcher: Literal["local", "slurm", "ray"]  # processes here, Slurm jobs, a Ray cluster; "local"
    profile: Path | None  # TOML file with settings of the launchers
    budget: Annotated[float, Field(gt=0)] | None  # seconds until the workers stop after a checkpoint
    mirrors: list[Literal["mlflow", "tensorboard", "wandb"]]  # where the runs are shown; ["mlflow"]
    retrain: bool  # train again what is finished, but on other data or code than now; False


class Settings(How, total=False):
    """Further keys of a run, and how it is trained."""

    seed: int
    schedule: Mapping[str, Any]  # {"epochs": 3, "lr": 2e-4, ...}
    augmentation: Mapping[str, Any] | None
    evaluation: Mapping[str, Any]


def run(
    grid: str | Path,
    *,
    runs: str | Path = "runs",
    data: str | Path = "data",
    smoke: bool = False,
    only: Mapping[str, Any] | None = None,
    set: Mapping[str, Any] | None = None,
    **how: Unpack[How],
) -> list[Cell]:
    """Train a grid, as `harness run` does: finished cells are skipped, killed ones continue, failed ones are tried
    again, and one failure does not stop the rest. Workers are processes of their own; progress is printed.

    Args:
        grid: a name in experiments/, or a .toml file.
        runs: folder of the cell folders.
        data: folder of the data sets.
        smoke: with the grid's [smoke] settings: the same in minutes.
        only: axis -> the value, or the list of values, that a cell must have: `{"method": "crcl", "seed": [0, 1]}`.
        set: dotted key -> value that is laid over the run of every cell: `{"method.beta": 0.9}`.
        how: the keys of `How`: jobs, launcher, device, ...

    Returns:
        The cells of the grid, in its order; `cell.state()` is "done", "failed", or, after a spent budget,
        "interrupted" or "waiting", and `cell.failure()` says why one failed.

    Raises:
        HarnessError: bad input, before anything is trained.
    """
    chosen = {axis: [str(label) for label in _listed(labels)] for axis, labels in (only or {}).items()}
    loaded = load_grid(grid, smoke=smoke, only=chosen, settings=set)
    return list(run_grid(loaded, runs=Path(runs), data=Path(data), **_checked(how, "harness.run")).states)


def train(
    *,
    dataset: str,
    method: "str | Mapping[str, Any] | type[Method]",
    noise: "str | Mapping[str, Any] | type[NoiseModel] | None" = None,
    backbone: "str | Mapping[str, Any] | type[Backbone] | None" = None,
    set: Mapping[str, Any] | None = None,
    runs: str | Path = "runs",
    data: str | Path = "data",
    **settings: Unpack[Settings],
) -> Run:
    """Train one run and keep it as a cell of a grid is kept: the same call continues it, and trains nothing when it is
    finished. In a worker process, as `harness train` does; progress is printed.

    Args:
        dataset: its name, or that of a folder in `data`.
        method: a name ("crcl", "my_package.my_module:MyMethod"), a table with a name and hyperparameters
            (`{"name": "crcl", "beta": 0.9}`), or a class.
        noise: in the same ways. None: caption_level, at rate 0.
        backbone: in the same ways. None: vse_infinity.
        set: dotted key -> value, laid over all of these: `{"noise.rate": 0.4, "schedule.epochs": 3}`.
        runs: folder of the cell folders.
        data: folder of the data sets.
        settings: further keys of the run (seed, schedule, ...), and the keys of `How` (device, ...).

    Returns:
        The run: done, or interrupted where a budget was spent.

    Raises:
        HarnessError: bad input, before anything is trained; or the run failed, with its reason.
    """
    how = {key: value for key, value in settings.items() if key in How.__annotations__}
    kinds = {"method": method, "noise": noise, "backbone": backbone}
    run = {"dataset": dataset, **{kind: _named(kind, given) for kind, given in kinds.items() if given is not None}}
    run |= {key: value for key, value in settings.items() if key not in how}
    grid = single_run({**dict(flatten(run)), **dict(flatten(set or {}))})
    (cell,) = run_grid(grid, runs=Path(runs), data=Path(data), **_checked(how, "harness.train")).states
    if failure := cell.failure():
        raise HarnessError(f"{cell.folder}: {cell.name}: failed: {failure['error']} (log: {cell.path('log.txt')})")
    return Run(cell, data)


def _checked(how: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The keywords of `run_grid`, those of the machine together."""
    try:
        checked = TypeAdapter(How).validate_python(how)
    except ValidationError as error:
        raise HarnessError(explain(error, where=where, accepted=How.__annotations__)) from None
    table: dict[str, Any] = dict(checked)
    machine = {key: table.pop(key) for key in Machine.__annotations__ if key in table}
    return {**table, "machine": machine}


def _named(kind: str, given: Any) -> Any:
    """A component as a spec has it."""
    if not isinstance(given, type):
        return given
    if given.__module__ == "__main__":
        raise HarnessError(
            f"{kind} = {given.__name__}: is written in the program that was started, or in a notebook, where a worker "
            "cannot import it; accepted: a class in a module; move it to a file of its own"
        )
    return name_of(kind, given)


def _listed(values: Any) -> list[Any]:
    return list(values) if isinstance(values, list | tuple) else [values]
