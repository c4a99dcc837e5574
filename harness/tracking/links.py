"""Where to look at a run: its page in MLflow, found in the store without a running server."""

from functools import partial
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.tracking.store import explain_failures, fetch_pages, open_store, sqlite_file, store_uri
from harness.uris import public

PAGES = "http://127.0.0.1:5000"  # where `harness ui` opens them


def run_links(runs: Path, *, uri: str | None = None, pages: str = PAGES) -> dict[str, str]:
    """Fingerprint -> URL of its MLflow run, for every run that the store has.

    Empty where there is no store, and where it does not answer: links are a convenience, and no report waits for them.
    Where several grids share a cell, it is the run that was logged last.

    Args:
        runs: the folder of the ledger.
        uri: as for `open_store`.
        pages: where the pages of a store that is no server are opened; a server's own pages are at its URI.
    """
    uri = store_uri(uri, runs)
    file = sqlite_file(uri)
    if file is not None and not file.exists():
        return {}
    base = (public(uri) if uri.startswith(("http://", "https://")) else pages).rstrip("/")
    try:
        store = open_store(uri, runs)
        with explain_failures(uri):
            found = _all_runs(store.client)
    except HarnessError:
        return {}
    found.sort(key=lambda run: (run.info.start_time, run.info.run_id))
    return {
        run.data.tags["fingerprint"]: f"{base}/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}"
        for run in found
    }


def _all_runs(client: Any) -> list[Any]:
    """Every active run of every experiment that is a cell's."""
    experiments = [each.experiment_id for each in fetch_pages(client.search_experiments)]
    if not experiments:
        return []
    return fetch_pages(partial(client.search_runs, experiments, "tags.fingerprint != ''"))
