"""The verbs of a network: what a step touches, what a step ahead is, and its second derivative."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from toy_methods import Parts, nce

from harness.backbones.base import Backbone
from harness.data.batches import Batch, PairReader
from harness.errors import HarnessError
from harness.methods.base import Part
from harness.spec import Schedule
from harness.spec.catalogue import find
from harness.testing.toy import BACKBONES, REGION_DIM, WORDS, ToyDataset
from harness.training import network
from harness.training.machine import Machine
from harness.training.network import Network

NAMES = sorted(BACKBONES)


@pytest.fixture
def doubles() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def make(name: str, parts: dict[str, Part] | None = None, **schedule: Any) -> Network:
    torch.manual_seed(0)
    keywords = {key: 0.0 if key == "dropout" else value for key, value in BACKBONES[name].items()}
    backbone: Backbone = find("backbone", name)(REGION_DIM, WORDS, **keywords)
    made = Network(backbone, parts or {}, Schedule(lr=0.05, **schedule), Machine("cpu"))
    made.train()
    return made


def batch(tmp_path: Path, *rows: int) -> Batch:
    split = ToyDataset(tmp_path, np.float64 if torch.get_default_dtype() == torch.float64 else np.float32).split(
        "train"
    )
    read = PairReader(split, split.image_of_caption).read(np.array(rows))
    regions, lengths = read.regions.to(torch.get_default_dtype()), read.region_lengths.clone()
    lengths[0], regions[0, 3:] = 3, 0  # a region dropped
    read.regions, read.region_lengths = regions, lengths
    return read


def copied(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> set[str]:
    return {name for name in one if torch.equal(one[name], other[name])}


@pytest.mark.parametrize("name", NAMES)
def test_a_step_ahead_has_a_true_second_derivative(name: str, tmp_path: Path, doubles: None) -> None:
    """d/dw of outer(w - lr d inner(w)), along random directions, against central differences."""
    made = make(name)
    inner, outer = batch(tmp_path, 0, 3, 5, 8), batch(tmp_path, 1, 6, 11, 14)
    parameters = [p for p in made.backbone.parameters() if p.requires_grad]
    buffers = copied(made.backbone)

    def value() -> Tensor:
        made.backbone.load_state_dict(
            {**copied(made.backbone), **{n: buffers[n] for n, _ in made.backbone.named_buffers()}}
        )
        with made.ahead(nce(made.scores(inner, twice=True)).mean()):
            return nce(made.scores(outer)).mean()

    gradients = torch.autograd.grad(value(), parameters, allow_unused=True)
    plain = torch.autograd.grad(nce(made.scores(outer)).mean(), parameters, allow_unused=True)
    generator = torch.Generator().manual_seed(1)
    for _ in range(3):
        direction = [torch.randn(p.shape, generator=generator) for p in parameters]
        along, first = (
            sum(float((g * d).sum()) for g, d in zip(each, direction, strict=True) if g is not None)
            for each in (gradients, plain)
        )
        step = 1e-6
        ends = []
        for sign in (1, -2):
            with torch.no_grad():
                for parameter, each in zip(parameters, direction, strict=True):
                    parameter.add_(each, alpha=sign * step)
            ends.append(float(value().detach()))
        with torch.no_grad():
            for parameter, each in zip(parameters, direction, strict=True):
                parameter.add_(each, alpha=step)
        difference = (ends[0] - ends[1]) / (2 * step)
        assert along == pytest.approx(difference, rel=1e-4, abs=1e-7)
        assert abs(first - difference) > 10 * abs(along - difference)  # the way through the step is part of it


@pytest.mark.parametrize("name", NAMES)
def test_a_step_ahead_leaves_no_trace(name: str, tmp_path: Path) -> None:
    made = make(name)
    before = copied(made.backbone)
    pairs = batch(tmp_path, 0, 3, 5, 8)
    scores = made.scores(pairs, twice=True)
    after_scores = copied(made.backbone)  # batch statistics have moved
    with made.ahead(nce(scores).mean()):
        there = made.scores(pairs).detach()
    assert not torch.equal(there, scores)
    assert equal(after_scores, copied(made.backbone)) == set(before)
    assert made.optimizers["main"].state_dict()["state"] == {}


@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
def test_the_optimizers_step_ahead_has_moments_of_its_own(optimizer: str, tmp_path: Path) -> None:
    """Those of the losses it was given: as if `learn` had been called with them, each from the same weights."""
    pairs = batch(tmp_path, 0, 3, 5, 8)
    made = make("vse_infinity", optimizer=optimizer)
    weights = copied(made.backbone)
    for turn in range(2):
        if turn:
            again = make("vse_infinity", optimizer=optimizer)
            again.load_state_dict(made.state_dict())
            made = again
        with made.ahead(nce(made.scores(pairs)).mean(), rule="optimizer"), made.looking():
            ahead = made.scores(pairs)
        assert {name for name, p in made.backbone.named_parameters() if not torch.equal(p, weights[name])} == set()
        assert made.optimizers["main"].state_dict()["state"] == {}
    twin = make("vse_infinity", optimizer=optimizer, grad_clip=1e9)
    parameters = {name: weights[name] for name, _ in twin.backbone.named_parameters()}
    for _ in range(2):
        twin.backbone.load_state_dict(parameters, strict=False)  # batch statistics move on
        twin.learn(nce(twin.scores(pairs)).mean())
    with twin.looking():
        assert torch.allclose(twin.scores(pairs), ahead, atol=1e-6)


def test_learn_moves_one_part_and_no_other(tmp_path: Path) -> None:
    pairs = batch(tmp_path, 0, 3, 5, 8)
    made = make("saf", dict(Parts().parts()))
    head = set(made.parts["head"].state_dict())
    for part, moved in (("main", False), ("head", True)):
        before, cost = copied(made.backbone), copied(made.parts["cost"])
        buffers = {name for name, _ in made.backbone.named_buffers()}
        made.learn(nce(made.scores(pairs)).mean(), part)
        stayed = equal(before, copied(made.backbone))
        in_head = {f"score.{name}" for name in head}
        assert (in_head <= stayed) is not moved
        assert (set(before) - in_head - buffers <= stayed) is moved
        assert equal(cost, copied(made.parts["cost"])) == set(cost)


def test_rates_fall_together_and_may_be_given_for_a_step() -> None:
    made = make("saf", dict(Parts().parts()))
    made.set_rate(0.01, 0.1)
    rates = {name: optimizer.param_groups[0]["lr"] for name, optimizer in made.optimizers.items()}
    assert rates == pytest.approx({"main": 0.01, "cost": 1e-3, "head": 1e-4})
    weight = next(made.parts["cost"].parameters())
    before = weight.detach().clone()
    made.learn(weight.sum(), "cost", lr=0.5)
    assert float((weight - before).abs().max()) == pytest.approx(0.5, rel=1e-3)  # Adam's first step is the rate
    assert made.optimizers["cost"].param_groups[0]["lr"] == pytest.approx(1e-3)


def test_several_parts_learn_from_one_loss_each_as_alone(tmp_path: Path) -> None:
    pairs = batch(tmp_path, 0, 3, 5, 8)
    together, alone = (make("sgr", dict(Parts().parts())) for _ in range(2))
    together.learn(nce(together.scores(pairs)).mean(), ("main", "head"), lr=0.01)
    loss = nce(alone.scores(pairs)).mean()
    own = {part: [p for p in alone._parameters[part] if p.requires_grad] for part in ("main", "head")}
    gradients = iter(torch.autograd.grad(loss, [p for each in own.values() for p in each], allow_unused=True))
    for part, parameters in own.items():
        for parameter in parameters:
            parameter.grad = next(gradients)
        torch.nn.utils.clip_grad_norm_(parameters, alone.schedule.grad_clip)
        alone.optimizers[part].param_groups[0]["lr"] = 0.01
        alone.optimizers[part].step()
    for name, value in copied(together.backbone).items():
        torch.testing.assert_close(value, copied(alone.backbone)[name], msg=name)


def test_what_is_looked_at_may_enter_a_loss(tmp_path: Path) -> None:
    pairs = batch(tmp_path, 0, 3, 5, 8)
    made = make("sgr")
    with made.looking():
        assert not made.backbone.training
        target = made.scores(pairs)
    assert made.backbone.training
    made.learn((made.scores(pairs) - target).square().mean() + (target * made.scores(pairs)).mean())


def test_a_step_ahead_with_several_processes_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make("vse_infinity")
    loss = nce(made.scores(batch(tmp_path, 0, 3, 5, 8), twice=True)).mean()
    monkeypatch.setattr(network, "world", lambda: 2)
    with (
        pytest.raises(HarnessError, match=r"a step ahead with 2 processes: .*start without --processes"),
        made.ahead(loss),
    ):
        pass
