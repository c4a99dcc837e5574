"""Workers as jobs of a Slurm cluster, submitted with submitit.

The cells handed over at once become one array job. Before its time limit, or when it is preempted, a job lets the
worker write its checkpoint and is queued again. How jobs stand is read from one `squeue` for all of them, which needs
no accounting; a job that is gone without a result has died, whatever Slurm remembers of it.
"""

import io
import re
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterable, Sequence
from contextlib import redirect_stderr
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from harness.errors import HarnessError
from harness.extras import demand
from harness.launch.engines.base import Command, Engine, Worker
from harness.launch.engines.slurm_job import Task
from harness.ledger import Cell

LOOK = 5.0  # seconds between two squeue: a controller has other users
PATIENCE = 30.0  # seconds that the result of a job may take to show on a network disk
ARRAY = 1000  # tasks of one array job; Slurm's default for MaxArraySize is 1001
ENDED = {
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "REVOKED",
    "TIMEOUT",
}  # fmt: skip
KILLED = -9


def _minutes(given: Any) -> Any:
    """Slurm's ways to write a time limit: minutes, [days-]hours:minutes:seconds, days-hours."""
    if not isinstance(given, str):
        return given
    parts = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d\d)(?::(\d\d))?)?", given)
    if parts is None or (parts[1] is None and parts[4] is None):
        raise ValueError("write a number of minutes, hours:minutes:seconds or days-hours:minutes:seconds")
    days, hours, minutes, seconds = (int(part or 0) for part in parts.groups())
    return (days * 24 + hours) * 60 + minutes + (seconds > 0)


Minutes = Annotated[int, BeforeValidator(_minutes), Field(ge=1)]
Count = Annotated[int, Field(ge=0)]


class Job(Worker):
    """One worker in a job of its own, or in a task of an array job."""

    def __init__(self, engine: "Slurm", job: Any, outcome: Path) -> None:
        self.engine = engine
        self.outcome = outcome
        self.name = str(job.job_id)  # 17 or 17_3
        self.status: int | None = None
        self._queued = True
        self._why = ""
        self._gone: float | None = None  # since when Slurm knows it no more, or as completed

    def poll(self) -> int | None:
        if self.status is None:
            self.engine.look()
        return self.status

    def stop(self) -> None:
        self.engine.stop([self])

    def kill(self) -> None:
        if self.status is None:
            _ask("scancel", self.name)

    def why(self) -> str:
        return f"{super().why()}{self._why}"

    @property
    def queued(self) -> bool:
        return self._queued

    def learn(self, state: str, reason: str) -> None:
        """What squeue says of it; "" where it knows nothing."""
        if state and state not in ENDED:
            self._queued, self._gone = state == "PENDING", None
            return
        self._why = (
            f" (Slurm job {self.name}: {state or 'forgotten'}{f', {reason}' if reason not in ('', 'None') else ''})"
        )
        outcome = self._outcome()
        if outcome is not None:
            self.status = outcome
        elif state in ENDED - {"COMPLETED"}:
            self.status = KILLED
        else:
            self._gone = self._gone or time.monotonic()
            if time.monotonic() - self._gone > PATIENCE:
                self.status = KILLED

    def _outcome(self) -> int | None:
        """The worker's exit status as the job wrote it down; None where it has not, or could not."""
        try:
            return int(self.outcome.read_text())
        except (OSError, ValueError):
            return None


class Slurm(Engine):
    """Jobs of a Slurm cluster.

    Args:
        jobs: cells at once: what an array job may run in parallel. All cells are queued at once; a cell whose worker
            died is queued as a job of its own.
        partition, account, qos, constraint, nodelist, exclude: as for sbatch.
        time: time limit of a job in minutes or as "12:00:00", "2-00:00:00". A cell may take longer: see `requeues`.
        gpus: GPUs of a job.
        cpus: processor cores of a job.
        memory: main memory of a job, as for sbatch: "16G".
        setup: shell lines before the worker starts: `module load ...`, `source ...`.
        requeues: how often a job that meets its time limit is queued again.
        signal_seconds: how long before the time limit a job is told to write its checkpoint. Slurm may be a minute
            early.
        extra: further options of sbatch by their long names: { reservation = "nc", exclusive = true }.
    """

    def __init__(
        self,
        jobs: int,
        *,
        partition: str | None = None,
        account: str | None = None,
        qos: str | None = None,
        constraint: str | None = None,
        nodelist: str | None = None,
        exclude: str | None = None,
        time: Minutes = 720,
        gpus: Count = 0,
        cpus: Annotated[int, Field(ge=1)] = 1,
        memory: str | None = None,
        setup: list[str] | None = None,
        requeues: Count = 100,
        signal_seconds: Annotated[int, Field(ge=1)] = 120,
        extra: dict[str, str | int | bool] | None = None,
    ) -> None:
        super().__init__(jobs=sys.maxsize)
        demand("submitit", "--launcher slurm", extra="slurm")
        if shutil.which("sbatch") is None or shutil.which("srun") is None:
            raise HarnessError(
                "--launcher slurm: there is no sbatch here; start the launcher on a machine of a Slurm cluster, "
                "usually its login node"
            )
        self.parallel = jobs
        self.requeues = requeues
        self._parameters: dict[str, Any] = {
            "job_name": "harness", "partition": partition, "account": account, "qos": qos, "constraint": constraint,
            "nodelist": nodelist, "exclude": exclude, "time": time, "gpus_per_node": gpus or None,
            "cpus_per_task": cpus, "mem": memory, "setup": setup, "signal_delay_s": signal_seconds,
            "srun_args": [f"--cpus-per-task={cpus}"],  # since Slurm 22.05 srun does not take it over from sbatch
            "stderr_to_stdout": True, "additional_parameters": {"requeue": True, **(extra or {})},
        }  # fmt: skip
        self._jobs: dict[Path, list[Job]] = {}  # folder of an array job -> its tasks
        self._next_look = 0.0

    def start(self, cells: Sequence[Cell], command: Command) -> dict[Cell, Worker]:
        started: dict[Cell, Worker] = {}
        for first in range(0, len(cells), ARRAY):
            part = cells[first : first + ARRAY]
            parallel = max(1, self.parallel * len(part) // len(cells))
            work = [(command(cell), cell.path("log.txt").absolute()) for cell in part]
            started.update(zip(part, self._submit(work, part[0].folder.parent, parallel), strict=True))
        return started

    def _submit(self, work: list[tuple[list[str], Path]], runs: Path, parallel: int) -> list[Job]:
        import submitit
        from submitit.core.utils import FailedJobError

        folder = runs.absolute() / ".slurm" / uuid.uuid4().hex  # not by the job's number: Slurm may count anew
        outcomes = [folder / f"{number}.status" for number in range(len(work))]
        tasks = [Task(command, log, outcome) for (command, log), outcome in zip(work, outcomes, strict=True)]
        executor = submitit.SlurmExecutor(folder, max_num_timeout=self.requeues)
        executor.update_parameters(**self._parameters, array_parallelism=parallel)
        try:
            with redirect_stderr(io.StringIO()):  # submitit prints what it raises
                submitted = executor.submit_array(tasks)
        except FailedJobError as error:
            said = " ".join(str(error).split()).removeprefix("sbatch: ")
            raise HarnessError(
                f"sbatch: {said}; what it was asked is in {folder}, from the profile's [slurm]"
            ) from None
        self._jobs[folder] = [Job(self, job, outcome) for job, outcome in zip(submitted, outcomes, strict=True)]
        self._next_look = time.monotonic() + LOOK
        return self._jobs[folder]

    def look(self) -> None:
        """Ask Slurm how all jobs stand, if it is time to."""
        if time.monotonic() < self._next_look:
            return
        said = _ask("squeue", "--me", "--noheader", "--array", "--states=all", "--format=%i|%T|%r")
        self._next_look = time.monotonic() + LOOK
        if said is None:  # a controller that restarts; it knows its jobs again afterwards
            return
        known = {name: (state, reason) for name, state, reason in (line.split("|", 2) for line in said.splitlines())}
        for job in self._open():
            job.learn(*known.get(job.name, ("", "")))

    def stop(self, workers: Iterable[Worker]) -> None:
        """Those in the queue are cancelled; of those that run, the worker is asked, and the job ends with it."""
        names = [job.name for job in workers if isinstance(job, Job) and job.status is None]
        if names:
            _ask("scancel", "--state=PENDING", *names)
            _ask("scancel", "--state=RUNNING", "--signal=TERM", *names)
        self._next_look = 0.0

    def close(self) -> None:
        """Delete what submitit kept of jobs that ended well."""
        for folder, jobs in self._jobs.items():
            if all(job.status == 0 for job in jobs):
                shutil.rmtree(folder, ignore_errors=True)

    def _open(self) -> list[Job]:
        return [job for jobs in self._jobs.values() for job in jobs if job.status is None]


def _ask(*command: str) -> str | None:
    """What one of Slurm's commands prints; None where it fails or does not answer."""
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except subprocess.TimeoutExpired:
        return None
    return asked.stdout if asked.returncode == 0 else None
