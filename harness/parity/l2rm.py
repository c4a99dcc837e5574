"""What the released code of L2RM computes: losses, the cost, the transport, a step, a division."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from harness.methods.hinge import hinge_hardest, mean_hinges
from harness.methods.l2rm import Cost, posterior_of, rematching_loss, targets, warm_up_loss
from harness.methods.mixtures import clip, normalised
from harness.methods.transport import partial_transport
from harness.parity.reading import Arrays, Comparison, Kind, cases, compare_masks, deviation, double, with_gradient


def _losses(path: Path) -> Iterator[Comparison]:
    for case, arrays in cases(path):
        kind = case["loss_name"]
        name = f"case {case['case']}: {kind}"
        if kind == "per_pair_hinge":
            yield Comparison(name, deviation(mean_hinges(double(arrays["sims"]), case["margin"]), arrays["per_pair"]))
            continue
        if kind == "warmup":
            loss, gradient = with_gradient(warm_up_loss, arrays["sims"], case["tau"])
        elif kind == "clean_hinge":
            loss, gradient = with_gradient(hinge_hardest, arrays["sims"], case["margin"])
        elif kind == "noisy_symmetric_kl":
            loss, gradient = with_gradient(rematching_loss, arrays["sims"], double(arrays["plan"]), case["tau"])
        else:
            raise ValueError(f"unknown loss_name {kind!r}")
        yield Comparison(name, deviation(loss, case["loss"]))
        yield Comparison(f"{name} gradient", deviation(gradient, arrays["grad_sims"]))


def _cost_of(arrays: Arrays) -> Cost:
    cost = Cost(len(arrays["bias"]))
    cost.load_state_dict({"weight": torch.from_numpy(arrays["weight"]), "bias": torch.from_numpy(arrays["bias"])})
    return cost


def _cost(path: Path) -> Iterator[Comparison]:
    for case, arrays in cases(path):
        name = f"case {case['case']}: "
        cost = _cost_of(arrays)
        found = cost(torch.from_numpy(arrays["sims"]))
        loss = (torch.from_numpy(arrays["supervision"]) * found).sum()
        loss.backward()
        yield Comparison(name + "cost", deviation(found, arrays["cost"]))
        yield Comparison(name + "loss", deviation(loss, case["loss"]))
        for what in ("weight", "bias"):
            yield Comparison(f"{name}gradient of {what}", deviation(getattr(cost, what).grad, arrays[f"grad_{what}"]))
        torch.optim.Adam(cost.parameters(), lr=case["lr"]).step()
        for what in ("weight", "bias"):
            yield Comparison(f"{name}{what} after", deviation(getattr(cost, what), arrays[f"{what}_after"]))


def _transported(case: dict[str, Any], cost: Any, **keywords: Any) -> tuple[Tensor, int]:
    masked = case["diagonal_masked"]
    plan, made = partial_transport(cost, case["mass"], case["reg"], mask_diagonal=masked, **keywords)
    return torch.from_numpy(plan), made


def _transport(path: Path) -> Iterator[Comparison]:
    for case, arrays in cases(path):
        name = f"case {case['case']}: "
        limits = {"iterations": case["max_iterations"], "tolerance": case["tolerance"]}
        plan, made = _transported(case, arrays["cost"], **limits)
        rows, columns = targets(plan)
        yield compare_masks(name + "iterations", made, case["iterations"])
        yield Comparison(name + "plan", deviation(plan, arrays["plan"]))
        yield Comparison(name + "rows", deviation(rows, arrays["targets_rows"]))
        yield Comparison(name + "columns", deviation(columns, arrays["targets_columns"]))


def _step(path: Path) -> Iterator[Comparison]:
    for case, arrays in cases(path):
        name = f"case {case['case']}: "
        clean, clean_gradient = with_gradient(hinge_hardest, arrays["sims_clean"], case["margin"])
        with torch.no_grad():
            cost = _cost_of(arrays)(torch.from_numpy(arrays["sims_noisy"]))
        plan, _ = _transported(case, cost.numpy())
        noisy, noisy_gradient = with_gradient(rematching_loss, arrays["sims_noisy"], plan, case["tau"])
        yield Comparison(name + "cost", deviation(cost, arrays["cost"]))
        yield Comparison(name + "plan", deviation(plan, arrays["plan"]))
        for what, loss in (("loss_clean", clean), ("loss_noisy", noisy), ("loss", clean + noisy)):
            yield Comparison(name + what, deviation(loss, case[what]))
        yield Comparison(name + "gradient, clean", deviation(clean_gradient, arrays["grad_sims_clean"]))
        yield Comparison(name + "gradient, noisy", deviation(noisy_gradient, arrays["grad_sims_noisy"]))


def _division(path: Path) -> Iterator[Comparison]:
    for case, arrays in cases(path):
        name = f"case {case['case']}: "
        x = clip(normalised(arrays["losses"]))
        posterior, mixture, clean = posterior_of(x, arrays["start_groups"])
        yield Comparison(name + "normalised", deviation(x, arrays["normalised"]))
        yield Comparison(name + "posterior", deviation(posterior, arrays["posterior"]))
        yield compare_masks(name + "clean", posterior > case["threshold"], arrays["clean"])
        for which, number in (("clean", clean), ("noisy", 1 - clean)):
            for what, values in (("alpha", mixture.alphas), ("beta", mixture.betas)):
                yield Comparison(f"{name}{which} {what}", deviation(values[number], case[f"{which}_{what}"]))
        yield Comparison(name + "clean weight", deviation(mixture.weights[clean], case["clean_weight"]))


KINDS: dict[str, Kind] = {
    "l2rm_losses.npz": Kind(_losses, described=True),
    "l2rm_cost.npz": Kind(_cost, described=True),
    "l2rm_transport.npz": Kind(_transport, described=True),
    "l2rm_step.npz": Kind(_step, described=True),
    "l2rm_division.npz": Kind(_division, described=True),
}
