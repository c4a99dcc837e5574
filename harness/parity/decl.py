"""What the released code of DECL computes: a step, its schedule of negatives, a division."""

from collections.abc import Iterator
from pathlib import Path

from torch import Tensor

from harness.methods.decl import DECL, evidence, evidential_loss, negatives, own_share, ranking_hinge
from harness.parity.reading import Comparison, Kind, cases, compare_masks, deviation, double, with_gradient


def _step(path: Path) -> Iterator[Comparison]:
    for case, arrays in cases(path):
        name = f"case {case['case']}: "
        raw, clean = double(arrays["raw"]), double(arrays["labels"])
        method = DECL(**{key: case[key] for key in ("tau", "margin", "lambda1", "lambda2")})
        n = negatives(case["step"], len(raw), **{key: case[key] for key in ("batch_size", "eta", "mu")})
        yield compare_masks(name + "n", n, case["n"])
        found = evidence(raw, case["tau"])
        for way, rows in (("i2t", found), ("t2i", found.T)):
            fit, kl = evidential_loss(rows, clean)
            for ours, theirs in ((fit, "fit"), (kl, "kl"), (fit + case["lambda2"] * kl, "edl")):
                yield Comparison(f"{name}{theirs} {way}", deviation(ours, arrays[f"{theirs}_{way}"]))
        yield Comparison(name + "rdh", deviation(ranking_hinge(raw, case["margin"], n), arrays["rdh"]))
        evidential, ranking = method.losses(raw, clean, n)
        yield Comparison(name + "evidential loss", deviation(evidential, case["loss_edl"]))
        yield Comparison(name + "ranking loss", deviation(ranking, case["loss_rdh"]))
        loss, gradient = with_gradient(_loss, arrays["raw"], method, clean, n)
        yield Comparison(name + "loss", deviation(loss, case["loss"]))
        yield Comparison(name + "gradient", deviation(gradient, arrays["grad"]))


def _loss(raw: Tensor, method: DECL, clean: Tensor, n: int) -> Tensor:
    evidential, ranking = method.losses(raw, clean, n)
    return evidential + ranking


def _schedule(path: Path) -> Iterator[Comparison]:
    for case, arrays in cases(path):
        keywords = {key: case[key] for key in ("batch_size", "eta", "mu")}
        found = [negatives(int(s), int(b), **keywords) for s, b in zip(arrays["step"], arrays["batch"], strict=True)]
        yield compare_masks(f"case {case['case']}: n", found, arrays["n"])


def _division(path: Path) -> Iterator[Comparison]:
    for case, arrays in cases(path):
        name = f"case {case['case']}: "
        raw = double(arrays["raw"])
        clean, share = own_share(raw, case["tau"])
        found = evidence(raw, case["tau"])
        uncertainty = len(raw) / (found + 1).sum(dim=1) + len(raw) / (found + 1).sum(dim=0)
        yield compare_masks(name + "clean", clean, arrays["clean"])
        yield Comparison(name + "share", deviation(share, arrays["share"]))
        yield Comparison(name + "uncertainty", deviation(uncertainty, arrays["uncertainty"]))


KINDS: dict[str, Kind] = {
    "decl_step.npz": Kind(_step, described=True),
    "decl_schedule.npz": Kind(_schedule, tolerance=0.0, described=True),
    "decl_division.npz": Kind(_division, described=True),
}
