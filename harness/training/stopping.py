"""Being asked to end: a flag that training looks at between steps, and how it ends then."""

import os
import signal
import threading
from typing import Any

from harness.distributed import world


class Interrupted(Exception):
    """Asked to stop; the checkpoint is written and the same command continues."""


class StopSignal:
    """SIGTERM and SIGINT as a flag.

    One of several processes is asked to stop, too, when what started them has ended: nothing else would end them all.
    """

    def __init__(self) -> None:
        self._event = threading.Event()
        self._parent = os.getppid()
        self._old: dict[int, Any] = {}
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._old[number] = signal.signal(number, lambda *_: self._event.set())

    def is_set(self) -> bool:
        return self._event.is_set() or (world() > 1 and os.getppid() != self._parent)

    def restore(self) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)
