"""The one trainer. Reads top to bottom: pieces, epochs, steps; then what is measured and what is kept.

A method says how long each piece is, what it keeps per pair and what the loss is (harness/methods/base.py); everything
else is here and the same for all of them. Randomness is named by position (harness/seeds.py), so `Position`, the
tensors and the running sums are the whole state, and a run continues from any step as if it had never stopped.

Several processes may train one run (ranks.py). All of them walk through this file together; rank 0 alone writes.
"""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from harness.backbones import Backbone
from harness.data import Augmentation, Batch, Dataset, PairBatches
from harness.distributed import any_rank, broadcast, rank
from harness.errors import HarnessError
from harness.evaluation import correspondence, protocols, scoring
from harness.ledger import Cell
from harness.methods import Method
from harness.methods.base import Phase, Progress
from harness.seeds import seed_for
from harness.spec import RunSpec, build
from harness.training import checkpoint, ranks, state
from harness.training.history import LabelHistory
from harness.training.machine import Machine
from harness.training.meters import Meters
from harness.training.pace import Pace
from harness.training.pairs import TrainingPairs, training_pairs


class Interrupted(Exception):
    """Asked to stop; the checkpoint is written and the same command continues."""


@dataclass
class Position:
    """Where training stands: the next step to take. `epochs` and `steps` count from the beginning of the run."""

    piece: int = 0
    epoch: int = 0  # in the piece
    step: int = 0  # in the epoch
    epochs: int = 0
    steps: int = 0


@dataclass
class Best:
    """The network that selection keeps so far."""

    rsum: float = float("-inf")
    epochs: int = -1  # when, counted from the beginning of the run; -1 for never
    piece: int = 0
    epoch: int = 0
    weights: dict[str, Tensor] | None = None
    dev: dict[str, float] | None = None


class Trainer:
    """One run, from its spec to its selected network.

    Args:
        run: what to train.
        dataset: the opened data set.
        cell: where rows and checkpoints go; the caller, rank 0 of several, holds its claim.
        machine: device, precision and checkpoint interval.
        report: called now and then with the position, the loss and the seconds left, as keywords.
        guard: called before anything is written; raises when the claim is lost.
        stop: true when the process was asked to end.
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
    ) -> None:
        self.run, self.dataset, self.cell, self.machine = run, dataset, cell, machine
        self.report, self.guard, self.stop = report, guard, stop
        machine.prepare()
        self.device = machine.torch_device()
        self.pairs: TrainingPairs = training_pairs(run, dataset)
        self.data = {"training pairs": self.pairs.sha256, "features or captions": dataset.digest()}
        self.batches = PairBatches(
            self.pairs.split,
            self.pairs.paired_image,
            batch_size=run.schedule.batch_size,
            augmentation=Augmentation(**run.augmentation.model_dump()) if run.augmentation else None,
            vocabulary=dataset.vocabulary if run.augmentation else None,
            seed=run.seed,
            pin_memory=machine.pins(self.device),
        )
        ranks.check_shares(self.batches)
        self.dev = dataset.split("dev").images(run.evaluation.dev_images or dataset.card.dev_images)
        self.method: Method = build(run.method)
        self.phases: list[Phase] = list(self.method.phases(run.schedule.epochs, len(self.batches)))
        self.state: Any = state.declared(self.method.declare_state(), len(self.pairs), self.device)
        epochs = sum(phase.epochs for phase in self.phases)
        self.history = LabelHistory(cell.path("label_history.npy"), epochs, len(self.pairs))
        self.at, self.best, self.meters = Position(), Best(), Meters()
        self._label_auc: float | None = None  # at the last epoch's end, for the progress report
        self.epoch_seconds = 0.0  # of the current epoch, before this process took over
        self.seconds = 0.0
        self._initialise()

    # -- the loop --------------------------------------------------------------------------------------------------

    def fit(self) -> Best:
        """Train to the end, from the checkpoint if there is one; the selected network is loaded when it returns.

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
                self._train_epoch()
                self._finish_epoch()
            self._next_piece()
        assert self.best.weights is not None
        self.backbone.load_state_dict(self.best.weights)
        return self.best

    def _train_epoch(self) -> None:
        self.backbone.train()
        rate = self.run.schedule.lr_at(self.at.epoch)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        began = saved = time.monotonic()
        for batch in self.batches.epoch(self.at.piece, self.at.epoch, start_step=self.at.step):
            self._step(batch.to(self.device))
            now = time.monotonic()
            if self.at.step < len(self.batches):
                stopping, due = any_rank(self.stop(), now - saved > self.machine.checkpoint_seconds)
                if stopping or due:
                    self.meters.flush()
                    self._save(self.epoch_seconds + now - began)
                    saved = time.monotonic()
                if stopping:
                    raise Interrupted
        self.epoch_seconds += time.monotonic() - began

    def _step(self, batch: Batch) -> None:
        at = self.at
        # Dropout draws from torch's global generator: naming its seed by position is all that resuming needs.
        torch.manual_seed(seed_for("step", self.run.seed, at.piece, at.epoch, at.step, *ranks.step_name()))
        progress = Progress(at.piece, at.epoch, at.step, len(self.batches))
        with self.machine.autocast(self.device):
            scores = self._score(batch)
        values = self.method.loss(scores, batch, self.state, progress)
        self.optimizer.zero_grad(set_to_none=True)
        ranks.backward(values["loss"], self.backbone.parameters())
        torch.nn.utils.clip_grad_norm_(self.backbone.parameters(), self.run.schedule.grad_clip)
        self.optimizer.step()
        self.meters.add((at.piece, at.epoch, at.step, at.steps), values)
        at.step += 1
        at.steps += 1
        self._pace.tick()
        self.report(
            piece=at.piece, pieces=len(self.phases), epoch=at.epoch, epochs=self.phases[at.piece].epochs,
            step=at.step, steps=len(self.batches), loss=self.meters.latest.get("loss"),
            dev_rsum=self.best.rsum if self.best.epochs >= 0 else None,
            label_mean=self.meters.latest.get("label_mean"), label_auc=self._label_auc,
            seconds_left=self._pace.seconds_left, share_done=self._pace.share_done,
        )  # fmt: skip

    def _record_epoch(self) -> None:
        """Dev and labels as they stand: a row, and the best network so far."""
        began = time.monotonic()
        means, samples = self.meters.close()
        dev = self._evaluate_dev()
        values = {f"train/{name}": value for name, value in means.items()}
        if means:
            values["train/lr"] = self.optimizer.param_groups[0]["lr"]
        values |= {f"dev/{name}": value for name, value in dev.items()}
        values |= self.label_report()
        self._label_auc = values.get("labels/auc")
        labels = self.labels()
        at = self.at
        if self.run.evaluation.selection == "last" or dev["rsum"] > self.best.rsum:
            weights = {name: value.detach().cpu().clone() for name, value in self.backbone.state_dict().items()}
            self.best = Best(dev["rsum"], at.epochs, at.piece, at.epoch, weights, dev)
        self.epoch_seconds += time.monotonic() - began
        self.seconds += self.epoch_seconds
        if rank() == 0:
            self.guard()
            if labels is not None:
                self.history.write(at.epochs, labels)
            self.cell.append_row(
                {
                    "epoch": at.epochs,
                    "piece": at.piece,
                    "epoch_in_piece": at.epoch,
                    "step": at.steps,
                    "time": time.time(),
                    "seconds": self.epoch_seconds,
                    "values": values,
                    "steps": samples,
                }
            )
        self.epoch_seconds = 0.0

    def _finish_epoch(self) -> None:
        self._record_epoch()
        at = self.at
        at.epoch, at.step, at.epochs = at.epoch + 1, 0, at.epochs + 1
        last_of_piece = at.epoch == self.phases[at.piece].epochs
        if not last_of_piece:  # the end of a piece is saved by `_next_piece`, with the network that follows
            self._save(0.0)
            self._end_if_asked()

    def _next_piece(self) -> None:
        """Labels stay; network, optimiser, learning-rate clock and (for the paper's rule) the best score start anew."""
        self.at.piece, self.at.epoch = self.at.piece + 1, 0
        if self.at.piece < len(self.phases):
            if self.phases[self.at.piece].reinitialise:
                self._initialise()
            if self.run.evaluation.selection == "best_dev_rsum_of_last_piece":
                self.best = Best()
        self._save(0.0)
        if self.at.piece < len(self.phases):
            self._end_if_asked()

    def _end_if_asked(self) -> None:
        if any(any_rank(self.stop())):
            raise Interrupted

    # -- network and optimiser -------------------------------------------------------------------------------------

    def _initialise(self) -> None:
        run = self.run
        torch.manual_seed(seed_for("init", run.seed, self.at.piece))
        network: Backbone = build(run.backbone, self.dataset.region_dim, self.dataset.vocabulary_size)
        self.backbone = network.to(self.device)
        optimizer = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}[run.schedule.optimizer]
        self.optimizer = optimizer(
            self.backbone.parameters(), lr=run.schedule.lr, weight_decay=run.schedule.weight_decay, fused=True
        )
        self._score = self.machine.compiled(ranks.scorer(network))

    # -- what is measured ------------------------------------------------------------------------------------------

    def _evaluate_dev(self) -> dict[str, float]:
        self.backbone.eval()
        scores = scoring.score_matrix(self.backbone, self.dev, self.device)
        return protocols.evaluate(scores, self.dev.image_of_caption, "full")

    def label_report(self) -> dict[str, float]:
        """How well the labels tell clean from noisy pairs, where the method has labels; without what is undefined."""
        if self.method.label_state is None:
            return {}
        report = correspondence.label_report(self.labels(), self.pairs.clean)
        return {name: value for name, value in report.items() if not math.isnan(value)}

    def labels(self) -> Any:
        """The correspondence labels (pairs,) float32 as numpy, or None for a method without."""
        name = self.method.label_state
        return None if name is None else state.whole(self.state[name]).float().cpu().numpy()

    # -- checkpoint ------------------------------------------------------------------------------------------------

    def _save(self, epoch_seconds: float) -> None:
        whole = {name: state.whole(values) for name, values in self.state.items()}
        if rank() == 0:
            self.guard()
            checkpoint.save(self.cell.path("checkpoint.pt"), self._saved(whole, epoch_seconds))
        broadcast(None)  # no rank goes on, or ends, before it is written

    def _saved(self, whole: dict[str, Tensor], epoch_seconds: float) -> dict[str, Any]:
        return {
            "fingerprint": self.cell.fingerprint,
            "data": self.data,
            "position": asdict(self.at),
            "backbone": self.backbone.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "state": whole,
            "best": dict(vars(self.best)),
            "meters": self.meters.state(),
            "seconds": self.seconds,
            "epoch_seconds": epoch_seconds,
        }

    def _resume(self) -> None:
        saved = checkpoint.load(self.cell.path("checkpoint.pt"))
        if saved is None:
            self._keep_rows()
            return
        for what, value in self.data.items():
            if saved["data"][what] != value:
                raise HarnessError(
                    f"{self.cell.folder}: the {what} differ from those this cell was begun with; bring the old data "
                    "back, or delete the folder to train it afresh"
                )
        self.at = Position(**saved["position"])
        self._initialise()
        self.backbone.load_state_dict(saved["backbone"])
        self.optimizer.load_state_dict(saved["optimizer"])
        for name, values in saved["state"].items():
            self.state[name].copy_(values)
        self.best = Best(**saved["best"])
        self.meters.restore(saved["meters"])
        self.seconds, self.epoch_seconds = saved["seconds"], saved["epoch_seconds"]
        self._keep_rows()

    def _keep_rows(self) -> None:
        if rank() == 0:
            self.cell.keep_rows(self.at.epochs)

    def _steps_left(self) -> tuple[int, int]:
        total = sum(phase.epochs for phase in self.phases) * len(self.batches)
        return total - self.at.steps, total
