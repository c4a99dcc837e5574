"""What the released code of NCR computes: a step of both batches, the division, its guard."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import Tensor

from harness.methods.hinge import equal_margin_hinges, hardest, mean_hinges, predict, soft_margins
from harness.methods.mixtures import divide, fit_gaussians, normalised
from harness.methods.ncr import clean_labels, noisy_labels, soft_hinge
from harness.parity.reading import Arrays, Comparison, Kind, cases, compare_masks, deviation, double, with_gradient


def _step(path: Path) -> Iterator[Comparison]:
    for case, arrays in cases(path):
        name = f"case {case['case']}: "
        margin, kind = case["margin"], case.get("soft_margin", "exponential")
        of = {key: predict(double(arrays[f"{key}"]), margin) for key in _SCORES}
        yield Comparison(
            name + "pair loss", deviation(mean_hinges(double(arrays["clean_scores_eval"]), margin), arrays["pair_loss"])
        )
        for ours, theirs in zip(of.values(), ("p_clean", "p_noisy", "p_noisy_peer"), strict=True):
            yield Comparison(name + theirs, deviation(ours, arrays[theirs]))
        warm, gradient = with_gradient(_warm_up, arrays["clean_scores"], margin)
        yield Comparison(name + "warm-up", deviation(warm, _scalar(case, arrays, "loss_warmup")))
        yield Comparison(name + "warm-up gradient", deviation(gradient, arrays["warmup_grad"]))
        plain = hardest(*equal_margin_hinges(double(arrays["clean_scores"]), margin))
        yield Comparison(name + "hardest, plain margin", deviation(plain, _scalar(case, arrays, "loss_hard_plain")))
        for variant in ("released", "intended"):
            labels = {
                "clean": clean_labels(double(arrays["posterior"]), of["clean_scores_eval"], variant),
                "noisy": noisy_labels(of["noisy_scores_eval"], of["noisy_scores_eval_peer"]),
            }
            for which, label in labels.items():
                margins = soft_margins(label, margin, kind)
                loss, gradient = with_gradient(soft_hinge, arrays[f"{which}_scores"], margins, variant)
                what = f"{name}{variant}, {which}: "
                yield Comparison(what + "labels", deviation(*_alike(label, arrays[f"{variant}_{which}_labels"])))
                yield Comparison(what + "margins", deviation(*_alike(margins, arrays[f"{variant}_{which}_margins"])))
                yield Comparison(what + "loss", deviation(loss, case[variant][f"loss_{which}"]))
                yield Comparison(what + "gradient", deviation(gradient, arrays[f"{variant}_{which}_grad"]))


def _warm_up(scores: Tensor, margin: float) -> Tensor:
    return mean_hinges(scores, margin).sum()


_SCORES = ("clean_scores_eval", "noisy_scores_eval", "noisy_scores_eval_peer")


def _alike(ours: Tensor, theirs: Any) -> tuple[Tensor, Any]:
    """The release keeps labels of noisy pairs as a column."""
    return (ours, theirs.reshape(ours.shape)) if theirs.size == ours.numel() else (ours, theirs)


def _scalar(case: dict[str, Any], arrays: Arrays, name: str) -> Any:
    return case[name] if name in case else arrays[name]


def _codivide(path: Path) -> Iterator[Comparison]:
    for case, arrays in cases(path):
        name = f"case {case['case']}: "
        x = normalised(arrays["losses"])
        fitted = fit_gaussians(x, updates=case["max_iter"], tolerance=case["tol"], floor=case["reg_covar"])
        posterior = fitted.posterior(x)
        yield Comparison(name + "normalised", deviation(x, arrays["normalised"]))
        yield Comparison(name + "posterior", deviation(posterior, arrays["posterior"]))
        yield compare_masks(name + "clean", divide(posterior, case["threshold"]), arrays["clean"])
        for ours, theirs in ((fitted.means, "means"), (fitted.variances, "variances"), (fitted.weights, "weights")):
            yield Comparison(name + theirs, deviation(ours, case[theirs]))
        yield Comparison(name + "lower bound", deviation(fitted.lower_bound, case["lower_bound"]))
        yield compare_masks(
            name + "iterations", [fitted.updates, fitted.converged], [case["n_iter"], case["converged"]]
        )


def _split(path: Path) -> Iterator[Comparison]:
    for case, arrays in cases(path):
        yield compare_masks(
            f"case {case['case']}: clean", divide(arrays["posterior"], case["threshold"]), arrays["clean"]
        )


KINDS: dict[str, Kind] = {
    "ncr_step.npz": Kind(_step, described=True),
    "ncr_codivide.npz": Kind(_codivide, described=True),
    "ncr_split.npz": Kind(_split, tolerance=0.0, described=True),
}
