"""For a pair: which other picture fits its caption best, and which other caption fits its picture best.

Whole training set against the shown pairs alone, block by block: each image and each caption is encoded once and
dropped, so that SAF and SGR, which keep 36 vectors for an image, stay within memory.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.backbones.base import Backbone, Encoded
from harness.data.dataset import Split
from harness.evaluation.encoding import encode_images, encode_texts
from harness.evaluation.scoring import evaluating

BLOCK = 128  # images or captions encoded and compared at once, as in evaluation
SHARD = 512  # of the shown ones

Index = NDArray[np.int64]


@dataclass(frozen=True)
class Alternatives:
    """Row i belongs to the i-th pair asked for; an index of -1 where there is no other to choose from.

    Attributes:
        shown: int64 (shown,), the pairs asked for.
        picture: int64 (shown,), the image most similar to the pair's caption, the paired one left out.
        picture_similarity: float32 (shown,).
        caption: int64 (shown,), the caption most similar to the pair's picture, all that are paired with that picture
            left out: the best of those that the training set gives to another picture.
        caption_similarity: float32 (shown,).
    """

    shown: Index
    picture: Index
    picture_similarity: NDArray[np.float32]
    caption: Index
    caption_similarity: NDArray[np.float32]


def best_alternatives(
    backbones: Sequence[Backbone], split: Split, paired_image: Index, shown: Index, device: torch.device | str
) -> Alternatives:
    """The best other picture and caption of each pair in `shown` (ids), in the whole split.

    backbones: the networks of a run, which judge by the mean of their similarities. Among equal similarities the first
    that was compared wins, so the same call gives the same answer.
    """
    networks = [backbone.to(device) for backbone in backbones]
    with evaluating(*networks):
        pictures = _best_pictures(networks, split, paired_image, shown, device)
        images, row_of = np.unique(paired_image[shown], return_inverse=True)
        captions = _best_captions(networks, split, paired_image, images, device)
    return Alternatives(shown, pictures.index, pictures.score, captions.index[row_of], captions.score[row_of])


def _best_pictures(
    networks: Sequence[Backbone], split: Split, paired_image: Index, shown: Index, device: torch.device | str
) -> "_Best":
    texts = [Encoded.cat([encode_texts(n, split, rows, device) for rows in _blocks(shown)]) for n in networks]
    best = _Best(len(shown))
    for rows in _blocks(np.arange(len(split.regions))):
        scores = [
            torch.cat([network.similarity(images, own.rows(shard)) for shard in _shards(len(shown))], dim=1)
            for network, own in zip(networks, texts, strict=True)
            for images in [encode_images(network, split, rows, device)]
        ]
        best.offer(_mean(scores).T, rows, left_out=paired_image[shown][:, None] == rows)
    return best


def _best_captions(
    networks: Sequence[Backbone], split: Split, paired_image: Index, chosen: Index, device: torch.device | str
) -> "_Best":
    images = [Encoded.cat([encode_images(n, split, rows, device) for rows in _blocks(chosen)]) for n in networks]
    best = _Best(len(chosen))
    for rows in _blocks(np.argsort(split.captions.lengths, kind="stable")):  # of about one length: little padding
        scores = [
            torch.cat([network.similarity(own.rows(shard), texts) for shard in _shards(len(chosen))])
            for network, own in zip(networks, images, strict=True)
            for texts in [encode_texts(network, split, rows, device)]
        ]
        best.offer(_mean(scores), rows, left_out=chosen[:, None] == paired_image[rows])
    return best


def _mean(scores: Sequence[Tensor]) -> Tensor:
    return scores[0] if len(scores) == 1 else torch.stack(list(scores)).mean(dim=0)


class _Best:
    """The best candidate so far for each of `count` questions."""

    def __init__(self, count: int) -> None:
        self.index: Index = np.full(count, -1, dtype=np.int64)
        self.score = np.full(count, -np.inf, dtype=np.float32)

    def offer(self, scores: Tensor, candidates: Index, left_out: NDArray[np.bool_]) -> None:
        """scores (count, candidates); left_out (count, candidates) bool: no candidate for that question."""
        block = np.where(left_out, -np.inf, scores.to("cpu", torch.float32).numpy())
        column = block.argmax(axis=1)
        top = block[np.arange(len(block)), column]
        better = top > self.score
        self.score[better], self.index[better] = top[better], candidates[column[better]]


def _blocks(rows: Index) -> Iterator[Index]:
    return (rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK))


def _shards(count: int) -> Iterator[slice]:
    return (slice(start, start + SHARD) for start in range(0, count, SHARD))
