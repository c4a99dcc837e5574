"""How long something takes on the processor, whatever else runs on the machine."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
LOOPS = 2_000_000  # about 0.1 s


def loops(work: Callable[[], T]) -> tuple[T, float]:
    """What `work` gives, and its CPU time as multiples of a fixed loop's, timed before and after: a busy machine slows
    both."""
    before = _loop()
    began = time.process_time()
    result = work()
    took = time.process_time() - began
    return result, took / max(before, _loop())


def _loop() -> float:
    began = time.process_time()
    total = 0
    for number in range(LOOPS):
        total += number
    return time.process_time() - began
