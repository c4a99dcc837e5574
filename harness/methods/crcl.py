"""CRCL: Cross-modal Robust Complementary Learning.

Source: "Cross-modal Active Complementary Learning with Self-refining Correspondence", NeurIPS 2023, arXiv 2310.17468.

The data. Some of the training pairs (image i, caption i) do not belong together, and nobody says which. CRCL keeps a
correspondence label y_i in [0, 1] for every training pair, its estimate of whether the pair belongs together.

The loss, over a batch of B pairs with similarities S (B, B), rows images, and temperature tau (`tau`):

    P_ij = exp(S_ij / tau) / sum_k exp(S_ik / tau)         image i's probability for caption j
    Q_ij = exp(S_ij / tau) / sum_k exp(S_kj / tau)         caption j's probability for image i

    active         A = mean_i  y_i (-log P_ii - log Q_ii)

                                 sum_{j != i} f(P_ij)         sum_{j != i} f(Q_ji)
    complementary  C = mean_i [ -----------------------  +  ----------------------- ]        f = tan
                                (sum_j f(P_ij))^(1-y_i)      (sum_j f(Q_ji))^(1-y_i)

    L = A + 5 C                                                                5 is `complementary_weight`

The active loss says "this is a pair" as far as y_i believes it. The complementary loss says only "those are not": at
y_i = 1 it is the plain sum over the negatives, at y_i = 0 their share of the whole row or column, which is bounded, so
a false pair can do little harm.

The labels, corrected inside every training step with no gradient (Self-refining Correspondence Correction):

    p_i = (P_ii + Q_ii) / 2                                the batch's own view of pair i
    y_i = stored_i                                         in the frozen first epochs of a piece
    y_i = beta stored_i + (1 - beta) p_i                   after them (momentum correction)
    y_i = 0 where y_i < epsilon                            in both
    stored_i = p_i, before the threshold                   in the last frozen epoch of the first piece
    stored_i = y_i                                         in every other step

Labels start at 1. Through the frozen epochs of the first piece every pair counts in full; the last of them also writes
down the first estimates, which the following epochs correct. A pair put to 0 can come back: (1 - beta) p_i has to reach
epsilon. Then a new piece begins: network and optimiser start afresh, the labels stay, and its frozen epochs train on
what the piece before has learnt, so errors in the network do not accumulate while the labels get better
(self-refining). The network kept is the last piece's.

Differs from the released code in:
  1. log P and log Q are stable log-softmaxes and nothing is added to denominators (there: 1e-10), so the
     loss is finite at every score; losses, gradients and labels agree to 1e-5.
  2. Scores are taken to float32 first, whatever the network computed in.
  3. What is fixed in the middle of its expressions is a keyword: the weight 5, the threshold 0.1, f and its
     exponent.
  4. The frozen epochs can be counted in optimiser steps (`freeze_steps`). On a small data set two epochs
     are too few steps: the first estimates lie under the threshold, and the labels never recover.
  5. `pieces` are whole lengths. The released flag `schedules=5,5,5,30` leaves out the 2 frozen epochs of
     each: 7, 7, 7, 32 here.
  6. A batch of one pair gives zero loss and gradient; the guard of the released code tests another axis.
  7. A loss that is not finite fails the run (in the trainer); there it ends the program with success.
     Labels are part of the checkpoint; there, resuming reads a key that was never saved.
  8. The ablations (`active`, `complementary`, `weighting`, `correction`, `refining`) and a fixed exponent are ours; the
     released code can turn off momentum and threshold alone.
The same as there, though it may surprise: with `freeze_epochs=0` no first estimate is ever written and the labels move
from 1 by momentum alone; p_i comes from the training pass itself (augmented batch, dropout on), so it depends on the
pair's companions in the batch. The paper's theory is stated for the exponent of the denominator going to 1; training,
there and here, has 1 - y_i.

Hyperparameters (released script, for Flickr30K at 80 % noise; batch 128, clip 2, AdamW, lr 5e-4): beta 0.8, tau 0.05,
epsilon 0.1, pieces 7, 7, 7, 32, 2 frozen epochs in each, lr / 10 every 15 epochs of a piece. The code has pieces
"2,2,2,20" as a comment, 4, 4, 4, 22 with the frozen ones, which fit MS-COCO by their length. Those of other rates and
of CC152K could not be sourced.
"""

from math import ceil
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from harness.errors import HarnessError
from harness.methods.base import Method, PairBatch, Phase, Progress, State, square
from harness.methods.softmax import TRANSFORMS, log_matching, matching, off_diagonal
from harness.printing.numbers import count


def active_loss(log_p: Tensor, log_q: Tensor, labels: Tensor) -> Tensor:
    """A: mean over the pairs of y_i (-log P_ii - log Q_ii). Log-probabilities (B, B), labels (B,)."""
    return (labels * -(log_p.diagonal() + log_q.diagonal())).mean()


def complementary_loss(p: Tensor, q: Tensor, exponents: Tensor, transform: str = "tan") -> Tensor:
    """C: mean over the pairs of the transformed probability on the negatives, normalised to a power.

    p, q: (B, B), rows images. exponents: (B,), power of the denominator of each pair's two terms; 0 leaves the sum as
    it is, 1 makes it a share.
    """
    f_p, f_q = TRANSFORMS[transform](p), TRANSFORMS[transform](q)
    image_to_text = off_diagonal(f_p).sum(dim=1) / f_p.sum(dim=1) ** exponents  # (B,), over the captions
    text_to_image = off_diagonal(f_q).sum(dim=0) / f_q.sum(dim=0) ** exponents  # (B,), over the images
    return (image_to_text + text_to_image).mean()


def correct_labels(
    stored: Tensor,
    match: Tensor,
    *,
    piece: int,
    epoch: int,
    frozen_epochs: int,
    beta: float,
    epsilon: float,
) -> tuple[Tensor, Tensor]:
    """(labels to train this step on, labels to store), each (B,).

    stored: (B,) labels so far. match: (B,) p_i of this step, without gradient. piece, epoch: counted from zero, the
    epoch within its piece. beta = 0 is a correction without momentum.
    """
    labels = stored if epoch < frozen_epochs else beta * stored + (1 - beta) * match
    labels = labels.masked_fill(labels < epsilon, 0.0)
    first_estimates = piece == 0 and epoch == frozen_epochs - 1
    return labels, match if first_estimates else labels


class CRCL(Method):
    """Active complementary loss with self-refining, momentum-corrected correspondence labels (NeurIPS 2023).

    Args:
        beta: momentum of the labels.
        tau: temperature.
        epsilon: labels below it count as 0; 0 turns the threshold off.
        pieces: epochs of each self-refining piece, the frozen ones included.
        freeze_epochs: first epochs of every piece, in which labels are used but not corrected.
        freeze_steps: in place of `freeze_epochs`, the least number of optimiser steps, rounded up to epochs.
        complementary_weight: of C in the loss.
        transform: the function that the complementary loss applies, the paper's f.
        exponent: power of the denominators. None: 1 - y_i of each pair. A number: that power for all pairs
            (0: never normalised, 1: always a share).

    For ablations, each True in the paper's method:
        active, complementary: whether A, whether C is in the loss.
        weighting: off, A counts every pair in full; the labels act in C alone.
        correction: off, every label stays 1.
        momentum: off, the label after the frozen epochs is the step's own p_i and `beta` is ignored.
        refining: off, one piece as long as all together: the same compute without a fresh start.
    """

    def __init__(
        self,
        *,
        beta: Annotated[float, Field(ge=0, le=1)] = 0.8,
        tau: Annotated[float, Field(gt=0)] = 0.05,
        epsilon: Annotated[float, Field(ge=0, lt=1)] = 0.1,
        pieces: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)] = (7, 7, 7, 32),
        freeze_epochs: Annotated[int, Field(ge=0)] = 2,
        freeze_steps: Annotated[int, Field(ge=1)] | None = None,
        complementary_weight: Annotated[float, Field(ge=0)] = 5.0,
        transform: Literal["tan", "identity", "log", "exp"] = "tan",
        exponent: Annotated[float, Field(ge=0)] | None = None,
        active: bool = True,
        complementary: bool = True,
        weighting: bool = True,
        correction: bool = True,
        momentum: bool = True,
        refining: bool = True,
    ) -> None:
        if not active and not complementary:
            raise HarnessError(
                "method.active and method.complementary are both false, which leaves no loss; "
                "accepted: at least one true; turn one on"
            )
        self.beta = beta if momentum else 0.0
        self.tau = tau
        self.epsilon = epsilon
        self.pieces = tuple(pieces)
        self.freeze_epochs = freeze_epochs
        self.freeze_steps = freeze_steps
        self.complementary_weight = complementary_weight
        self.transform = transform
        self.exponent = exponent
        self.active = active
        self.complementary = complementary
        self.weighting = weighting
        self.correction = correction
        self.refining = refining
        self.label_state = "label" if correction else None

    def frozen_epochs(self, steps_per_epoch: int) -> int:
        """First epochs of every piece in which labels are not corrected."""
        return self.freeze_epochs if self.freeze_steps is None else ceil(self.freeze_steps / steps_per_epoch)

    def phases(self, epochs: int | None, steps_per_epoch: int) -> list[Phase]:
        """One phase for each self-refining piece."""
        if epochs is not None:
            raise HarnessError(
                f"schedule.epochs = {epochs}: CRCL takes its length from method.pieces; "
                "accepted: no schedule.epochs; remove it and set method.pieces"
            )
        lengths = self.pieces if self.refining else (sum(self.pieces),)
        frozen = self.frozen_epochs(steps_per_epoch)
        if self.correction and min(lengths) <= frozen:
            counted = (
                f"freeze_epochs = {frozen}"
                if self.freeze_steps is None
                else f"freeze_steps = {self.freeze_steps} is {frozen} epochs of {steps_per_epoch} steps"
            )
            raise HarnessError(
                f"method.pieces = {list(lengths)}: a piece of {count(min(lengths), 'epoch')} corrects no label "
                f"({counted}); accepted: {frozen + 1} or more epochs a piece; lengthen the pieces or freeze for less"
            )
        return [Phase(length) for length in lengths]

    def declare_state(self) -> dict[str, float]:
        """One correspondence label for each training pair, 1 until something else is known."""
        return {"label": 1.0} if self.correction else {}

    def loss(self, scores: Tensor, batch: PairBatch, state: State, progress: Progress) -> dict[str, Tensor]:
        """`loss`; its two parts as they enter; the active one's share; mean label, share of zero labels."""
        scores = square(scores)
        log_p, log_q = log_matching(scores, self.tau)
        p, q = matching(scores, self.tau)  # each (images, captions)

        match = ((p.diagonal() + q.diagonal()) / 2).detach().float()  # (pairs,)
        labels = match.new_ones(match.shape)
        if self.correction:
            rows = batch.pair_ids
            labels, state["label"][rows] = correct_labels(
                state["label"][rows],
                match,
                piece=progress.piece,
                epoch=progress.epoch,
                frozen_epochs=self.frozen_epochs(progress.steps_per_epoch),
                beta=self.beta,
                epsilon=self.epsilon,
            )
        exponents = 1 - labels if self.exponent is None else match.new_full(match.shape, self.exponent)

        nothing = match.new_zeros(())
        weights = labels if self.weighting else torch.ones_like(labels)
        active = active_loss(log_p, log_q, weights) if self.active else nothing
        complementary = (
            self.complementary_weight * complementary_loss(p, q, exponents, self.transform)
            if self.complementary
            else nothing
        )
        loss = active + complementary
        return {
            "loss": loss,
            "loss_active": active.detach(),
            "loss_complementary": complementary.detach(),
            "share_active": (active / loss.clamp(min=1e-12)).detach(),
            "label_mean": labels.mean(),
            "label_zero": (labels == 0).to(labels.dtype).mean(),
        }
