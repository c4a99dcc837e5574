"""Local alignments of every image with every word: SCAN's attention, then SGRAF's similarity vectors.

For word w and the context c that it attends to in an image, the similarity vector is normalise(W (c - w)^2 +
b). At the paper's sizes the differences c - w of one batch fill 0.9 GB, three copies of which the plain
formula keeps for the backward pass. Here only the attention weights (36 numbers per word and image, not 1024)
and the result are kept: a block of differences is made, used and forgotten while it is in the cache, in the
forward pass and again in the backward pass, where making it costs 3 % of the arithmetic.

The context's norm needs no pass over its 1024 channels either: |sum_r a_r v_r|^2 = a' G a with G the image's
36 x 36 Gram matrix of regions, so the normalised context is one product with rescaled weights.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

EPS = 1e-8  # in every norm, as in the field's code
SMOOTH = 9.0  # inverse temperature of the softmax over regions (SCAN's lambda)
SLOPE = 0.1  # of the leaky ReLU on the attention scores
BLOCK_BYTES = {"cpu": 4 * 2**20}  # differences made at once: about what stays in a core's cache
ELSEWHERE_BYTES = 256 * 2**20


def region_weights(regions: Tensor, region_mask: Tensor, words: Tensor, word_mask: Tensor) -> Tensor:
    """For each image and word, weights over regions that give the word's normalised context.

    regions (images, R, d), region_mask (images, R), words (captions, L, d), word_mask (captions, L) ->
    (images, captions * L, R). SCAN's text-to-image attention: scores are normalised over the caption's words,
    then turned into a softmax over the image's regions.
    """
    images, items, dim = regions.shape
    captions, length, _ = words.shape
    scores = words.reshape(-1, dim) @ regions.reshape(-1, dim).T  # (captions * L, images * R)
    scores = torch.nn.functional.leaky_relu(scores, SLOPE).view(captions, length, images, items)
    scores = torch.where(word_mask[:, :, None, None], scores, 0)
    scores = scores / (torch.linalg.vector_norm(scores, dim=1, keepdim=True) + EPS)
    scores = torch.where(region_mask, scores * SMOOTH, -torch.inf)
    weights = torch.softmax(scores, dim=-1).view(-1, images, items)
    weights = weights.transpose(0, 1)  # (images, captions * L, R), a view
    gram = regions @ regions.transpose(1, 2)
    norm = ((weights @ gram) * weights).sum(dim=-1, keepdim=True).clamp_min(EPS**2).sqrt()
    return weights / (norm + EPS)


class _SquaredDifferences(torch.autograd.Function):
    """normalise(linear((weights @ regions - words)^2)), block by block over the images."""

    @staticmethod
    def forward(ctx: Any, weights: Tensor, regions: Tensor, words: Tensor, matrix: Tensor, bias: Tensor) -> Tensor:
        out = words.new_empty(*weights.shape[:2], matrix.shape[0])  # (images, n, s)
        norm = words.new_empty(*weights.shape[:2], 1)
        for rows in _blocks(weights, words):
            squares = torch.baddbmm(words, weights[rows], regions[rows], beta=-1).square_()
            vectors = torch.addmm(bias, squares.flatten(0, 1), matrix.T).view_as(out[rows])
            norm[rows] = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
            torch.div(vectors, norm[rows] + EPS, out=out[rows])
        ctx.save_for_backward(weights, regions, words, matrix, bias, out, norm)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
        weights, regions, words, matrix, bias, out, norm = ctx.saved_tensors
        to_weights, to_regions = torch.empty_like(weights), torch.empty_like(regions)
        to_words, to_matrix, to_bias = (torch.zeros_like(tensor) for tensor in (words, matrix, bias))
        for rows in _blocks(weights, words):
            # Through the norm: out = v / (|v| + eps).
            along = (grad[rows] * out[rows]).sum(dim=-1, keepdim=True) * (1 + EPS / norm[rows].clamp_min(EPS))
            vectors = ((grad[rows] - out[rows] * along) / (norm[rows] + EPS)).flatten(0, 1)  # (block * n, s)
            difference = torch.baddbmm(words, weights[rows], regions[rows], beta=-1)  # (block, n, d)
            to_matrix.addmm_(vectors.T, difference.square().flatten(0, 1))
            to_bias += vectors.sum(dim=0)
            pull = (vectors.mul_(2) @ matrix).view_as(difference).mul_(difference)
            to_words -= pull.sum(dim=0)
            to_weights[rows] = pull @ regions[rows].transpose(1, 2)
            torch.bmm(weights[rows].transpose(1, 2), pull, out=to_regions[rows])
        return to_weights, to_regions, to_words, to_matrix, to_bias


def _blocks(weights: Tensor, words: Tensor) -> list[slice]:
    images = weights.shape[0]
    budget = BLOCK_BYTES.get(words.device.type, ELSEWHERE_BYTES)
    step = max(1, budget // (words.numel() * words.element_size()))
    return [slice(start, min(start + step, images)) for start in range(0, images, step)]


def similarity_vectors(weights: Tensor, regions: Tensor, words: Tensor, linear: torch.nn.Linear) -> Tensor:
    """normalise(linear((context - word)^2)) for each image and word.

    weights (images, n, R) from `region_weights`, regions (images, R, d), words (n, d) -> (images, n, s).
    """
    device = words.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else words.dtype
    tensors = (weights, regions, words, linear.weight, linear.bias)
    with torch.autocast(device, enabled=False):  # the cast is made here, so that backward sees the same types
        return _SquaredDifferences.apply(*(tensor.to(dtype) for tensor in tensors))
