"""Where the released codes of the rivals divide by zero, overflow, or stop: each trap is sprung, and held."""

import math
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.transport import partial_plan
from torch import Tensor

from harness.errors import HarnessError
from harness.methods import bicro, dcl, decl, gsc, l2rm, ncr, srem
from harness.methods.base import Feed
from harness.methods.hinge import predict, soft_margins
from harness.methods.transport import partial_transport
from harness.testing.toy import BATCH_SIZE, toy_run, toy_trainer

M = 0.2
SHORT: dict[str, dict[str, Any]] = {
    "ncr": {"warmup_epochs": 1},
    "bicro": {"warmup_epochs": 1},
    "l2rm": {"warmup_epochs": 1, "batch_size": BATCH_SIZE},
    "decl": {"warmup_epochs": 1},
}
VARIANTS = pytest.mark.parametrize("variant", ["released", "intended"])


def random_scores(n: int, seed: int = 0) -> Tensor:
    return torch.rand(n, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 1


def trainer_of(name: str, folder: Path) -> Any:
    """Of a warm-up and two epochs: noisy pairs are trained on in the last."""
    return toy_trainer(toy_run(name, SHORT[name], "vse_infinity", epochs=2), folder)


def weights_of(trainer: Any) -> list[Tensor]:
    return [p.detach().clone() for network in trainer.networks for p in network.backbone.parameters()]


# -- feeds that are nearly empty ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ncr", "bicro", "l2rm"])
@pytest.mark.parametrize(("clean", "noisy"), [(21, 1), (1, 21)])
def test_a_feed_of_one_pair_ends_no_epoch(name: str, clean: int, noisy: int, tmp_path: Path) -> None:
    """Released NCR ends its epoch at a noisy batch of one, even where noisy pairs are not trained on."""
    trainer = trainer_of(name, tmp_path)
    steps, plan, step = {"alone": 0, "with noisy": 0}, trainer.method.plan, trainer.method.step

    def planned(training: Any) -> Sequence[Feed]:
        rows = np.arange(training.pairs)
        return [Feed(rows[:clean]), Feed(rows[clean:])] if plan(training) else []

    def counted(training: Any, batch: Any, *others: Any) -> dict[str, Tensor]:
        if training.progress.piece == 1:
            steps["alone" if others[0] is None else "with noisy"] += 1
        values: dict[str, Tensor] = step(training, batch, *others)
        return values

    trainer.method.plan, trainer.method.step = planned, counted
    trainer.fit()
    assert np.isfinite(trainer.best.dev["rsum"])
    batches = math.ceil(clean / BATCH_SIZE) if clean > 1 else 0
    assert steps == {"alone": batches * 2 * trainer.method.rounds, "with noisy": 0}


@pytest.mark.parametrize("name", ["ncr", "bicro", "l2rm", "decl"])
def test_without_a_clean_pair_the_run_goes_on(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Peers and L2RM have nothing to begin a step with, and stay as the warm-up left them; DECL trains on."""
    nothing = {
        "ncr": (ncr, "posterior_of", lambda losses: np.zeros(len(losses))),
        "bicro": (bicro, "posterior_of", lambda losses, variant: np.full(len(losses), np.nan)),
        "l2rm": (l2rm.L2RM, "_posterior", staticmethod(lambda losses, rng: np.zeros(len(losses), dtype=np.float32))),
        "decl": (decl, "own_share", lambda raw, tau: (raw.new_zeros(len(raw)), raw.diagonal())),
    }
    monkeypatch.setattr(*nothing[name])
    trainer = trainer_of(name, tmp_path)
    plan, after_warm_up = trainer.method.plan, []

    def planned(training: Any) -> Sequence[Feed]:
        if training.progress.piece == 1 and not after_warm_up:
            after_warm_up.extend(weights_of(trainer))
        feeds: Sequence[Feed] = plan(training)
        return feeds

    trainer.method.plan = planned
    trainer.fit()
    assert np.isfinite(trainer.best.dev["rsum"])
    assert not trainer.state["clean"].whole().any()
    moved = [not torch.equal(*both) for both in zip(after_warm_up, weights_of(trainer), strict=True)]
    assert moved
    assert any(moved) == (name == "decl")


def test_decl_without_a_clean_pair_has_no_hinge_and_a_gradient() -> None:
    raw = random_scores(5).requires_grad_()
    evidential, ranking = decl.DECL().losses(raw, torch.zeros(5), 3)
    (evidential + ranking).backward()
    assert float(ranking.detach()) == 0
    assert raw.grad is not None
    assert torch.isfinite(raw.grad).all()
    assert raw.grad.any()


# -- NCR and BiCro -----------------------------------------------------------------------------------------------------


@VARIANTS
@pytest.mark.parametrize("pairs", [2, 3, 12])
def test_ncr_a_batch_without_a_prediction_is_trained_on(variant: ncr.Variant, pairs: int) -> None:
    """Every pair misses the margin by far: 0/0 in the release."""
    scores = (1 - torch.eye(pairs)).requires_grad_()
    prediction = predict(scores.detach(), M)
    assert not prediction.any()
    labels = ncr.clean_labels(torch.linspace(0, 1, pairs), prediction, variant)
    loss = ncr.soft_hinge(scores, soft_margins(labels, M), variant)
    loss.backward()
    assert torch.isfinite(loss)
    assert scores.grad is not None
    assert torch.isfinite(scores.grad).all()
    assert scores.grad.any()


def test_bicro_a_posterior_of_nan_is_noisy() -> None:
    """Most losses are near the least, so both Betas have a pole at 0, where the easiest pair lies: inf / inf."""
    losses = np.concatenate([[0.0], np.geomspace(1e-4, 1, 40)])
    released, intended = bicro.posterior_of(losses, "released"), bicro.posterior_of(losses, "intended")
    assert np.isnan(released[0])
    assert np.isfinite(released[1:]).all()
    assert np.isfinite(intended).all()
    assert not bicro.divide_pairs(released, 0.5, "released")[0]
    assert bicro.divide_pairs([math.nan, 0.9, 0.8], 0.5, "released").tolist() == [False, True, True]  # no guard
    assert bicro.divide_pairs([0.7, 0.9, 0.8], 0.5, "released").tolist() == [False, True, True]  # pair 0 in data order
    assert bicro.divide_pairs([0.9, 0.7, 0.8], 0.5, "released").tolist() == [False, False, False]
    assert bicro.divide_pairs([0.9, 0.7, 0.8], 0.5, "intended").tolist() == [True, False, True]


def test_bicro_of_equal_anchors_the_first_counts() -> None:
    of = bicro.Vectors(torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.0]]))
    same, near, far = [1.0, 0.0], [0.8, 0.6], [0.6, 0.8]
    for texts, expected in (([near, far], 1 / 0.8), ([far, near], 1 / 0.6)):
        anchors = bicro.Vectors(torch.tensor([same, same]), torch.tensor(texts))
        assert float(bicro.consistency(of, anchors)[0]) == pytest.approx(1 / expected)


def test_of_equal_scores_every_pair_is_its_own_nearest() -> None:
    assert srem.nearest(torch.full((3, 3), 0.5)).all()
    assert srem.nearest(torch.tensor([[0.5, 0.5], [0.6, 0.5]])).tolist() == [False, False]


# -- DECL: float32 -----------------------------------------------------------------------------------------------------


def test_decl_steps_in_float64() -> None:
    """The divergence is a difference of log-gammas of 1e5 to 1e6; float32 loses what matters of it."""
    raw = torch.randn(128, 128, generator=torch.Generator().manual_seed(0)) * 2 + 6 * torch.eye(128)
    seen: list[Tensor] = []
    training = SimpleNamespace(
        networks=[SimpleNamespace(scores=lambda batch, raw: batch.scores, learn=seen.append)],
        progress=SimpleNamespace(steps=0),
        state={"clean": torch.ones(128)},
    )
    method = decl.DECL()
    method.step(training, SimpleNamespace(scores=raw, pair_ids=torch.arange(128)))  # type: ignore[arg-type]
    exact = sum(method.losses(raw.double(), torch.ones(128), 127))
    assert float(seen[0]) == pytest.approx(float(exact), rel=1e-6)

    found = decl.evidence(raw, 0.1)
    divergence = decl.divergence(found.double() + 1)
    assert (decl.divergence(found + 1).double() / divergence - 1).abs().max() > 1e-4


# -- GSC: the batch of the paper ---------------------------------------------------------------------------------------


def test_gsc_a_step_at_the_batch_of_the_paper_is_finite_where_the_release_is_not() -> None:
    pairs = 128
    within = torch.full((pairs, pairs), 3.0, requires_grad=True)  # sigmoid: 0.953
    scores = torch.rand(pairs, pairs, generator=torch.Generator().manual_seed(0)).requires_grad_()
    labels = torch.ones(pairs)
    u, v = gsc.structures(within, within, labels)
    assert torch.isinf((u @ v.T).exp()).any()  # what the release divides by
    loss = gsc.contrastive_loss(scores, labels, 0.07) + 0.01 * gsc.structure_loss(u, v, labels, 1.0)
    loss.backward()
    for each in (within, scores):
        assert each.grad is not None
        assert torch.isfinite(each.grad).all()
    nothing = gsc.structures(within.detach(), within.detach(), torch.zeros(pairs))
    assert all(torch.isfinite(each).all() for each in gsc.observe(scores, *nothing, 0.07))  # labels of 0: no structure


# -- L2RM: the random start --------------------------------------------------------------------------------------------


def test_l2rm_the_start_has_a_seed_and_matters() -> None:
    rng = np.random.default_rng(4)
    losses = np.concatenate([rng.beta(2, 8, 60), rng.beta(3, 3, 40)]).astype(np.float32)
    found = [l2rm.L2RM._posterior(losses, np.random.default_rng(seed)) for seed in (*range(8), *range(8))]
    for one, again in zip(found[:8], found[8:], strict=True):
        assert one.tolist() == again.tolist()
    assert len({tuple(one > 0.5) for one in found}) > 1


def test_l2rm_two_trainings_divide_alike(tmp_path: Path) -> None:
    states = []
    for folder in ("one", "two"):
        trainer = trainer_of("l2rm", tmp_path / folder)
        trainer.fit()
        states.append(trainer.state["clean"].whole())
    assert torch.equal(*states)
    assert states[0].unique().numel() > 2  # a posterior, and not the value that it begins with


@pytest.mark.parametrize(
    "losses", [[0.4], [0.2, 0.9], [0.3, 0.3], [0.2, 0.25, 0.9], [0.0] * 20 + [1.0] * 10, [1.0] * 9, [0.0] * 9]
)
def test_l2rm_a_degenerate_division_is_finite(losses: list[float]) -> None:
    for seed in range(5):
        posterior = l2rm.L2RM._posterior(np.asarray(losses, dtype=np.float32), np.random.default_rng(seed))
        assert posterior.shape == (len(losses),)
        assert ((posterior >= 0) & (posterior <= 1)).all()


# -- partial transport -------------------------------------------------------------------------------------------------

COSTS = {
    "all equal": np.full((5, 5), 0.3),
    "all at 0": np.zeros((4, 4)),
    "all at 1": np.ones((4, 4)),
    "one pair": np.full((1, 1), 0.7),
    "two pairs": np.array([[0.1, 0.9], [0.4, 0.2]]),
    "one cluster": 0.5 + 0.001 * random_scores(6, 1).numpy(),
    "exact 0 and 1": 1 - np.eye(5),
    "not square": random_scores(6, 2).numpy()[:4].clip(0),
}


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("cost", COSTS.values(), ids=COSTS)
def test_a_degenerate_transport_is_that_of_plain_loops(cost: np.ndarray, masked: bool) -> None:
    plan, _ = partial_transport(cost, 0.1, 0.05, mask_diagonal=masked)
    expected = partial_plan(cost.tolist(), 0.1, 0.05, mask_diagonal=masked)
    assert plan == pytest.approx(np.array(expected), abs=1e-9)
    assert not (masked and plan.diagonal().any())


@settings(max_examples=15, deadline=None)
@given(n=st.integers(1, 6), m=st.integers(1, 6), seed=st.integers(0, 2**16), mass=st.sampled_from([0.1, 0.5, 0.9]))
def test_a_transport_is_that_of_plain_loops(n: int, m: int, seed: int, mass: float) -> None:
    cost = np.random.default_rng(seed).random((n, m))
    expected = partial_plan(cost.tolist(), mass, 0.02, iterations=50)
    assert partial_transport(cost, mass, 0.02, iterations=50)[0] == pytest.approx(np.array(expected), abs=1e-9)


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_a_cost_that_is_not_finite_is_one_line(wrong: float) -> None:
    with pytest.raises(HarnessError, match=r"^partial transport: 1 of 4 costs are not finite; accepted: .*lr"):
        partial_transport([[0.1, wrong], [0.2, 0.3]], 0.1, 0.01)


@pytest.mark.parametrize("fit", [ncr.posterior_of, gsc.posterior_of, lambda x: dcl.posterior_of(x, "intended")])
def test_a_division_of_losses_that_are_not_finite_is_one_line(fit: Any) -> None:
    with pytest.raises(HarnessError, match="division of the pairs: 1 of 4 values to divide by are not finite"):
        fit(np.array([0.1, math.nan, 0.3, 0.4]))
