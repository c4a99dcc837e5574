"""The loop over pictures: threads decode and encode a batch each, this one writes and records in order.

Each thread computes by itself, not all together on one batch: as fast on idle cores, and several times faster on a busy
machine, where threads that share every layer wait for each other. Features do not depend on the number of cores.
"""

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from threading import Lock
from typing import TypeVar

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from harness.data.build.captions import Manifest
from harness.data.build.encoders import Encoder
from harness.data.build.pictures import Pictures
from harness.data.build.store import Store
from harness.errors import HarnessError
from harness.memory import keep_freed_memory

SAVE_SECONDS = 1.0  # a kill loses at most so much work
SAY_SECONDS = 30.0  # without a terminal for the bar, a line every so often
MOST_THREADS = 16

Task = TypeVar("Task")
Done = TypeVar("Done")


@dataclass(frozen=True)
class Batch:
    """Neighbouring pictures of one split, from `row` on."""

    split: str
    row: int
    images: list[str]


def encode(
    manifest: Manifest,
    pictures: Pictures,
    encoder: Encoder,
    store: Store,
    stamps: list[str],
    dtype: str,
    batch_size: int,
    say: Callable[[str], None],
) -> None:
    """Encode what `store` has not done yet, in the manifest's order; all of it is on disk at the end.

    Raises:
        HarnessError: an unreadable picture, features that are not finite, a full disk; nothing done is lost.
    """
    console = Console(stderr=True)
    bar = Progress(
        TextColumn("encoding"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:.0f} images/s"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )
    with bar, one_core_each() as pool:
        before, started = store.done, time.monotonic()
        saved = said = started
        task = bar.add_task("encoding", total=len(manifest), completed=before, rate=0.0)
        try:
            for batch, exact in _encoded(pool, pictures, encoder, batches(manifest, before, batch_size)):
                with np.errstate(over="ignore"):  # the message below says what overflows float16
                    features = exact.astype(dtype)
                _refuse_not_finite(features, batch, pictures)
                store.write(batch.split, batch.row, features, stamps[store.done : store.done + len(features)])
                now = time.monotonic()
                rate = (store.done - before) / (now - started)
                bar.update(task, completed=store.done, rate=rate)
                if now - saved > SAVE_SECONDS:
                    store.save()
                    saved = now
                if bar.disable and now - said > SAY_SECONDS:
                    say(f"{store.done:,} of {len(manifest):,} images, {rate:.0f} images/s")
                    said = now
        finally:
            pool.shutdown(cancel_futures=True)
            store.save()


def batches(manifest: Manifest, done: int, batch_size: int) -> Iterator[Batch]:
    """The batches after the first `done` pictures; none crosses the end of a split."""
    for split, items in manifest.splits.items():
        for row in range(min(done, len(items)), len(items), batch_size):
            yield Batch(split, row, [item.image for item in items[row : row + batch_size]])
        done = max(0, done - len(items))


@contextmanager
def one_core_each() -> Iterator[ThreadPoolExecutor]:
    """Threads, as many as there are cores, whose networks compute in one thread each."""
    keep_freed_memory()  # 149 CPU seconds of twemoji's build were 94 with it: a picture's activations are large
    before = torch.get_num_threads()
    try:
        threads = min(os.cpu_count() or 1, MOST_THREADS)
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield pool
    finally:
        torch.set_num_threads(before)


def _encoded(
    pool: ThreadPoolExecutor, pictures: Pictures, encoder: Encoder, todo: Iterator[Batch]
) -> Iterator[tuple[Batch, np.ndarray]]:
    """Batches with their regions, float32 (B, R, D), in order."""

    turn = nullcontext() if encoder.device.type == "cpu" else Lock()  # an accelerator takes one batch at a time

    def regions(batch: Batch) -> np.ndarray:
        pixels = np.stack([pictures.load(name, encoder.size) for name in batch.images])
        with turn:
            return encoder.regions(torch.from_numpy(pixels)).numpy()

    return ahead(pool, lambda batch: (batch, regions(batch)), todo)


def ahead(pool: ThreadPoolExecutor, work: Callable[[Task], Done], todo: Iterable[Task]) -> Iterator[Done]:
    """What `work` makes of each task, in order, computed in `pool`; a thread's next task waits, no more."""
    waiting: deque[Future[Done]] = deque()
    for task in todo:
        waiting.append(pool.submit(work, task))
        if len(waiting) > 2 * pool._max_workers:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _refuse_not_finite(features: np.ndarray, batch: Batch, pictures: Pictures) -> None:
    finite = np.isfinite(features).all(axis=(1, 2))  # (B,)
    if not finite.all():
        raise HarnessError(
            f"{pictures.source}: features of {batch.images[int(finite.argmin())]!r} are not finite as "
            f"{features.dtype}; accepted: --dtype float32, or another encoder"
        )
