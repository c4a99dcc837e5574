"""Where MLflow keeps things: an SQLite file beside the runs, or any tracking server by the usual variable."""

import gc
import logging
import os
import sqlite3
import zlib
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote, urlsplit

from filelock import FileLock

from harness.errors import HarnessError
from harness.files import write_atomic
from harness.kept import keep
from harness.tracking.records import LARGEST_BATCH, Point
from harness.uris import hide, shown

SQLITE = "sqlite:///"
AT_ONCE = 250  # runs in one answer of the store; 1,000 as one take longer to read than as four


@dataclass
class Store:
    """An open tracking store.

    Attributes:
        uri: as MLflow understands it.
        artifacts: folder for what is not a number; None where the server decides.
        client: `mlflow.MlflowClient`.
        viewed: ids of the experiments whose view is as it should be.
    """

    uri: str
    artifacts: Path | None
    client: Any
    viewed: set[str] = field(default_factory=set)
    _experiments: dict[str, str] = field(default_factory=dict)
    _runs: dict[tuple[str, str], str] = field(default_factory=dict)

    def experiment(self, grid: str) -> str:
        """The id of a grid's experiment, made if it is not there yet."""
        if grid not in self._experiments:
            self._experiments[grid] = self._find_experiment(grid)
        return self._experiments[grid]

    def find_run(self, grid: str, fingerprint: str) -> Any | None:
        """The MLflow run of a cell, by its tag, or None."""
        known = self._runs.get((grid, fingerprint))
        if known is not None:
            run = self.client.get_run(known)
            if run.info.lifecycle_stage == "active":
                return run
            del self._runs[grid, fingerprint]
        found = self.client.search_runs([self.experiment(grid)], f"tags.fingerprint = '{fingerprint}'", max_results=1)
        if not found:
            return None
        self._runs[grid, fingerprint] = found[0].info.run_id
        return found[0]

    def find_ended(self, grid: str) -> set[tuple[str, str]]:
        """Fingerprint and mark (tag `mirrored`) of a grid's finished runs: one search, a second for 1,000 runs."""
        search = partial(self.client.search_runs, [self.experiment(grid)], "attributes.status = 'FINISHED'")
        tags = [run.data.tags for run in fetch_pages(search)]
        return {(each["fingerprint"], each["mirrored"]) for each in tags if {"fingerprint", "mirrored"} <= each.keys()}

    def _find_experiment(self, grid: str) -> str:
        found = self.client.get_experiment_by_name(grid)
        if found is None:
            where = None if self.artifacts is None else (self.artifacts / grid).as_uri()
            # The kind opens the page in the view for training runs; without it a visitor is asked to choose.
            tags = {"mlflow.experimentKind": "custom_model_development"}
            try:
                return str(self.client.create_experiment(grid, artifact_location=where, tags=tags))
            except mlflow().MlflowException:  # another process was first
                found = self.client.get_experiment_by_name(grid)
                if found is None:
                    raise
        if found.lifecycle_stage != "active":
            self.client.restore_experiment(found.experiment_id)
        return str(found.experiment_id)


def store_uri(uri: str | None, runs: Path) -> str:
    """Which store: the given one, else MLFLOW_TRACKING_URI, else `mlflow.db` beside the runs folder."""
    return uri or os.environ.get("MLFLOW_TRACKING_URI") or f"{SQLITE}{runs.resolve().parent / 'mlflow.db'}"


def sqlite_file(uri: str) -> Path | None:
    """The file of an SQLite store, or None for any other."""
    return Path(uri.removeprefix(SQLITE)).absolute() if uri.startswith(SQLITE) else None


def open_store(uri: str | None, runs: Path) -> Store:
    """Open the tracking store; an SQLite one is made if it is not there yet.

    Several processes may do so at once, and any may be killed: the tables are made elsewhere, under a file lock, and
    put in place whole, because MLflow's migration leaves a broken file when two run it together or one is stopped. In
    WAL mode, so that the pages can be read while a run is logged.

    Args:
        uri: an MLflow tracking URI; None asks MLFLOW_TRACKING_URI, then takes `mlflow.db` beside `runs`.
        runs: the folder of the ledger.

    Raises:
        HarnessError: the store cannot be opened.
    """
    uri = store_uri(uri, runs)
    file = sqlite_file(uri)
    with explain_failures(uri):
        if file is None:
            return Store(uri, None, mlflow().MlflowClient(uri))
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{file}.lock"):
            if not file.exists():
                write_atomic(file, _fresh_store())
            connection = sqlite3.connect(file)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.close()
            client = mlflow().MlflowClient(uri)
            client.search_experiments(max_results=1)  # an error now rather than in the middle of a grid
            artifacts = file.parent / "mlartifacts"
            move_artifacts(file, artifacts)
        return Store(uri, artifacts, client)


def _fresh_store() -> bytes:
    """An SQLite file with MLflow's tables; making them takes seconds, so it is kept for the next folder of runs."""
    packed: str = keep("mlflow_store", version("mlflow"), lambda: b64encode(zlib.compress(_make_store())).decode())
    return zlib.decompress(b64decode(packed))


def _make_store() -> bytes:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "fresh.db"
        mlflow().MlflowClient(f"{SQLITE}{file}").delete_experiment("0")  # "Default", in which nothing is ever logged
        return file.read_bytes()


def move_artifacts(file: Path, artifacts: Path) -> None:
    """Where the folder of a store was moved or copied, say so in the store: MLflow keeps whole paths."""
    places = {"experiments": "artifact_location", "runs": "artifact_uri", "logged_models": "artifact_location"}
    with closing(sqlite3.connect(file)) as connection, connection:
        for table, column in places.items():
            for (old,) in connection.execute(f"SELECT DISTINCT {column} FROM {table} WHERE {column} LIKE 'file:%'"):
                before, name, after = old.partition(f"/{artifacts.name}/")
                if name and before != artifacts.parent.as_uri():
                    new = f"{artifacts.as_uri()}/{after}"
                    connection.execute(f"UPDATE {table} SET {column} = ? WHERE {column} = ?", (new, old))


def local_path(uri: str) -> Path | None:
    """The folder behind a file: URI, or None."""
    return Path(unquote(urlsplit(uri).path)) if uri.startswith("file:") else None


def log(
    store: Store,
    run_id: str,
    *,
    points: Iterable[Point] = (),
    params: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
) -> None:
    """As few calls as MLflow's limits allow; nearly always one."""
    m = mlflow()
    metrics = [m.Metric(p.key, p.value, p.time, p.step) for p in points]
    param_list = [m.Param(key, value) for key, value in (params or {}).items()]
    tag_list = [m.RunTag(key, value) for key, value in (tags or {}).items()]
    while metrics or param_list or tag_list:
        store.client.log_batch(run_id, metrics=metrics[:LARGEST_BATCH], params=param_list[:100], tags=tag_list[:100])
        metrics, param_list, tag_list = metrics[LARGEST_BATCH:], param_list[100:], tag_list[100:]


def fetch_pages(search: Callable[..., Any]) -> list[Any]:
    """All answers of a search that gives them page by page."""
    answer = search(max_results=AT_ONCE)
    found = list(answer)
    while answer.token:
        answer = search(max_results=AT_ONCE, page_token=answer.token)
        found += answer
    return found


@cache
def mlflow() -> SimpleNamespace:
    """What is used of mlflow, imported when first needed (1.6 s), silent and without telemetry."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # it would tear the launcher's display
    # A server that is down is noticed in seconds, not in the many minutes of MLflow's defaults.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    for name in ("alembic", "mlflow", "mlflow.store.db.utils"):
        logging.getLogger(name).setLevel(logging.WARNING)
    from mlflow import MlflowClient
    from mlflow.data.code_dataset_source import CodeDatasetSource
    from mlflow.data.meta_dataset import MetaDataset
    from mlflow.entities import DatasetInput, InputTag, LoggedModelOutput, Metric, Param, RunTag
    from mlflow.exceptions import MlflowException

    logging.getLogger("mlflow").setLevel(logging.WARNING)
    # `explain_failures` says it in a line.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    gc.freeze()  # reading a thousand runs makes a million objects; collecting them need not walk the packages' own
    return SimpleNamespace(
        MlflowClient=MlflowClient,
        CodeDatasetSource=CodeDatasetSource,
        MetaDataset=MetaDataset,
        DatasetInput=DatasetInput,
        InputTag=InputTag,
        LoggedModelOutput=LoggedModelOutput,
        Metric=Metric,
        Param=Param,
        RunTag=RunTag,
        MlflowException=MlflowException,
    )


@contextmanager
def explain_failures(uri: str) -> Iterator[None]:
    """Turns what goes wrong in a tracking store into one line."""
    from requests import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (
        mlflow().MlflowException, RequestException, SQLAlchemyError, sqlite3.Error, OSError,
        ImportError, ValueError,  # a driver that is not installed; a port that is no number
    ) as error:  # fmt: skip
        reason = " ".join(str(error).partition("[SQL:")[0].split())[:300] or type(error).__name__
        file = sqlite_file(uri)
        broken = file is not None and file.exists() and "locked" not in reason
        again = f"; {file} is a copy of them and may be deleted before" if broken else ""
        raise HarnessError(
            f"tracking store {shown(uri)}: {hide(reason, uri)}; the runs are safe in their folders; when the "
            f"store works again, `harness sync` brings it up to date{again}"
        ) from error
