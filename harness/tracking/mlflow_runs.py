"""The mirror in MLflow: one run for each cell, brought up to date from the cell's files."""

import hashlib
import shutil
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from harness.files import read_json
from harness.ledger import Cell
from harness.ledger.command import made_by
from harness.printing.numbers import ordinal
from harness.tracking import records
from harness.tracking.mlflow_models import drop_models, log_model
from harness.tracking.mlflow_sweeps import mirror_sweep
from harness.tracking.mlflow_views import show_columns
from harness.tracking.store import Store, explain_failures, local_path, log, mlflow, open_store
from harness.tracking.target import Extras, Target, cell_lock

STATUS = {
    "waiting": "KILLED",
    "running": "RUNNING",
    "interrupted": "KILLED",
    "failed": "FAILED",
    "done": "FINISHED",
}
ARTIFACTS = {"failed": ["failure.json"], "done": ["result.json", "labels.npy", "noise.npy"]}
LAYOUT = 3  # of a run; one that a version with another layout has begun is logged anew
BEGUN = f"begun layout {LAYOUT}"
DIGEST = 36  # characters that MLflow keeps of a dataset's digest


class MlflowRuns(Target):
    """Runs in an MLflow store.

    Args:
        runs: the folder of the ledger.
        uri: as for `open_store`.
        extras: what is shown beside a run's own files.

    Raises:
        HarnessError: the store cannot be opened.
    """

    def __init__(self, runs: Path, *, uri: str | None = None, extras: Extras | None = None) -> None:
        super().__init__(extras)
        self.store = open_store(uri, runs)

    @property
    def place(self) -> str:
        return self.store.uri

    def mirror(self, cell: Cell, grid: str) -> None:
        """About 15 ms where there is nothing to add."""
        mirror_cell(self.store, cell, grid=grid, extras=self.extras)

    def forget(self, cell: Cell, grid: str) -> None:
        forget(self.store, cell, grid=grid)

    def mirror_sweep(self, folder: Path) -> None:
        mirror_sweep(self.store, folder, figures=self.extras.sweep_figures)

    def whole(self, cells: Iterable[Cell], grid: str | None) -> set[Cell]:
        """Those whose status and mark, the last things written, are there. Takes no lock: a cell that is done changes
        no more, and one trained anew has another mark."""
        with explain_failures(self.store.uri):
            grids = {cell: grid or cell.spec["grid"] for cell in cells}
            ended = {name: self.store.find_ended(name) for name in set(grids.values())}
            return {cell for cell, name in grids.items() if (cell.fingerprint, _ending(cell, "done")) in ended[name]}


def mirror_cell(store: Store, cell: Cell, *, grid: str | None = None, extras: Extras | None = None) -> None:
    """Bring one cell's MLflow run up to date: make it, add the epochs it lacks, and at the end results and files.

    Calling it again adds nothing; neither does a run that was killed and trains its last epochs again.

    Args:
        store: an open tracking store.
        cell: the cell; one that has not begun is left alone.
        grid: the experiment to log to, if not the grid that the cell names.
        extras: what is shown beside its own files.

    Raises:
        HarnessError: the store does not answer.
    """
    state = cell.state()
    rows = cell.rows()
    if state == "damaged" or (state == "waiting" and not rows):
        return
    with explain_failures(store.uri), cell_lock(cell):
        _update(store, cell, grid or cell.spec["grid"], state, rows, extras or Extras())


def forget(store: Store, cell: Cell, *, grid: str | None = None) -> None:
    """Delete a cell's MLflow run with its model, so that `mirror_cell` makes it anew."""
    with explain_failures(store.uri), cell_lock(cell):
        run = store.find_run(grid or cell.spec["grid"], cell.fingerprint)
        if run is not None:
            _delete(store, run)


def _delete(store: Store, run: Any) -> None:
    drop_models(store, run)
    store.client.delete_run(run.info.run_id)
    files = local_path(run.info.artifact_uri)
    if store.artifacts is not None and files is not None and store.artifacts in files.parents:
        shutil.rmtree(files.parent, ignore_errors=True)


def _update(store: Store, cell: Cell, grid: str, state: str, rows: list[dict[str, Any]], extras: Extras) -> None:
    ending = _ending(cell, state)
    run = store.find_run(grid, cell.fingerprint)
    if run is not None and _is_of_another(run.data.tags.get("mirrored", BEGUN), ending):
        _delete(store, run)
        run = None
    if run is None:
        run = _create(store, cell, grid, rows)
    run_id, tags = run.info.run_id, run.data.tags
    if not run.data.params:
        log(store, run_id, params=records.params(cell.spec["run"]))
    if "mirrored" not in tags:
        store.client.log_artifact(run_id, str(cell.path("spec.json")))
        log(store, run_id, tags={"mirrored": BEGUN})

    last = run.data.metrics.get("epoch", 0.0)
    for batch in records.batches(records.row_points(row) for row in rows if ordinal(row["epoch"]) > last):
        log(store, run_id, points=batch)

    if ending is not None and tags.get("mirrored") != ending:
        _log_ending(store, cell, run, state, ending, extras)
    if run.info.status != STATUS[state]:
        _set_status(store, cell, run_id, state, rows)


def _create(store: Store, cell: Cell, grid: str, rows: list[dict[str, Any]]) -> Any:
    tags = {**records.spec_tags(cell.spec), "grid": grid, "ledger": str(cell.folder.absolute())}
    tags |= {"mlflow.source.name": made_by(cell.spec, grid), "mlflow.source.type": "LOCAL"}
    sweep = read_json(cell.folder.parent / "sweeps" / grid / "sweep.json")
    parent = store.find_run(grid, sweep["folder"]) if sweep else None
    if parent is not None:
        tags["mlflow.parentRunId"] = parent.info.run_id
    return store.client.create_run(
        store.experiment(grid), start_time=_began(cell, rows), tags=tags, run_name=cell.spec["cell"]
    )


def _began(cell: Cell, rows: list[dict[str, Any]]) -> int:
    """When the first epoch began, in unix milliseconds; a cell that is only scored, when it ended."""
    if rows:
        return round(1000 * (rows[0]["time"] - rows[0].get("seconds", 0.0)))
    result = cell.result()
    return records.finished(result) if result else round(1000 * time.time())


def _is_of_another(mark: str, ending: str | None) -> bool:
    """Whether a run with this mark is that of a training before the cell was deleted, or one of an older version."""
    return (mark.startswith("done") and mark != ending) or not mark.endswith(f"layout {LAYOUT}")


def _ending(cell: Cell, state: str) -> str | None:
    """A mark for how the cell ended, e.g. "done 1f0c… layout 3"; None while it has not."""
    if state not in ARTIFACTS:
        return None
    digest = hashlib.sha256(cell.path(ARTIFACTS[state][0]).read_bytes()).hexdigest()[:16]
    return f"{state} {digest} layout {LAYOUT}"


def _log_ending(store: Store, cell: Cell, run: Any, state: str, ending: str, extras: Extras) -> None:
    """Files first, the mark last: what is cut short is done again."""
    run_id = run.info.run_id
    for name in ARTIFACTS[state]:
        if cell.path(name).exists():
            store.client.log_artifact(run_id, str(cell.path(name)))
    for name, figure in (extras.figures(cell) if extras.figures else {}).items():
        if isinstance(figure, Path):
            store.client.log_artifact(run_id, str(figure), "figures")
        else:
            store.client.log_figure(run_id, figure, f"figures/{name}.png", save_kwargs={"dpi": 160})
    tags = {"mirrored": ending}
    if extras.note is not None:
        tags["mlflow.note.content"] = extras.note(cell)
    points: list[records.Point] = []
    result, failure = cell.result(), cell.failure()
    if state == "done" and result is not None:
        tags |= {**records.result_tags(result), "group": records.group(cell.spec, result)}
        points = records.result_points(result)
        _log_dataset(store, run_id, result.get("dataset", {}))
        log_model(store, run, cell)
        show_columns(store, run.info.experiment_id, cell.spec["labels"], points)
    elif failure is not None:
        tags["failure"] = str(failure["error"])
    log(store, run_id, points=points, tags=tags)


def _log_dataset(store: Store, run_id: str, dataset: Mapping[str, Any]) -> None:
    """With our own digest: MLflow's sees the first 10,000 values alone, and reads a memory map whole."""
    if "name" not in dataset:
        return
    m = mlflow()
    source = m.CodeDatasetSource(tags={key: str(value) for key, value in dataset.items()})
    described = m.MetaDataset(source, name=dataset["name"], digest=str(dataset.get("digest", ""))[:DIGEST])
    context = m.InputTag("mlflow.data.context", "train, dev and test")
    store.client.log_inputs(run_id, [m.DatasetInput(described._to_mlflow_entity(), [context])])


def _set_status(store: Store, cell: Cell, run_id: str, state: str, rows: list[dict[str, Any]]) -> None:
    if state == "running":
        store.client.update_run(run_id, status=STATUS[state])
        return
    result, failure = cell.result(), cell.failure()
    if result is not None:
        end = records.finished(result)
    else:
        end = round(1000 * (failure["time"] if failure else rows[-1]["time"] if rows else time.time()))
    store.client.set_terminated(run_id, status=STATUS[state], end_time=end)
