"""Inside `twice_differentiable` the numbers are the same and have second derivatives; parameters may be swapped."""

import copy
from collections.abc import Mapping

import pytest
import torch
from small_networks import Batch, batch, clip_and_batch, encoded, model, scores
from torch import Tensor, nn
from torch.func import functional_call

from harness.backbones import Backbone
from harness.backbones.base import l2_normalise, twice_differentiable

CASES = [
    ("vse_infinity", {}),
    ("saf", {"chunk": 2}),
    ("saf", {"chunk": 100, "recompute": True}),
    ("sgr", {"chunk": 3}),
    ("sgr", {"chunk": 3, "recompute": True}),
    ("clip", {}),
]
Parameters = Mapping[str, Tensor]


class Scores(nn.Module):
    """A network's scores and what else it can compare as one call, for `functional_call`."""

    def __init__(self, network: Backbone) -> None:
        super().__init__()
        self.network = network

    def forward(self, data: Batch) -> tuple[Tensor, ...]:
        images, texts = encoded(self.network, data)
        within = [self.network.within(each) for each in (images, texts)]
        return self.network.similarity(images, texts), self.network.pairwise(images, texts), *within


def case(name: str, keywords: dict[str, object]) -> tuple[Scores, Batch]:
    if name == "clip":
        network, data = clip_and_batch(4)
        return Scores(network), data
    return Scores(model(name, **keywords)), batch(4, 4, drop=True)


def learnt(module: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach().clone().requires_grad_() for name, p in module.named_parameters() if p.requires_grad}


def loss_of(found: tuple[Tensor, ...], seed: int) -> Tensor:
    """A number in which every score counts, with a second derivative of its own."""
    torch.manual_seed(seed)
    weights = [torch.randn(part.shape, dtype=torch.double).to(part) for part in found]
    return torch.stack([(w * part + part.square()).sum() for w, part in zip(weights, found, strict=True)]).sum()


def gradient(loss: Tensor, parameters: Parameters, **more: bool) -> list[Tensor]:
    found = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True, **more)
    return [torch.zeros_like(p) if g is None else g for g, p in zip(found, parameters.values(), strict=True)]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("name", "keywords"), CASES)
def test_inside_the_numbers_and_gradients_are_the_same(name: str, keywords: dict[str, object], training: bool) -> None:
    outside, data = case(name, keywords)
    outside.train(training)
    inside = copy.deepcopy(outside)
    expected, weights = outside(data), dict(outside.named_parameters())
    with twice_differentiable():
        found = inside(data)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs)
    gradients = gradient(loss_of(found, 0), {n: p for n, p in inside.named_parameters() if p.requires_grad})
    expected_gradients = gradient(loss_of(expected, 0), {n: p for n, p in weights.items() if p.requires_grad})
    for ours, theirs in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-9, rtol=1e-6)
    for key, value in outside.state_dict().items():
        torch.testing.assert_close(inside.state_dict()[key], value)


def after_a_step(module: Scores, first: Batch, second: Batch, parameters: Parameters, *, through: bool) -> Tensor:
    """The loss of `second` with weights one step of gradient descent down the loss of `first`."""
    loss = loss_of(lasting(module, parameters, first), 0)
    steps = gradient(loss, parameters, create_graph=through)
    ahead = {name: p - 0.05 * step for (name, p), step in zip(parameters.items(), steps, strict=True)}
    return loss_of(lasting(module, ahead, second), 1)


def lasting(module: Scores, parameters: Parameters, data: Batch) -> tuple[Tensor, ...]:
    """What training moves no part of: in training mode SAF's pairs are read by its running averages."""
    similarity, pairs, *within = functional_call(module, dict(parameters), (data,))
    return (similarity, *within) if module.training else (similarity, pairs, *within)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("name", "keywords"), CASES)
def test_a_gradient_through_a_step_is_that_of_finite_differences(
    name: str, keywords: dict[str, object], training: bool
) -> None:
    """The differences are those of the fast formulations, which are differentiated once."""
    module, first = case(name, keywords)
    module.train(training)
    second = first if name == "clip" else batch(5, 5, drop=True)
    parameters = learnt(module)
    with twice_differentiable():
        loss = after_a_step(module, first, second, parameters, through=True)
    found = gradient(loss, parameters)
    largest = max(float(g.norm()) for g in found)
    assert largest > 1e-2
    torch.manual_seed(5)
    for part in sorted({part_of(key) for key in parameters}):
        ways = {key: torch.randn_like(p) / p.numel() ** 0.5 for key, p in parameters.items() if part_of(key) == part}
        ends = []
        for h in (1e-5, -1e-5):
            moved = {key: p.detach() + h * ways.get(key, 0) for key, p in parameters.items()}
            moved = {key: p.requires_grad_() for key, p in moved.items()}
            ends.append(after_a_step(module, first, second, moved, through=False).item())
        slope = sum(float((g * ways[key]).sum()) for key, g in zip(parameters, found, strict=True) if key in ways)
        assert slope == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-4, abs=1e-6 * largest), part


@pytest.mark.parametrize(("name", "keywords"), CASES)
def test_single_precision_has_the_same_gradient_through_a_step(name: str, keywords: dict[str, object]) -> None:
    """Padding is zero there too, and what is divided by it must not overflow."""
    found = []
    for dtype in (torch.float32, torch.float64):
        module, data = case(name, keywords)
        module.to(dtype).train()
        data = (data[0].to(dtype) if data[0].is_floating_point() else data[0], *data[1:])
        parameters = learnt(module)
        with twice_differentiable():
            found.append(gradient(after_a_step(module, data, data, parameters, through=True), parameters))
    largest = max(float(g.abs().max()) for g in found[1])
    for single, double in zip(*found, strict=True):
        torch.testing.assert_close(single.double(), double, atol=1e-3 * largest, rtol=0)


def part_of(key: str) -> str:
    """The part of a network that a parameter belongs to: `network.image_attention`, for instance."""
    return ".".join(key.split(".")[:2])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_vector_of_nothing_has_finite_second_derivatives(dtype: torch.dtype) -> None:
    rows = [[0.0, 0.0, 0.0], [1e-30, 0.0, 0.0], [3e-19, 0.0, 0.0], [3.0, 4.0, 0.0]]
    x = torch.tensor(rows, dtype=dtype, requires_grad=True)
    outside = torch.autograd.grad(l2_normalise(x)[..., 0].sum(), x)[0]
    with twice_differentiable():
        (slope,) = torch.autograd.grad(l2_normalise(x)[..., 0].sum(), x, create_graph=True)
    torch.testing.assert_close(slope, outside)
    assert torch.isfinite(torch.autograd.grad(slope.square().sum(), x)[0]).all()


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize(("name", "keywords"), CASES)
def test_swapped_parameters_are_the_ones_that_are_read(
    name: str, keywords: dict[str, object], autocast: bool, inside: bool
) -> None:
    module, data = case(name, keywords)
    module.float().train()
    data = (data[0].float() if data[0].is_floating_point() else data[0], *data[1:])
    torch.manual_seed(6)
    other = copy.deepcopy(module)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    theirs = {name: p for name, p in other.named_parameters() if p.requires_grad}
    swapped = {name: p.detach().clone().requires_grad_() for name, p in theirs.items()}
    results = []
    for call in (
        lambda: functional_call(module, {name: p * 1 for name, p in swapped.items()}, (data,)),
        lambda: other(data),
    ):
        with twice_differentiable(inside), torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            results.append(call())
    for ours, expected in zip(*results, strict=True):
        assert torch.equal(ours, expected)
    ours, expected = (gradient(loss_of(r, 2), p) for r, p in zip(results, (swapped, theirs), strict=True))
    for (key, _), one, another in zip(theirs.items(), ours, expected, strict=True):
        # Under autocast a parameter's gradient is summed in bfloat16, that of a result of others in float32.
        near = {"atol": 0.02 * float(another.abs().max()), "rtol": 0.1} if autocast else {}
        torch.testing.assert_close(one, another, **near, msg=lambda text, key=key: f"{key}: {text}")
    assert all(p.grad is None for p in module.parameters())


def test_swapped_buffers_are_read_again_when_a_chunk_is_recomputed() -> None:
    """In evaluation mode SAF's filter reads its running averages in each chunk."""
    found = []
    for recompute in (False, True):
        module, data = Scores(model("saf", chunk=2, recompute=recompute).eval()), batch(4, 4, drop=True)
        parameters = learnt(module)
        averages = {name: value + 0.5 for name, value in module.named_buffers() if "running" in name}
        similarity = functional_call(module, {**parameters, **averages}, (data,))[0]
        found.append(gradient(loss_of((similarity,), 0), parameters))
    for again, kept in zip(*found, strict=True):
        assert torch.equal(again, kept)


@pytest.mark.long
@pytest.mark.parametrize("name", ["vse_infinity", "saf", "sgr"])
def test_encoders_and_comparison_compile_as_one(name: str) -> None:
    network, data = model(name).eval(), batch(4, 4)
    raw = torch.compile(lambda: network.compare(*encoded(network, data)), backend="eager")
    torch.testing.assert_close(network.activate(raw()), scores(network, data))
