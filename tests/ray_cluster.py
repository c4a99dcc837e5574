"""A Ray cluster of two nodes on this machine, for tests: private ports and folder, and nothing of it left behind."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

import pytest

MARK = "HARNESS_TEST_CLUSTER"  # in the environment of every process of a cluster, whoever started it


# In a process of its own: Ray reads its token when it is loaded.
ALIVE = """
import sys
from ray._raylet import GcsClient
nodes = GcsClient(address=sys.argv[1]).get_all_node_info(timeout=5)
print(*(node.node_id.hex() for node in nodes.values() if node.state == 0))
"""


class RayCluster:
    """Node 0 is the head, with two cores; node 1 has two cores and a GPU that is only a number."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address = f"127.0.0.1:{_free_port()}"
        self.token = uuid.uuid4().hex
        self.head = ""  # its id
        self.nodes: list[subprocess.Popen[bytes]] = []

    @property
    def environment(self) -> dict[str, str]:
        """For whatever connects to it: a token of its own, so that nobody else does."""
        return {
            **os.environ, "OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self.token,
            "RAY_health_check_period_ms": "500",  # so a dead node is missed after 2.5 seconds, not after 15
        }  # fmt: skip

    def start_node(self) -> None:
        """One node more; returns when it has begun."""
        port = self.address.rpartition(":")[2]
        place = (
            ["--head", f"--port={port}", f"--temp-dir={self.folder}", "--include-dashboard=false", "--num-gpus=0"]
            if not self.nodes
            else [f"--address={self.address}", "--num-gpus=1"]
        )
        output = self.folder / f"node{len(self.nodes)}.txt"
        with open(output, "wb") as log:
            self.nodes.append(
                subprocess.Popen(
                    [Path(sys.executable).parent / "ray", "start", "--block", "--node-ip-address=127.0.0.1",
                     "--num-cpus=2", "--object-store-memory=80000000", "--disable-usage-stats", *place],
                    stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
                    env={**self.environment, MARK: str(self.folder)},
                )
            )  # fmt: skip
        until = time.monotonic() + 120
        while "Ray runtime started" not in output.read_text():
            assert time.monotonic() < until, output.read_text()
            time.sleep(0.1)
        if not self.head:
            self.head = self.alive()[0]

    def alive(self) -> list[str]:
        """The ids of the nodes that are up."""
        asked = subprocess.run(
            [sys.executable, "-c", ALIVE, self.address], env=self.environment, capture_output=True, text=True
        )
        return asked.stdout.split()

    def kill_node(self, number: int) -> None:
        """kill -9 to all that runs on it: Ray's processes, the workers and the cells."""
        kill_tree(self.nodes[number].pid)
        self.nodes[number].wait()

    def processes(self) -> list[int]:
        """Everything that belongs to this cluster, orphans too."""
        mark = f"{MARK}={self.folder}".encode()
        found = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            try:
                if mark in path.read_bytes().split(b"\0"):
                    found.append(int(path.parent.name))
            except OSError:
                continue
        return found

    def stop(self) -> None:
        for node in self.nodes:
            node.terminate()
        until = time.monotonic() + 10
        while self.processes() and time.monotonic() < until:
            time.sleep(0.1)
        for pid in self.processes():
            _kill(pid)
        for node in self.nodes:
            node.wait()


@contextmanager
def ray_cluster() -> Iterator[RayCluster]:
    """Two nodes, up."""
    if find_spec("ray") is None:
        pytest.skip("ray is not installed: pip install 'crcl-harness[ray]'")
    if not Path("/proc/self/environ").exists():
        pytest.skip("finds the processes of its cluster in /proc, which is Linux's")
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:  # socket names are short
        cluster = RayCluster(Path(folder))
        try:
            cluster.start_node()
            cluster.start_node()
            yield cluster
        finally:
            cluster.stop()


def children(pid: int) -> list[int]:
    """The processes under one, at every depth."""
    try:
        own = [int(word) for task in Path(f"/proc/{pid}/task").glob("*/children") for word in task.read_text().split()]
    except OSError:
        return []
    return [*own, *(grandchild for child in own for grandchild in children(child))]


def kill_tree(pid: int) -> None:
    for one in [pid, *children(pid)]:
        _kill(one)


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
