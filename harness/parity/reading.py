"""What a comparison with a golden file is, and how the files are read.

Deviations are absolute, or relative to the expected value where that is larger than 1. Losses, gradients, labels,
embeddings and similarities may deviate by 1e-5, which is float32's rounding over a few hundred operations; metrics,
tokens, masks and counts not at all.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

TOLERANCE = 1e-5

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Comparison:
    """One compared value or array: what it is, and its largest deviation."""

    what: str
    deviation: float


@dataclass(frozen=True)
class Kind:
    """One kind of file: its comparisons, what they may deviate by, and whether a .json stands beside it."""

    compare: Callable[[Path], Iterator[Comparison]]
    tolerance: float = TOLERANCE
    described: bool = False

    def beside(self, name: str) -> list[str]:
        """The files that belong to a file of this kind."""
        return [Path(name).with_suffix(".json").name] if self.described else []


def deviation(ours: Any, expected: Any) -> float:
    """Largest difference, relative where the expected value is larger than 1; infinite for NaN or another shape."""
    a = np.asarray(ours.detach() if isinstance(ours, Tensor) else ours, dtype=np.float64)
    b = np.asarray(expected, dtype=np.float64)
    if a.shape != b.shape:
        return np.inf
    difference = np.abs(a - b) / np.maximum(1, np.abs(b))
    return float(np.nan_to_num(difference, nan=np.inf).max(initial=0.0))


def cases(path: Path, prefix: str = "c") -> Iterator[tuple[dict[str, Any], Arrays]]:
    """Each case of the .json with its arrays of the .npz, which are named <prefix><case>_<name>."""
    arrays = arrays_of(path)
    for case in json.loads(path.with_suffix(".json").read_text(encoding="utf-8")):
        start = f"{prefix}{case['case']}_"
        yield case, {name.removeprefix(start): a for name, a in arrays.items() if name.startswith(start)}


def arrays_of(path: Path) -> Arrays:
    with np.load(path, allow_pickle=False) as stored:
        return dict(stored)


def double(array: NDArray[Any]) -> Tensor:
    """As float64: the golden values of the rivals were computed in it from float32 inputs."""
    return torch.from_numpy(np.asarray(array, dtype=np.float64))


def with_gradient(function: Callable[..., Tensor], scores: NDArray[Any], *others: Any) -> tuple[Tensor, Tensor]:
    """`function` (scores, *others) of the scores as float64, a scalar, and its gradient with respect to them."""
    given = double(scores).requires_grad_()
    value = function(given, *others)
    if value.requires_grad:
        value.backward()
    return value.detach(), torch.zeros_like(given) if given.grad is None else given.grad


def compare_masks(what: str, ours: Any, expected: Any) -> Comparison:
    """For masks, counts and the like, which are equal or not: how many differ."""
    a, b = np.asarray(ours), np.asarray(expected)
    return Comparison(what, np.inf if a.shape != b.shape else float((a.astype(float) != b.astype(float)).sum()))


def compare_with_nan(what: str, ours: Any, expected: Any) -> Iterator[Comparison]:
    """NaN where it is expected and nowhere else; the other values as usual. None, JSON's null, is NaN."""
    a = np.asarray(ours.detach() if isinstance(ours, Tensor) else ours, dtype=np.float64)
    b = np.asarray(np.nan if expected is None else expected, dtype=np.float64)
    yield compare_masks(f"{what}, NaN", np.isnan(a), np.isnan(b))
    yield Comparison(what, deviation(np.nan_to_num(a), np.nan_to_num(b)))
