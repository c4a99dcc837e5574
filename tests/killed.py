"""SIGKILL at a chosen file operation: the process is forked, so a trial costs no start."""

import builtins
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

OPERATIONS = ("replace", "rename", "fsync", "unlink", "mkdir", "truncate")  # of os, each before and after it is done


def killed_at(number: int, folder: Path, work: Callable[[], object]) -> bool:
    """Runs `work` in a fork that kills itself at file operation `number` below `folder`, counted from 0, opening for
    writing among them. False where it ended before."""
    child = os.fork()
    if child == 0:
        _arm(number, folder)
        try:
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def _arm(number: int, folder: Path) -> None:
    left = [number]

    def tick() -> None:
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= 1

    def watched(call: Callable[..., Any]) -> Callable[..., Any]:
        def watching(target: Any, *arguments: Any, **keywords: Any) -> Any:
            ours = isinstance(target, int) or str(target).startswith(str(folder))
            if ours and "heartbeat" not in str(target):  # whose times are chance
                tick()
            done = call(target, *arguments, **keywords)
            if ours and "heartbeat" not in str(target):
                tick()
            return done

        return watching

    for name in OPERATIONS:
        setattr(os, name, watched(getattr(os, name)))
    opening = builtins.open

    def watched_open(file: Any, mode: str = "r", *arguments: Any, **keywords: Any) -> Any:
        if set(mode) & set("wa+") and str(file).startswith(str(folder)) and "heartbeat" not in str(file):
            tick()
        return opening(file, mode, *arguments, **keywords)

    builtins.open = watched_open  # type: ignore[assignment]
