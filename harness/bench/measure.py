"""One backbone's training step, timed where it happens: in the trainer's own loop, read ahead by its own thread."""

import statistics
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from harness.bench import memory
from harness.bench.flops import step_flops
from harness.bench.matmul import matmul_rate, synchronise
from harness.bench.profile import Operation, Profiler
from harness.bench.sizes import SMALL, Plan
from harness.bench.stage import CAPTIONS_PER_IMAGE, Stage, draw_batch
from harness.data import Augmentation, Batch, PairBatches
from harness.errors import HarnessError
from harness.ledger import Cell
from harness.spec import RunSpec, resolve
from harness.spec.run import Schedule
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


class _TimedBatches(PairBatches):
    """Reads as training does, augmentation included, times the wait, and hands out the drawn batch."""

    def __init__(self, *args: Any, drawn: Batch, clock: "_Clock", **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self.drawn, self.clock = drawn, clock

    def epoch(self, piece: int, epoch: int, start_step: int = 0) -> Iterator[Batch]:
        with closing(super().epoch(piece, epoch, start_step)) as batches:  # type: ignore[type-var]
            began = time.perf_counter()
            for batch in batches:
                self.clock.arrived(time.perf_counter() - began)
                yield replace(self.drawn, pair_ids=batch.pair_ids)
                began = time.perf_counter()


class _Clock:
    """Told when a batch has arrived and when its step is done; keeps the timed ones and profiles the next."""

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
            self.peak = memory.peak()
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
        trainer = _trainer(plan, Path(folder), clock)
        counts = step_flops(trainer.backbone, plan.sizes.regions, _lengths(trainer))
        before = matmul_rate(plan.machine, device, side=side)
        memory.reset_peak()
        resident = memory.resident()
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        with suppress(_Enough):
            trainer.fit()
    return Measured(
        step_seconds=clock.steps,
        wait_seconds=clock.waits,
        matmul_before=before,
        matmul_after=matmul_rate(plan.machine, device, side=side),
        peak_bytes=clock.allocated or clock.peak - resident,
        resident_bytes=clock.peak,
        model_gflop=counts.total / 1e9,
        operations=clock.profiler.operations(plan.operations),
        environment=environment(plan.machine, device) | {"recompute": plan.recompute},
    )


def _lengths(trainer: Trainer) -> list[int]:
    """Words of the captions in the batch that is timed."""
    assert isinstance(trainer.batches, _TimedBatches)
    lengths: list[int] = trainer.batches.drawn.lengths.tolist()
    return lengths


def _trainer(plan: Plan, folder: Path, clock: _Clock) -> Trainer:
    sizes, machine = plan.sizes, replace(plan.machine, checkpoint_seconds=float("inf"))
    keywords: dict[str, Any] = {"name": plan.backbone, "embed_dim": sizes.embed_dim, "word_dim": sizes.word_dim}
    if plan.backbone != "vse_infinity":
        keywords |= {"regions": sizes.regions, "sim_dim": sizes.sim_dim, "recompute": plan.recompute}
    run = RunSpec(
        dataset="bench",
        noise=resolve("caption_level", kind="noise", where="bench"),
        backbone=resolve(keywords, kind="backbone", where="bench"),
        method=resolve(sizes.method, kind="method", where="harness bench --method"),
        schedule=Schedule(epochs=1, batch_size=sizes.batch_size),
    )
    stage = Stage(folder, sizes)
    trainer = Trainer(run, stage, Cell(folder), machine, report=clock.done)
    if not trainer.phases:
        raise HarnessError(f"harness bench --method {sizes.method}: trains nothing, so it has no step to time")
    trainer.batches = _TimedBatches(
        trainer.pairs.split,
        trainer.pairs.paired_image,
        batch_size=sizes.batch_size,
        augmentation=Augmentation(),  # CRCL's: what the reader has to do at the most
        vocabulary=stage.vocabulary,
        seed=run.seed,
        drawn=draw_batch(sizes),
        clock=clock,
    )
    needed = plan.warmup + plan.steps + 1  # one more is profiled
    if len(trainer.batches) < needed:
        images = -(-needed * sizes.batch_size // CAPTIONS_PER_IMAGE)
        raise HarnessError(
            f"harness bench --images {sizes.images}: an epoch of {len(trainer.batches)} steps; {needed} are to be "
            f"taken; accepted: at least {images} images, or fewer steps"
        )
    return trainer
