"""What a Slurm job runs, pickled by submitit: one worker as a child process, stopped and continued as Slurm asks.

Slurm sends its signals to every process of a job's step, so the worker hears SIGTERM itself, and must not hear USR2,
which asks submitit for a checkpoint and would end any other process.
"""

import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

from harness.files import write_atomic


class Task:
    """Calling it runs the worker to its end and gives the exit status.

    Args:
        command: what starts the worker, in the folder that the job was submitted from.
        log: file to append the worker's output to.
        outcome: file that the exit status is written into. What submitit keeps of it is a pickle, which nobody should
            have to read from a shared folder.
    """

    def __init__(self, command: list[str], log: Path, outcome: Path) -> None:
        self.command = command
        self.log = log
        self.outcome = outcome
        self._stopped = False
        self._worker: subprocess.Popen[bytes] | None = None

    def __call__(self) -> int:
        signal.signal(signal.SIGTERM, lambda *_: self._stop())
        environment = {"OMP_NUM_THREADS": os.environ.get("SLURM_CPUS_PER_TASK", "1"), **os.environ}
        with open(self.log, "ab") as log:
            self._worker = subprocess.Popen(
                self.command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment,
                preexec_fn=lambda: signal.signal(signal.SIGUSR2, signal.SIG_IGN),
            )  # fmt: skip
        if self._stopped:
            self._stop()
        status = self._worker.wait()
        write_atomic(self.outcome, str(status).encode())
        return status

    def checkpoint(self) -> Any:
        """Called in a signal handler before the time limit or preemption: what is to run after the requeue."""
        from submitit.helpers import DelayedSubmission

        if self._worker is not None:
            self._stop()
            with suppress(ChildProcessError):  # not Popen.wait: the handler may interrupt it, and its lock is held
                os.waitid(os.P_PID, self._worker.pid, os.WEXITED | os.WNOWAIT)
        return DelayedSubmission(Task(self.command, self.log, self.outcome))

    def _stop(self) -> None:
        self._stopped = True
        if self._worker is not None:
            self._worker.send_signal(signal.SIGTERM)
