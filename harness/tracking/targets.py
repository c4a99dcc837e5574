"""The programs that can show the ledger, by name."""

from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path

from harness.errors import HarnessError, suggest
from harness.extras import demand
from harness.tracking.target import Extras, Target

MLFLOW = "mlflow"
# Name -> module, its class; the package is imported when the first cell is mirrored. The name is that of the extra too.
TARGETS = {
    MLFLOW: ("harness.tracking.mlflow_runs", "MlflowRuns"),
    "tensorboard": ("harness.tracking.event_files", "EventFiles"),
    "wandb": ("harness.tracking.weights_biases", "WeightsBiases"),
}


def opener(name: str, runs: Path, *, uri: str | None = None, extras: Extras | None = None) -> Callable[[], Target]:
    """What opens a target when it is needed.

    Args:
        name: of `TARGETS`.
        runs: the folder of the ledger.
        uri: of MLflow's store, as for `open_store`.
        extras: what is shown beside a run's own files.

    Raises:
        HarnessError: the target is unknown, or its package is not installed.
    """
    if name not in TARGETS:
        raise HarnessError(f"--mirror {name}: is no mirror; {suggest(name, TARGETS)}")
    demand(name, f"--mirror {name}", extra=name)
    module, cls = TARGETS[name]
    where = {"uri": uri} if name == MLFLOW else {}
    return partial(_open, module, cls, runs, extras, where)


def _open(module: str, cls: str, runs: Path, extras: Extras | None, where: dict[str, str | None]) -> Target:
    target: Target = getattr(import_module(module), cls)(runs, extras=extras, **where)
    return target
