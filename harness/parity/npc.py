"""What the released code of NPC computes: weights, a step, steps one after another, the bank."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from harness.backbones.base import Encoded
from harness.methods.npc import bank_of, batch_loss, clean_posterior, pair_losses, ratios, weights_of
from harness.parity.reading import Arrays, Comparison, Kind, cases, compare_masks, deviation, double, with_gradient
from harness.parity.tiny import TwoProjections, pairs_of
from harness.spec import Schedule
from harness.training.machine import Machine
from harness.training.network import Network

BANKS = ("bank_image", "bank_text")


def _ratio(arrays: Arrays, suffix: str = "") -> Tensor:
    old, new = ([double(arrays[f"{bank}_{when}{suffix}"]) for bank in BANKS] for when in ("old", "new"))
    return ratios(old, new)


def _weights(path: Path) -> Iterator[Comparison]:
    for case, arrays in cases(path):
        name, ratio = f"case {case['case']}: ", _ratio(arrays)
        yield Comparison(name + "ratio", deviation(ratio, arrays["ratio"]))
        yield Comparison(name + "weights", deviation(weights_of(ratio), arrays["weights"]))


def _step(path: Path) -> Iterator[Comparison]:
    for case, arrays in cases(path):
        name = f"case {case['case']}: "
        for bank in BANKS:
            for when, suffix in (("old", ""), ("new", "_new")):
                losses = pair_losses(double(arrays[f"logits_{bank}{suffix}"]), tau=1)
                yield Comparison(f"{name}{bank} {when}", deviation(losses, arrays[f"{bank}_{when}"]))
        ratio = _ratio(arrays)
        weights = weights_of(ratio)
        yield Comparison(name + "ratio", deviation(ratio, arrays["ratio"]))
        yield Comparison(name + "weights", deviation(weights, arrays["weights"]))
        own, bank_gradients = [], []
        for bank in BANKS:
            value, gradient = with_gradient(lambda s: pair_losses(s, 1).mean(), arrays[f"logits_{bank}"])
            own.append(value)
            bank_gradients.append(gradient)
            yield Comparison(f"{name}gradient of {bank}", deviation(gradient, arrays[f"grad_{bank}_intended"]))
        bank_loss = own[0] + own[1]
        yield Comparison(name + "bank loss", deviation(bank_loss, case["bank_loss"]))
        for variant, suffix in (("released", ""), ("intended", "_intended")):
            loss, gradient = with_gradient(
                lambda s, *given: batch_loss(pair_losses(s, 1), *given), arrays["logits"], weights, variant
            )
            yield Comparison(f"{name}{variant} batch loss", deviation(loss, case[f"batch_loss{suffix}"]))
            yield Comparison(f"{name}{variant} loss", deviation(loss + bank_loss, case[f"loss{suffix}"]))
            yield Comparison(f"{name}{variant} gradient", deviation(gradient, arrays[f"grad_logits{suffix}"]))


class _Scaled(TwoProjections):
    """Cosines times a scale that is trained."""

    def __init__(self, image_proj: Any, text_proj: Any, logit_scale: Any) -> None:
        super().__init__(image_proj, text_proj)
        self.logit_scale = nn.Parameter(double(logit_scale))

    def compare(self, images: Encoded, texts: Encoded) -> Tensor:
        rows, columns = (nn.functional.normalize(each.values, dim=1) for each in (images, texts))
        return self.logit_scale.exp() * rows @ columns.T


WEIGHTS = ("image_proj", "text_proj", "logit_scale")


def _training(path: Path) -> Iterator[Comparison]:
    for case, arrays in cases(path):
        schedule = Schedule(
            lr=case["lr"],
            weight_decay=case["weight_decay"],
            betas=(case["beta1"], case["beta2"]),
            eps=case["eps"],
            grad_clip=case["grad_clip"],
            warmup_steps=case["warmup_steps"],
        )
        network = Network(_Scaled(*(arrays[f"{name}_before"] for name in WEIGHTS)), {}, schedule, Machine("cpu"))
        network.train()
        for step, rate in enumerate(case["lrs"]):
            yield Comparison(
                f"case {case['case']}, step {step}: rate", deviation(schedule.lr * schedule.warm_at(step), rate)
            )
            network.set_rate(rate, 1.0)
            yield from _training_step(f"case {case['case']}, step {step}: ", case, arrays, network, step)


def _training_step(
    name: str, case: dict[str, Any], arrays: Arrays, network: Network, step: int
) -> Iterator[Comparison]:
    def losses(images: str, texts: str) -> Tensor:
        return pair_losses(network.scores(pairs_of(arrays[f"{images}_{step}"], arrays[f"{texts}_{step}"])), tau=1)

    def bank() -> list[Tensor]:
        with torch.no_grad():
            return [losses(f"{which}_images", f"{which}_texts") for which in BANKS]

    parameters = dict(network.backbone.named_parameters())
    old = bank()
    with network.ahead(4 * losses("images", "texts").mean(), rule="optimizer"):
        assert network.replaced is not None
        for what in WEIGHTS:
            yield Comparison(f"{name}{what} ahead", deviation(network.replaced[what], arrays[f"{what}_siamese_{step}"]))
            gradient = parameters[what].grad
            yield Comparison(
                f"{name}gradient of {what} ahead", deviation(gradient, arrays[f"grad_{what}_siamese_{step}"])
            )
        new = bank()
    for which, before, after in zip(BANKS, old, new, strict=True):
        yield Comparison(f"{name}{which} old", deviation(before, arrays[f"{which}_old_{step}"]))
        yield Comparison(f"{name}{which} new", deviation(after, arrays[f"{which}_new_{step}"]))
    ratio = ratios(old, new)
    weights = weights_of(ratio)
    yield Comparison(name + "ratio", deviation(ratio, arrays[f"ratio_{step}"]))
    yield Comparison(name + "weights", deviation(weights, arrays[f"weights_{step}"]))
    loss_batch = batch_loss(losses("images", "texts"), weights, "released")
    loss = loss_batch + (old[0] + old[1]).mean()
    network.learn(loss)
    yield Comparison(name + "batch loss", deviation(loss_batch, case["batch_losses"][step]))
    yield Comparison(name + "loss", deviation(loss, case["losses"][step]))
    for what in WEIGHTS:
        yield Comparison(f"{name}gradient of {what}", deviation(parameters[what].grad, arrays[f"grad_{what}_{step}"]))
        yield Comparison(f"{name}{what} after", deviation(parameters[what], arrays[f"{what}_after_{step}"]))


def _bank(path: Path) -> Iterator[Comparison]:
    for case, arrays in cases(path):
        name = f"case {case['case']}: "
        images, texts = (arrays[f"{what}_features"].astype(np.float64) for what in ("image", "text"))
        units = [torch.from_numpy(each / np.linalg.norm(each, axis=1, keepdims=True)) for each in (images, texts)]
        size = case["batch_size"]
        batches = zip(*(each.split(size) for each in units), strict=True)
        losses = torch.cat([pair_losses(rows @ columns.T, 1 / case["logit_scale"]) for rows, columns in batches])
        posterior = clean_posterior(losses)
        clean = np.flatnonzero(posterior > case["threshold"])
        yield Comparison(name + "losses", deviation(losses, arrays["losses"]))
        yield Comparison(name + "posterior", deviation(posterior, arrays["posterior"]))
        yield compare_masks(name + "clean", clean, arrays["clean"])
        for what, vectors in (("image", images), ("text", texts)):
            yield compare_masks(f"{name}bank by {what}", bank_of(vectors, clean, "released"), arrays[f"bank_{what}"])
            by_cosine = bank_of(vectors, clean, "intended")
            yield compare_masks(f"{name}bank by {what}, cosine", by_cosine, arrays[f"bank_{what}_cosine"])


KINDS: dict[str, Kind] = {
    "npc_weights.npz": Kind(_weights, described=True),
    "npc_step.npz": Kind(_step, described=True),
    "npc_training.npz": Kind(_training, described=True),
    "npc_bank.npz": Kind(_bank, described=True),
}
