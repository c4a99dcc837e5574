"""One backbone's training step, timed where it happens: in the trainer's own loop, read ahead by its own thread."""

import statistics
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from harness.bench.flops import step_flops
from harness.bench.matmul import matmul_rate, synchronise
from harness.bench.profile import Operation, Profiler
from harness.bench.sizes import SMALL, Plan
from harness.bench.stage import CAPTIONS_PER_IMAGE, Stage, draw_batch
from harness.data.batches import Batch
from harness.errors import HarnessError
from harness.ledger import Cell
from harness.spec import Augmentation, Component, RunSpec, Schedule, build, resolve
from harness.training import resident
from harness.training.feeds import Batches, steps_of
from harness.training.machine import environment
from harness.training.trainer import Trainer


@dataclass(frozen=True)
class Measured:
    """What one process measured."""

    step_seconds: list[float]  # forward, loss, backward, clip, optimiser; each step by itself
    wait_seconds: list[float]  # before each of these steps, for its batch
    matmul_before: float  # GFLOP/s
    matmul_after: float
    peak_bytes: int  # the most since before the first step, less what was resident then; on CUDA allocated
    resident_bytes: int  # the most of the whole process, in these steps
    model_gflop: float  # of one step, by formula
    operations: list[Operation]
    environment: dict[str, Any]  # of `harness.training.machine`, and whether scores were recomputed

    @property
    def seconds(self) -> float:
        return statistics.median(self.step_seconds)

    @property
    def data_share(self) -> float:
        """Time spent waiting for batches, as a share of the loop's."""
        return sum(self.wait_seconds) / (sum(self.wait_seconds) + sum(self.step_seconds))

    @property
    def matmul(self) -> float:
        """The larger of the two rates: a disturbance only slows, and the smaller would flatter `work` and the share."""
        return max(self.matmul_before, self.matmul_after)

    @property
    def unrest(self) -> float:
        """By how much the two rates differ, as a share of the larger."""
        return abs(self.matmul_before - self.matmul_after) / self.matmul

    @property
    def work(self) -> float:
        """Seconds of a step times the matmul rate, GFLOP: what compares across machines."""
        return self.seconds * self.matmul

    @property
    def achieved(self) -> float:
        """GFLOP/s of the model."""
        return self.model_gflop / self.seconds


class _Enough(Exception):
    """Every step has been taken."""


class _Clock:
    """Notes when a batch arrives and when its step is done; keeps the timed steps and profiles the next one."""

    def __init__(self, plan: Plan, device: torch.device) -> None:
        self.device = device
        self.taken = 0
        self.timed = range(plan.warmup, plan.warmup + plan.steps)
        self.waits: list[float] = []
        self.steps: list[float] = []
        self.peak = self.allocated = 0
        self.profiler = Profiler(device)

    def arrived(self, waited: float) -> None:
        if self.taken in self.timed:
            self.waits.append(waited)
        elif self.taken == self.timed.stop:
            self.profiler.start()
        self.began = time.perf_counter()

    def done(self, **_: Any) -> None:
        """The trainer's report, called at the end of every step."""
        synchronise(self.device)
        seconds = time.perf_counter() - self.began
        if self.taken in self.timed:
            self.steps.append(seconds)
            self.peak = resident.peak()
            self.allocated = torch.cuda.max_memory_allocated(self.device) if self.device.type == "cuda" else 0
        elif self.taken == self.timed.stop:
            self.profiler.stop()
            raise _Enough
        self.taken += 1


def measure(plan: Plan) -> Measured:
    """Times a backbone in this process, which should do nothing else.

    Raises:
        HarnessError: no such device, method or number of images.
    """
    plan.machine.prepare()
    device = plan.machine.torch_device()
    side = 256 if plan.sizes.embed_dim == SMALL.embed_dim else None
    with TemporaryDirectory(prefix="harness-bench-") as folder:
        clock = _Clock(plan, device)
        drawn = draw_batch(plan.sizes)
        trainer = _trainer(plan, Path(folder), clock, drawn)
        counts = step_flops(trainer.networks[0].backbone, plan.sizes.regions, drawn.lengths.tolist())
        before = matmul_rate(plan.machine, device, side=side)
        resident.reset_peak()
        start = resident.resident()
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        with suppress(_Enough):
            trainer.fit()
    return Measured(
        step_seconds=clock.steps,
        wait_seconds=clock.waits,
        matmul_before=before,
        matmul_after=matmul_rate(plan.machine, device, side=side),
        peak_bytes=clock.allocated or clock.peak - start,
        resident_bytes=clock.peak,
        model_gflop=counts.total / 1e9,
        operations=clock.profiler.operations(plan.operations),
        environment=environment(plan.machine, device) | {"recompute": plan.recompute},
    )


def _trainer(plan: Plan, folder: Path, clock: _Clock, drawn: Batch) -> Trainer:
    """The trainer of a run whose every batch is read, augmentation included, and exchanged for the drawn one."""
    sizes, machine = plan.sizes, replace(plan.machine, checkpoint_seconds=float("inf"))
    keywords: dict[str, Any] = {"name": plan.backbone, "embed_dim": sizes.embed_dim, "word_dim": sizes.word_dim}
    if plan.backbone != "vse_infinity":
        keywords |= {"regions": sizes.regions, "sim_dim": sizes.sim_dim, "recompute": plan.recompute}
    method = resolve(sizes.method, kind="method", where="harness bench --method")
    run = RunSpec(
        dataset="bench",
        noise=resolve("caption_level", kind="noise", where="bench"),
        backbone=resolve(keywords, kind="backbone", where="bench"),
        method=method,
        augmentation=Augmentation(),  # CRCL's: what the reader has to do at the most
        schedule=Schedule(epochs=_epochs(method), batch_size=sizes.batch_size),
    )

    def through(batches: Iterator[Batches]) -> Iterator[Batches]:
        began = time.perf_counter()
        for read in batches:
            clock.arrived(time.perf_counter() - began)
            yield tuple(batch and replace(drawn, pair_ids=batch.pair_ids) for batch in read)
            began = time.perf_counter()

    trainer = Trainer(run, Stage(folder, sizes), Cell(folder), machine, report=clock.done, through=through)
    if not trainer.phases:
        raise HarnessError(f"harness bench --method {sizes.method}: trains nothing, so it has no step to time")
    needed = plan.warmup + plan.steps + 1  # one more is profiled
    steps = steps_of(trainer.feeds.all_pairs, sizes.batch_size)
    if steps < needed:
        images = -(-needed * sizes.batch_size // CAPTIONS_PER_IMAGE)
        raise HarnessError(
            f"harness bench --images {sizes.images}: an epoch of {steps} steps; {needed} are to be "
            f"taken; accepted: at least {images} images, or fewer steps"
        )
    return trainer


def _epochs(method: Component) -> int | None:
    """One, or what a method says that brings its own length."""
    try:
        build(method).phases(1, steps_per_epoch=1_000_000)
    except HarnessError:
        return None
    return 1
