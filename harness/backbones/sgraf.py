"""What SAF and SGR share: encoders, alignments of every image with every caption, and the walk over caption
chunks.

Source: Diao et al., "Similarity Reasoning and Filtration for Image-Text Matching", AAAI 2021. For an image
and a caption there is one similarity vector per word (the word against the regions it attends to) and one for
the two global vectors; SAF and SGR differ in how they make one vector of them.

The released code walks over the captions one by one. Here they are taken `chunk` at a time in the order of their
lengths, words packed and captions of equal length together, so that nothing is padding; `recompute` keeps only a
chunk's scores for the backward pass.

Differs from the released code in:
- Dropped regions (lengths below R) are masked out of attention and of averages; there they stay as near-zero
  features, which after the projection's bias and normalisation are attended to like any other. BatchNorm over
  region places: see `RegionNorm`.
Not sourced: the default dropout of 0.4 (words and self-attention) could not be checked against the released code.
"""

from itertools import groupby

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from harness.backbones.alignment import Group, Groups, region_weights, similarity_nodes
from harness.backbones.base import Backbone, Encoded, l2_normalise, length_mask
from harness.backbones.encoders import WordEncoder, xavier_linear
from harness.backbones.self_attention import TextSelfAttention, VisualSelfAttention
from harness.compiling import untraced
from harness.distributed import gather


class SimilarityReasoning(Backbone):
    """The common part of SAF and SGR; a subclass says how similarity vectors become one: `reason`."""

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
    ) -> None:
        super().__init__(region_dim, vocabulary_size)
        self.embed_dim = embed_dim
        self.word_dim = word_dim
        self.sim_dim = sim_dim
        self.regions = regions
        self.dropout = dropout
        self.chunk = chunk
        self.recompute = recompute
        self.regions_to_vectors = xavier_linear(region_dim, embed_dim)
        self.words_to_states = WordEncoder(vocabulary_size, word_dim, embed_dim, dropout=dropout)
        self.image_attention = VisualSelfAttention(embed_dim, regions, dropout=dropout)
        self.text_attention = TextSelfAttention(embed_dim, dropout=dropout)
        self.local_alignment = xavier_linear(embed_dim, sim_dim)
        self.global_alignment = xavier_linear(embed_dim, sim_dim)
        self.score = xavier_linear(sim_dim, 1)

    def prepare(self) -> tuple[Tensor, ...]:
        """What `reason` needs of the weights alone, made once for all captions."""
        return ()

    def reason(self, nodes: Tensor, *prepared: Tensor) -> tuple[Tensor, Tensor]:
        """nodes (images, captions, 1 + L, sim_dim), the global one first, none of them padding.

        Returns vectors (images, captions, sim_dim) and statistics (captions, any number), handed to
        `learn_statistics`.
        """
        raise NotImplementedError

    def learn_statistics(self, statistics: Tensor) -> None:
        """Called once per training-mode call with the statistics of all captions, in the captions' order."""

    def encode_images(self, regions: Tensor, lengths: Tensor) -> Encoded:
        """regions (images, R, region_dim), lengths (images,) -> unit vectors (images, R, embed_dim), zero
        when padded."""
        self._check("regions", regions, lengths)
        mask = length_mask(lengths, regions.shape[1])[:, :, None]
        return Encoded(torch.where(mask, l2_normalise(self.regions_to_vectors(regions)), 0), lengths)

    def encode_texts(self, tokens: Tensor, lengths: Tensor) -> Encoded:
        """tokens (texts, L), lengths (texts,) -> unit vectors (texts, L, embed_dim), zero when padded."""
        self._check("tokens", tokens, lengths)
        return Encoded(l2_normalise(self.words_to_states(tokens, lengths)), lengths)

    def similarity(self, images: Encoded, texts: Encoded, *, raw: bool = False) -> Tensor:
        """Scores (images, texts) in (0, 1), or before the sigmoid with `raw`."""
        # The caption lengths of a batch shape the work, so each batch would be compiled anew.
        result: Tensor = untraced(SimilarityReasoning._similarity)(self, images, texts)
        return result if raw else torch.sigmoid(result)

    def _similarity(self, images: Encoded, texts: Encoded) -> Tensor:
        image_vectors = self.image_attention(*images)  # (images, embed_dim)
        text_vectors = self.text_attention(*texts)
        regions, mask = images.values, length_mask(images.lengths, images.values.shape[1])
        shared = (regions, regions @ regions.transpose(1, 2), mask, image_vectors, *self.prepare())
        lengths = texts.lengths.tolist()
        order = sorted(range(len(lengths)), key=lengths.__getitem__)
        places = torch.tensor(order, device=texts.lengths.device)
        longest = texts.values.shape[1]
        packed = [row * longest + item for row in order for item in range(lengths[row])]
        words = texts.values.flatten(0, 1)[torch.tensor(packed, device=places.device)]  # (all words, embed_dim)
        scores, statistics, begin = [], [], 0
        for start in range(0, len(order), self.chunk):
            chunk = order[start : start + self.chunk]
            groups = [Group(len(list(group)), length) for length, group in groupby(lengths[row] for row in chunk)]
            end = begin + sum(group.words for group in groups)
            arguments = (groups, words[begin:end], text_vectors[places[start : start + self.chunk]], *shared)
            if self.recompute and torch.is_grad_enabled():
                score, statistic = checkpoint(
                    self._chunk_scores, *arguments, use_reentrant=False, preserve_rng_state=False
                )
            else:
                score, statistic = self._chunk_scores(*arguments)
            scores.append(score)
            statistics.append(statistic)
            begin = end
        back = torch.empty_like(places)
        back[places] = torch.arange(len(order), device=places.device)
        if self.training:
            # Of several processes each has its share of the captions, and all have all images of the batch.
            self.learn_statistics(gather(torch.cat(statistics)[back].detach(), len(images.lengths)))
        return torch.cat(scores, dim=1)[:, back]

    def _chunk_scores(
        self,
        groups: Groups,
        words: Tensor,
        text_vectors: Tensor,
        regions: Tensor,
        gram: Tensor,
        region_mask: Tensor,
        image_vectors: Tensor,
        *prepared: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Raw scores (images, captions of the chunk) and statistics (captions of the chunk, any)."""
        weights = region_weights(regions, gram, region_mask, words, groups)
        whole = l2_normalise(self.global_alignment((image_vectors[:, None] - text_vectors).square()))
        nodes = similarity_nodes(weights, regions, words, whole, self.local_alignment, groups)
        vectors, statistics = zip(*(self.reason(group, *prepared) for group in nodes), strict=True)
        return self.score(torch.cat(vectors, dim=1)).squeeze(-1), torch.cat(statistics)
