"""Local alignments of every image with every word: SCAN's attention, then SGRAF's similarity vectors.

For word w and the context c that it attends to in an image, the similarity vector is normalise(W (c - w)^2 + b). At the
paper's sizes the differences c - w of one batch fill 0.9 GB, three copies of which the plain formula keeps for the
backward pass. Here only the attention weights (36 numbers per word and image, not 1024) and the result are kept: a
block of differences is made, used and forgotten while it is in the cache, in the forward pass and again in the backward
pass, where making it costs 3 % of the arithmetic.

The context's norm needs no pass over its 1024 channels either: |sum_r a_r v_r|^2 = a' G a with G the image's
36 x 36 Gram matrix of regions, so the normalised context is one product with rescaled weights.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from harness.backbones.base import blocks_of, l2_normalise, twice

EPS = 1e-8  # in every norm, as in the field's code
SMOOTH = 9.0  # inverse temperature of the softmax over regions (SCAN's lambda)
SLOPE = 0.1  # of the leaky ReLU on the attention scores
BLOCK_BYTES = {"cpu": 8 * 2**20}  # differences made at once: larger leave the caches, smaller make slower products
ELSEWHERE_BYTES = 256 * 2**20


class Group(NamedTuple):
    """Captions of equal length that follow each other."""

    captions: int
    length: int

    @property
    def words(self) -> int:
        return self.captions * self.length


Groups = Sequence[Group]


def region_weights(regions: Tensor, gram: Tensor, region_mask: Tensor, words: Tensor, groups: Groups) -> Tensor:
    """For each image and word, weights over regions that give the word's normalised context.

    regions (images, R, d), gram (images, R, R) their inner products, region_mask (images, R), words (n, d) of `groups`
    of captions, one after the other -> (images, n, R). SCAN's text-to-image attention: scores are normalised over the
    caption's words, then turned into a softmax over the image's regions.
    """
    images, items, dim = regions.shape
    scores = words @ regions.reshape(-1, dim).T  # (n, images * R)
    scores = torch.nn.functional.leaky_relu(scores, SLOPE)
    units = []
    for part, group in zip(scores.split([group.words for group in groups]), groups, strict=True):
        part = part.view(group.captions, group.length, -1)
        units.append((part / (_norm_over_words(part) + EPS)).flatten(0, 1))
    scores = torch.where(region_mask, torch.cat(units).view(-1, images, items) * SMOOTH, -torch.inf)
    return _of_unit_contexts(torch.softmax(scores, dim=-1).transpose(0, 1).contiguous(), gram)  # (images, n, R)


def pair_weights(regions: Tensor, region_mask: Tensor, words: Tensor) -> Tensor:
    """`region_weights` of image i for the words of caption i alone.

    regions (n, R, d), region_mask (n, R), words (n, L, d), none of them padding -> (n, L, R).
    """
    scores = torch.nn.functional.leaky_relu(words @ regions.transpose(1, 2), SLOPE)
    scores = scores / (_norm_over_words(scores) + EPS) * SMOOTH
    weights = torch.softmax(torch.where(region_mask[:, None], scores, -torch.inf), dim=-1)
    return _of_unit_contexts(weights, regions @ regions.transpose(1, 2))


def place_weights(lengths: Tensor, items: int, groups: Groups) -> Tensor:
    """Weights (images, n, items) that give for the regions of other images, n in `groups`, the region at the same
    place.

    For region k of l, in an image of m, that is k (m + 1) / (l + 1), rounded, the nearest of the places where the two
    are expected to have stood (see `RegionNorm`); of equally many regions, the k-th.
    """
    k = torch.cat([torch.arange(1, group.length + 1).repeat(group.captions) for group in groups]).to(lengths.device)
    of = torch.cat([torch.full((group.words,), group.length) for group in groups]).to(lengths.device)
    place = torch.round(k * (lengths[:, None] + 1) / (of + 1)).long()  # (images, n)
    return torch.nn.functional.one_hot(torch.clamp(place, lengths.new_tensor(1), lengths[:, None]) - 1, items)


def _of_unit_contexts(weights: Tensor, gram: Tensor) -> Tensor:
    """Weights (images, n, R) rescaled, so that the context that they give has unit length."""
    norm = ((weights @ gram) * weights).sum(dim=-1, keepdim=True).clamp_min(EPS**2).sqrt()
    return weights / (norm + EPS)


def _norm_over_words(scores: Tensor) -> Tensor:
    """(captions, L, n) -> (captions, 1, n). vector_norm over any but the last dimension is 50 times as slow on a CPU.

    The least number keeps the gradient at zero finite, and zero.
    """
    squares = scores.to(torch.promote_types(scores.dtype, torch.float32)).square().sum(dim=1, keepdim=True)
    return squares.clamp_min(torch.finfo(squares.dtype).tiny).sqrt()


def aligned(weights: Tensor, regions: Tensor, words: Tensor, matrix: Tensor, bias: Tensor) -> Tensor:
    """normalise(linear((context - word)^2)): weights (images, n, R), regions (images, R, d), words (n, d) or (images,
    n, d) -> (images, n, s)."""
    return l2_normalise(torch.nn.functional.linear((weights @ regions - words).square(), matrix, bias))


class _SimilarityNodes(torch.autograd.Function):
    """`similarity_nodes`, block by block over the images.

    Every block uses the same two buffers, which so stay in the cache.
    """

    @staticmethod
    def forward(
        ctx: Any,
        weights: Tensor,
        regions: Tensor,
        words: Tensor,
        whole: Tensor,
        matrix: Tensor,
        bias: Tensor,
        groups: Groups,
    ) -> tuple[Tensor, ...]:
        nodes = [words.new_empty(len(weights), group.captions, 1 + group.length, len(matrix)) for group in groups]
        for part, vectors in zip(nodes, whole.split([group.captions for group in groups], dim=1), strict=True):
            part[:, :, 0] = vectors
        norm = words.new_empty(*weights.shape[:2], 1)
        blocks = _blocks(weights, words)
        (squares,) = _buffers(blocks, words, 1)
        for rows in blocks:
            block = squares[: rows.stop - rows.start]
            torch.bmm(weights[rows], regions[rows], out=block)
            # (block - words)^2 in one pass over the block
            torch.ops.aten.mse_loss.out(block, words.expand_as(block), 0, out=block)
            vectors = torch.addmm(bias, block.flatten(0, 1), matrix.T).unflatten(0, block.shape[:2])
            norm[rows] = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
            vectors.div_(norm[rows] + EPS)
            for part, local in zip(nodes, _parts(vectors, groups), strict=True):
                part[rows, :, 1:] = local
        ctx.save_for_backward(weights, regions, words, matrix, norm, *nodes)
        ctx.groups = groups
        return tuple(nodes)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        weights, regions, words, matrix, norm, *nodes = ctx.saved_tensors
        to_weights, to_regions = torch.empty_like(weights), torch.empty_like(regions)
        to_words, to_matrix = torch.zeros_like(words), torch.zeros_like(matrix)
        to_bias = matrix.new_zeros(len(matrix))
        blocks = _blocks(weights, words)
        contexts, others = _buffers(blocks, words, 2)
        for rows in blocks:
            # Through the norm: out = v / (|v| + eps).
            pull, out = _packed(grads, rows), _packed(nodes, rows)
            along = (pull * out).sum(dim=-1, keepdim=True) * (1 + EPS / norm[rows].clamp_min(EPS))
            vectors = pull.addcmul_(out, along, value=-1).div_(norm[rows] + EPS).flatten(0, 1)  # (block * n, s)
            context, other = (buffer[: rows.stop - rows.start] for buffer in (contexts, others))
            spread = words.expand_as(context)
            torch.bmm(weights[rows], regions[rows], out=context)
            torch.ops.aten.mse_loss.out(context, spread, 0, out=other)  # as in forward
            to_matrix.addmm_(vectors.T, other.flatten(0, 1))
            to_bias += vectors.sum(dim=0)
            torch.mm(vectors, matrix, out=other.flatten(0, 1))
            # other * 2 (context - words), again in one pass
            torch.ops.aten.mse_loss_backward.grad_input(other, context, spread, 0, grad_input=other)
            to_words -= other[0] if len(other) == 1 else other.sum(dim=0)
            torch.bmm(other, regions[rows].transpose(1, 2), out=to_weights[rows])
            torch.bmm(weights[rows].transpose(1, 2), other, out=to_regions[rows])
        to_whole = torch.cat([grad[:, :, 0] for grad in grads], dim=1)
        return to_weights, to_regions, to_words, to_whole, to_matrix, to_bias, None


def _blocks(weights: Tensor, words: Tensor) -> list[slice]:
    budget = BLOCK_BYTES.get(words.device.type, ELSEWHERE_BYTES)
    return blocks_of(len(weights), words.numel() * words.element_size(), budget)


def _buffers(blocks: list[slice], words: Tensor, count: int) -> list[Tensor]:
    return [words.new_empty(blocks[0].stop, *words.shape) for _ in range(count)]


def _parts(vectors: Tensor, groups: Groups) -> list[Tensor]:
    """(images, n, s) as one (images, captions, L, s) for each group."""
    parts = vectors.split([group.words for group in groups], dim=1)
    return [part.unflatten(1, (group.captions, group.length)) for part, group in zip(parts, groups, strict=True)]


def _packed(nodes: Sequence[Tensor], rows: slice) -> Tensor:
    """The other way, without the global nodes: a copy."""
    return torch.cat([part[rows, :, 1:].flatten(1, 2) for part in nodes], dim=1)


def similarity_nodes(
    weights: Tensor, regions: Tensor, words: Tensor, whole: Tensor, matrix: Tensor, bias: Tensor, groups: Groups
) -> list[Tensor]:
    """For each image and caption its global vector and normalise(linear((context - word)^2)) for each word.

    weights (images, n, R) from `region_weights`, regions (images, R, d), words (n, d), whole (images, captions, s) the
    global vectors, matrix (s, d) and bias (s,) of `linear` -> for each group (images, captions, 1 + L, s).
    """
    device = words.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else words.dtype
    with torch.autocast(device, enabled=False):  # the cast is made here, so that backward sees the same types
        weights, regions, words, whole, matrix, bias = (
            tensor.to(dtype) for tensor in (weights, regions, words, whole, matrix, bias)
        )
        if not twice():
            return list(_SimilarityNodes.apply(weights, regions, words, whole, matrix, bias, groups))
        vectors = whole.split([group.captions for group in groups], dim=1)
        parts = _parts(aligned(weights, regions, words, matrix, bias), groups)
        return [torch.cat([one[:, :, None], part], dim=2) for one, part in zip(vectors, parts, strict=True)]
