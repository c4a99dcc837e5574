"""What the released code of BiCro computes: warm-up, a step of both batches, the Beta mixture and its guard."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from harness.methods.bicro import (
    CLIP,
    START,
    Vectors,
    clean_labels,
    divide_pairs,
    noisy_labels,
    posterior_of,
    split_anchors,
    warm_up_loss,
)
from harness.methods.hinge import mean_hinges, predict, soft_hinge, soft_margins
from harness.methods.mixtures import fit_betas, normalised
from harness.parity.reading import Comparison, Kind, cases, compare_masks, deviation, double, with_gradient


def _step(path: Path) -> Iterator[Comparison]:
    for case, arrays in cases(path):
        name = f"case {case['case']}: "
        margin, kind, tem = case["margin"], case.get("soft_margin", "exponential"), case["noise_tem"]
        prediction = predict(double(arrays["clean_scores_peer"]), margin)
        of = Vectors(double(arrays["clean_image_emb"]), double(arrays["clean_text_emb"]))
        doubtful = Vectors(double(arrays["noisy_image_emb"]), double(arrays["noisy_text_emb"]))
        anchors, rest = split_anchors(prediction)
        # Predictions clipped to 1 tie, and the release orders ties at random; only anchors are clipped.
        yield compare_masks(name + "anchors", anchors.sort().values, np.sort(arrays["anchors"]))
        yield Comparison(name + "their order", deviation(prediction[anchors], prediction[arrays["anchors"]]))
        yield compare_masks(name + "rest", rest, arrays["rest"])
        noisy = noisy_labels(doubtful, Vectors(of.images[anchors], of.texts[anchors]), tem)
        yield Comparison(name + "noisy labels", deviation(noisy, arrays["noisy_labels"]))
        noisy_margins = soft_margins(noisy, margin, kind)
        yield Comparison(name + "noisy margins", deviation(noisy_margins, arrays["noisy_margins"]))
        for variant in ("released", "intended"):
            what = f"{name}{variant}, "
            labels = clean_labels(prediction, of, tem, variant)
            margins = soft_margins(labels, margin, kind)
            yield Comparison(what + "clean labels", deviation(labels, arrays[f"{variant}_clean_labels"]))
            yield Comparison(what + "clean margins", deviation(margins, arrays[f"{variant}_clean_margins"]))
            for which, given in (("clean", margins), ("noisy", noisy_margins)):
                loss, gradient = with_gradient(soft_hinge, arrays[f"{which}_scores"], given, variant)
                yield Comparison(f"{what}{which} loss", deviation(loss, case[variant][f"loss_{which}"]))
                yield Comparison(f"{what}{which} gradient", deviation(gradient, arrays[f"{variant}_{which}_grad"]))


def _warm_up(path: Path) -> Iterator[Comparison]:
    for case, arrays in cases(path):
        name = f"case {case['case']}: "
        losses = mean_hinges(double(arrays["scores"]), case["margin"])
        yield Comparison(name + "pair loss", deviation(losses, arrays["pair_loss"]))
        loss, gradient = with_gradient(warm_up_loss, arrays["scores"], case["margin"], case["warmup_rate"])
        yield Comparison(name + "loss", deviation(loss, case["loss"]))
        yield Comparison(name + "gradient", deviation(gradient, arrays["grad"]))
        selected = torch.zeros(len(losses), dtype=torch.bool)
        selected[torch.argsort(losses, stable=True)[: int(case["warmup_rate"] * len(losses))]] = True
        yield compare_masks(name + "selected", selected, arrays["selected"])


def _mixture(path: Path) -> Iterator[Comparison]:
    for case, arrays in cases(path):
        name = f"case {case['case']}: "
        x = normalised(arrays["losses"])
        mixture = fit_betas(x.clip(CLIP, 1 - CLIP), START, floor=1e-12)
        yield Comparison(name + "normalised", deviation(x, arrays["normalised"]))
        for ours, theirs in ((mixture.alphas, "alphas"), (mixture.betas, "betas"), (mixture.weights, "weights")):
            yield Comparison(name + theirs, deviation(ours, case[theirs]))
        for variant in ("released", "intended"):
            posterior, expected = posterior_of(arrays["losses"], variant), arrays[f"{variant}_posterior"]
            yield compare_masks(f"{name}{variant} NaN", np.isnan(posterior), np.isnan(expected))
            yield Comparison(f"{name}{variant} posterior", deviation(np.nan_to_num(posterior), np.nan_to_num(expected)))
            clean = divide_pairs(posterior, case["threshold"], variant)
            yield compare_masks(f"{name}{variant} clean", clean, arrays[f"{variant}_clean"])


def _split(path: Path) -> Iterator[Comparison]:
    for case, arrays in cases(path):
        for variant in ("released", "intended"):
            clean = divide_pairs(arrays["posterior"], case["threshold"], variant)
            yield compare_masks(f"case {case['case']}: {variant}", clean, arrays[f"{variant}_clean"])


KINDS: dict[str, Kind] = {
    "bicro_step.npz": Kind(_step, described=True),
    "bicro_warmup.npz": Kind(_warm_up, described=True),
    "bicro_bmm.npz": Kind(_mixture, described=True),
    "bicro_split.npz": Kind(_split, tolerance=0.0, described=True),
}
