"""What the released code of RDE computes: TAL, its limit, two heads, the consensus division."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from harness.methods.mixtures import divide, fit_gaussians, normalised
from harness.methods.tal import Variant, consensus, pair_losses
from harness.parity.reading import (
    Comparison,
    Kind,
    cases,
    compare_masks,
    compare_with_nan,
    deviation,
    double,
    with_gradient,
)


def _both(scores: Tensor, case: dict[str, Any], same: Tensor | None, variant: Variant) -> Tensor:
    rows, columns = pair_losses(scores, case["tau"], case["margin"], positives=same, variant=variant)
    return rows + columns


def _weighted(scores: Tensor, case: dict[str, Any], same: Tensor, labels: Tensor, variant: Variant) -> Tensor:
    return (labels * _both(scores, case, same, variant)).sum()


def _loss(path: Path) -> Iterator[Comparison]:
    for case, arrays in cases(path):
        name = f"case {case['case']}: "
        ids, labels = torch.from_numpy(arrays["ids"]), double(arrays["labels"])
        same = ids[:, None] == ids[None, :]
        scores = double(arrays["scores"])
        yield from compare_with_nan(name + "pair loss", _both(scores, case, same, "released"), arrays["pair_loss"])
        loss, gradient = with_gradient(_weighted, arrays["scores"], case, same, labels, "released")
        yield from compare_with_nan(name + "loss", loss, case["loss"])
        yield from compare_with_nan(name + "gradient", gradient, arrays["grad"])
        rows, columns = pair_losses(scores, case["tau"], case["margin"], positives=same)
        yield Comparison(name + "intended row", deviation(rows, arrays["intended_row"]))
        yield Comparison(name + "intended column", deviation(columns, arrays["intended_column"]))
        loss, gradient = with_gradient(_weighted, arrays["scores"], case, same, labels, "intended")
        yield Comparison(name + "intended loss", deviation(loss, case["intended"]["loss"]))
        yield Comparison(name + "intended gradient", deviation(gradient, arrays["intended_grad"]))


def _limit(path: Path) -> Iterator[Comparison]:
    for case, arrays in cases(path):
        scores = double(arrays["scores"])
        for place, tau in enumerate(arrays["tau"]):
            ours = _both(scores, {**case, "tau": float(tau)}, None, "released")
            yield Comparison(f"case {case['case']}: tau {tau:g}", deviation(ours, arrays["pair_loss"][place]))


def _heads(path: Path) -> Iterator[Comparison]:
    for case, arrays in cases(path):
        name = f"case {case['case']}: "
        losses, labels = {}, double(arrays["labels"])
        for head, of in (("", "bge"), ("2", "tse")):
            images, texts = (double(arrays[f"{what}_emb{head}"]).requires_grad_() for what in ("image", "text"))
            scores = normalize(images, dim=1) @ normalize(texts, dim=1).T
            pairs = _both(scores, case, None, "released")
            losses[of] = (labels * pairs).sum()
            losses[of].backward()
            yield Comparison(f"{name}diagonal{head}", deviation(scores.diagonal(), arrays[f"diagonal{head}"]))
            yield Comparison(f"{name}pair loss{head}", deviation(pairs, arrays[f"pair_loss{head}"]))
            for what, given in (("image", images), ("text", texts)):
                yield Comparison(f"{name}{what} gradient{head}", deviation(given.grad, arrays[f"{what}_grad{head}"]))
            yield Comparison(f"{name}loss {of}", deviation(losses[of], case[f"loss_{of}"]))
        yield Comparison(name + "loss", deviation(losses["bge"] + losses["tse"], case["loss"]))


def _consensus(path: Path) -> Iterator[Comparison]:
    for case, arrays in cases(path):
        name = f"case {case['case']}: "
        clean = []
        for head in ("1", "2"):
            x = normalised(arrays[f"losses{head}"])
            fitted = fit_gaussians(x, updates=case["max_iter"], tolerance=case["tol"], floor=case["reg_covar"])
            posterior = fitted.posterior(x)
            clean.append(divide(posterior, case["threshold"]))
            yield Comparison(f"{name}normalised {head}", deviation(x, arrays[f"normalised{head}"]))
            yield Comparison(f"{name}posterior {head}", deviation(posterior, arrays[f"posterior{head}"]))
            yield compare_masks(f"{name}clean {head}", clean[-1], arrays[f"clean{head}"])
            for what in ("means", "variances", "weights"):
                yield Comparison(f"{name}{what} {head}", deviation(getattr(fitted, what), case[f"head{head}"][what]))
        uncertain, labels = consensus(clean[0], clean[1], arrays["coin"])
        yield compare_masks(name + "uncertain", uncertain, arrays["uncertain"])
        yield compare_masks(name + "label", labels, arrays["label"])


def _split(path: Path) -> Iterator[Comparison]:
    for case, arrays in cases(path):
        clean = divide(arrays["posterior"], case["threshold"])
        yield compare_masks(f"case {case['case']}: clean", clean, np.asarray(arrays["clean"]))


KINDS: dict[str, Kind] = {
    "tal_loss.npz": Kind(_loss, described=True),
    "tal_limit.npz": Kind(_limit, described=True),
    "tal_heads.npz": Kind(_heads, described=True),
    "tal_ccd.npz": Kind(_consensus, described=True),
    "tal_split.npz": Kind(_split, tolerance=0.0, described=True),
}
