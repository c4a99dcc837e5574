"""Hinges over a batch, with the margins where the eye can check them: one per row, one per column.

    a_ij = [m_i + S_ij - S_ii]+     image i against caption j       (margin of the image's own pair i)
    b_ij = [m_j + S_ij - S_jj]+     caption j against image i       (margin of the caption's own pair j)

Both are zero on the diagonal. Soft margins differ between pairs, and three released codes give pair i's hinge the
margin of pair j; so margins are vectors here, and their shape is checked. `matrix_margin_hinges` is what those codes
compute.
"""

from typing import Literal

import torch
from torch import Tensor

from harness.methods.softmax import off_diagonal


def hinges(scores: Tensor, row_margins: Tensor, column_margins: Tensor) -> tuple[Tensor, Tensor]:
    """(a, b), each (B, B), from scores (B, B), rows images, and two vectors (B,) of margins, one per pair."""
    for name, margins in (("row_margins", row_margins), ("column_margins", column_margins)):
        if margins.shape != scores.shape[:1]:
            expected, got = tuple(scores.shape[:1]), tuple(margins.shape)
            raise ValueError(f"{name} must be {expected}, one per pair; got {got}")
    own = scores.diagonal()  # (B,)
    image_to_text = (row_margins[:, None] + scores - own[:, None]).clamp(min=0)
    text_to_image = (column_margins[None, :] + scores - own[None, :]).clamp(min=0)
    return off_diagonal(image_to_text), off_diagonal(text_to_image)


def equal_margin_hinges(scores: Tensor, margin: float) -> tuple[Tensor, Tensor]:
    """`hinges` when all pairs have the same margin."""
    margins = torch.full_like(scores.diagonal(), margin)
    return hinges(scores, margins, margins)


def hinge_sum(scores: Tensor, margin: float) -> Tensor:
    """Sum over all negatives of both directions."""
    image_to_text, text_to_image = equal_margin_hinges(scores, margin)
    return image_to_text.sum() + text_to_image.sum()


def hinge_hardest(scores: Tensor, margin: float) -> Tensor:
    """Sum, over images and over captions, of the hinge against the hardest negative alone."""
    return hardest(*equal_margin_hinges(scores, margin))


def matrix_margin_hinges(scores: Tensor, margins: Tensor) -> tuple[Tensor, Tensor]:
    """(a, b) with the margin of entry ij, (B, B), in both hinges: only for what a released code did."""
    if margins.shape != scores.shape:
        raise ValueError(f"margins must be {tuple(scores.shape)}, one per entry; got {tuple(margins.shape)}")
    own = scores.diagonal()
    image_to_text = (margins + scores - own[:, None]).clamp(min=0)
    text_to_image = (margins + scores - own[None, :]).clamp(min=0)
    return off_diagonal(image_to_text), off_diagonal(text_to_image)


def hardest(image_to_text: Tensor, text_to_image: Tensor) -> Tensor:
    """Sum, over images and over captions, of the hinges (B, B) against the hardest negative alone."""
    return image_to_text.max(dim=1).values.sum() + text_to_image.max(dim=0).values.sum()


def soft_hinge(scores: Tensor, margins: Tensor, variant: Literal["released", "intended"]) -> Tensor:
    """The hinge against the hardest negatives, summed, with a margin for each pair (B,).

    released: as in the codes of BiCro and MSCN, the image-to-text hinge has the margin of the negative (column).
    """
    if variant == "released":
        return hardest(*matrix_margin_hinges(scores, margins[None, :].expand_as(scores)))
    return hardest(*hinges(scores, margins, margins))


def mean_hinges(scores: Tensor, margin: float) -> Tensor:
    """(B,) hinge of each pair against all negatives, in both directions:

        (1/B) (sum_j a_ij + sum_j b_ji)

    The divisor counts the zero diagonal, as in NCR, BiCro, L2RM and MSCN.
    """
    image_to_text, text_to_image = equal_margin_hinges(scores, margin)
    return (image_to_text.sum(dim=1) + text_to_image.sum(dim=0)) / len(scores)


def predict(scores: Tensor, margin: float) -> Tensor:
    """(B,) in [0, 1]: how well each pair keeps the margin, next to the best of the batch (NCR, BiCro).

        p_i = clip(m - h_i / 2, 0, m), divided by the mean of the B // 10 + 1 largest, clipped to [0, 1]

    h: `mean_hinges`. Where all are 0 they stay 0; in the released codes 0/0 makes the loss NaN.
    """
    kept = (margin - mean_hinges(scores, margin) / 2).clamp(0, margin)
    best = kept.topk(len(kept) // 10 + 1).values.mean()
    return (kept / best.clamp(min=1e-30)).clamp(0, 1)


SoftMargin = Literal["exponential", "linear", "sin"]


def soft_margins(labels: Tensor, margin: float, kind: SoftMargin = "exponential") -> Tensor:
    """Margins that grow with the correspondence label y in [0, 1], from 0 to `margin` (NCR, BiCro); any shape.

    exponential  m (10^y - 1) / 9        linear  m y        sin  m (sin(pi y - pi/2) + 1) / 2
    """
    if kind == "linear":
        return margin * labels
    if kind == "sin":
        return margin * (torch.sin(torch.pi * labels - torch.pi / 2) + 1) / 2
    return margin * (torch.pow(10.0, labels) - 1) / 9
