"""The metrics of a score matrix under a protocol."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.evaluation.metrics import ranks, summary
from harness.evaluation.protocols import fit


def evaluate(scores: Tensor, image_of_caption: Tensor | NDArray[np.int64], protocol: str) -> dict[str, float]:
    """The metrics of `metrics.retrieval` under a protocol; rSum of folds is the mean of their rSums.

    Args:
        scores: (images, captions).
        image_of_caption: (captions,) int64.

    Raises:
        HarnessError: the protocol is unknown or needs more images, and as `metrics.ranks` does.
    """
    return measure(scores, image_of_caption, protocol)[0]


def measure_all(
    scores: Tensor, image_of_caption: Tensor | NDArray[np.int64], names: Iterable[str]
) -> tuple[dict[str, dict[str, float]], dict[str, NDArray[Any]]]:
    """Protocol -> metrics, and the ranks of all protocols as arrays named `PROTOCOL/i2t` and so on; see `measure`."""
    found = {name: measure(scores, image_of_caption, name) for name in names}
    arrays = {f"{name}/{key}": array for name, (_, kept) in found.items() for key, array in kept.items()}
    return {name: metrics for name, (metrics, _) in found.items()}, arrays


def measure(
    scores: Tensor, image_of_caption: Tensor | NDArray[np.int64], protocol: str
) -> tuple[dict[str, float], dict[str, NDArray[Any]]]:
    """The metrics of `evaluate`, and the ranks behind them, folds one after another.

    The ranks: `i2t` int32 (images,), `t2i` int32 (captions,), one-based within their fold, and `image_of_caption`
    int64 (captions,), the row of each caption's image in `i2t`.
    """
    chosen = fit(protocol, len(scores))
    images = chosen.images or len(scores)
    needed = images * chosen.folds
    owner = torch.as_tensor(image_of_caption)
    if needed == len(scores) and chosen.folds == 1:
        folds = [(scores, owner)]
    else:
        folds = [_fold(scores, owner, start, images) for start in range(0, needed, images)]
    found = [ranks(*fold) for fold in folds]
    metrics = [summary(*pair) for pair in found]
    means = {name: sum(fold[name] for fold in metrics) / len(metrics) for name in metrics[0]}
    kept = {
        "i2t": torch.cat([i2t for i2t, _ in found]).cpu().numpy().astype(np.int32),
        "t2i": torch.cat([t2i for _, t2i in found]).cpu().numpy().astype(np.int32),
        "image_of_caption": torch.cat([own + n * images for n, (_, own) in enumerate(folds)]).cpu().numpy(),
    }
    return means, kept


def _fold(scores: Tensor, owner: Tensor, start: int, images: int) -> tuple[Tensor, Tensor]:
    """The scores of some consecutive images and of their captions alone."""
    columns = ((owner >= start) & (owner < start + images)).nonzero().flatten()
    if len(columns) and int(columns[-1] - columns[0]) == len(columns) - 1:  # a view, no copy
        block = scores[start : start + images, int(columns[0]) : int(columns[-1]) + 1]
    else:
        block = scores[start : start + images].index_select(1, columns.to(scores.device))
    return block, owner[columns] - start
