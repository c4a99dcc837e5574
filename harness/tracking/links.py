"""Where to look at a run: its page in MLflow, found in the store without a running server."""

import os
from functools import partial
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.files import write_atomic
from harness.tracking.mlflow_views import VIEW
from harness.tracking.store import explain_failures, fetch_pages, open_store, sqlite_file, store_uri
from harness.uris import public

PORT = 5000
MODE = "workflowType=machine_learning"  # else MLflow 3 opens its pages for language models


def pages_address(runs: Path) -> str:
    """Where the pages of a store that is no server are opened: HARNESS_UI, else where `harness ui` last opened them."""
    try:
        last = _remembered(runs).read_text(encoding="utf-8").strip()
    except OSError:
        last = ""
    return os.environ.get("HARNESS_UI") or last or f"http://127.0.0.1:{PORT}"


def remember_pages(runs: Path, address: str) -> None:
    """Have the links that are written from now on lead there."""
    _remembered(runs).parent.mkdir(parents=True, exist_ok=True)
    write_atomic(_remembered(runs), address.encode())


def _remembered(runs: Path) -> Path:
    return runs / ".mirror" / "pages"


def list_link(base: str) -> str:
    """The list of experiments."""
    return f"{base}/#/experiments?{MODE}"


def experiment_links(runs: Path, base: str, *, uri: str | None = None) -> dict[str, str]:
    """Name -> URL of an experiment's runs with the columns and charts that the mirror chose; the latest first.

    Raises:
        HarnessError: the store does not answer.
    """
    store = open_store(uri, runs)
    with explain_failures(store.uri):
        found = fetch_pages(partial(store.client.search_experiments, order_by=["last_update_time DESC"]))
    where = f"runs?viewStateShareKey={VIEW}&{MODE}"
    return {each.name: f"{base}/#/experiments/{each.experiment_id}/{where}" for each in found}


def run_links(runs: Path, *, uri: str | None = None, pages: str | None = None) -> dict[str, str]:
    """Fingerprint -> URL of its MLflow run, for every run that the store has.

    Empty where there is no store, and where it does not answer: links are a convenience, and no report waits for them.
    Where several grids share a cell, it is the run that was logged last.

    Args:
        runs: the folder of the ledger.
        uri: as for `open_store`.
        pages: where the pages of a store that is no server are opened; a server's own pages are at its URI. None: of
            `pages_address`.
    """
    uri = store_uri(uri, runs)
    file = sqlite_file(uri)
    if file is not None and not file.exists():
        return {}
    served = uri.startswith(("http://", "https://"))
    base = (public(uri) if served else pages or pages_address(runs)).rstrip("/")
    try:
        store = open_store(uri, runs)
        with explain_failures(uri):
            found = _all_runs(store.client)
    except HarnessError:
        return {}
    found.sort(key=lambda run: (run.info.start_time, run.info.run_id))
    return {
        run.data.tags["fingerprint"]: f"{base}/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}?{MODE}"
        for run in found
    }


def _all_runs(client: Any) -> list[Any]:
    """Every active run of every experiment that is a cell's."""
    experiments = [each.experiment_id for each in fetch_pages(client.search_experiments)]
    if not experiments:
        return []
    return fetch_pages(partial(client.search_runs, experiments, "tags.fingerprint != ''"))
