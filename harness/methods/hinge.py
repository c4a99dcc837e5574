"""Hinges over a batch, with the margins where the eye can check them: one per row, one per column.

    a_ij = [m_i + S_ij - S_ii]+     image i against caption j       (margin of the image's own pair i)
    b_ij = [m_j + S_ij - S_jj]+     caption j against image i       (margin of the caption's own pair j)

Both are zero on the diagonal. Soft margins differ between pairs, and three released codes give pair i's
hinge the margin of pair j; so margins are vectors here, and their shape is checked.
"""

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
    image_to_text, text_to_image = equal_margin_hinges(scores, margin)
    return image_to_text.max(dim=1).values.sum() + text_to_image.max(dim=0).values.sum()
