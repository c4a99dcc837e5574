"""Workers on a Ray cluster: each is one task, queued by Ray until a node has the cores and the share of a GPU for it.

The task starts `harness cell` as a child process and passes its exit status on. Ray itself retries nothing: a worker
that went down with its node is followed by another one as with every engine, once its claim on the cell has ended.

Nodes need the runs and data folders on a file system that they share, and this environment at the same path.
"""

import ctypes
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from harness.errors import HarnessError
from harness.extras import demand
from harness.launch.engines.base import Command, Engine, Worker
from harness.ledger import Cell

# Ray kills the children of a process of its own that ends; a cell's gets SIGTERM instead, and writes its checkpoint.
KEEP_CHILDREN = {"RAY_kill_child_processes_on_worker_exit": "0"}
OBJECTS = 80 * 2**20  # bytes of a local cluster's object store, near Ray's least: no data go through Ray
ANSWER = 5.0  # seconds that the head of a cluster has to answer
PR_SET_PDEATHSIG = 1  # linux/prctl.h

Amount = Annotated[float, Field(gt=0)]


class Task(Worker):
    """A task of the cluster, queued or running."""

    def __init__(self, ray: Any, reference: Any) -> None:
        self._ray = ray
        self._reference = reference
        self._stopped = False
        self._status: int | None = None
        self._why: str | None = None

    def poll(self) -> int | None:
        """Raises HarnessError when a node cannot start workers at all."""
        if self._status is None and self._ray.wait([self._reference], timeout=0)[0]:
            self._status = self._outcome()
        return self._status

    def stop(self) -> None:
        if not self._stopped and self.poll() is None:
            self._stopped = True
            self._ray.cancel(self._reference)

    def kill(self) -> None:
        self.stop()
        if not self.wait(1.0):  # two interrupts in a row may arrive as one
            self._ray.cancel(self._reference)

    def why(self) -> str:
        return self._why or super().why()

    def _outcome(self) -> int:
        errors = self._ray.exceptions
        try:
            return int(self._ray.get(self._reference))
        except errors.TaskCancelledError:  # before it began
            return -signal.SIGTERM
        except errors.RayTaskError as error:
            raise HarnessError(f"ray: {_line(error.cause)}") from None
        except errors.RayError as error:
            self._why = f"its Ray process ({_line(error).partition('. ')[0]})"
            return -signal.SIGKILL


class Ray(Engine):
    """Tasks of a Ray cluster.

    Args:
        jobs: cells at once; those that find no room on the cluster wait in its queue.
        address: "host:port" of a cluster's head, or "auto": the cluster that this machine belongs to, or RAY_ADDRESS.
            Default: one is started on this machine, and ended with the launcher.
        cpus: cores for each cell; OMP_NUM_THREADS of its worker, unless that is set.
        gpus: GPUs for each cell, or a share of one: with 0.25, four cells are on one GPU.
        resources: what else a node must have free, by the names that the cluster gives: { a100 = 1 }.

    Raises:
        HarnessError: Ray is not installed, or a setting is not as above.
    """

    def __init__(
        self,
        jobs: int,
        *,
        address: str | None = None,
        cpus: Amount = 1.0,
        gpus: Annotated[float, Field(ge=0)] = 0.0,
        resources: dict[str, Amount] | None = None,
    ) -> None:
        super().__init__(jobs)
        demand("ray", "--launcher ray", extra="ray")
        if address is not None and not re.fullmatch(r"auto|[^:/\s]+:\d+", address):
            raise HarnessError(f'ray.address = {address!r}: accepted: "auto" or "host:port" of the cluster\'s head')
        if gpus > 1 and gpus % 1:
            raise HarnessError(f"ray.gpus = {gpus}: accepted: a share of one GPU, such as 0.25, or a whole number")
        self.address = address
        self.needs = {"CPU": cpus, "GPU": gpus, **(resources or {})}
        self._ray: Any = None
        self._remote: Any = None

    def start(self, cells: Sequence[Cell], command: Command) -> dict[Cell, Worker]:
        if self._ray is None:
            self._connect()
        threads = os.environ.get("OMP_NUM_THREADS", str(max(1, int(self.needs["CPU"]))))
        here = Path.cwd()
        return {
            cell: Task(self._ray, self._remote.remote(command(cell), here, here / cell.path("log.txt"), threads))
            for cell in cells
        }

    def close(self) -> None:
        if self._ray is not None:
            self._ray.shutdown()
            self._ray = None

    def _connect(self) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        import ray

        logging.getLogger("ray").setLevel(logging.ERROR)
        local = self.address is None
        options = {"include_dashboard": False, "object_store_memory": OBJECTS} if local else {}
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            _knock(self.address)
            ray.init(self.address or "local", log_to_driver=False, configure_logging=False, **options)
        except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            token = "" if local else "; is it up, and if it asks for a token, is RAY_AUTH_MODE=token set here?"
            where = "a cluster on this machine" if local else self.address
            raise HarnessError(f"ray: no connection to {where}: {_line(error)}{token}") from None
        finally:
            if threading.current_thread() is threading.main_thread():
                for number, handler in handlers.items():  # Ray puts its own in their place
                    signal.signal(number, handler)
        self._ray = ray
        self._check_room()
        others = {name: amount for name, amount in self.needs.items() if name not in ("CPU", "GPU")}
        self._remote = ray.remote(run_worker).options(
            num_cpus=self.needs["CPU"], num_gpus=self.needs["GPU"], resources=others, max_retries=0,
            scheduling_strategy="SPREAD", runtime_env={"env_vars": KEEP_CHILDREN},
        )  # fmt: skip

    def _check_room(self) -> None:
        """Ray lets a cell that fits on no node wait without a word: for ever, unless the cluster grows."""
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        if any(all(node.get(name, 0) >= amount for name, amount in self.needs.items()) for node in nodes):
            return
        wanted = ", ".join(f"{name} {amount:g}" for name, amount in self.needs.items() if amount)
        kinds = {", ".join(f"{name} {node.get(name, 0):g}" for name in self.needs) for node in nodes}
        line = f"ray: a cell needs {wanted}, and no node has so much; nodes here: {'; '.join(sorted(kinds))}"
        if self.address is None:
            self.close()
            raise HarnessError(f"{line}; lower cpus, gpus or resources in the profile's [ray]")
        print(f"warning: {line}; cells wait until a larger one joins", file=sys.stderr)


def run_worker(command: list[str], folder: Path, log: Path, threads: str) -> int:
    """The task, on a node: the worker's exit status. Cancelled once it stops the worker, a second time it kills it."""
    for needed in (folder, log.parent):
        if not needed.is_dir():
            raise HarnessError(
                f"node {socket.gethostname()} does not see {needed}; the folder of the launcher, runs and data must "
                "lie on a file system that all nodes share"
            )
    import ray

    with open(log, "ab") as output:
        output.write(f"ray: {socket.gethostname()}, node {ray.get_runtime_context().get_node_id()}\n".encode())
        output.flush()
        prctl, parent = ctypes.CDLL(None).prctl if sys.platform == "linux" else None, os.getpid()

        def follow_parent() -> None:
            if prctl is not None:
                prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != parent:
                os._exit(1)

        child = subprocess.Popen(
            command, cwd=folder, stdout=output, stderr=output, stdin=subprocess.DEVNULL, start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": threads}, preexec_fn=follow_parent,
        )  # fmt: skip
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            return _wait(child)
        except KeyboardInterrupt:  # what ray.cancel raises here
            child.send_signal(number)
    return _wait(child)


def _wait(child: subprocess.Popen[bytes]) -> int:
    while True:
        try:
            return child.wait(timeout=1.0)  # an interrupt is seen between the waits
        except subprocess.TimeoutExpired:
            continue


def _knock(address: str | None) -> None:
    """Ray tries for two minutes where nobody answers."""
    if address not in (None, "auto"):
        host, _, port = str(address).rpartition(":")
        socket.create_connection((host, int(port)), timeout=ANSWER).close()


def _line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
