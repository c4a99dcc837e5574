"""Evaluation protocols: which images and captions of a scored split are ranked against each other."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.errors import HarnessError, suggest
from harness.evaluation.metrics import retrieval


@dataclass(frozen=True)
class Protocol:
    """Consecutive folds of so many images with their captions, each ranked by itself, metrics averaged.

    images: per fold; None: all images in one fold. What lies beyond the last fold is left out.
    """

    title: str
    images: int | None
    folds: int = 1


PROTOCOLS: dict[str, Protocol] = {
    "1k": Protocol("the first 1,000 images (Flickr30K, CC152K)", 1000),
    "coco_1k_5fold": Protocol("MS-COCO 1K: mean over five folds of 1,000 consecutive images", 1000, 5),
    "coco_5k": Protocol("MS-COCO 5K: 5,000 images at once", 5000),
    "full": Protocol("every image of the split", None),
}


def evaluate(scores: Tensor, image_of_caption: Tensor | NDArray[np.int64], protocol: str) -> dict[str, float]:
    """The metrics of `retrieval` under a protocol; rSum of folds is the mean of their rSums.

    scores: (images, captions). image_of_caption: (captions,) int64. Raises HarnessError for an unknown
    protocol, for fewer images than it needs, and as `retrieval` does.
    """
    if protocol not in PROTOCOLS:
        raise HarnessError(f"evaluation protocol {protocol!r} is unknown; {suggest(protocol, PROTOCOLS)}")
    chosen = PROTOCOLS[protocol]
    if chosen.images is None:
        return retrieval(scores, image_of_caption)
    needed = chosen.images * chosen.folds
    if len(scores) < needed:
        fitting = [name for name, p in PROTOCOLS.items() if (p.images or 0) * p.folds <= len(scores)]
        raise HarnessError(
            f"evaluation protocol {protocol!r} needs {needed} images, the split has {len(scores)}; "
            f"accepted: {', '.join(fitting)}; name one of these in evaluation.protocols"
        )
    owner = torch.as_tensor(image_of_caption)
    folds = [retrieval(*_fold(scores, owner, start, chosen.images)) for start in range(0, needed, chosen.images)]
    return {name: sum(fold[name] for fold in folds) / len(folds) for name in folds[0]}


def _fold(scores: Tensor, owner: Tensor, start: int, images: int) -> tuple[Tensor, Tensor]:
    """The scores of some consecutive images and of their captions alone."""
    columns = ((owner >= start) & (owner < start + images)).nonzero().flatten()
    if len(columns) and int(columns[-1] - columns[0]) == len(columns) - 1:  # a view, no copy
        block = scores[start : start + images, int(columns[0]) : int(columns[-1]) + 1]
    else:
        block = scores[start : start + images].index_select(1, columns.to(scores.device))
    return block, owner[columns] - start
