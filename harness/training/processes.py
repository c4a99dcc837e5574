"""Starts the training processes of one run on this machine, as torchrun does, whose agent it is.

torchrun itself ends with status 1 and a page of its own whatever the processes ended with; here their status is passed
on, which a launcher reads.
"""

import logging
import os
import signal
import sys
import uuid
from collections.abc import Sequence

GRACE = 60  # seconds that the processes have, once asked to end, for the step they are in and the checkpoint


def run_processes(count: int, arguments: Sequence[str]) -> int:
    """Runs `python ARGUMENTS` in `count` processes to their end.

    SIGTERM and SIGINT are passed on. When one fails the others are ended.

    Returns:
        The exit status of the first that failed, 0 where none did, 130 when asked to end.
    """
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # the processes speak for themselves
    threads = int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)
    os.environ["OMP_NUM_THREADS"] = str(max(1, threads // count))  # they share the cores of one
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", str(GRACE))
    config = LaunchConfig(
        min_nodes=1, max_nodes=1, nproc_per_node=count, run_id=uuid.uuid4().hex, rdzv_backend="c10d",
        rdzv_endpoint="localhost:0", local_addr="localhost", max_restarts=0,
    )  # fmt: skip
    try:
        elastic_launch(config, sys.executable)(*arguments)
    except ChildFailedError as failed:
        statuses = [failure.exitcode for failure in failed.failures.values()]
        return next((status for status in statuses if status > 0), 128 - statuses[0])
    except SignalException as asked:
        return 130 if asked.sigval in (signal.SIGTERM, signal.SIGINT) else 128 + asked.sigval
    return 0
