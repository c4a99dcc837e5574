"""What every method is, and what it may ask of the trainer.

A method says what happens in one step, in verbs that the trainer owns. It has no loop and no memory of its own: what
survives a step is state kept per training pair, weights of networks and parts, or the plan of a round. So a run of
every method resumes exactly. The order of calls:

    phase:    networks, parts and optimisers are made          seed ("init", seed, piece[, network])
     epoch:   for round in range(rounds):
                plan = method.plan(training)                   at step 0 alone; then a checkpoint
                for step in range(batches of the first feed):
                  seed ("step", seed, piece, epoch, step[, round][, rank])
                  values = method.step(training, batch, *others)
              method.close_epoch(training)
              dev by the mean of the networks, labels, best network, row, checkpoint

The simplest method is one loss of one score matrix: override `loss` alone.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from harness.errors import HarnessError
from harness.spec import Checked

T = TypeVar("T")


@dataclass(frozen=True)
class Phase:
    """A stretch of training with its own learning-rate clock and its own best score. Per-pair state always survives.

    Attributes:
        epochs: its length.
        reinitialise: start it with fresh networks, parts and optimisers.
        fresh_optimizer: keep networks and parts, start with fresh optimisers.
        lr: the learning rate that the clock starts from; None: `schedule.lr`.
        batch_size: pairs of a step; None: `schedule.batch_size`.
    """

    epochs: int
    reinitialise: bool = True
    fresh_optimizer: bool = False
    lr: float | None = None
    batch_size: int | None = None


@dataclass(frozen=True)
class Progress:
    """Where training stands, counted from zero: `epoch` in the piece (phase), `round` in the epoch, `step` in the
    round; `steps` since the run began. `steps_per_epoch`: steps of this round, those of the first feed. `epochs`: the
    length of the piece."""

    piece: int
    epoch: int
    step: int
    steps_per_epoch: int
    round: int = 0
    steps: int = 0
    epochs: int = 1

    @property
    def step_in_piece(self) -> int:
        """Optimiser steps taken since the piece began, where every epoch takes as many."""
        return self.epoch * self.steps_per_epoch + self.step


@dataclass(frozen=True)
class Feed:
    """Pairs to draw the batches of a round from.

    Attributes:
        captions: int64 (n,), rows of the split's captions. For the training split these are pair ids.
        images: int64 (n,), the image each is read with; None: the pair's own (in training, as noise paired them).
        split: of the data set.
        drop_last: leave out a last batch that is not full.
    """

    captions: NDArray[np.int64]
    images: NDArray[np.int64] | None = None
    split: str = "train"
    drop_last: bool = False


@dataclass(frozen=True)
class Part:
    """Parameters with an optimiser of their own.

    Attributes:
        module: from a backbone to the part: a submodule of the backbone, which it may put there itself
            (`backbone.head = ...`), or a module that stands beside it.
        lr: learning rate; falls with the schedule's.
        optimizer: its name.
        weight_decay: of that optimiser.
    """

    module: Callable[[Any], nn.Module]
    lr: float
    optimizer: Literal["adam", "adamw"] = "adam"
    weight_decay: float = 0.0


class PairBatch(Protocol):
    """All that a loss may ask of a batch."""

    @property
    def pair_ids(self) -> Tensor:
        """(B,) int64: row of each pair in the per-pair state, no pair twice."""
        ...


class PairValues(Protocol):
    """A float32 for each training pair. With several processes, all of them must read and write together."""

    def __getitem__(self, rows: Tensor) -> Tensor:
        """The values of the pairs `rows` (B,) int64."""
        ...

    def __setitem__(self, rows: Tensor, values: Tensor) -> None:
        """`values` (B,) for the distinct pairs `rows` (B,) int64."""
        ...

    def whole(self) -> Tensor:
        """All values (pairs,): a copy."""
        ...

    def copy_(self, whole: Tensor) -> None:
        """Take over all values (pairs,)."""
        ...


State = Mapping[str, Any]  # name -> PairValues; plain tensors (pairs,) serve in a loop of one's own


class Network(Protocol):
    """A backbone with its optimisers. With several processes every result is whole on each of them."""

    @property
    def backbone(self) -> Any: ...

    @property
    def parts(self) -> Mapping[str, nn.Module]:
        """What `Method.parts` declared, made."""
        ...

    def scores(self, batch: Any, *, raw: bool = False, twice: bool = False) -> Tensor:
        """(B, B) similarities of a batch, rows images. raw: before the activation. twice: by formulations that can be
        differentiated twice, which `ahead` needs of its loss."""
        ...

    def encode(self, batch: Any) -> tuple[Any, Any]:
        """The batch's images and texts, embedded: what `similarity`, `within` and `pairwise` take."""
        ...

    def similarity(self, images: Any, texts: Any, *, raw: bool = False) -> Tensor:
        """(images, texts) similarities."""
        ...

    def within(self, encoded: Any, *, raw: bool = False) -> Tensor:
        """(n, n) similarities of images among images, or of texts among texts."""
        ...

    def pairwise(self, images: Any, texts: Any, *, raw: bool = False) -> Tensor:
        """(n,) similarities of image i and text i alone."""
        ...

    @property
    def rate(self) -> float:
        """The learning rate of the main part in this epoch."""
        ...

    def learn(self, loss: Tensor, part: str | Sequence[str] = "main", *, lr: float | None = None) -> None:
        """One optimiser step of a part, or of several, on a loss that all processes computed alike; no other part is
        touched.

        lr: in place of the schedule's rate, for this step."""
        ...

    def looking(self) -> AbstractContextManager[None]:
        """Evaluation mode without gradients. What comes out may enter a loss as a constant."""
        ...

    def ahead(self, loss: Tensor, rule: Literal["sgd", "optimizer"] = "sgd") -> AbstractContextManager[None]:
        """Inside, the network computes as if it had made one step on `loss`.

        sgd: a plain gradient step; what is computed inside has a gradient through it, to the weights of all parts, if
        `loss` came from scores with `twice`. optimizer: a step of an optimiser like the main part's, whose moments are
        those of the losses given here, without a gradient."""
        ...


class Training(Protocol):
    """What a method may ask of the trainer."""

    @property
    def progress(self) -> Progress: ...

    @property
    def networks(self) -> Sequence[Network]: ...

    @property
    def state(self) -> State:
        """The per-pair state that the method declared."""
        ...

    @property
    def pairs(self) -> int:
        """Training pairs."""
        ...

    @property
    def paired_images(self) -> NDArray[np.int64]:
        """(pairs,) the image that each training pair is read with: a row of the split's images."""
        ...

    def captions(self, split: str) -> int:
        """Captions of a split; of "train", the pairs."""
        ...

    def every_pair(
        self, network: Network, measure: Callable[[Tensor], Tensor], *, raw: bool = False
    ) -> NDArray[np.float32]:
        """`measure` of every training pair among companions, in evaluation mode and without augmentation.

        measure: from scores (B, B) to (B,) or (B, k). Returns (pairs,) or (pairs, k), on every process. The companions
        are drawn anew for each round."""
        ...

    def finished(self, path: str, sha256: str = "") -> "Sequence[Network]":
        """The networks of a finished run, from its model.safetensors, to look with. sha256: what that file must be."""
        ...

    def agreed(self, function: Callable[[], T]) -> T:
        """What `function` gives on the first process, on all of them: for a fit that may round otherwise elsewhere."""
        ...

    def read(self, captions: NDArray[np.int64], images: NDArray[np.int64] | None = None, split: str = "train") -> Any:
        """A batch of these rows, without augmentation; as in `Feed`."""
        ...

    def rng(self, *names: str | int | float) -> np.random.Generator:
        """A generator named by seed, position and `names`: the same after a restart."""
        ...


class Method(Checked):
    """One loss over a batch; everything else is optional.

    Attributes:
        label_state: the per-pair state that estimates correspondence, if any.
        networks: trained side by side; scored by the mean of their similarities, each alone reported too.
        rounds: trainings of an epoch, one after another: two for peers that swap their divisions.
        one_process: it looks a step ahead (`Network.ahead`), which several training processes cannot do together.
        reconstruction: why this is not the method of its authors, in words; "" where it is.
    """

    one_process: bool = False
    reconstruction: str = ""
    label_state: str | None = None
    networks: int = 1
    rounds: int = 1

    # -- declared, read once ---------------------------------------------------------------------------------------

    def phases(self, epochs: int | None, steps_per_epoch: int) -> Sequence[Phase]:
        """The stretches of training, from `schedule.epochs` and the steps an epoch takes on this data set.

        Raises HarnessError when the two do not fit the method.
        """
        if epochs is None:
            raise HarnessError(
                f"schedule.epochs is missing: {type(self).__name__} trains as long as the schedule says; "
                "accepted: a whole number, at least 1; set schedule.epochs"
            )
        return [Phase(epochs)]

    def declare_state(self) -> dict[str, float]:
        """Name and initial value of each float kept per training pair."""
        return {}

    def parts(self) -> Mapping[str, Part]:
        """Parameters of each network that have an optimiser of their own; what is left is the part "main"."""
        return {}

    def fits(self, backbone: type, run: Any) -> str:
        """Why the method cannot train this class of backbone in this run (a `RunSpec`), in words; "" where it can."""
        return ""

    # -- called ----------------------------------------------------------------------------------------------------

    def plan(self, training: Training) -> Sequence[Feed]:
        """Before each round: the feeds of its batches. The first drives; the others begin anew, in another order, when
        they end. None: all pairs."""
        return []

    def step(self, training: Training, batch: Any, *others: Any) -> dict[str, Tensor]:
        """One step: named scalars, `loss` among them. `others`: batches of the further feeds, None for an empty one."""
        network = training.networks[0]
        values = self.loss(network.scores(batch), batch, training.state, training.progress)
        network.learn(values["loss"])
        return values

    def loss(self, scores: Tensor, batch: PairBatch, state: State, progress: Progress) -> dict[str, Tensor]:
        """Named scalars of one batch, `loss` (the one to minimise, with gradient) among them.

        scores: (B, B) similarities, rows images, columns captions, the pairs on the diagonal. state: the values
        declared above; the method reads and writes the rows `batch.pair_ids`. A batch of one pair gives a finite loss
        and a zero gradient.
        """
        raise NotImplementedError

    def close_epoch(self, training: Training) -> None:
        """After the rounds of an epoch, before dev is evaluated."""


def square(scores: Tensor) -> Tensor:
    """`scores` in float32, once it is known to be a batch against itself.

    Under mixed precision scores arrive as bfloat16, whose 8 bits are too few for a softmax at tau = 0.05.
    """
    if scores.ndim != 2 or scores.shape[0] != scores.shape[1] or scores.shape[0] == 0:
        raise ValueError(f"scores must be (B, B) with B >= 1, images by captions; got {tuple(scores.shape)}")
    return scores.to(torch.promote_types(scores.dtype, torch.float32))
