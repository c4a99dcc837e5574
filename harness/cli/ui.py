"""`harness ui`: MLflow's pages on the right store."""

import os
import socket
import sys
from pathlib import Path

import click

from harness.cli import options


@click.command()
@options.runs
@click.option("--port", type=click.IntRange(1, 65535), default=5000, show_default=True, help="Port on 127.0.0.1.")
def command(runs: Path, port: int) -> None:
    """Open the MLflow pages on 127.0.0.1 over the store that `harness run` logs to. Ctrl-C ends them."""
    from harness.errors import HarnessError
    from harness.tracking import open_store, sqlite_file, store_uri
    from harness.uris import public, shown

    uri = store_uri(None, runs)
    if uri.startswith(("http://", "https://")):
        print(f"MLFLOW_TRACKING_URI names a tracking server; its pages are at {public(uri)}")
        return
    file = sqlite_file(uri)
    if file is not None and not file.exists():
        raise HarnessError(
            f"{file}: there is no tracking store yet; `harness run GRID` makes it, "
            "and `harness sync` makes it from the runs that are there"
        )
    if not _free(port):
        raise HarnessError(f"--port {port}: another program uses it; take another port, e.g. --port {port + 1}")
    open_store(uri, runs)  # what is wrong with it is told here, in a line
    print(f"{shown(uri)}\nhttp://127.0.0.1:{port}/#/experiments  (ready in a few seconds; Ctrl-C ends it)", flush=True)
    os.execve(sys.executable, server_command(port), server_environment(uri))


def server_command(port: int) -> list[str]:
    """One worker: two processes and 0.5 GB instead of MLflow's eleven and 1.3 GB; on this machine alone."""
    where = ["--host", "127.0.0.1", "--port", str(port)]
    return [sys.executable, "-m", "mlflow", "server", *where, "--workers", "1"]


def server_environment(uri: str) -> dict[str, str]:
    """The store, whose address may hold a password that a command line would show to everybody; without MLflow's own
    job runner, which outlives the server, and without telemetry."""
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    return {**os.environ, **quiet, "MLFLOW_BACKEND_STORE_URI": uri, "PYTHONWARNINGS": "ignore"}


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
