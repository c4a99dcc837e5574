"""A real Slurm of two nodes on this machine, in a folder of its own: munge, accounting, controller, two slurmd."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

NODES = ("n1", "n2")
NEEDED = ("munged", "mariadbd", "mariadb-install-db", "slurmdbd", "slurmctld", "slurmd", "sbatch", "sacctmgr")
SBIN = f"{os.environ['PATH']}:/usr/sbin:/sbin"

CONF = """
ClusterName=toy
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ctld}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
ReturnToService=2
SlurmdTimeout=10
KillWait=10
SchedulerParameters=bf_interval=1,sched_min_interval=100000
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={dbd}
AccountingStoragePass={folder}/munge.socket
JobAcctGatherType=jobacct_gather/none
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={n1} CPUs=1 RealMemory=1000
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={n2} CPUs=1 RealMemory=1000
PartitionName=all Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
"""
DBD_CONF = """
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
DbdHost=localhost
DbdPort={dbd}
SlurmUser=root
LogFile={folder}/slurmdbd.log
PidFile={folder}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={sql}
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm
"""


class Cluster:
    """Started by `with`; everything that it started is gone afterwards."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._daemons: list[subprocess.Popen[bytes]] = []
        self._nodes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def environment(self) -> dict[str, str]:
        """For whatever speaks to it."""
        return {**os.environ, "PATH": SBIN, "SLURM_CONF": str(self.folder / "slurm.conf")}

    def __enter__(self) -> "Cluster":
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(subprocess.SubprocessError, AssertionError):
            self.empty()
        for daemon in self._nodes.values():
            daemon.terminate()
            daemon.wait(20)
        for daemon in reversed(self._daemons):
            daemon.terminate()
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()

    def ask(self, *command: str) -> str:
        """What one of Slurm's commands prints."""
        return subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=300, check=True
        ).stdout.strip()

    def start_node(self, name: str) -> None:
        self._nodes[name] = self._daemon("slurmd", "-D", "-N", name)

    def kill_node(self, name: str) -> None:
        """The node's daemon and all that runs on it, at once, as when its power fails."""
        daemon = self._nodes.pop(name)
        jobs = self.ask("squeue", "--noheader", f"--nodelist={name}", "--format=%A").split()
        doomed = [daemon.pid, *_processes(jobs)]
        for pid in doomed:  # so that none can tell of another's death
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        for pid in {*doomed, *_processes(jobs)}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        daemon.wait()

    def empty(self) -> None:
        """Cancel all jobs, and wait until they are gone."""
        self.ask("scancel", "--me")
        _wait_for(lambda: not self.ask("squeue", "--noheader"), "the end of all jobs")

    def hurry(self) -> None:
        """Let requeued jobs start now. Slurm holds them back for two minutes, and no setting shortens that."""
        listed = self.ask("squeue", "--noheader", "--array", "--states=PENDING", "--format=%i %r")
        for job, reason in (line.split() for line in listed.splitlines()):
            if reason == "BeginTime":
                self.ask("scontrol", "update", f"JobId={job}", "StartTime=now")

    def _start(self) -> None:
        ports = dict(zip(("ctld", "dbd", "sql", *NODES), _free_ports(5), strict=True))
        values = {"folder": self.folder, "host": socket.gethostname(), **ports}
        (self.folder / "slurm.conf").write_text(CONF.format(**values))
        (self.folder / "slurmdbd.conf").write_text(DBD_CONF.format(**values))
        (self.folder / "slurmdbd.conf").chmod(0o600)
        (self.folder / "state").mkdir()
        for node in NODES:
            (self.folder / f"spool-{node}").mkdir()
        self._start_munge()
        self._start_database(ports["sql"])
        self._daemon("slurmdbd", "-D")
        _wait_for(lambda: self._says("sacctmgr", "--immediate", "add", "cluster", "toy"), "slurmdbd")
        self._daemon("slurmctld", "-D")
        _wait_for(lambda: self._says("scontrol", "ping"), "slurmctld")
        for node in NODES:
            self.start_node(node)
        _wait_for(lambda: self.ask("sinfo", "--noheader", "--format=%T") == "idle", "the nodes")

    def _start_munge(self) -> None:
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        at = self.folder
        self._daemon(
            "munged", "--foreground", "--force", f"--key-file={key}", f"--socket={at}/munge.socket",
            f"--pid-file={at}/munge.pid", f"--log-file={at}/munge.log", f"--seed-file={at}/munge.seed",
        )  # fmt: skip
        _wait_for((at / "munge.socket").exists, "munged")

    def _start_database(self, port: int) -> None:
        data, door = self.folder / "database", f"--socket={self.folder}/database.socket"
        self.ask("mariadb-install-db", "--no-defaults", "--user=root", f"--datadir={data}", "--skip-test-db",
                 "--auth-root-authentication-method=normal")  # fmt: skip
        self._daemon(
            "mariadbd", "--no-defaults", "--user=root", f"--datadir={data}", door, f"--port={port}",
            "--bind-address=127.0.0.1", "--skip-name-resolve", f"--pid-file={self.folder}/database.pid",
        )  # fmt: skip
        grant = "grant all on *.* to slurm@'127.0.0.1' identified by 'slurm'"
        _wait_for(lambda: self._says("mariadb", "--no-defaults", "-uroot", door, "-e", grant), "mariadbd")

    def _daemon(self, *command: str) -> subprocess.Popen[bytes]:
        with open(self.folder / "daemons.log", "ab") as log:
            daemon = subprocess.Popen(
                command, env=self.environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
            )
        if command[0] != "slurmd":
            self._daemons.append(daemon)
        return daemon

    def _says(self, *command: str) -> bool:
        """Whether one of Slurm's commands gets an answer."""
        return subprocess.run(command, env=self.environment, capture_output=True, timeout=300).returncode == 0


def _processes(jobs: list[str]) -> list[int]:
    """Those of jobs, and Slurm's helpers for them, which have the job in their title."""
    found = []
    for process in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            words = (process / "environ").read_bytes().decode(errors="replace").split("\0")
            title = (process / "cmdline").read_bytes().decode(errors="replace")
            if any(f"SLURM_JOB_ID={job}" in words or title.startswith(f"slurmstepd: [{job}.") for job in jobs):
                found.append(int(process.name))
    return found


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        doors = [stack.enter_context(socket.socket()) for _ in range(count)]
        for door in doors:
            door.bind(("127.0.0.1", 0))
        return [door.getsockname()[1] for door in doors]


def _wait_for(happened: Callable[[], object], what: str, seconds: float = 300) -> None:
    until = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < until, f"{what} did not come within {seconds:.0f} s"
        time.sleep(0.2)


@contextlib.contextmanager
def running_cluster() -> Iterator[Cluster]:
    """The cluster while it is needed; skips where its packages are missing or another user asks."""
    missing = [name for name in NEEDED if shutil.which(name, path=SBIN) is None]
    if missing:
        pytest.skip(f"no {', '.join(missing)}: install slurm-wlm munge slurmdbd mariadb-server")
    if os.geteuid() != 0:
        pytest.skip("a Slurm of one's own wants root")
    folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))  # a socket's path must be short
    try:
        with Cluster(folder) as cluster:
            yield cluster
    finally:
        shutil.rmtree(folder, ignore_errors=True)
