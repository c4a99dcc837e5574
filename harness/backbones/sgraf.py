"""What SAF and SGR share: encoders, alignments of every image with every caption, and the walk over caption chunks.

Source: Diao et al., "Similarity Reasoning and Filtration for Image-Text Matching", AAAI 2021. For an image and a
caption there is one similarity vector per word (the word against the regions it attends to) and one for the two global
vectors; SAF and SGR differ in how they make one vector of them.

The released code walks over the captions one by one. Here they are taken `chunk` at a time in the order of their
lengths, words packed and captions of equal length together, so that nothing is padding; `recompute` keeps only a
chunk's scores for the backward pass.

Images among images and texts among texts (`within`) are compared as GSC's release does with the same parameters (Zhao
et al., "Mitigating Noisy Correspondence by Geometrical Structure Consistency Learning", CVPR 2024).

Differs from the released code in:
- Dropped regions (lengths below R) are masked out of attention and of averages; there they stay as near-zero
  features, which after the projection's bias and normalisation are attended to like any other. BatchNorm over region
  places: see `RegionNorm`.
- `within` leaves SAF's running averages alone. GSC's release moves them with every comparison, so that those of texts
  among texts, its last ones, are what evaluation then normalises images against texts with.
- `within` where images have lost different regions: see `place_weights`.
The same as there: dropout is 0.4 on the words and in both self-attentions.
Ours: `images` and `texts` may be vectors in no order or a sequence of them; see `encoders.side_encoder`.
"""

from collections.abc import Callable
from functools import partial
from itertools import groupby
from typing import NamedTuple

import torch
from torch import Tensor, nn

from harness.backbones.alignment import (
    Group,
    Groups,
    aligned,
    pair_weights,
    place_weights,
    region_weights,
    similarity_nodes,
)
from harness.backbones.base import Backbone, Encoded, l2_normalise, length_mask
from harness.backbones.encoders import Images, Kind, LinearProjection, side_encoder, xavier_linear
from harness.backbones.recompute import recomputed
from harness.backbones.self_attention import TextSelfAttention, VisualSelfAttention
from harness.compiling import untraced
from harness.distributed import gather
from harness.errors import HarnessError

# What GSC's release adds to the difference of an item to itself. While the bias is zero, as at the start, that would
# give a zero vector, at which its way of normalising has no gradient.
SHIFT = 1e-6


class Contexts(NamedTuple):
    """What queries are compared with: n images, or n texts where texts are the queries, too."""

    items: Tensor  # (n, R, embed_dim)
    vectors: Tensor  # (n, embed_dim), global
    attend: Callable[[Tensor, Groups], Tensor]  # queries' items (m, embed_dim) of `Groups` -> weights (n, m, R)


class SimilarityReasoning(Backbone):
    """The common part of SAF and SGR; a subclass says how similarity vectors become one: `reason`."""

    head_name = "score"

    def __init__(
        self,
        region_dim: int,
        vocabulary_size: int,
        *,
        embed_dim: int,
        word_dim: int,
        sim_dim: int,
        regions: int,
        dropout: float,
        chunk: int,
        recompute: bool,
        images: Images,
        texts: Kind,
    ) -> None:
        super().__init__(region_dim, vocabulary_size)
        self.embed_dim = embed_dim
        self.word_dim = word_dim
        self.sim_dim = sim_dim
        self.regions = regions
        self.dropout = dropout
        self.chunk = chunk
        self.recompute = recompute
        self.images = images
        self.texts = texts
        encoder = partial(side_encoder, embed_dim=embed_dim, word_dim=word_dim, dropout=dropout)
        self.regions_to_vectors = encoder(images, LinearProjection, region_dim)
        self.words_to_states = encoder(texts, LinearProjection, vocabulary_size)
        self.image_attention = VisualSelfAttention(embed_dim, regions, dropout=dropout)
        self.text_attention = TextSelfAttention(embed_dim, dropout=dropout)
        self.local_alignment = xavier_linear(embed_dim, sim_dim)
        self.global_alignment = xavier_linear(embed_dim, sim_dim)
        self.score = xavier_linear(sim_dim, 1)

    @property
    def pair_dim(self) -> int:
        """Length of a similarity vector."""
        return self.sim_dim

    def prepare(self) -> tuple[Tensor, ...]:
        """What `reason` needs of the weights alone, made once for all captions."""
        return ()

    def reason(self, nodes: Tensor, *prepared: Tensor, measure: bool) -> tuple[Tensor, Tensor]:
        """nodes (images, captions, 1 + L, sim_dim), the global one first, none of them padding.

        With `measure` a norm takes its statistics from the nodes, else it takes its running averages. Returns vectors
        (images, captions, sim_dim) and statistics (captions, any number), handed to `learn_statistics`.
        """
        raise NotImplementedError

    def learn_statistics(self, statistics: Tensor) -> None:
        """Called once per training-mode `compare` with the statistics of all captions, in the captions' order."""

    def encode_images(self, regions: Tensor, lengths: Tensor) -> Encoded:
        """regions (images, R, region_dim), lengths (images,) -> unit vectors (images, R, embed_dim), zero when
        padded."""
        self._check("regions", regions, lengths)
        return Encoded(_covered(l2_normalise(self.regions_to_vectors(regions, lengths)), lengths), lengths, "images")

    def encode_texts(self, tokens: Tensor, lengths: Tensor) -> Encoded:
        """tokens (texts, L), or vectors (texts, L, D), lengths (texts,) -> unit vectors (texts, L, embed_dim), zero
        when padded."""
        self._check("tokens", tokens, lengths)
        states = l2_normalise(self.words_to_states(tokens, lengths))
        return Encoded(_covered(states, lengths) if self.texts == "set" else states, lengths, "texts")

    def activate(self, raw: Tensor) -> Tensor:
        """Scores in (0, 1)."""
        return torch.sigmoid(raw)

    # The caption lengths of a batch shape the work, so each batch would be compiled anew.

    def compare(self, images: Encoded, texts: Encoded) -> Tensor:
        """Raw scores (images, texts)."""
        scores: Tensor = untraced(SimilarityReasoning._compare)(self, images, texts)
        return scores

    def compare_within(self, encoded: Encoded) -> Tensor:
        """Raw scores (n, n), entry (a, i) of item a compared with item i; not symmetric for texts.

        As GSC's release (forward_topology in its SGRAF.py): a region of image i meets the region of a at the same
        place, without attention; the words of text i attend to those of text a. 1e-6 is added to squared differences of
        regions and of global vectors, and to the words attended to. In training mode the statistics of SAF's filter are
        those of an i among all a, and move no running averages; the self-attention draws dropout of its own.
        """
        scores: Tensor = untraced(SimilarityReasoning._within)(self, encoded)
        return scores

    def compare_pairs(self, images: Encoded, texts: Encoded) -> Tensor:
        """Raw scores (n,) of image i with text i, with the work and the memory of n captions on one image.

        In training mode SAF's filter takes its running averages, and moves none: its statistics are those of a caption
        among all images, mostly not its own, which are not looked at here, and those of matching pairs would be other
        ones. The rest is as in `compare`.
        """
        scores: Tensor = untraced(SimilarityReasoning._pairs)(self, images, texts)
        return scores

    def _compare(self, images: Encoded, texts: Encoded) -> Tensor:
        vectors = self.image_attention(images.values, images.lengths)  # (images, embed_dim)
        text_vectors = self.text_attention(texts.values, texts.lengths)
        contexts = Contexts(images.values, vectors, _attention(images.values, images.lengths))
        scores, statistics = self._walk(contexts, texts, text_vectors)
        if self.training:
            # Of several processes each has its share of the captions, and all have all images of the batch.
            self.learn_statistics(gather(statistics.detach(), len(images.lengths)))
        return scores

    def _within(self, encoded: Encoded) -> Tensor:
        values, lengths, of = encoded
        if of == "images":
            vectors = self.image_attention(values, lengths)
            contexts = Contexts(values, vectors, lambda _, groups: place_weights(lengths, values.shape[1], groups))
            return self._walk(contexts, encoded, vectors, local_shift=SHIFT, global_shift=SHIFT)[0]
        if of == "texts":
            vectors = self.text_attention(values, lengths)
            moved = values + SHIFT
            contexts = Contexts(moved, vectors, _attention(moved, lengths))
            return self._walk(contexts, encoded, vectors, global_shift=SHIFT)[0]
        raise HarnessError(
            f"{type(self).__name__}: to compare an Encoded within, it must say what it is of; accepted: of = 'images' "
            "or 'texts', which encode_images and encode_texts set; keep it with `encoded._replace(values=...)`"
        )

    def _walk(
        self,
        contexts: Contexts,
        queries: Encoded,
        query_vectors: Tensor,
        *,
        local_shift: float = 0.0,
        global_shift: float = 0.0,
    ) -> tuple[Tensor, Tensor]:
        """Raw scores (contexts, queries) and statistics (queries, any number); `chunk` queries at a time."""
        prepared = self.prepare()
        lengths = queries.lengths.tolist()
        order, places, back = _by_length(lengths, queries.values.device)
        longest = queries.values.shape[1]
        packed = [row * longest + item for row in order for item in range(lengths[row])]
        words = queries.values.flatten(0, 1)[torch.tensor(packed, device=places.device)]  # (all words, embed_dim)
        scores, statistics, begin = [], [], 0
        for start in range(0, len(order), self.chunk):
            chunk = order[start : start + self.chunk]
            groups = [Group(len(list(group)), length) for length, group in groupby(lengths[row] for row in chunk)]
            end = begin + sum(group.words for group in groups)
            function = partial(self._chunk_scores, groups, local_shift, global_shift, contexts)
            arguments = (words[begin:end], query_vectors[places[start : start + self.chunk]], *prepared)
            if self.recompute and torch.is_grad_enabled():
                score, statistic = recomputed(self, function, *arguments)
            else:
                score, statistic = function(*arguments)
            scores.append(score)
            statistics.append(statistic)
            begin = end
        return torch.cat(scores, dim=1)[:, back], torch.cat(statistics)[back]

    def _chunk_scores(
        self,
        groups: Groups,
        local_shift: float,
        global_shift: float,
        contexts: Contexts,
        words: Tensor,
        vectors: Tensor,
        *prepared: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Raw scores (contexts, queries of the chunk) and statistics (queries of the chunk, any)."""
        weights = contexts.attend(words, groups)
        squares = (contexts.vectors[:, None] - vectors).square()
        whole = l2_normalise(nn.functional.linear(squares, *_shifted(self.global_alignment, global_shift)))
        local = _shifted(self.local_alignment, local_shift)
        nodes = similarity_nodes(weights, contexts.items, words, whole, *local, groups)
        reasoned = (self.reason(group, *prepared, measure=self.training) for group in nodes)
        reasoned_vectors, statistics = zip(*reasoned, strict=True)
        return self.score(torch.cat(reasoned_vectors, dim=1)).squeeze(-1), torch.cat(statistics)

    def _pairs(self, images: Encoded, texts: Encoded) -> Tensor:
        vectors = self.image_attention(images.values, images.lengths)
        squares = (vectors - self.text_attention(texts.values, texts.lengths)).square()
        whole = l2_normalise(self.global_alignment(squares))  # (n, sim_dim)
        mask, prepared = length_mask(images.lengths, images.values.shape[1]), self.prepare()
        lengths = texts.lengths.tolist()
        order, places, back = _by_length(lengths, texts.values.device)
        scores, begin = [], 0
        for length, group in groupby(lengths[row] for row in order):
            rows = places[begin : begin + len(list(group))]
            begin += len(rows)
            regions, words = images.values[rows], texts.values[rows, :length]
            weights = pair_weights(regions, mask[rows], words)
            local = aligned(weights, regions, words, *_shifted(self.local_alignment))
            nodes = torch.cat([whole[rows, None], local], dim=1)[:, None]  # (rows, 1, 1 + length, sim_dim)
            scores.append(self.score(self.reason(nodes, *prepared, measure=False)[0]).flatten())
        return torch.cat(scores)[back]


def _covered(vectors: Tensor, lengths: Tensor) -> Tensor:
    """(n, items, d) with zeros where an item is padding."""
    return torch.where(length_mask(lengths, vectors.shape[1])[:, :, None], vectors, 0)


def _attention(items: Tensor, lengths: Tensor) -> Callable[[Tensor, Groups], Tensor]:
    return partial(region_weights, items, items @ items.transpose(1, 2), length_mask(lengths, items.shape[1]))


def _by_length(lengths: list[int], device: torch.device) -> tuple[list[int], Tensor, Tensor]:
    """The rows in the order of their lengths, as numbers and on `device`, and where each row then stands."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    places = torch.tensor(order, device=device)
    back = torch.empty_like(places)
    back[places] = torch.arange(len(order), device=device)
    return order, places, back


def _shifted(linear: nn.Linear, by: float = 0.0) -> tuple[Tensor, Tensor]:
    """Weight and bias of the same map of its input + `by`."""
    return linear.weight, linear.bias + by * linear.weight.sum(dim=1) if by else linear.bias
