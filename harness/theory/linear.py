"""An illustration with a trained model: linear softmax, for which no search finds a certain minimiser.

Gradient descent finds local minima. Each network is therefore also trained from where the other one ended, and the
better kept, until neither improves: then each is at least as good as the other at its own risk, which is all that the
proof asks of f* and f_eta.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from harness.seeds import rng_for, seed_for
from harness.theory.case import Case, below
from harness.theory.robustness import clean_excess_bound

LINEAR = "clean excess, linear softmax by gradient (illustration)"
CANDIDATES = 10
ETAS = (0.2, 0.4, 0.6, 0.8)
QS = (0.0, 0.5, 1.0)
STARTS = 2
ROUNDS = 4  # of training from the other's end; after them what is left enters the bound as slack


def linear_cases(steps: int, seed: int) -> Iterator[Case]:
    """Excess of the model trained at noise eta over the one trained without, for tan; `steps` of L-BFGS each."""
    inputs, labels = _data(seed)
    for q in QS:
        clean = _best([_train(start, inputs, labels, q, 0.0, steps) for start in _starts(seed)])
        for eta in ETAS:
            tried = [clean[1], *_starts(seed)]
            noisy = _best([_train(start, inputs, labels, q, eta, steps) for start in tried])
            for _ in range(ROUNDS):
                again = _train(noisy[1], inputs, labels, q, 0.0, steps)
                if again[0] >= clean[0]:
                    break
                clean = again
                noisy = _best([noisy, _train(clean[1], inputs, labels, q, eta, steps)])
            with torch.no_grad():
                excess = _risk(noisy[1], inputs, labels, q, 0.0).item() - clean[0]
                slack = max(noisy[0] - _risk(clean[1], inputs, labels, q, eta).item(), 0.0)
            at: dict[str, float | str] = {"transform": "tan", "candidates": CANDIDATES, "eta": eta, "q": q}
            yield below(LINEAR, at, excess, clean_excess_bound(eta, q, CANDIDATES, slack=slack))


def _data(seed: int, each: int = 20, size: int = 4) -> tuple[Tensor, Tensor]:
    """Overlapping Gaussian clouds, one for each label: (inputs, size + 1) with a constant, one-hot (inputs, K)."""
    rng = rng_for("theory", "linear", seed)
    label = np.repeat(np.arange(CANDIDATES), each)
    points = 1.5 * rng.normal(size=(CANDIDATES, size))[label] + rng.normal(size=(len(label), size))
    inputs = np.concatenate([points, np.ones((len(label), 1))], axis=1)
    return torch.from_numpy(inputs), torch.eye(CANDIDATES, dtype=torch.float64)[torch.from_numpy(label)]


def _starts(seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed_for("theory", "linear", "start", seed))
    return [0.3 * torch.randn(5, CANDIDATES, generator=generator, dtype=torch.float64) for _ in range(STARTS)]


def _risk(weights: Tensor, inputs: Tensor, labels: Tensor, q: float, eta: float) -> Tensor:
    """Expected loss under uniform noise, summed label by label."""
    g = torch.tan(torch.softmax(inputs @ weights, dim=1))
    total = g.sum(dim=1, keepdim=True)
    noisy = (1 - eta) * labels + eta / (CANDIDATES - 1) * (1 - labels)
    return (noisy * (total - g) / total**q).sum(dim=1).mean()


def _train(start: Tensor, inputs: Tensor, labels: Tensor, q: float, eta: float, steps: int) -> tuple[float, Tensor]:
    """(risk, weights); never worse than the start."""
    weights = start.clone().requires_grad_()
    optimiser = torch.optim.LBFGS([weights], max_iter=steps, line_search_fn="strong_wolfe", tolerance_grad=1e-9)

    def closure() -> Tensor:
        optimiser.zero_grad()
        risk = _risk(weights, inputs, labels, q, eta)
        risk.backward()
        return risk

    optimiser.step(closure)
    with torch.no_grad():
        found = [(_risk(w, inputs, labels, q, eta).item(), w.detach()) for w in (start, weights)]
    return _best(found)


def _best(found: list[tuple[float, Tensor]]) -> tuple[float, Tensor]:
    return min(found, key=lambda pair: pair[0])
