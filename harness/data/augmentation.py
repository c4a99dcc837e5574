"""CRCL's augmentation of training pairs: words masked, replaced or deleted, regions dropped.

Source: CRCL's released code, data.py (the paper calls it "data augmentation" without numbers). Both functions work on
a whole batch at once.

Differs from the released code in:
- Nothing is written back. There the dropped regions of SAF and SGR are overwritten in the feature array itself, so they
  accumulate.
- A dropped region is gone for every backbone. There SAF and SGR still attend to it as a row of 1e-10.
- At least one word and one region stay. There a caption can lose all its words, and the guard for regions tests the
  wrong axis.
- A random word is never <pad>, which would read as the end of a caption.
"""

from typing import Annotated

import numpy as np
from pydantic import Field

from harness.data.vocabulary import Vocabulary

Rate = Annotated[float, Field(ge=0, le=1)]

# What happens to a touched word, as shares: masked below the first, replaced below the second, deleted above.
MASKED, REPLACED = 0.5, 0.6


class Augmentation:
    """CRCL's augmentation: 20 % of words masked, replaced or deleted, 20 % of regions dropped."""

    def __init__(self, *, token_rate: Rate = 0.2, region_rate: Rate = 0.2) -> None:
        self.token_rate, self.region_rate = token_rate, region_rate

    def tokens(
        self, tokens: np.ndarray, lengths: np.ndarray, vocabulary: Vocabulary, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """New tokens (B, longest) and lengths (B,).

        Each word, <start> and <end> included, is touched with probability token_rate. A touched word is masked (50 %),
        replaced by any word (10 %) or deleted (40 %).
        """
        chance = rng.random(tokens.shape)  # (B, L)
        words = rng.integers(1, len(vocabulary), tokens.shape)
        inside = np.arange(tokens.shape[1]) < lengths[:, None]
        changed = np.where(chance < REPLACED * self.token_rate, words, tokens)
        changed = np.where(chance < MASKED * self.token_rate, vocabulary.mask, changed)
        stays = (chance >= self.token_rate) | (chance < REPLACED * self.token_rate)
        packed, kept = pack(changed, keep_one(inside & stays, np.where(inside, chance, -1.0)))
        return packed[:, : kept.max(initial=0)], kept

    def regions(
        self, regions: np.ndarray, rng: np.random.Generator, lengths: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """New regions (B, R, D), those that stay in front and zeros behind them, and their numbers (B,).

        lengths: (B,), how many of an image's regions are real; None: all. Frames of a caption are dropped likewise.
        """
        chance = rng.random(regions.shape[:2])  # (B, R)
        inside = np.ones(chance.shape, bool) if lengths is None else np.arange(chance.shape[1]) < lengths[:, None]
        return pack(regions, keep_one(inside & (chance >= self.region_rate), np.where(inside, chance, -1.0)))


def keep_one(keep: np.ndarray, chance: np.ndarray) -> np.ndarray:
    """`keep` (B, items) where a row that would lose everything keeps the item with the highest chance."""
    rows = np.flatnonzero(~keep.any(axis=1))
    keep[rows, chance[rows].argmax(axis=1)] = True
    return keep


def pack(values: np.ndarray, keep: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Moves each row's kept items to its front, zeros behind them.

    values (B, items, ...), keep (B, items) -> packed (B, items, ...), counts (B,).
    """
    counts = keep.sum(axis=1)
    packed = np.zeros_like(values)
    packed[np.arange(keep.shape[1]) < counts[:, None]] = values[keep]  # both sides run row by row
    return packed, counts
