"""Damaged captions: noise in one direction, the images are right and the texts are wrong."""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import Field

from harness.noise.base import Descriptors, Index, NoiseModel, choose, refuse

# What happens to a touched word, as shares: replaced below the first, dropped below the second, shuffled above. Half
# are replaced, because a text encoder forgives words in a wrong order more than wrong words.
REPLACED, DROPPED = 0.5, 0.75
_TRIES = 50  # until a caption differs: one of a single word differs only where that word is replaced


class TextDamage(NoiseModel):
    """A share of the captions keep their image and lose their words: replaced, dropped, shuffled.

    Ours: wrong pairs as careless captioning makes them, where the usual noise models mix up good captions. New against
    caption_level: every pairing stays, so no image is seen with the caption of another, and a wrong text belongs to no
    image; a pair whose caption is damaged counts as wrong. Words are what white space separates. Each word of a chosen
    caption is touched with probability `strength`, and at least one is. A touched word is replaced by a random word of
    a random other caption (50 %), dropped (25 %, but one word stays), or shuffled among the words to be shuffled
    (25 %). A damaged caption always differs from what was written, so the realised rate is the nominal one; what
    cannot differ (no words, no other caption) stays and counts as right.

    rate: share of the captions. strength: share of a caption's words that are touched. At 1 about a quarter of its
    words are still there, most of them in the wrong place; below 1 the caption is partly right, and so is its pair.
    """

    def __init__(
        self,
        *,
        rate: Annotated[float, Field(ge=0, le=1)] = 0.0,
        strength: Annotated[float, Field(gt=0, le=1)] = 1.0,
    ) -> None:
        self.rate, self.strength = rate, strength

    def corrupt(self, image_of_caption: Index, rng: np.random.Generator, descriptors: Descriptors = refuse) -> Index:
        return image_of_caption.copy()

    def damage(self, texts: Sequence[str], rng: np.random.Generator) -> dict[int, str]:
        damaged = {}
        for caption in choose(len(texts), self.rate, rng).tolist():
            own = texts[caption].split()
            for _ in range(_TRIES if own else 0):
                words = self._damaged(own, caption, texts, rng)
                if words != own:
                    damaged[caption] = " ".join(words)
                    break
        return damaged

    def _damaged(self, own: list[str], caption: int, texts: Sequence[str], rng: np.random.Generator) -> list[str]:
        touched, kind = rng.random((2, len(own)))
        touched = touched <= max(self.strength, touched.min())
        words = list(own)
        for place in np.flatnonzero(touched & (kind < REPLACED)):
            words[place] = _word(texts, caption, rng) or words[place]
        moved = np.flatnonzero(touched & (kind >= DROPPED))
        for place, source in zip(moved, rng.permutation(moved), strict=True):
            words[place] = own[source]
        dropped = touched & (kind >= REPLACED) & (kind < DROPPED)
        if dropped.all():
            dropped[kind.argmin()] = False
        return [word for word, gone in zip(words, dropped, strict=True) if not gone]


def _word(texts: Sequence[str], caption: int, rng: np.random.Generator) -> str:
    """A random word of a random other caption; empty where there is no other, or it has no words."""
    if len(texts) < 2:
        return ""
    other = int(rng.integers(len(texts) - 1))
    words = texts[other + (other >= caption)].split()
    return words[rng.integers(len(words))] if words else ""
