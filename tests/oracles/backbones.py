"""Slow twins of the backbones: one image and one caption at a time, the formulas as the papers write them.

They read the same modules' parameters, so their gradients can be compared too. Only what is fast in the
backbones is written out again: pooling weights per sample, attention and reasoning per caption, normalisation
over loops.
"""

import math
from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import functional as F

from harness.backbones import SAF, SGR, VSEInfinity
from harness.backbones.gpo import GPO
from harness.backbones.sgraf import SimilarityReasoning


def unit(x: Tensor) -> Tensor:
    return x / (x.pow(2).sum(-1, keepdim=True).sqrt() + 1e-8)


def positions(items: int, dim: int) -> Tensor:
    table = torch.zeros(items, dim)
    for place in range(items):
        for column in range(dim):
            angle = place / 10000 ** ((column - column % 2) / dim)
            table[place, column] = math.cos(angle) if column % 2 else math.sin(angle)
    return table


def pool(gpo: GPO, items: Tensor) -> Tensor:
    """One set (n, d) -> (d,): its own run of the small BiGRU, no table, no padding, torch's sort."""
    states, _ = gpo.gru(positions(len(items), gpo.dim)[None])
    forward, backward = states[0].split(gpo.dim, dim=-1)
    weights = torch.softmax(gpo.score((forward + backward) / 2)[:, 0] / 0.1, dim=0)
    return (weights[:, None] * items.sort(dim=0, descending=True).values).sum(0)


def word_states(model: VSEInfinity | SimilarityReasoning, tokens: Tensor, lengths: Tensor) -> list[Tensor]:
    """The BiGRU on each caption alone, cut to its length."""
    encoder, states = model.words_to_states, []
    if model.texts == "set":
        return list(of_set(model, encoder, tokens, lengths))
    for row, length in zip(tokens, lengths.tolist(), strict=True):
        out, _ = encoder.gru(encoder.embedding(row[None, :length]) if model.texts == "words" else row[None, :length])
        forward, backward = out[0].split(encoder.gru.hidden_size, dim=-1)
        states.append((forward + backward) / 2)
    return states


def image_states(model: VSEInfinity | SimilarityReasoning, regions: Tensor, lengths: Tensor) -> list[Tensor]:
    """What each image alone is made into, cut to its length."""
    part = model.regions_to_vectors
    if model.images == "set":
        return list(of_set(model, part, regions, lengths))
    states = []
    for row, length in zip(regions, lengths.tolist(), strict=True):
        forward, backward = part.gru(row[None, :length])[0][0].split(part.gru.hidden_size, dim=-1)
        states.append((forward + backward) / 2)
    return states


def of_set(
    model: VSEInfinity | SimilarityReasoning, part: torch.nn.Module, vectors: Tensor, lengths: Tensor
) -> Iterable[Tensor]:
    """Vectors in no order, (length, d) of each item."""
    real = [rows[:length] for rows, length in zip(vectors, lengths.tolist(), strict=True)]
    if isinstance(model, SimilarityReasoning):
        return [F.linear(rows, part.weight, part.bias) for rows in real]
    hidden = part.hidden(torch.cat(real))
    if part.norm_padding and model.training:  # a zero row for each region that is missing beside the longest set
        missing = int(lengths.max()) * len(real) - len(hidden)
        hidden = torch.cat([hidden, part.hidden(torch.zeros(missing, vectors.shape[2]))])
    hidden = part.norm(hidden)[: int(lengths.sum())]  # statistics over all vectors of the batch
    return (part.linear(torch.cat(real)) + part.output(torch.relu(hidden))).split(lengths.tolist())


def vse_infinity(
    model: VSEInfinity, regions: Tensor, region_lengths: Tensor, tokens: Tensor, lengths: Tensor
) -> Tensor:
    images = [unit(pool(model.image_pool, rows)) for rows in image_states(model, regions, region_lengths)]
    texts = [unit(pool(model.text_pool, rows)) for rows in word_states(model, tokens, lengths)]
    return torch.stack([torch.stack([image @ text for text in texts]) for image in images])


def place(k: int, length: int, regions: int) -> int:
    """Where the k-th (from 0) of `length` remaining regions is expected to have stood among `regions`."""
    return min(round((k + 1) * (regions + 1) / (length + 1)), regions) - 1


def region_norm(model: SimilarityReasoning, local: list[Tensor]) -> list[Tensor]:
    """BatchNorm per place; running averages are moved. local: one (length, d) per image."""
    norm = model.image_attention.local_norm
    out = [rows.clone() for rows in local]
    for channel in range(norm.regions):
        where = [
            (i, k)
            for i, rows in enumerate(local)
            for k in range(len(rows))
            if place(k, len(rows), norm.regions) == channel
        ]
        if not where:
            continue
        values = torch.stack([local[i][k] for i, k in where])
        # torch's own batch norm over one channel does the statistics and the running averages.
        flat = F.batch_norm(
            values.reshape(-1, 1),
            norm.running_mean[channel : channel + 1],
            norm.running_var[channel : channel + 1],
            norm.weight[channel : channel + 1],
            norm.bias[channel : channel + 1],
            training=model.training,
            momentum=norm.momentum,
            eps=norm.eps,
        )
        for (i, k), row in zip(where, flat.view_as(values), strict=True):
            out[i][k] = row
    return out


def global_images(model: SimilarityReasoning, images: list[Tensor]) -> list[Tensor]:
    part = model.image_attention
    local = region_norm(model, [part.local(rows) for rows in images])
    means = part.mean_norm(part.mean(torch.stack([rows.mean(0) for rows in images])))
    vectors = []
    for rows, normal, mean in zip(images, local, means, strict=True):
        weights = torch.softmax(part.common(torch.tanh(normal) * torch.tanh(mean))[:, 0], dim=0)
        vectors.append(unit((weights[:, None] * rows).sum(0)))
    return vectors


def global_text(model: SimilarityReasoning, words: Tensor) -> Tensor:
    part = model.text_attention
    agreement = torch.tanh(part.local(words)) * torch.tanh(part.mean(words.mean(0)))
    weights = torch.softmax(part.common(agreement)[:, 0], dim=0)
    return unit((weights[:, None] * words).sum(0))


def contexts(words: Tensor, regions: Tensor) -> Tensor:
    """SCAN's text-to-image attention of one caption (L, d) on one image (R, d) -> (L, d)."""
    scores = unit(F.leaky_relu(regions @ words.T, 0.1))  # (R, L), normalised over the words
    return unit(torch.softmax(9 * scores.T, dim=1) @ regions)


def reason(model: SimilarityReasoning, nodes: Tensor) -> Tensor:
    """nodes (images, 1 + L, s) of one caption -> raw scores (images,)."""
    if isinstance(model, SGR):
        for step in model.graph:
            query, key = step.query(nodes), step.key(nodes)
            nodes = torch.relu(step.output(torch.softmax(query @ key.transpose(1, 2), dim=-1) @ nodes))
        return model.score(nodes[:, 0])[:, 0]
    assert isinstance(model, SAF)
    gates = torch.sigmoid(model.filter_norm(model.filter(nodes).transpose(1, 2)))  # (images, 1, 1 + L)
    gates = gates / (gates.sum(-1, keepdim=True) + 1e-8)
    return model.score(unit((gates @ nodes)[:, 0]))[:, 0]


def sgraf(
    model: SimilarityReasoning, regions: Tensor, region_lengths: Tensor, tokens: Tensor, lengths: Tensor
) -> Tensor:
    """SAF and SGR: a loop over captions, a loop over images within; no padding anywhere."""
    images = [unit(rows) for rows in image_states(model, regions, region_lengths)]
    wholes = global_images(model, images)
    columns = []
    for words in map(unit, word_states(model, tokens, lengths)):
        text = global_text(model, words)
        nodes = torch.stack(
            [
                torch.cat(
                    [
                        unit(model.global_alignment((whole - text) ** 2))[None],
                        unit(model.local_alignment((contexts(words, image) - words) ** 2)),
                    ]
                )
                for image, whole in zip(images, wholes, strict=True)
            ]
        )
        columns.append(torch.sigmoid(reason(model, nodes)))
    return torch.stack(columns, dim=1)


def same_place(a: Tensor, b: Tensor) -> Tensor:
    """(regions of b,): for each of them the region of `a` that stands at the same place."""
    expected = torch.arange(1, len(a) + 1).double() / (len(a) + 1)
    wanted = torch.arange(1, len(b) + 1).double() / (len(b) + 1)
    return (expected[None] - wanted[:, None]).abs().argmin(dim=1)


def within_images(model: SimilarityReasoning, images: list[Tensor]) -> Tensor:
    """Raw scores (n, n) of image a, one (length, d) each, with image i: a loop over i, a loop over a."""
    wholes = global_images(model, images)
    columns = []
    for image, whole in zip(images, wholes, strict=True):
        nodes = [
            torch.cat(
                [
                    unit(model.global_alignment((other_whole - whole) ** 2 + 1e-6))[None],
                    unit(model.local_alignment((other[same_place(other, image)] - image) ** 2 + 1e-6)),
                ]
            )
            for other, other_whole in zip(images, wholes, strict=True)
        ]
        columns.append(reason(model, torch.stack(nodes)))
    return torch.stack(columns, dim=1)


def within_texts(model: SimilarityReasoning, texts: list[Tensor]) -> Tensor:
    """Raw scores (n, n) of text a, one (length, d) each, with text i, whose words attend to those of a."""
    wholes = [global_text(model, words) for words in texts]
    columns = []
    for words, whole in zip(texts, wholes, strict=True):
        nodes = [
            torch.cat(
                [
                    unit(model.global_alignment((other_whole - whole) ** 2 + 1e-6))[None],
                    unit(model.local_alignment((contexts(words, other + 1e-6) - words) ** 2)),
                ]
            )
            for other, other_whole in zip(texts, wholes, strict=True)
        ]
        columns.append(reason(model, torch.stack(nodes)))
    return torch.stack(columns, dim=1)
