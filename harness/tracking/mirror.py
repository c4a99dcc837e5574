"""One cell's MLflow run, brought up to date from the cell's files: while it trains, at its end, or later."""

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

from harness.errors import HarnessError
from harness.ledger import Cell
from harness.tracking import records
from harness.tracking.store import Store, explain_failures, mlflow, open_store

STATUS = {
    "waiting": "KILLED",
    "running": "RUNNING",
    "interrupted": "KILLED",
    "failed": "FAILED",
    "done": "FINISHED",
}
ARTIFACTS = {"failed": ["failure.json"], "done": ["result.json", "labels.npy", "noise.npy"]}
PATIENCE = 60.0  # seconds before a store that failed is tried again
MANY = 100  # finished cells that are new to a launcher and worth one search instead of a look at each
DIGEST = 36  # characters that MLflow keeps of a dataset's digest

Figures = Callable[[Cell], Mapping[str, Any]]


def mirror_cell(store: Store, cell: Cell, *, grid: str | None = None, figures: Figures | None = None) -> None:
    """Bring one cell's MLflow run up to date: make it, add the epochs it lacks, and at the end results and files.

    Calling it again adds nothing; neither does a run that was killed and trains its last epochs again. Costs about 15
    ms where there is nothing to add.

    Args:
        store: an open tracking store.
        cell: the cell; one that has not begun is left alone.
        grid: the experiment to log to, if not the grid that the cell names: grids may share cells.
        figures: gives name -> matplotlib figure or image file, called once when the cell has ended.

    Raises:
        HarnessError: the store does not answer.
    """
    state = cell.state()
    rows = cell.rows()
    if state == "damaged" or (state == "waiting" and not rows):
        return
    with explain_failures(store.uri), FileLock(_lock(cell), timeout=PATIENCE):
        _update(store, cell, grid or cell.spec["grid"], state, rows, figures)


def forget(store: Store, cell: Cell, *, grid: str | None = None) -> None:
    """Delete a cell's MLflow run, so that `mirror_cell` makes it anew."""
    with explain_failures(store.uri), FileLock(_lock(cell), timeout=PATIENCE):
        run = store.find_run(grid or cell.spec["grid"], cell.fingerprint)
        if run is not None:
            store.client.delete_run(run.info.run_id)


class Mirror:
    """What a launcher keeps: call `update` every few seconds; it never raises and never keeps the launcher for long.

    After a failure the store is left alone for a minute, and `complaint` holds the line to show.
    """

    def __init__(self, uri: str | None, runs: Path, *, grid: str | None = None, figures: Figures | None = None) -> None:
        self.complaint: str | None = None
        self._uri, self._runs, self._grid, self._figures = uri, runs, grid, figures
        self._store: Store | None = None
        self._seen: dict[str, tuple[Any, ...]] = {}
        self._next_try = 0.0

    def update(self, cells: Iterable[Cell]) -> None:
        """Mirror what changed since the last call."""
        if time.monotonic() < self._next_try:
            return
        try:
            self._store = self._store or open_store(self._uri, self._runs)
            changed = {cell: looks for cell in cells if self._seen.get(cell.fingerprint) != (looks := _looks(cell))}
            done = [cell for cell, looks in changed.items() if looks[0] == "done"]
            whole = _whole(self._store, done, self._grid) if len(done) > MANY else set()
            for cell, looks in changed.items():
                if cell not in whole:
                    mirror_cell(self._store, cell, grid=self._grid, figures=self._figures)
                self._seen[cell.fingerprint] = looks
            self.complaint = None
        except HarnessError as error:
            self.complaint = str(error)
            self._next_try = time.monotonic() + PATIENCE


def _whole(store: Store, cells: Iterable[Cell], grid: str | None) -> set[Cell]:
    """Which of these finished cells the store has to the last file: status and mark are the last things written.

    Takes no lock: a cell that is done changes no more, and one trained anew has another mark.
    """
    with explain_failures(store.uri):
        grids = {cell: grid or cell.spec["grid"] for cell in cells}
        ended = {name: store.find_ended(name) for name in set(grids.values())}
        return {cell for cell, name in grids.items() if (cell.fingerprint, _ending(cell, "done")) in ended[name]}


def _update(
    store: Store, cell: Cell, grid: str, state: str, rows: list[dict[str, Any]], figures: Figures | None
) -> None:
    ending = _ending(cell, state)
    run = store.find_run(grid, cell.fingerprint)
    if run is not None and run.data.tags.get("mirrored", "").startswith("done") and run.data.tags["mirrored"] != ending:
        store.client.delete_run(run.info.run_id)  # the cell was deleted and trained anew: another run
        run = None
    if run is None:
        run = _create(store, cell, grid, rows)
    run_id, tags = run.info.run_id, run.data.tags
    if not run.data.params:
        _log(store, run_id, params=records.params(cell.spec["run"]))
    if "mirrored" not in tags:
        store.client.log_artifact(run_id, str(cell.path("spec.json")))
        _log(store, run_id, tags={"mirrored": "begun"})

    last = run.data.metrics.get("epoch", -1.0)
    for batch in records.batches(records.row_points(row) for row in rows if row["epoch"] > last):
        _log(store, run_id, points=batch)

    if ending is not None and tags.get("mirrored") != ending:
        _log_ending(store, cell, run_id, state, ending, figures)
    if run.info.status != STATUS[state]:
        _set_status(store, cell, run_id, state, rows)


def _create(store: Store, cell: Cell, grid: str, rows: list[dict[str, Any]]) -> Any:
    tags = {**records.spec_tags(cell.spec), "grid": grid, "ledger": str(cell.folder.absolute())}
    tags |= {"mlflow.source.name": "harness", "mlflow.source.type": "LOCAL"}
    return store.client.create_run(
        store.experiment(grid), start_time=_began(cell, rows), tags=tags, run_name=cell.spec["cell"]
    )


def _began(cell: Cell, rows: list[dict[str, Any]]) -> int:
    """When the first epoch began, in unix milliseconds; a cell that is only scored, when it ended."""
    if rows:
        return round(1000 * (rows[0]["time"] - rows[0].get("seconds", 0.0)))
    result = cell.result()
    return records.finished(result) if result else round(1000 * time.time())


def _ending(cell: Cell, state: str) -> str | None:
    """A mark for how the cell ended, e.g. "done 1f0c…"; None while it has not."""
    if state not in ARTIFACTS:
        return None
    return f"{state} {hashlib.sha256(cell.path(ARTIFACTS[state][0]).read_bytes()).hexdigest()[:16]}"


def _log_ending(store: Store, cell: Cell, run_id: str, state: str, ending: str, figures: Figures | None) -> None:
    """Files first, the mark last: what is cut short is done again."""
    for name in ARTIFACTS[state]:
        if cell.path(name).exists():
            store.client.log_artifact(run_id, str(cell.path(name)))
    for name, figure in (figures(cell) if figures else {}).items():
        if isinstance(figure, Path):
            store.client.log_artifact(run_id, str(figure), "figures")
        else:
            store.client.log_figure(run_id, figure, f"figures/{name}.png", save_kwargs={"dpi": 160})
    tags = {"mirrored": ending}
    points: list[records.Point] = []
    result, failure = cell.result(), cell.failure()
    if state == "done" and result is not None:
        tags |= {**records.result_tags(result), "group": records.group(cell.spec, result)}
        points = records.result_points(result)
        _log_dataset(store, run_id, result.get("dataset", {}))
    elif failure is not None:
        tags["failure"] = str(failure["error"])
    _log(store, run_id, points=points, tags=tags)


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


def _log(
    store: Store,
    run_id: str,
    *,
    points: Iterable[records.Point] = (),
    params: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
) -> None:
    """As few calls as MLflow's limits allow; nearly always one."""
    m = mlflow()
    metrics = [m.Metric(p.key, p.value, p.time, p.step) for p in points]
    param_list = [m.Param(key, value) for key, value in (params or {}).items()]
    tag_list = [m.RunTag(key, value) for key, value in (tags or {}).items()]
    most = records.LARGEST_BATCH
    while metrics or param_list or tag_list:
        store.client.log_batch(run_id, metrics=metrics[:most], params=param_list[:100], tags=tag_list[:100])
        metrics, param_list, tag_list = metrics[most:], param_list[100:], tag_list[100:]


def _lock(cell: Cell) -> Path:
    folder = cell.folder.parent / ".mirror"
    folder.mkdir(exist_ok=True)
    return folder / f"{cell.fingerprint}.lock"


def _looks(cell: Cell) -> tuple[Any, ...]:
    """What a cell's change shows by."""
    files = ("metrics.jsonl", "result.json", "failure.json")
    return cell.state(), *map(_stamp, map(cell.path, files))


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_mtime_ns, status.st_size
