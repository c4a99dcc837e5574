"""The rivals: values by hand, plain loops beside the fast form, and the traps of their released codes."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from harness.errors import HarnessError
from harness.methods import Phase, Progress, bicro, dcl, decl, gsc, l2rm, ncr, srem, tal
from harness.methods.hinge import (
    hardest,
    hinge_hardest,
    hinges,
    matrix_margin_hinges,
    mean_hinges,
    predict,
    soft_margins,
)
from harness.methods.transport import partial_transport
from harness.spec import make

M = 0.2
sizes, seeds = st.integers(1, 7), st.integers(0, 2**16)


def random_scores(n: int, seed: int = 0) -> Tensor:
    return torch.rand(n, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 1


# -- hinges that the peers share ---------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(n=sizes, seed=seeds)
def test_hinges_against_plain_loops(n: int, seed: int) -> None:
    s, margins = random_scores(n, seed), torch.rand(n, generator=torch.Generator().manual_seed(seed)).double()
    matrix = random_scores(n, seed + 1).abs()
    rows, columns, entries = 0.0, 0.0, 0.0
    for i in range(n):
        others = [j for j in range(n) if j != i]
        rows += max([max(margins[i] + s[i, j] - s[i, i], 0) for j in others] or [0])
        columns += max([max(margins[i] + s[j, i] - s[i, i], 0) for j in others] or [0])
        entries += max([max(matrix[i, j] + s[i, j] - s[i, i], 0) for j in others] or [0])
        entries += max([max(matrix[j, i] + s[j, i] - s[i, i], 0) for j in others] or [0])
        mean = sum(max(M + s[i, j] - s[i, i], 0) + max(M + s[j, i] - s[i, i], 0) for j in others) / n
        assert float(mean_hinges(s, M)[i]) == pytest.approx(float(mean))
    assert float(hardest(*hinges(s, margins, margins))) == pytest.approx(float(rows + columns))
    assert float(hardest(*matrix_margin_hinges(s, matrix))) == pytest.approx(float(entries))


def test_margins_must_fit() -> None:
    with pytest.raises(ValueError, match="one per entry"):
        matrix_margin_hinges(torch.zeros(3, 3), torch.zeros(3))


@pytest.mark.parametrize(("kind", "half"), [("exponential", (10**0.5 - 1) / 9), ("linear", 0.5), ("sin", 0.5)])
def test_soft_margins_grow_from_nothing_to_the_margin(kind: str, half: float) -> None:
    found = soft_margins(torch.tensor([0.0, 0.5, 1.0]), M, kind)  # type: ignore[arg-type]
    assert found.tolist() == pytest.approx([0, M * half, M], abs=1e-6)


def test_predictions_are_relative_to_the_best_and_survive_a_batch_without_any() -> None:
    s = torch.tensor([[0.9, 0.0], [0.75, 0.7]], dtype=torch.float64)
    # h_0 = (0 + [.2 + .75 - .9]) / 2 = .025; h_1 = ([.2 + .75 - .7] + 0) / 2 = .125; kept .1875 and .1375
    assert mean_hinges(s, M).tolist() == pytest.approx([0.025, 0.125])
    assert predict(s, M).tolist() == pytest.approx([1, 0.1375 / 0.1875])
    hopeless = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    assert predict(hopeless, M).tolist() == [0, 0]


# -- NCR ---------------------------------------------------------------------------------------------------------------


def test_ncr_released_labels_are_a_matrix() -> None:
    w, p = torch.tensor([1.0, 0.5]), torch.tensor([0.2, 0.6])
    assert ncr.clean_labels(w, p, "intended").tolist() == pytest.approx([1, 0.8])
    assert ncr.clean_labels(w, p, "released")[1].tolist() == pytest.approx([0.6, 0.8])


def test_ncr_variants_agree_where_all_margins_do() -> None:
    s, margins = random_scores(6), torch.full((6,), 0.1, dtype=torch.float64)
    values = [ncr.soft_hinge(s, margins, variant) for variant in ("released", "intended")]  # type: ignore[arg-type]
    assert values[0] == values[1] == hinge_hardest(s, 0.1)


@pytest.mark.parametrize("name", ["ncr", "bicro", "decl", "l2rm"])
def test_a_warm_up_is_a_phase_before_the_schedule(name: str) -> None:
    method = make(name, warmup_epochs=3)
    assert method.phases(8, 10) == [Phase(3), Phase(8, reinitialise=False)]
    assert make(name, warmup_epochs=0).phases(8, 10) == [Phase(8)]
    with pytest.raises(HarnessError, match=r"schedule\.epochs is missing"):
        method.phases(None, 10)


# -- BiCro -------------------------------------------------------------------------------------------------------------


def test_bicro_consistency_by_hand() -> None:
    # The anchor lies along the first axis; the pair's image at cosine .8 to it, its caption at .6.
    anchors = bicro.Vectors(torch.tensor([[2.0, 0.0]]), torch.tensor([[1.0, 0.0]]))
    pair = bicro.Vectors(torch.tensor([[0.8, 0.6]]), torch.tensor([[3.0, 4.0]]))
    r_v, r_t = bicro.consistency(pair, anchors)
    assert float(r_v) == pytest.approx(0.75)  # .8 / .6 is above 1
    assert float(r_t) == pytest.approx(0.75)  # .6 / .8
    assert bicro.noisy_labels(pair, anchors, 0.5).tolist() == pytest.approx([0.75])
    assert bicro.noisy_labels(pair, anchors, 0.8).tolist() == [0]


def test_bicro_a_negative_ratio_is_kept_and_a_cosine_of_zero_gives_none() -> None:
    anchors = bicro.Vectors(torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.0]]))
    opposite = bicro.Vectors(torch.tensor([[0.3, 0.954]]), torch.tensor([[-0.6, 0.8]]))
    r_v, _ = bicro.consistency(opposite, anchors)
    assert float(r_v) == pytest.approx(-0.5, abs=1e-3)
    across = bicro.Vectors(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]))
    assert all(torch.isfinite(r).all() for r in bicro.consistency(across, anchors))


def test_bicro_released_labels_change_places() -> None:
    prediction = torch.tensor([0.9, 0.1, 0.5])  # the anchor is row 0, the rest by prediction 1, 2
    of = bicro.Vectors(torch.eye(3) + 0.5, torch.eye(3) + torch.rand(3, 3, generator=torch.Generator().manual_seed(1)))
    intended = bicro.clean_labels(prediction, of, 0.0, "intended")
    released = bicro.clean_labels(prediction, of, 0.0, "released")
    assert intended[0] == released[0] == 1
    assert released[2] == intended[1]  # computed for batch row 1, given to the second of the rest
    assert released[1] == pytest.approx(1.0)  # computed for row 0, the anchor itself


def test_bicro_ties_fall_in_the_order_of_the_batch() -> None:
    anchors, rest = bicro.split_anchors(torch.full((12,), 0.5))
    assert anchors.tolist() == [10, 11]
    assert rest.tolist() == list(range(10))


@pytest.mark.parametrize("pairs", [1, 2, 3])
def test_bicro_warms_up_on_nothing_in_a_small_batch(pairs: int) -> None:
    scores = random_scores(pairs).requires_grad_()
    loss = bicro.warm_up_loss(scores, M, 0.3)
    loss.backward()
    assert float(loss.detach()) == 0
    assert scores.grad is not None
    assert not scores.grad.any()


def test_bicro_the_easiest_pair_is_never_clean_as_released() -> None:
    losses = np.concatenate([np.linspace(0.1, 0.3, 30), np.linspace(0.8, 1, 10)])
    released, intended = (bicro.posterior_of(losses, variant) for variant in ("released", "intended"))  # type: ignore[arg-type]
    assert not bicro.divide_pairs(released, 0.5, "released")[0]
    assert np.isfinite(intended).all()
    assert np.nanmax(np.abs(released - intended)[1:-1]) < 1e-9


# -- DECL --------------------------------------------------------------------------------------------------------------


def test_decl_divergence_by_hand() -> None:
    # KL(Dir(2, 1) || Dir(1, 1)) = log Gamma(3) - log Gamma(2) + psi(2) - psi(3) = log 2 - 1/2
    assert float(decl.divergence(torch.tensor([[2.0, 1.0]]).double())) == pytest.approx(math.log(2) - 0.5)
    assert float(decl.divergence(torch.ones(1, 5).double())) == pytest.approx(0)


@pytest.mark.parametrize(
    ("step", "pairs", "n"),
    [
        (1, 128, 127),
        (4880, 128, 6),
        (4881, 128, 5),
        (100_000, 128, 5),
        (1, 64, 63),
        (4881, 5, 5),
        (4881, 4, 3),
        (1, 1, 0),
    ],
)
def test_decl_negatives_of_a_step(step: int, pairs: int, n: int) -> None:
    assert decl.negatives(step, pairs, batch_size=128, eta=0.025, mu=5) == n


def test_decl_division_of_saturated_evidence_takes_the_first() -> None:
    clean, share = decl.own_share(torch.full((3, 3), 50.0), 0.1)  # tanh is exactly 1 everywhere
    assert clean.tolist() == [1, 0, 0]
    assert share.tolist() == pytest.approx([1 / 3] * 3)
    assert decl.own_share(torch.tensor([[0.3]]), 0.1)[0].tolist() == [1]  # a batch of one is clean


def test_decl_one_pair_costs_nothing_to_move() -> None:
    raw = torch.tensor([[0.3]], dtype=torch.float64, requires_grad=True)
    evidential, ranking = decl.DECL().losses(raw, torch.ones(1), 0)
    (evidential + ranking).backward()
    assert raw.grad is not None
    assert float(raw.grad) == 0


# -- TAL ---------------------------------------------------------------------------------------------------------------


def test_tal_by_hand_and_its_limit() -> None:
    s = torch.tensor([[0.5, 0.4, 0.1], [0.0, 0.9, 0.2], [0.3, 0.1, 0.2]], dtype=torch.float64)
    rows, columns = tal.pair_losses(s, 0.1, 0.1)
    first = 0.1 - 0.5 + 0.1 * math.log(math.exp(4) + math.exp(1))
    assert float(rows[0]) == pytest.approx(max(first, 0))
    assert float(rows[1]) == 0  # nothing comes near
    sharp = sum(part.sum() for part in tal.pair_losses(s, 1e-4, 0.1))
    assert float(sharp) == pytest.approx(float(hinge_hardest(s, 0.1)), abs=1e-3)
    assert float((rows + columns).sum()) >= float(hinge_hardest(s, 0.1))


def test_tal_float32_is_safe_where_the_release_is_not() -> None:
    s = torch.eye(4).requires_grad_()
    for variant, finite in (("intended", True), ("released", False)):
        s.grad = None
        sum(part.sum() for part in tal.pair_losses(s, 0.005, 0.1, variant=variant)).backward()  # type: ignore[arg-type, union-attr]
        assert s.grad is not None
        assert bool(torch.isfinite(s.grad).all()) is finite


def test_tal_consensus_throws_a_coin_where_heads_disagree() -> None:
    one, two = np.array([True, True, False, False]), np.array([True, False, True, False])
    uncertain, labels = tal.consensus(one, two, [0, 1])
    assert uncertain.tolist() == [False, True, True, False]
    assert labels.tolist() == [1, 0, 1, 0]


# -- DCL ---------------------------------------------------------------------------------------------------------------


def test_dcl_without_a_noisy_pair_there_are_no_negatives() -> None:
    s = random_scores(5).requires_grad_()
    assert float(dcl.complementary_loss(s, torch.ones(5, dtype=torch.bool), 0.05).detach()) == 0
    mask = torch.tensor([True, True, False, True, True])
    p, q = dcl.probabilities(s.detach(), 0.05)
    total = 0.0
    for i in range(5):
        for j in range(5):
            if i != j or i == 2:
                total += -math.log(1 - p[i, j] + 1e-6) - math.log(1 - q[i, j] + 1e-6)
    assert float(dcl.complementary_loss(s, mask, 0.05).detach()) == pytest.approx(total / (5 * 4 + 1))


@pytest.mark.parametrize("scores", [torch.zeros(6, 6), torch.eye(2), torch.zeros(1, 1)])
def test_dcl_with_nothing_to_divide_calls_every_pair_noisy(scores: Tensor) -> None:
    posterior = dcl.posterior_of(dcl.pair_losses(scores.double(), 0.05).numpy(), "released")
    assert np.isnan(posterior).all()
    assert not dcl.divide_batch(posterior, 0.5).any()


# -- GSC ---------------------------------------------------------------------------------------------------------------


def test_gsc_structures_by_hand() -> None:
    y = torch.tensor([1.0, 0.5])
    u, v = gsc.structures(torch.zeros(2, 2), torch.full((2, 2), 100.0), y)
    assert u.tolist() == [[0.5, 0.25], [0.5, 0.25]]
    assert v.tolist() == [[1.0, 0.5], [1.0, 0.5]]
    pred, topo = gsc.observe(torch.zeros(2, 2), u, v, 0.07)
    assert pred.tolist() == pytest.approx([0.5, 0.5])
    assert topo.tolist() == pytest.approx([1, 1])
    assert float(gsc.structure_loss(u, v, y, 1.0)) == pytest.approx(0.75 * math.log(2))


def test_gsc_is_finite_at_the_batch_of_the_paper() -> None:
    u = torch.full((128, 128), 0.95, requires_grad=True)  # sums of 115: exp overflows in float32
    loss = gsc.structure_loss(u, u, torch.ones(128), 1.0)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(math.log(128), rel=1e-5)
    assert u.grad is not None
    assert torch.isfinite(u.grad).all()


def test_gsc_with_two_networks_keeps_labels_of_both() -> None:
    assert len(gsc.GSC().declare_state()) == 5
    assert len(gsc.GSC(networks=2).declare_state()) == 10


# -- L2RM --------------------------------------------------------------------------------------------------------------


def test_l2rm_the_cost_starts_as_the_distance() -> None:
    scores = random_scores(4).float()
    assert torch.allclose(l2rm.Cost(4)(scores), 1 - scores)


def test_l2rm_a_perfect_match_has_no_divergence() -> None:
    scores = random_scores(5)
    plan = (scores / 0.05).softmax(dim=1)
    rows, columns = l2rm.targets(plan)
    assert torch.allclose(rows.sum(dim=1), torch.ones(5).double())
    assert torch.allclose(columns.sum(dim=0), torch.ones(5).double())
    assert float(l2rm.rematching_loss(torch.zeros(5, 5).double(), torch.ones(5, 5).double(), 0.05)) == pytest.approx(0)


def test_l2rm_needs_the_batch_of_its_cost() -> None:
    run = SimpleNamespace(schedule=SimpleNamespace(batch_size=64))
    assert "method.batch_size = 128" in l2rm.L2RM().fits(object, run)
    assert l2rm.L2RM(batch_size=64).fits(object, run) == ""


def test_l2rm_equal_losses_leave_every_pair_clean() -> None:
    rng = np.random.default_rng(0)
    assert l2rm.L2RM._posterior(np.full(9, 0.3, dtype=np.float32), rng).tolist() == [1] * 9
    assert l2rm.L2RM._posterior(np.array([0.1, 0.9], dtype=np.float32), rng).tolist() == [1, 1]
    found = [l2rm.draw_groups(np.linspace(0.1, 0.9, 50), np.random.default_rng(seed)).tolist() for seed in (3, 3)]
    assert found[0] == found[1]  # the start has a seed


def test_transport_moves_mass_where_it_is_cheap() -> None:
    cost = np.ones((4, 4)) - 0.9 * np.roll(np.eye(4), 1, axis=1)
    plan, made = partial_transport(cost, 0.5, 0.02, mask_diagonal=True)
    assert made < 1000
    assert plan.sum() > 0.49
    assert np.allclose(plan, np.roll(np.eye(4), 1, axis=1) * plan.sum() / 4, atol=1e-6)


@pytest.mark.parametrize("cost", [np.zeros((3, 3)), np.ones((1, 1)), np.full((5, 5), 0.3), np.eye(2)])
@pytest.mark.parametrize("masked", [False, True])
def test_transport_without_a_choice_is_finite(cost: np.ndarray, masked: bool) -> None:
    plan, _ = partial_transport(cost, 0.1, 0.01, mask_diagonal=masked)
    assert np.isfinite(plan).all()
    assert (plan >= 0).all()
    if masked:
        assert not plan.diagonal().any()
    assert all(torch.isfinite(target).all() for target in l2rm.targets(torch.from_numpy(plan)))


def test_transport_converged_is_that_of_a_linear_program() -> None:
    """Slow twin: with little entropy, the plan costs what the cheapest partial plan costs."""
    from scipy.optimize import linprog

    rng = np.random.default_rng(0)
    cost = rng.random((5, 5))
    marginals = np.concatenate([np.kron(np.eye(5), np.ones(5)), np.kron(np.ones(5), np.eye(5))])
    best = linprog(cost.ravel(), marginals, np.full(10, 0.2), np.ones((1, 25)), [0.4])
    plan, _ = partial_transport(cost, 0.4, 0.003, iterations=100_000, tolerance=1e-12)
    assert plan.sum() == pytest.approx(0.4, abs=1e-6)
    assert (plan * cost).sum() == pytest.approx(best.fun, abs=2e-3)


# -- SREM --------------------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(n=sizes, seed=seeds, tau=st.sampled_from([0.05, 0.2]))
def test_srem_without_bias_is_rcl(n: int, seed: int, tau: float) -> None:
    ours, theirs = (random_scores(n, seed).requires_grad_() for _ in range(2))
    batch = SimpleNamespace(pair_ids=torch.arange(n))
    loss = srem.complementary_loss(ours, tau, bias=False)
    rcl = make("rcl", tau=tau).loss(theirs, batch, {}, Progress(0, 0, 0, 1))["loss"]
    loss.backward()
    rcl.backward()
    assert torch.equal(loss, rcl)
    assert ours.grad is not None
    assert theirs.grad is not None
    assert torch.equal(ours.grad, theirs.grad)


@settings(max_examples=20, deadline=None)
@given(n=sizes, seed=seeds)
def test_srem_bias_against_plain_loops(n: int, seed: int) -> None:
    s = random_scores(n, seed)
    e = (s / 0.1).exp().tolist()
    expected = 0.0
    for i in range(n):
        others = [j for j in range(n) if j != i]
        row, column = sum(e[i][j] for j in others), sum(e[j][i] for j in others)
        for j in others:
            expected += (n - 1) * e[i][j] / row * -math.log(1 - e[i][j] / sum(e[i]) + 1e-10)
            expected += (n - 1) * e[j][i] / column * -math.log(1 - e[j][i] / sum(r[i] for r in e) + 1e-10)
    assert float(srem.complementary_loss(s, 0.1)) == pytest.approx(expected / n, rel=1e-6, abs=1e-9)
    rows, columns = srem.bias_of(s, 0.1)
    assert torch.allclose(rows.sum(dim=1), torch.full((n,), n - 1.0).double())
    assert torch.allclose(columns.sum(dim=0), torch.full((n,), n - 1.0).double())


def test_srem_energy_and_entropy_by_hand() -> None:
    image, text = srem.energies(torch.zeros(4, 4), 0.5)
    assert image.tolist() == pytest.approx([-0.5 * math.log(4)] * 4)
    assert text.tolist() == pytest.approx([-0.5 * math.log(4)] * 4)
    rows, columns = srem.entropies(torch.zeros(4, 4), 0.5)
    assert rows.tolist() == columns.tolist() == pytest.approx([1] * 4)
    assert srem.entropies(100 * torch.eye(4), 0.5)[0].tolist() == pytest.approx([0] * 4)


def test_srem_switches_change_what_they_name() -> None:
    s = random_scores(6, 3).float()
    batch = SimpleNamespace(pair_ids=torch.arange(6))

    def values(**keywords: object) -> dict[str, float]:
        method = make("srem", **{"warmup_epochs": 0, **keywords})
        state = {name: torch.full((6,), value) for name, value in method.declare_state().items()}
        return {key: float(value) for key, value in method.loss(s, batch, state, Progress(0, 0, 0, 1)).items()}

    full, unfiltered = values(), values(filtration=False)
    assert unfiltered["share_clean"] == 1
    assert full["share_clean"] < 1
    assert values(entropy=False)["weight_mean"] == 1
    assert values(entropy_sign="uncertain")["weight_mean"] == pytest.approx(1 - full["weight_mean"], abs=1e-6)
    assert values(bias=False)["loss_complementary"] < full["loss_complementary"]
    assert values(clean_weight=0.0)["loss"] == pytest.approx(full["loss_complementary"])
    assert (values(warmup_epochs=1)["share_clean"], values(warmup_epochs=1)["weight_mean"]) == (1, 1)
    assert make("srem").reconstruction
    assert not make("rcl").reconstruction
