"""Optuna's own pages over the study of a sweep."""

from pathlib import Path

from harness.errors import HarnessError
from harness.extras import demand
from harness.search.records import read_sweep, sweep_folder
from harness.search.storage import explain_failures, open_storage
from harness.uris import secrets, shown


def serve(name: str, runs: Path, port: int, url: str | None = None) -> None:
    """Open the dashboard on 127.0.0.1 until Ctrl-C. It reads; what is edited there is not used by a sweep.

    Args:
        name: of the sweep, as its folder in runs/sweeps is called; "" for the one that was worked on last.
        runs: the runs folder.
        port: free.
        url: of the study's database, where its address holds a password; else what the sweep was begun with.

    Raises:
        HarnessError: no such sweep, no optuna-dashboard, or the storage does not answer.
    """
    name = name or _latest(runs)
    about = read_sweep(name, runs).about
    demand("optuna_dashboard", "--optuna", extra="dashboard")
    if url is None and secrets(about["storage"]):
        raise HarnessError(
            f"--storage is missing: the sweep {name} was begun with {about['storage']}, and its password is written "
            "nowhere; give it with --storage or HARNESS_STORAGE"
        )
    from optuna_dashboard import run_server

    url = url or about["storage"]
    storage = open_storage(url, sweep_folder(name, runs))
    print(f"{name} in {shown(url or str(runs))}\nhttp://127.0.0.1:{port}/dashboard/  (Ctrl-C ends it)", flush=True)
    with explain_failures(url):
        run_server(storage, host="127.0.0.1", port=port)


def _latest(runs: Path) -> str:
    trials = sorted((runs / "sweeps").glob("*/trials.csv"), key=lambda file: file.stat().st_mtime)
    if not trials:
        raise HarnessError(f"{runs / 'sweeps'}: no sweep has begun there; `harness sweep momentum --smoke` begins one")
    return trials[-1].parent.name
