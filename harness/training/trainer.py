"""The one trainer. Reads top to bottom: pieces, epochs, rounds, steps; then what is measured and what is kept.

A method says how long each piece is, what it keeps per pair, which pairs a round draws from and what happens in a step
(harness/methods/base.py has the order of calls); everything else is here and the same for all of them. Randomness is
named by position (harness/seeds.py), so `Position`, the tensors, the round's plan and the running sums are the whole
state, and a run continues from any step as if it had never stopped.

Several processes may train one run (network.py). All of them walk through this file together; rank 0 alone writes.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch

from harness.backbones import Backbone
from harness.data import Augmentation, Dataset
from harness.data.batches import PairReader
from harness.distributed import any_rank, broadcast, rank, world
from harness.errors import HarnessError
from harness.evaluation import correspondence, folds, scoring
from harness.ledger import Cell
from harness.ledger.schema import Checkpoint
from harness.methods.base import Feed, Method, Phase
from harness.seeds import seed_for
from harness.spec import RunSpec, build
from harness.training import checkpoint
from harness.training.best import Best
from harness.training.feeds import Batches, Feeds, check_shares, steps_of
from harness.training.history import LabelHistory
from harness.training.machine import Machine
from harness.training.meters import Meters
from harness.training.network import Network
from harness.training.pace import Pace
from harness.training.pairs import TrainingPairs, training_pairs
from harness.training.position import Position
from harness.training.state import declared
from harness.training.stopping import Interrupted
from harness.training.usage import Usage
from harness.training.verbs import Training


class Trainer:
    """One run, from its spec to its selected networks.

    Args:
        run: what to train.
        dataset: the opened data set.
        cell: where rows and checkpoints go; the caller, rank 0 of several, holds its claim.
        machine: device, precision and checkpoint interval.
        report: called after each step with the position, the loss and the seconds left, as keywords.
        guard: called before anything is written; raises when the claim is lost.
        stop: true when the process was asked to end.
        through: what every round's batches go through on their way to the steps; a clock's place.
    """

    def __init__(
        self,
        run: RunSpec,
        dataset: Dataset,
        cell: Cell,
        machine: Machine,
        *,
        report: Callable[..., None] = lambda **_: None,
        guard: Callable[[], None] = lambda: None,
        stop: Callable[[], bool] = lambda: False,
        through: Callable[[Iterator[Batches]], Iterable[Batches]] = lambda batches: batches,
    ) -> None:
        self.run, self.dataset, self.cell, self.machine = run, dataset, cell, machine
        self.report, self.guard, self.stop, self.through = report, guard, stop, through
        machine.prepare()
        self.device = machine.torch_device()
        self.pairs: TrainingPairs = training_pairs(run, dataset)
        self.data = {"training pairs": self.pairs.sha256, "features or captions": dataset.digest()}
        self.reader = PairReader(
            self.pairs.split,
            self.pairs.paired_image,
            augmentation=Augmentation(**run.augmentation.model_dump()) if run.augmentation else None,
            vocabulary=dataset.vocabulary if run.augmentation and dataset.caption_dim is None else None,
            pin_memory=machine.pins(self.device),
        )
        self.feeds = Feeds(self.reader, dataset, run.seed)
        self.usage = Usage(self.device)
        self.method: Method = build(run.method)
        if self.method.one_process and world() > 1:
            raise HarnessError(
                f"{run.method.name} with {world()} processes: it looks a step ahead, whose gradient is not exchanged "
                "between processes; accepted: one process; start without --processes"
            )
        usual = steps_of(self.feeds.all_pairs, run.schedule.batch_size)
        self.phases: list[Phase] = list(self.method.phases(run.schedule.epochs, usual))
        for size in {self._batch_size(phase) for phase in self.phases}:
            check_shares(len(self.pairs), size)
        self.dev = dataset.split("dev").images(run.evaluation.dev_images or dataset.card.dev_images)
        self.state = declared(self.method.declare_state(), len(self.pairs), self.device)
        epochs = sum(phase.epochs for phase in self.phases)
        self.history = LabelHistory(cell.path("label_history.npy"), epochs, len(self.pairs))
        self.at, self.best, self.meters = Position(), Best(), Meters()
        self.plan: Sequence[Feed] | None = None  # of the round; None: not made yet
        self._label_auc: float | None = None  # at the last epoch's end, for the progress report
        self._share_zero: float | None = None
        self.epoch_seconds = 0.0  # of the current epoch, before this process took over
        self.seconds = 0.0
        self.networks: list[Network] = []
        self._begin_phase(fresh=True)

    # -- the loop --------------------------------------------------------------------------------------------------

    def fit(self) -> Best:
        """Train to the end, from the checkpoint if there is one; the selected networks are loaded when it returns.

        Raises:
            HarnessError: the loss became non-finite.
            Interrupted: `stop` said so.
        """
        self._resume()
        self._pace = Pace(*self._steps_left())
        if not self.phases:  # a method that trains nothing: the network as it begins is the one to select
            self._record_epoch()
        while self.at.piece < len(self.phases):
            phase = self.phases[self.at.piece]
            while self.at.epoch < phase.epochs:
                while self.at.round < self.method.rounds:
                    self._train_round()
                self.method.close_epoch(self._training())
                self._finish_epoch()
            self._next_phase()
        self.best.load_into([network.backbone for network in self.networks])
        return self.best

    def _train_round(self) -> None:
        training = self._training()
        began = time.monotonic()
        if self.plan is None:
            self.plan = self.method.plan(training)
            if self.plan or self.at.round:  # a pass over all pairs is not made twice
                self._save(self.epoch_seconds + time.monotonic() - began)
        round = self.feeds.round(self.plan, self._batch_size(self.phases[self.at.piece]))
        training.steps_per_epoch = len(round)
        self._set_rates(training)
        for network in self.networks:
            network.train()
        saved = time.monotonic()
        for batches in self.through(round.batches(self.at)):
            self._step(training, batches, len(round))
            now = time.monotonic()
            if self.at.step < len(round):
                stopping, due = any_rank(self.stop(), now - saved > self.machine.checkpoint_seconds)
                if stopping or due:
                    self._save(self.epoch_seconds + now - began)
                    saved = time.monotonic()
                if stopping:
                    raise Interrupted
        self.epoch_seconds += time.monotonic() - began
        self.at.round, self.at.step, self.plan = self.at.round + 1, 0, None

    def _step(self, training: Training, batches: Batches, steps: int) -> None:
        at = self.at
        if training.progress.step_in_piece < self.run.schedule.warmup_steps:
            self._set_rates(training)
        # Dropout draws from torch's global generator: naming its seed by position is all that resuming needs.
        names = (at.piece, at.epoch, at.step, *((at.round,) if at.round else ()), *((rank(),) if world() > 1 else ()))
        torch.manual_seed(seed_for("step", self.run.seed, *names))
        values = self.method.step(training, *(batch and batch.to(self.device) for batch in batches))
        self.meters.add((at.piece, at.epoch, at.step, at.steps), values)
        at.step += 1
        at.steps += 1
        self._pace.tick()
        self.report(
            piece=at.piece, pieces=len(self.phases), epoch=at.epoch, epochs=self.phases[at.piece].epochs,
            step=at.step, steps=steps, loss=self.meters.latest.get("loss"),
            dev_rsum=self.best.rsum if self.best.epochs >= 0 else None,
            label_mean=self.meters.latest.get("label_mean"), label_auc=self._label_auc,
            share_zero=self._share_zero,
            seconds_left=self._pace.seconds_left, share_done=self._pace.share_done,
        )  # fmt: skip

    def _record_epoch(self) -> None:
        """Dev and labels as they stand: a row, and the best networks so far."""
        began = time.monotonic()
        means, samples = self.meters.close()
        values = {f"train/{name}": value for name, value in means.items()}
        if means:
            values["train/lr"] = self.networks[0].rate
        dev = self._evaluate_dev()
        values |= {f"dev/{name}": value for name, value in dev[0].items()}
        for number, alone in enumerate(dev[1:]):
            values |= {f"network{number}/dev/{name}": value for name, value in alone.items()}
        values |= self.label_report()
        self._label_auc, self._share_zero = values.get("labels/auc"), values.get("labels/share_zero")
        labels = self.labels()
        if self.run.evaluation.selection == "last" or dev[0]["rsum"] > self.best.rsum:
            self.best = Best.of(self.at, [network.backbone for network in self.networks], dev[0])
        self.epoch_seconds += time.monotonic() - began
        self.seconds += self.epoch_seconds
        if rank() == 0:
            self.guard()
            history = {} if labels is None else {"history": self.history.write(self.at.epochs, labels)}
            self.cell.append_row(
                {
                    "epoch": self.at.epochs,
                    "piece": self.at.piece,
                    "epoch_in_piece": self.at.epoch,
                    "step": self.at.steps,
                    "time": time.time(),
                    "seconds": self.epoch_seconds,
                    "values": values,
                    "steps": samples,
                    "system": self.usage.take(),
                    **history,
                }
            )
        self.epoch_seconds = 0.0

    def _finish_epoch(self) -> None:
        self._record_epoch()
        at = self.at
        at.epoch, at.round, at.epochs = at.epoch + 1, 0, at.epochs + 1
        last_of_phase = at.epoch == self.phases[at.piece].epochs
        if not last_of_phase:  # the end of a phase is saved by `_next_phase`, with the networks that follow
            self._save(0.0)
            self._end_if_asked()

    def _next_phase(self) -> None:
        """Labels stay; networks, optimisers, learning-rate clock and (the paper's rule) the best score start anew."""
        self.at.piece, self.at.epoch = self.at.piece + 1, 0
        if self.at.piece < len(self.phases):
            self._begin_phase(fresh=self.phases[self.at.piece].reinitialise)
            if self.run.evaluation.selection == "best_dev_rsum_of_last_piece":
                self.best = Best()
        self._save(0.0)
        if self.at.piece < len(self.phases):
            self._end_if_asked()

    def _end_if_asked(self) -> None:
        if any(any_rank(self.stop())):
            raise Interrupted

    # -- networks --------------------------------------------------------------------------------------------------

    def _begin_phase(self, fresh: bool) -> None:
        if fresh:
            self.networks = [self._initialise(number) for number in range(self.method.networks)]
        elif self.phases[self.at.piece].fresh_optimizer:
            for network in self.networks:
                network.renew_optimizers()

    def _initialise(self, number: int) -> Network:
        run = self.run
        torch.manual_seed(seed_for("init", run.seed, self.at.piece, *((number,) if number else ())))
        backbone: Backbone = build(run.backbone, self.dataset.region_dim, self.dataset.vocabulary_size)
        return Network(backbone.to(self.device), self.method.parts(), run.schedule, self.machine)

    def _set_rates(self, training: Training) -> None:
        schedule, start = self.run.schedule, self.phases[self.at.piece].lr
        decay = schedule.decay_at(self.at.epoch) * schedule.warm_at(training.progress.step_in_piece)
        for network in self.networks:
            network.set_rate((schedule.lr if start is None else start) * decay, decay)

    def _batch_size(self, phase: Phase) -> int:
        return phase.batch_size or self.run.schedule.batch_size

    def _training(self) -> Training:
        phase = self.phases[self.at.piece]
        return Training(
            self.networks, self.state, self.feeds, self.at,
            batch_size=self._batch_size(phase), epochs=phase.epochs, device=self.device, stop=self.stop,
        )  # fmt: skip

    # -- what is measured ------------------------------------------------------------------------------------------

    def _evaluate_dev(self) -> list[dict[str, float]]:
        """The mean of the networks' similarities; behind it, of several, each alone."""
        backbones = [network.backbone for network in self.networks]
        matrices = scoring.score_matrices(backbones, self.dev, self.device)
        return [folds.evaluate(scores, self.dev.image_of_caption, "full") for scores in matrices]

    def label_report(self) -> dict[str, float]:
        """How well the labels tell clean from noisy pairs, where the method has labels; without what is undefined."""
        if self.method.label_state is None:
            return {}
        report = correspondence.label_report(self.labels(), self.pairs.clean)
        return {name: value for name, value in report.items() if not math.isnan(value)}

    def labels(self) -> Any:
        """The correspondence labels (pairs,) float32 as numpy, or None for a method without."""
        name = self.method.label_state
        return None if name is None else self.state[name].whole().cpu().numpy()

    # -- checkpoint ------------------------------------------------------------------------------------------------

    def _save(self, epoch_seconds: float) -> None:
        self.meters.flush()
        whole = {name: values.whole() for name, values in self.state.items()}
        if rank() == 0:
            self.guard()
            saved = checkpoint.gather(self, whole, epoch_seconds)
            checkpoint.save(self.cell.path("checkpoint.pt"), saved.to_dict())
        broadcast(None)  # no rank goes on, or ends, before it is written

    def _resume(self) -> None:
        saved = checkpoint.load(self.cell.path("checkpoint.pt"))
        if saved is not None:
            checkpoint.restore(self, Checkpoint.from_dict(saved, str(self.cell.path("checkpoint.pt"))))
        if rank() == 0:
            self.cell.keep_rows(self.at.epochs)
            if lost := self.cell.lost_epochs(self.at.epochs):
                print(f"{self.cell.path('metrics.jsonl')}: lost rows of epochs: {len(lost)}; the run goes on")

    def _steps_left(self) -> tuple[int, int]:
        """As far as is known: what a plan leaves out is not."""
        pairs = self.feeds.all_pairs
        total = sum(p.epochs * steps_of(pairs, self._batch_size(p)) for p in self.phases) * self.method.rounds
        return max(0, total - self.at.steps), total
