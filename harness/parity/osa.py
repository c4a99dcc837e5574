"""What the released code of OSA computes: the score of random pairs, weights, and the loss with its gradients."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from harness.methods.osa import infonce, weights_of
from harness.parity.reading import Arrays, Comparison, Kind, cases, compare_with_nan, deviation, double


def _logits(scale: float, images: Tensor, texts: Tensor) -> Tensor:
    rows, columns = (each / each.norm(dim=1, keepdim=True) for each in (images, texts))
    return scale * rows @ columns.T


def _weights(name: str, case: dict[str, Any], arrays: Arrays, logits: Tensor) -> Iterator[Comparison]:
    """Where no pair is above beta the release has NaN, and this weights of 0."""
    if case["n_above"]:
        weights = weights_of(logits.diagonal() - case["beta"], "released")
        yield Comparison(name + "weights", deviation(weights, arrays["weight"]))
    else:
        yield from compare_with_nan(name + "weights", np.full(len(logits), np.nan), arrays["weight"])


def _losses(name: str, case: dict[str, Any], arrays: Arrays, estimated: Tensor, logits: Tensor) -> Iterator[Comparison]:
    """The loss in all and of both directions."""
    if not case["n_above"]:
        return
    weights = weights_of(estimated.diagonal() - case["beta"], "released")
    loss = (weights * infonce(logits, tau=1, margin=0)).mean()
    yield Comparison(name + "loss", deviation(loss, case["loss"]))
    for what, dim in (("loss_i2t", 1), ("loss_t2i", 0)):
        own = -logits.log_softmax(dim=dim).diagonal()
        yield Comparison(name + what, deviation((weights * own).mean(), case[what]))
    logits.retain_grad()
    loss.backward()
    yield Comparison(name + "gradient of logits", deviation(logits.grad, arrays["logits_grad"]))


def _step(path: Path) -> Iterator[Comparison]:
    for case, arrays in cases(path):
        name = f"case {case['case']}, {case['kind']}: "
        scale = case["logit_scale_estimator"]
        random = _logits(scale, double(arrays["random_image_emb"]), double(arrays["random_text_emb"]))
        yield Comparison(name + "random logits", deviation(random, arrays["random_logits"]))
        yield Comparison(name + "beta", deviation(random.mean(), case["beta_from_random"]))
        estimated = _logits(scale, double(arrays["est_image_emb"]), double(arrays["est_text_emb"]))
        excess = (estimated.diagonal() - case["beta"]).clamp(min=0)
        yield Comparison(name + "estimator's logits", deviation(estimated, arrays["est_logits"]))
        yield Comparison(name + "excess", deviation(excess, arrays["excess"]))
        yield from _weights(name, case, arrays, estimated)
        given = {what: double(arrays[f"{what}_emb"]).requires_grad_() for what in ("image", "text")}
        logits = _logits(case["logit_scale"], *given.values())
        yield Comparison(name + "logits", deviation(logits, arrays["logits"]))
        yield from _losses(name, case, arrays, estimated, logits)
        for what, embedding in given.items():
            if embedding.grad is not None:
                yield Comparison(f"{name}gradient of {what}s", deviation(embedding.grad, arrays[f"{what}_grad"]))


def _loss(path: Path) -> Iterator[Comparison]:
    for case, arrays in cases(path):
        name = f"case {case['case']}, {case['kind']}: "
        estimated, logits = double(arrays["est_logits"]), double(arrays["logits"]).requires_grad_()
        yield from _weights(name, case, arrays, estimated)
        yield from _losses(name, case, arrays, estimated, logits)


KINDS: dict[str, Kind] = {
    "osa_step.npz": Kind(_step, described=True),
    "osa_loss.npz": Kind(_loss, described=True),
}
