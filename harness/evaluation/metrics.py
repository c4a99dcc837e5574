"""Ranks and recalls of a score matrix, in one pass and without sorting.

The rank of an image's best own caption among all captions, and of a caption's own image among all images, is one plus
the number of wrong candidates that score at least as high. So a tie counts against the model, and a model that gives
every pair the same score, as collapsed ones do, gets the worst ranks and not a perfect score.

R@K is the field's: the share of queries with a right answer among the first K, in percent. It is a hit rate; with five
captions per image it is not the fraction of them found, which some libraries call recall. Median and mean ranks are
one-based, and the median of an even number of queries is rounded down, both as in the released codes of the field.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.errors import Diverged, HarnessError
from harness.evaluation.measures import CUTOFFS, WAYS
from harness.evaluation.threads import sum_of_shares

_BLOCK = 1 << 20  # scores compared at a time: 4 MB, which stays in a core's cache


def ranks(scores: Tensor, image_of_caption: Tensor | NDArray[np.int64]) -> tuple[Tensor, Tensor]:
    """One-based ranks of the truth: (image to text (images,), text to image (captions,)), both int64.

    Args:
        scores: (images, captions), any floating dtype.
        image_of_caption: (captions,) int64, the row of each caption's image; every image has at least one caption, and
            they may stand in any order.

    Raises:
        HarnessError: the two do not fit, an image has no caption, or a score is not finite.
    """
    owner = torch.as_tensor(image_of_caption, device=scores.device)
    _check(scores, owner)
    images, captions = scores.shape

    own = scores[owner, torch.arange(captions, device=scores.device)]  # (captions,), score of each true pair
    best = own.new_full((images,), -torch.inf).scatter_reduce(0, owner, own, "amax")  # (images,)
    own_at_best = torch.zeros(images, dtype=torch.int64, device=scores.device)
    own_at_best.scatter_add_(0, owner, (own >= best[owner]).long())  # own captions at the best's score

    image_to_text = torch.empty_like(own_at_best)

    def count(blocks: Sequence[slice]) -> Tensor:
        """Sets the rows of `image_to_text`; gives what these rows add to the ranks of the captions."""
        text_to_image = torch.zeros(captions, dtype=torch.int64, device=scores.device)
        for rows in blocks:
            block = scores[rows]
            low, high = block.aminmax()
            if not torch.isfinite(low) or not torch.isfinite(high):
                raise Diverged(_not_finite(block, rows.start))
            image_to_text[rows] = torch.count_nonzero(block >= best[rows, None], dim=1)
            text_to_image += torch.count_nonzero(block >= own, dim=0)
        return text_to_image

    text_to_image = sum_of_shares(count, list(_blocks(images, captions)), scores.device)
    return 1 + image_to_text - own_at_best, text_to_image  # where the own image is the 1 to start from


def retrieval(scores: Tensor, image_of_caption: Tensor | NDArray[np.int64]) -> dict[str, float]:
    """R@1/5/10 in percent, median and mean rank both ways (`i2t_r1`, ..., `t2i_meanr`), and the recalls' sum `rsum`.

    Arguments and errors are those of `ranks`.
    """
    return summary(*ranks(scores, image_of_caption))


def summary(image_to_text: Tensor, text_to_image: Tensor) -> dict[str, float]:
    """The metrics of `retrieval` from the ranks of `ranks`."""
    values = {**_one_way("i2t", image_to_text), **_one_way("t2i", text_to_image)}
    values["rsum"] = sum(values[f"{way}_r{k}"] for way in WAYS for k in CUTOFFS)
    return values


def _one_way(way: str, of: Tensor) -> dict[str, float]:
    values = {f"{way}_r{k}": 100.0 * int((of <= k).sum()) / len(of) for k in CUTOFFS}
    ordered = of.sort().values
    middle = (ordered[(len(of) - 1) // 2] + ordered[len(of) // 2]) // 2
    return {**values, f"{way}_medr": float(middle), f"{way}_meanr": of.double().mean().item()}


def _blocks(images: int, captions: int) -> Iterator[slice]:
    step = max(1, _BLOCK // captions)
    return (slice(start, min(start + step, images)) for start in range(0, images, step))


def _check(scores: Tensor, owner: Tensor) -> None:
    if scores.ndim != 2 or owner.shape != scores.shape[1:]:
        raise HarnessError(
            f"scores {tuple(scores.shape)} with image_of_caption {tuple(owner.shape)}: they do not fit; "
            "accepted: (images, captions) with (captions,); score the split that the captions come from"
        )
    if len(owner) == 0 or int(owner.min()) < 0 or int(owner.max()) >= len(scores):
        raise HarnessError(
            f"image_of_caption names an image beyond the {len(scores)} scored, or there are no captions; "
            f"accepted: 0 to {len(scores) - 1}; score the split that the captions come from"
        )
    counts = torch.bincount(owner, minlength=len(scores))
    if int(counts.min()) == 0:
        raise HarnessError(
            f"image {int(counts.argmin())} has no caption, so it has no rank; "
            "accepted: at least one caption per image; leave such images out of the split"
        )


def _not_finite(block: Tensor, start: int) -> str:
    row, column = (int(i) for i in (~torch.isfinite(block)).nonzero()[0])
    return (
        f"the score of image {start + row} and caption {column} is {float(block[row, column])}; "
        "accepted: finite numbers; the model has diverged, try a lower learning rate or gradient clipping"
    )
