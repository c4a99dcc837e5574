"""`harness ui`: MLflow's pages on the right store, or Optuna's dashboard on a sweep."""

import os
import socket
import sys
from pathlib import Path

import click

from harness.cli import options

LISTED = 8  # experiments whose address is printed


@click.command()
@options.runs
@click.option("--port", type=click.IntRange(1, 65535), help="Port on 127.0.0.1.  [default: 5000; with --optuna 8080]")
@click.option(
    "--optuna", "sweep_name", is_flag=False, flag_value="", metavar="[SWEEP]",
    help="Open Optuna's dashboard in place of MLflow: on this sweep, by default the one that was worked on last.",
)  # fmt: skip
@options.storage
def command(runs: Path, port: int | None, sweep_name: str | None, storage: str | None) -> None:
    """Open the MLflow pages on 127.0.0.1 over the store that `harness run` logs to. Ctrl-C ends them.

    Links in reports that are written afterwards lead to this port.
    """
    if sweep_name is None:
        _open_mlflow(runs, port or 5000)
    else:
        _open_dashboard(runs, port or 8080, sweep_name, storage)


def _open_mlflow(runs: Path, port: int) -> None:
    from harness.errors import HarnessError
    from harness.tracking import open_store, sqlite_file, store_uri
    from harness.tracking.links import experiment_links, list_link, remember_pages
    from harness.uris import public, shown

    uri = store_uri(None, runs)
    if uri.startswith(("http://", "https://")):
        print(f"MLFLOW_TRACKING_URI names a tracking server; its pages are at {list_link(public(uri))}")
        return
    file = sqlite_file(uri)
    if file is not None and not file.exists():
        raise HarnessError(
            f"{file}: there is no tracking store yet; `harness run GRID` makes it, "
            "and `harness sync` makes it from the runs that are there"
        )
    _refuse_taken(port)
    open_store(uri, runs)  # what is wrong with it is told here, in a line
    base = f"http://127.0.0.1:{port}"
    remember_pages(runs, base)
    links = list(experiment_links(runs, base).items())
    for name, link in links[:LISTED]:
        print(f"{name:24s} {link}")
    print(f"all of {shown(uri)}\n{list_link(base)}  (ready in a few seconds; Ctrl-C ends it)", flush=True)
    os.execve(sys.executable, server_command(port), server_environment(uri))


def _open_dashboard(runs: Path, port: int, sweep_name: str, storage: str | None) -> None:
    from harness.search.dashboard import serve

    _refuse_taken(port)
    serve(sweep_name, runs, port, storage)


def server_command(port: int) -> list[str]:
    """One worker: two processes and 0.5 GB instead of MLflow's eleven and 1.3 GB; on this machine alone."""
    where = ["--host", "127.0.0.1", "--port", str(port)]
    return [sys.executable, "-m", "mlflow", "server", *where, "--workers", "1"]


def server_environment(uri: str) -> dict[str, str]:
    """The store, whose address may hold a password that a command line would show to everybody; without MLflow's own
    job runner, which outlives the server, and without telemetry."""
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    return {**os.environ, **quiet, "MLFLOW_BACKEND_STORE_URI": uri, "PYTHONWARNINGS": "ignore"}


def _refuse_taken(port: int) -> None:
    from harness.errors import HarnessError

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise HarnessError(
                f"--port {port}: another program uses it; take another port, e.g. --port {port + 1}"
            ) from None
