"""The baselines against their equations, and what every method owes the trainer."""

import inspect
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import losses
from torch import Tensor

from harness.errors import HarnessError
from harness.methods import METHODS, Method, Phase, Progress
from harness.methods.hinge import hinges
from harness.methods.softmax import log_matching, matching


def step(method: Method, scores: Tensor, epoch: int = 0) -> dict[str, Tensor]:
    state = {name: torch.full((len(scores),), value) for name, value in method.declare_state().items()}
    batch = SimpleNamespace(pair_ids=torch.arange(len(scores)))
    return method.loss(scores, batch, state, Progress(0, epoch, 0, 10))


def make(name: str, **keywords: Any) -> Method:
    return METHODS[name](**keywords)


def random_scores(n: int, seed: int = 0) -> Tensor:
    return torch.rand(n, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 1


sizes, seeds = st.integers(1, 7), st.integers(0, 2**16)


@settings(max_examples=30, deadline=None)
@given(n=sizes, seed=seeds, tau=st.sampled_from([0.05, 0.2]))
def test_infonce(n: int, seed: int, tau: float) -> None:
    scores = random_scores(n, seed)
    value = step(make("infonce", tau=tau), scores)["loss"].item()
    assert value == pytest.approx(losses.infonce(scores.tolist(), tau), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("variant", ["released", "intended"])
@pytest.mark.parametrize("transform", ["log", "tan", "abs", "exp", "gce"])
@settings(max_examples=15, deadline=None)
@given(n=sizes, seed=seeds)
def test_rcl(transform: str, variant: str, n: int, seed: int) -> None:
    scores = random_scores(n, seed)
    value = step(make("rcl", tau=0.2, transform=transform, q=0.4, variant=variant), scores)["loss"].item()
    assert value == pytest.approx(losses.rcl(scores.tolist(), 0.2, transform, 0.4), rel=1e-6, abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(n=sizes, seed=seeds, margin=st.sampled_from([0.0, 0.2, 1.0]))
def test_hinges(n: int, seed: int, margin: float) -> None:
    scores = random_scores(n, seed)
    everyone = losses.hinge(scores.tolist(), [margin] * n, hardest=False)
    hardest = losses.hinge(scores.tolist(), [margin] * n, hardest=True)
    triplet = make("triplet", margin=margin, warmup_epochs=2)
    assert step(make("sum_hinge", margin=margin), scores)["loss"].item() == pytest.approx(everyone)
    assert step(triplet, scores, epoch=1)["loss"].item() == pytest.approx(everyone)
    assert step(triplet, scores, epoch=2)["loss"].item() == pytest.approx(hardest)


def test_each_pair_keeps_its_own_margin_in_both_directions() -> None:
    scores, margins = random_scores(5), [0.0, 0.1, 0.2, 0.5, 1.0]
    vector = torch.tensor(margins, dtype=torch.float64)
    image_to_text, text_to_image = hinges(scores, vector, vector)
    total = (image_to_text.sum() + text_to_image.sum()).item()
    assert total == pytest.approx(losses.hinge(scores.tolist(), margins, hardest=False))
    swapped = hinges(scores, vector, vector.flip(0))  # the check can fail: another margin is another loss
    assert (swapped[0].sum() + swapped[1].sum()).item() != pytest.approx(total)


@pytest.mark.parametrize("shape", [(4, 1), (1, 4), (3,), ()])
def test_margins_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    good = torch.zeros(4)
    with pytest.raises(ValueError, match=r"column_margins must be \(4,\), one per pair"):
        hinges(torch.zeros(4, 4), good, torch.zeros(shape))
    with pytest.raises(ValueError, match=r"row_margins must be \(4,\), one per pair"):
        hinges(torch.zeros(4, 4), torch.zeros(shape), good)


@pytest.mark.parametrize("scale", [1.0, 20.0, 1e4, -1e4])
def test_probabilities_at_any_scale(scale: float) -> None:
    scores = (random_scores(6) * scale + scale).float()
    for plain, logarithm, dim in zip(matching(scores, 0.05), log_matching(scores, 0.05), (1, 0), strict=True):
        assert torch.isfinite(logarithm).all()
        assert torch.allclose(plain.sum(dim), torch.ones(6))
        assert torch.allclose(plain, logarithm.exp(), atol=1e-6)


WITH_LOSS = sorted(name for name, cls in METHODS.items() if cls.loss is not Method.loss and name != "zero_shot")
every_method = pytest.mark.parametrize("name", WITH_LOSS)  # the others say what a whole step does


@every_method
def test_a_batch_of_one_has_no_gradient(name: str) -> None:
    scores = torch.tensor([[0.3]], requires_grad=True)
    loss = step(make(name), scores)["loss"]
    loss.backward()
    assert torch.isfinite(loss)
    assert scores.grad is not None
    assert scores.grad.item() == 0


@every_method
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_scores_are_computed_in_float32(name: str, dtype: torch.dtype) -> None:
    scores = random_scores(8).to(dtype).requires_grad_()
    loss = step(make(name), scores)["loss"]
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(step(make(name), scores.detach().float())["loss"].item(), rel=1e-6)
    assert scores.grad is not None
    assert scores.grad.dtype == dtype
    assert torch.isfinite(scores.grad).all()


@every_method
@pytest.mark.parametrize("case", ["identical", "perfect", "inverted"])
def test_extreme_scores_stay_finite(name: str, case: str) -> None:
    scores = {
        "identical": torch.zeros(6, 6),
        "perfect": 2 * torch.eye(6) - 1,
        "inverted": 1 - 2 * torch.eye(6),
    }[case].requires_grad_()
    for epoch in (0, 1, 5):
        values = step(make(name), scores, epoch)
        scores.grad = None
        values["loss"].backward()
        assert scores.grad is not None
        assert torch.isfinite(scores.grad).all()
        assert all(torch.isfinite(value) for value in values.values())


@pytest.mark.parametrize("name", sorted(set(WITH_LOSS) - {"dcl"}))  # to which pairs of equal loss are all noisy
def test_better_scores_cost_less(name: str) -> None:
    right, wrong = torch.eye(6), 1 - torch.eye(6)
    assert step(make(name), right)["loss"] < step(make(name), wrong)["loss"]


@every_method
def test_named_values_are_scalars_and_only_the_loss_has_a_gradient(name: str) -> None:
    values = step(make(name), random_scores(5).requires_grad_(), epoch=3)
    assert "loss" in values
    assert all(value.ndim == 0 for value in values.values())
    assert [key for key, value in values.items() if value.requires_grad] == ["loss"]


@every_method
@pytest.mark.parametrize("shape", [(3, 4), (4,), (0, 0)])
def test_scores_of_another_shape_are_refused(name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"scores must be \(B, B\)"):
        step(make(name), torch.zeros(shape))


@every_method
def test_hyperparameters_are_keywords_with_defaults_and_documented(name: str) -> None:
    parameters = list(inspect.signature(METHODS[name]).parameters.values())
    assert all(p.kind is p.KEYWORD_ONLY and p.default is not p.empty for p in parameters)
    assert inspect.getdoc(METHODS[name]) != inspect.getdoc(Method)


@pytest.mark.parametrize("name", sorted(set(WITH_LOSS) - {"crcl", "osa"}))
def test_plain_methods_train_for_the_schedule_s_epochs(name: str) -> None:
    assert make(name).phases(12, 10) == [Phase(12)]
    with pytest.raises(HarnessError, match=r"schedule.epochs is missing: .*set schedule.epochs"):
        make(name).phases(None, 10)


def test_progress_counts_steps() -> None:
    assert Progress(piece=2, epoch=3, step=4, steps_per_epoch=10).step_in_piece == 34
