"""For a pair: which other picture fits its caption best, and which other caption fits its picture best.

Whole training set against the shown pairs alone, block by block: each image and each caption is encoded once and
dropped, so that SAF and SGR, which keep 36 vectors for an image, stay within memory.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.backbones.base import Backbone, Encoded
from harness.data.dataset import Split
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
    backbone: Backbone, split: Split, paired_image: Index, shown: Index, device: torch.device | str
) -> Alternatives:
    """The best other picture and caption of each pair in `shown` (ids), in the whole split.

    Among equal similarities the first that was compared wins, so the same call gives the same answer.
    """
    with evaluating(backbone.to(device)):
        pictures = _best_pictures(backbone, split, paired_image, shown, device)
        images, row_of = np.unique(paired_image[shown], return_inverse=True)
        captions = _best_captions(backbone, split, paired_image, images, device)
    return Alternatives(shown, pictures.index, pictures.score, captions.index[row_of], captions.score[row_of])


def _best_pictures(
    backbone: Backbone, split: Split, paired_image: Index, shown: Index, device: torch.device | str
) -> "_Best":
    texts = Encoded.cat([_texts(backbone, split, rows, device) for rows in _blocks(shown)])
    best = _Best(len(shown))
    for rows in _blocks(np.arange(len(split.regions))):
        images = _images(backbone, split, rows, device)
        scores = [backbone.similarity(images, texts.rows(shard)) for shard in _shards(len(shown))]
        best.offer(torch.cat(scores, dim=1).T, rows, left_out=paired_image[shown][:, None] == rows)
    return best


def _best_captions(
    backbone: Backbone, split: Split, paired_image: Index, chosen: Index, device: torch.device | str
) -> "_Best":
    images = Encoded.cat([_images(backbone, split, rows, device) for rows in _blocks(chosen)])
    best = _Best(len(chosen))
    for rows in _blocks(np.argsort(split.captions.lengths, kind="stable")):  # of about one length: little padding
        texts = _texts(backbone, split, rows, device)
        scores = [backbone.similarity(images.rows(shard), texts) for shard in _shards(len(chosen))]
        best.offer(torch.cat(scores), rows, left_out=chosen[:, None] == paired_image[rows])
    return best


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


def _images(backbone: Backbone, split: Split, rows: Index, device: torch.device | str) -> Encoded:
    regions = torch.from_numpy(split.gather(rows)).to(device)  # (B, R, D)
    return backbone.encode_images(regions, torch.full((len(rows),), regions.shape[1], device=device))


def _texts(backbone: Backbone, split: Split, rows: Index, device: torch.device | str) -> Encoded:
    tokens, lengths = (torch.from_numpy(array).to(device) for array in split.captions.padded(rows))
    return backbone.encode_texts(tokens, lengths)


def _blocks(rows: Index) -> Iterator[Index]:
    return (rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK))


def _shards(count: int) -> Iterator[slice]:
    return (slice(start, start + SHARD) for start in range(0, count, SHARD))
