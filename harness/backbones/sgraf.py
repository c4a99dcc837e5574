"""What SAF and SGR share: encoders, alignments of every image with every caption, and the walk over caption
chunks.

Source: Diao et al., "Similarity Reasoning and Filtration for Image-Text Matching", AAAI 2021. For an image
and a caption there is one similarity vector per word (the word against the regions it attends to) and one for
the two global vectors; SAF and SGR differ in how they make one vector of them.

The released code walks over the captions one by one. Here captions are padded, masked and taken `chunk` at a
time, sorted by length so that little is padding; `recompute` keeps only a chunk's scores for the backward
pass.

Differs from the released code in:
- Dropped regions (lengths below R) are masked out of attention and of averages; there they stay as near-zero
  features, which after the projection's bias and normalisation are attended to like any other. BatchNorm over
  region places: see `RegionNorm`.
Not sourced: the default dropout of 0.4 (words and self-attention) could not be checked against the released code.
"""

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from harness.backbones.alignment import region_weights, similarity_vectors
from harness.backbones.base import Backbone, Encoded, l2_normalise, length_mask
from harness.backbones.encoders import WordEncoder, xavier_linear
from harness.backbones.self_attention import TextSelfAttention, VisualSelfAttention


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

    def reason(self, nodes: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """nodes (images, captions, 1 + L, sim_dim), the global one first, mask (captions, 1 + L).

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
        image_vectors = self.image_attention(*images)  # (images, embed_dim)
        text_vectors = self.text_attention(*texts)
        host = texts.lengths.tolist()
        order = sorted(range(len(host)), key=host.__getitem__)
        scores, statistics = [], []
        for start in range(0, len(order), self.chunk):
            rows = torch.tensor(order[start : start + self.chunk], device=texts.lengths.device)
            longest = host[order[min(start + self.chunk, len(order)) - 1]]
            words, lengths = texts.values[rows, :longest], texts.lengths[rows]
            arguments = (images.values, images.lengths, image_vectors, words, lengths, text_vectors[rows])
            if self.recompute and torch.is_grad_enabled():
                score, statistic = checkpoint(
                    self._chunk_scores, *arguments, use_reentrant=False, preserve_rng_state=False
                )
            else:
                score, statistic = self._chunk_scores(*arguments)
            scores.append(score)
            statistics.append(statistic)
        back = torch.empty(len(order), dtype=torch.long)
        back[order] = torch.arange(len(order))
        back = back.to(texts.lengths.device)
        if self.training:
            self.learn_statistics(torch.cat(statistics)[back].detach())
        result = torch.cat(scores, dim=1)[:, back]
        return result if raw else torch.sigmoid(result)

    def _chunk_scores(
        self,
        regions: Tensor,
        region_lengths: Tensor,
        image_vectors: Tensor,
        words: Tensor,
        lengths: Tensor,
        text_vectors: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Raw scores (images, captions of the chunk) and statistics (captions of the chunk, any)."""
        captions, longest, dim = words.shape
        mask = length_mask(lengths, longest)
        weights = region_weights(regions, length_mask(region_lengths, regions.shape[1]), words, mask)
        local = similarity_vectors(weights, regions, words.reshape(-1, dim), self.local_alignment)
        local = local.view(len(regions), captions, longest, -1)
        whole = l2_normalise(self.global_alignment((image_vectors[:, None] - text_vectors).square()))
        nodes = torch.cat([whole[:, :, None], local.to(whole.dtype)], dim=2)  # (images, captions, 1 + L, sim_dim)
        vectors, statistics = self.reason(nodes, nn.functional.pad(mask, (1, 0), value=True))
        return self.score(vectors).squeeze(-1), statistics
