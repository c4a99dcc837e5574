"""CRCL against its equations, one number at a time, and its labels through a whole training."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import losses
from torch import Tensor

from harness.errors import HarnessError
from harness.methods import Phase, Progress
from harness.methods.crcl import CRCL, complementary_loss, correct_labels
from harness.methods.softmax import matching

STEPS = 10


def run(
    method: CRCL, scores: Tensor, *, piece: int = 0, epoch: int = 0, labels: list[float] | None = None
) -> tuple[dict[str, Tensor], Tensor]:
    """One step on `scores`; also the labels afterwards."""
    state = {"label": torch.ones(len(scores)) if labels is None else torch.tensor(labels)}
    values = method.loss(
        scores, batch(range(len(scores))), state, Progress(piece, epoch, step=0, steps_per_epoch=STEPS)
    )
    return values, state["label"]


def batch(pairs: Any) -> SimpleNamespace:
    return SimpleNamespace(pair_ids=torch.tensor(list(pairs)))


def random_scores(n: int = 6, seed: int = 0) -> Tensor:
    return torch.rand(n, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 1


@pytest.mark.parametrize("transform", ["tan", "identity", "log", "exp"])
@pytest.mark.parametrize("exponent", [None, 0.0, 0.4, 1.0])
def test_loss_is_the_equation(transform: Any, exponent: float | None) -> None:
    scores, labels = random_scores(), [0.0, 1.0, 0.3, 0.5, 0.9, 0.15]
    method = CRCL(tau=0.3, transform=transform, exponent=exponent, complementary_weight=3.0)

    values, _ = run(method, scores, labels=labels)

    exponents = [1 - y if exponent is None else exponent for y in labels]
    active = losses.crcl_active(scores.tolist(), labels, 0.3)
    complementary = 3 * losses.crcl_complementary(scores.tolist(), exponents, 0.3, transform)
    assert values["loss_active"].item() == pytest.approx(active, rel=1e-6)
    assert values["loss_complementary"].item() == pytest.approx(complementary, rel=1e-6)
    assert values["loss"].item() == pytest.approx(active + complementary, rel=1e-6)
    assert values["share_active"].item() == pytest.approx(active / (active + complementary), rel=1e-6)
    assert values["label_mean"].item() == pytest.approx(sum(labels) / 6)
    assert values["label_zero"].item() == pytest.approx(1 / 6)


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 7),
    tau=st.sampled_from([0.05, 0.1, 0.5]),
    seed=st.integers(0, 2**16),
    label=st.floats(0, 1, width=32),
)
def test_loss_is_the_equation_at_any_size(n: int, tau: float, seed: int, label: float) -> None:
    scores = random_scores(n, seed)
    labels = [label, *[1.0] * (n - 1)]
    values, _ = run(CRCL(tau=tau, epsilon=0.0), scores, labels=labels)
    expected = losses.crcl_active(scores.tolist(), labels, tau) + 5 * losses.crcl_complementary(
        scores.tolist(), [1 - y for y in labels], tau
    )
    assert values["loss"].item() == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_gradient_is_the_slope_of_the_equation() -> None:
    scores, labels = random_scores(4).requires_grad_(), [0.0, 1.0, 0.3, 0.5]
    run(CRCL(tau=0.3), scores, labels=labels)[0]["loss"].backward()  # a frozen epoch: labels as they are

    def equation(values: Tensor) -> float:
        return losses.crcl_active(values.tolist(), labels, 0.3) + 5 * losses.crcl_complementary(
            values.tolist(), [1 - y for y in labels], 0.3
        )

    assert scores.grad is not None
    for i in range(4):
        for j in range(4):
            nudge = torch.zeros(4, 4, dtype=torch.float64)
            nudge[i, j] = 1e-6
            slope = (equation(scores.detach() + nudge) - equation(scores.detach() - nudge)) / 2e-6
            assert scores.grad[i, j].item() == pytest.approx(slope, rel=1e-4, abs=1e-5)


def test_no_gradient_flows_through_the_label() -> None:
    corrected = random_scores().requires_grad_()
    method = CRCL(tau=0.3, epsilon=0.0)
    values, stored = run(method, corrected, epoch=5, labels=[0.5] * 6)
    values["loss"].backward()
    fixed = random_scores().requires_grad_()
    run(method, fixed, epoch=0, labels=stored.tolist())[0]["loss"].backward()  # the same labels, frozen
    assert corrected.grad is not None
    assert fixed.grad is not None
    assert torch.allclose(corrected.grad, fixed.grad, rtol=1e-6)
    assert not stored.requires_grad


@pytest.mark.parametrize("frozen", [0, 1, 2])
def test_labels_through_two_pieces(frozen: int) -> None:
    """Every step of every epoch, against the slow twin that knows one pair."""
    method = CRCL(beta=0.7, epsilon=0.2, freeze_epochs=frozen, pieces=(4, 4))
    slow = [losses.CRCLLabels(beta=0.7, epsilon=0.2, frozen_epochs=frozen) for _ in range(5)]
    state = {"label": torch.ones(5)}
    closeness = np.linspace(-0.2, 0.2, 5)  # pair 0 looks false, pair 4 looks true
    rng = np.random.default_rng(frozen)
    for piece in range(2):
        for epoch in range(4):
            pairs = rng.permutation(5)
            for step, rows in enumerate((pairs[:3], pairs[3:])):
                scores = torch.tensor(rng.uniform(-0.1, 0.1, (len(rows),) * 2) + np.diag(closeness[rows]))
                values = method.loss(scores, batch(rows), state, Progress(piece, epoch, step, 2))
                p, q = losses.matching(scores.tolist(), method.tau)
                used = [slow[r].step(piece, epoch, (p[i][i] + q[i][i]) / 2) for i, r in enumerate(rows)]
                assert values["label_mean"].item() == pytest.approx(sum(used) / len(used), abs=1e-6)
                assert state["label"].tolist() == pytest.approx([label.stored for label in slow], abs=1e-6)
    assert slow[0].stored == 0  # or the threshold was never tried
    assert slow[4].stored > 0.5


def labels(stored: float, match: float, **where: Any) -> tuple[float, float]:
    defaults: dict[str, Any] = {"piece": 0, "epoch": 0, "frozen_epochs": 2, "beta": 0.8, "epsilon": 0.1}
    used, kept = correct_labels(torch.tensor([stored]), torch.tensor([match]), **{**defaults, **where})
    return round(used.item(), 6), round(kept.item(), 6)


def test_label_rules_by_hand() -> None:
    assert labels(1.0, 0.3, epoch=0) == (1.0, 1.0)  # frozen
    assert labels(1.0, 0.03, epoch=1) == (1.0, 0.03)  # last frozen epoch: the first estimate, not thresholded
    assert labels(0.03, 0.3, epoch=2) == (0.0, 0.0)  # 0.8 * 0.03 + 0.2 * 0.3 = 0.084, under the threshold
    assert labels(0.5, 0.1, epoch=2) == (0.42, 0.42)
    assert labels(0.0, 0.6, epoch=3) == (0.12, 0.12)  # a pair put to zero comes back
    assert labels(0.0, 0.4, epoch=3) == (0.0, 0.0)
    assert labels(0.4, 0.9, epoch=1, piece=1) == (0.4, 0.4)  # frozen later: what the piece before has learnt
    assert labels(0.05, 0.9, epoch=0, piece=1) == (0.0, 0.0)  # the threshold acts in frozen epochs too
    assert labels(1.0, 0.0, epoch=0, frozen_epochs=0) == (0.8, 0.8)  # no first estimate without frozen epochs
    assert labels(0.25, 0.9, piece=1, epsilon=0.25) == (0.25, 0.25)  # below epsilon, not at it
    assert labels(0.01, 0.01, epoch=4, epsilon=0.0) == (0.01, 0.01)


def test_only_the_rows_of_the_batch_change() -> None:
    state = {"label": torch.full((10,), 0.5)}
    CRCL().loss(random_scores(3), batch([7, 2, 4]), state, Progress(0, 5, 0, STEPS))
    changed = (state["label"] != 0.5).nonzero().flatten().tolist()
    assert changed == [2, 4, 7]


def test_order_of_the_pairs_does_not_matter() -> None:
    scores, order = random_scores(), torch.tensor([3, 1, 5, 0, 2, 4])
    given, stored = run(CRCL(), scores, epoch=3)
    values, moved = run(CRCL(), scores[order][:, order], epoch=3)
    assert values["loss"].item() == pytest.approx(given["loss"].item(), rel=1e-6)
    assert torch.allclose(moved, stored[order])


def test_ablations_turn_off_one_part_each() -> None:
    scores, start = random_scores(), [0.5] * 6
    whole, _ = run(CRCL(), scores, epoch=3, labels=start)

    no_active, _ = run(CRCL(active=False), scores, epoch=3, labels=start)
    assert no_active["loss_active"] == 0
    assert no_active["loss"] == whole["loss_complementary"]
    no_complementary, _ = run(CRCL(complementary=False), scores, epoch=3, labels=start)
    assert no_complementary["loss_complementary"] == 0
    assert no_complementary["loss"] == whole["loss_active"]

    no_weighting, stored = run(CRCL(weighting=False), scores, epoch=3, labels=start)
    in_full, _ = run(CRCL(correction=False), scores, epoch=3, labels=start)
    assert no_weighting["loss_active"] == in_full["loss_active"] > whole["loss_active"]
    assert no_weighting["loss_complementary"] == whole["loss_complementary"]
    assert torch.equal(stored, run(CRCL(), scores, epoch=3, labels=start)[1])

    p, q = matching(scores, 0.05)
    _, stored = run(CRCL(momentum=False, beta=0.9, epsilon=0.0), scores, epoch=3, labels=start)
    assert torch.allclose(stored, ((p.diagonal() + q.diagonal()) / 2).float())

    values, stored = run(CRCL(correction=False), scores, epoch=3, labels=start)
    assert values["label_mean"] == 1
    assert stored.tolist() == start
    assert CRCL(correction=False).declare_state() == {}
    assert CRCL(correction=False).label_state is None
    assert CRCL().label_state in CRCL().declare_state()


def test_phases_are_the_pieces() -> None:
    assert CRCL().phases(None, STEPS) == [Phase(7), Phase(7), Phase(7), Phase(32)]
    assert all(phase.reinitialise for phase in CRCL().phases(None, STEPS))
    assert CRCL(refining=False).phases(None, STEPS) == [Phase(53)]
    assert CRCL(pieces=(1, 2), correction=False).phases(None, STEPS) == [Phase(1), Phase(2)]


@pytest.mark.parametrize(("steps", "epochs"), [(1, 1), (10, 1), (11, 2), (20, 2), (21, 3)])
def test_freeze_steps_round_up_to_epochs(steps: int, epochs: int) -> None:
    method = CRCL(freeze_steps=steps, freeze_epochs=6)
    assert method.frozen_epochs(STEPS) == epochs
    _, stored = run(method, random_scores(), epoch=epochs - 1, labels=[1.0] * 6)
    assert (stored < 1).all()  # the last frozen epoch stores the first estimates
    if epochs > 1:
        _, stored = run(method, random_scores(), epoch=epochs - 2, labels=[1.0] * 6)
        assert (stored == 1).all()


def test_messages() -> None:
    with pytest.raises(HarnessError, match=r"schedule.epochs = 30: CRCL takes its length from method.pieces"):
        CRCL().phases(30, STEPS)
    too_short = r"method.pieces = \[5, 2\]: a piece of 2 epochs corrects no label \(freeze_epochs = 2\); accepted: 3 or"
    with pytest.raises(HarnessError, match=too_short):
        CRCL(pieces=(5, 2)).phases(None, STEPS)
    with pytest.raises(HarnessError, match=r"freeze_steps = 65 is 7 epochs of 10 steps.*accepted: 8 or more"):
        CRCL(freeze_steps=65).phases(None, STEPS)
    with pytest.raises(HarnessError, match=r"active and method.complementary are both false"):
        CRCL(active=False, complementary=False)


def test_complementary_loss_is_bounded_where_the_label_is_zero() -> None:
    """A share of the row and of the column: at most 2, whatever the scores, with tan or without."""
    p, q = matching(random_scores(8) * 5, 0.05)
    assert complementary_loss(p, q, torch.ones(8)).item() <= 2
    assert complementary_loss(p, q, torch.zeros(8)).item() > 2
