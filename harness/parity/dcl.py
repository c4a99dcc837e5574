"""What the released code of DCL computes: a step with its division, given masks, the loss without a division."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor

from harness.methods.dcl import DCL, PairLoss, divide_batch, fit, pair_losses, posterior_of, undivided_loss
from harness.methods.mixtures import normalised
from harness.parity.reading import (
    Arrays,
    Comparison,
    Kind,
    cases,
    compare_masks,
    compare_with_nan,
    deviation,
    double,
    with_gradient,
)

_LOSSES = dict(zip(("infoNCE", "margin", "max-margin"), get_args(PairLoss), strict=True))


def _method(case: dict[str, Any]) -> DCL:
    return DCL(**{key: case[key] for key in ("tau", "balance1", "balance2")})


def _total(scores: Tensor, method: DCL, clean: Tensor, kind: PairLoss, margin: float) -> Tensor:
    return sum(method.losses(scores, clean, kind, margin), torch.zeros((), dtype=scores.dtype))


def _compared(
    name: str, case: dict[str, Any], arrays: Arrays, clean: Any, expected: Any, grad: str
) -> Iterator[Comparison]:
    """The losses of a mask. The two parts are given before they are weighed."""
    kind, margin, method = _LOSSES[case["loss_cmcl"]], case["margin"], _method(case)
    mask = torch.from_numpy(np.asarray(clean, dtype=bool))
    loss, gradient = with_gradient(_total, arrays["scores"], method, mask, kind, margin)
    yield from compare_with_nan(name + "loss", loss, expected["loss"])
    yield from compare_with_nan(name + "gradient", gradient, arrays[grad])
    plain = DCL(tau=case["tau"]).losses(double(arrays["scores"]), mask, kind, margin)
    for ours, theirs in zip(plain, ("loss_clean", "loss_noisy"), strict=True):
        if theirs in expected:
            yield from compare_with_nan(name + theirs, ours, expected[theirs])


def _step(path: Path) -> Iterator[Comparison]:
    for case, arrays in cases(path):
        name = f"case {case['case']}: "
        losses = pair_losses(double(arrays["scores"]), case["tau"], _LOSSES[case["loss_cmcl"]], case["margin"])
        yield Comparison(name + "pair loss", deviation(losses, arrays["pair_loss"]))
        divisible = len(losses) > 2 and not np.isnan(arrays["normalised"]).any()
        posterior = posterior_of(losses.numpy(), "released")
        if divisible:  # of two pairs, or of equal losses, the parameters are rounding noise
            x, mixture = fit(losses.numpy())
            yield Comparison(name + "normalised", deviation(x, arrays["normalised"]))
            for ours, theirs in ((mixture.alphas, "alphas"), (mixture.betas, "betas"), (mixture.weights, "weights")):
                yield Comparison(name + theirs, deviation(ours, case[theirs]))
            yield from compare_with_nan(name + "posterior", posterior, arrays["posterior_raw"])
        elif len(losses) > 1 and not np.isnan(arrays["normalised"]).any():
            yield Comparison(name + "normalised", deviation(normalised(losses.numpy()), arrays["normalised"]))
        clean = divide_batch(posterior, case["threshold"])
        yield compare_masks(name + "clean", clean, arrays["clean"])
        yield compare_masks(name + "counts", [clean.sum(), (~clean).sum()], [case["n_clean"], case["n_noisy"]])
        yield from _compared(name, case, arrays, clean, case, "grad")
        if "intended" in case and "intended_clean" in arrays:
            intended = posterior_of(losses.numpy(), "intended")
            if divisible:
                yield Comparison(name + "intended posterior", deviation(intended, arrays["intended_posterior"]))
            mask = divide_batch(intended, case["threshold"])
            yield compare_masks(name + "intended clean", mask, arrays["intended_clean"])
            yield from _compared(name + "intended ", case, arrays, mask, case["intended"], "intended_grad")


def _masked(path: Path) -> Iterator[Comparison]:
    for case, arrays in cases(path):
        name = f"case {case['case']}: "
        losses = pair_losses(double(arrays["scores"]), case["tau"], _LOSSES[case["loss_cmcl"]], case["margin"])
        yield Comparison(name + "pair loss", deviation(losses, arrays["pair_loss"]))
        yield from _compared(name, case, arrays, arrays["clean"], case, "grad")


def _plain(path: Path) -> Iterator[Comparison]:
    for case, arrays in cases(path):
        name = f"case {case['case']}: "
        loss, gradient = with_gradient(undivided_loss, arrays["scores"], case["tau"], case["loss_gce"])
        yield Comparison(name + "loss", deviation(loss, case["loss"]))
        yield Comparison(name + "gradient", deviation(gradient, arrays["grad"]))


def _split(path: Path) -> Iterator[Comparison]:
    for case, arrays in cases(path):
        clean = divide_batch(arrays["posterior"], case["threshold"])
        yield compare_masks(f"case {case['case']}: clean", clean, arrays["clean"])


KINDS: dict[str, Kind] = {
    "dcl_step.npz": Kind(_step, described=True),
    "dcl_masked.npz": Kind(_masked, described=True),
    "dcl_plain.npz": Kind(_plain, described=True),
    "dcl_split.npz": Kind(_split, tolerance=0.0, described=True),
}
