"""What the released code of MSCN computes: losses, a step through a step ahead, a division."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from harness.backbones.base import Encoded
from harness.methods.base import Part
from harness.methods.mscn import (
    META,
    MSCN,
    Variant,
    main_loss,
    meta_loss,
    meta_net,
    posterior_of,
    soft_margins,
    warm_up_loss,
)
from harness.parity.reading import (
    Arrays,
    Comparison,
    Kind,
    cases,
    compare_masks,
    deviation,
    double,
    with_gradient,
)
from harness.parity.tiny import TwoProjections, pairs_of
from harness.spec import Schedule
from harness.training.machine import Machine
from harness.training.network import Network

VARIANTS: dict[Variant, str] = {"released": "", "intended": "_intended"}


def _losses(path: Path) -> Iterator[Comparison]:
    for case, arrays in cases(path):
        kind = case["loss_name"]
        name = f"case {case['case']}: {kind}"
        if kind == "meta_bce":
            labels = double(arrays["pair_labels"])
            loss, gradient = with_gradient(meta_loss, arrays["scores"], labels)
            yield Comparison(name, deviation(loss, case["loss"]))
            yield Comparison(f"{name} gradient", deviation(gradient, arrays["grad_scores"]))
        elif kind == "warmup":
            loss, gradient = with_gradient(warm_up_loss, arrays["sims"], case["margin"])
            yield Comparison(name, deviation(loss, case["loss"]))
            yield Comparison(f"{name} gradient", deviation(gradient, arrays["grad_sims"]))
        elif kind in ("main", "main_from_pair_vectors"):
            if kind == "main_from_pair_vectors":
                yield from _from_vectors(name, case["margin"], arrays)
            margins = soft_margins(double(arrays["sims"]).diagonal(), case["margin"])
            yield Comparison(f"{name} margins", deviation(margins, arrays["margins"]))
            for variant, suffix in VARIANTS.items():
                loss, gradient = with_gradient(main_loss, arrays["sims"], case["margin"], variant)
                yield Comparison(f"{name} {variant}", deviation(loss, case[f"loss{suffix}"]))
                yield Comparison(f"{name} {variant} gradient", deviation(gradient, arrays[f"grad_sims{suffix}"]))
        else:
            raise ValueError(f"unknown loss_name {kind!r}")


def _from_vectors(name: str, margin: float, arrays: Arrays) -> Iterator[Comparison]:
    vectors = double(arrays["pair_vectors"]).requires_grad_()
    layers = {layer: double(arrays[f"meta_{layer}"]).requires_grad_() for layer in _LAYERS}
    hidden = nn.functional.linear(vectors, layers["hidden_weight"], layers["hidden_bias"]).relu()
    scores = nn.functional.linear(hidden, layers["output_weight"], layers["output_bias"]).squeeze(-1).sigmoid()
    main_loss(scores, margin, "released").backward()
    yield Comparison(f"{name} scores", deviation(scores, arrays["sims"]))
    yield Comparison(f"{name} gradient of vectors", deviation(vectors.grad, arrays["grad_pair_vectors"]))
    for layer, given in layers.items():
        yield Comparison(f"{name} gradient of {layer}", deviation(given.grad, arrays[f"grad_meta_{layer}"]))


_LAYERS = {"hidden_weight": "0.weight", "hidden_bias": "0.bias", "output_weight": "2.weight", "output_bias": "2.bias"}
_MAIN = ("image_proj", "text_proj")


class _Tiny(TwoProjections):
    """tanh of the product as a pair's vector."""

    def compare(self, images: Encoded, texts: Encoded) -> Tensor:
        assert self.score is not None
        scores: Tensor = self.score((images.values[:, None] * texts.values).tanh()).squeeze(-1)
        return scores

    def compare_pairs(self, images: Encoded, texts: Encoded) -> Tensor:
        assert self.score is not None
        scores: Tensor = self.score((images.values * texts.values).tanh()).squeeze(-1)
        return scores


def _network(case: dict[str, Any], arrays: Arrays) -> Network:
    backbone = _Tiny(*(arrays[name] for name in _MAIN))
    hidden = len(arrays["meta_hidden_weight"])
    part = Part(lambda given: meta_net(given, hidden).double(), lr=case["meta_lr"])
    schedule = Schedule(optimizer="adam", lr=case["lr"], weight_decay=0, grad_clip=case["grad_clip"])
    network = Network(backbone, {META: part}, schedule, Machine("cpu"))
    network.parts[META].load_state_dict(
        {key: double(arrays[f"meta_{name}"]) for name, key in _LAYERS.items()}, strict=False
    )
    network.train()
    return network


def _step(path: Path) -> Iterator[Comparison]:
    for case, arrays in cases(path):
        name = f"case {case['case']}: "
        network, method = _network(case, arrays), MSCN(margin=case["margin"])
        batch = pairs_of(arrays["images"], arrays["texts"])
        right, wrong = (
            pairs_of(arrays["meta_images"][which], arrays["meta_texts"][which])
            for which in (arrays["meta_labels"] == 1, arrays["meta_labels"] == 0)
        )
        virtual = main_loss(network.scores(batch, twice=True), case["margin"], "released")
        yield Comparison(name + "loss before", deviation(virtual, case["loss_virtual"]))
        with network.ahead(virtual), torch.no_grad():
            sizes = (arrays[what].shape[1] for what in ("images", "texts"))
            for what, encoded in zip(_MAIN, network.encode(pairs_of(*(np.eye(size) for size in sizes))), strict=True):
                yield Comparison(f"{name}{what} ahead", deviation(encoded.values.T, arrays[f"{what}_virtual"]))
            scores = network.pairwise(*network.encode(pairs_of(arrays["meta_images"], arrays["meta_texts"])))
            yield Comparison(name + "meta scores", deviation(scores[:, None], arrays["meta_scores"]))

        yield Comparison(
            name + "meta loss", deviation(method.learn_meta(network, batch, right, wrong), case["meta_loss"])
        )
        head = dict(network.parts[META].named_parameters())
        for what, key in _LAYERS.items():
            yield Comparison(f"{name}gradient of meta {what}", deviation(head[key].grad, arrays[f"grad_meta_{what}"]))
            yield Comparison(f"{name}meta {what} after", deviation(head[key], arrays[f"meta_{what}_after"]))

        loss = main_loss(network.scores(batch), case["margin"], "released")
        network.learn(loss)
        yield Comparison(name + "loss", deviation(loss, case["loss"]))
        for what in _MAIN:
            weights = getattr(network.backbone, what)
            yield Comparison(f"{name}gradient of {what}", deviation(weights.grad, arrays[f"grad_{what}"]))
            yield Comparison(f"{name}{what} after", deviation(weights, arrays[f"{what}_after"]))


def _division(path: Path) -> Iterator[Comparison]:
    for case, arrays in cases(path):
        name = f"case {case['case']}: "
        posterior, mixture = posterior_of(
            arrays["scores"], arrays["meta_negative_scores"], arrays["meta_positive_scores"]
        )
        assert mixture is not None
        yield Comparison(name + "posterior", deviation(posterior, arrays["posterior"]))
        yield compare_masks(name + "clean", posterior > case["threshold"], arrays["clean"])
        for number, which in enumerate(("noisy", "clean")):
            for what, values in (("alpha", mixture.alphas), ("beta", mixture.betas)):
                yield Comparison(f"{name}{which} {what}", deviation(values[number], case[f"{which}_{what}"]))
        yield Comparison(name + "clean weight", deviation(mixture.weights[1], case["clean_weight"]))


KINDS: dict[str, Kind] = {
    "mscn_losses.npz": Kind(_losses, described=True),
    "mscn_step.npz": Kind(_step, described=True),
    "mscn_division.npz": Kind(_division, described=True),
}
