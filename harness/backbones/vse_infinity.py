"""VSE-infinity: one vector per image and per text, cosine similarity.

Source: Chen et al., "Learning the Best Pooling Strategy for Visual Semantic Embedding", CVPR 2021, with precomputed
regions and a BiGRU text encoder, as CRCL (NeurIPS 2023) uses it.

Differs from the released code in:
- BatchNorm's statistics leave padded regions out (only matters in training with dropped regions);
  `norm_padding = true` counts them, as released. docs/fidelity.md has both measured.
- The checkpoint's BatchNorm after the last layer, which the released code creates and never applies, is
  absent.

Ours: either side may be vectors in no order or a sequence of them (`images`, `texts`), such as frames of video or of
sound. They get what the paper gives to such items: the perceptron of regions, or the BiGRU of words.
"""

from functools import partial
from typing import Annotated

from pydantic import Field
from torch import Tensor

from harness.backbones.base import Encoded, l2_normalise
from harness.backbones.cosine import CosineBackbone
from harness.backbones.encoders import Images, Kind, RegionProjection, side_encoder
from harness.backbones.gpo import GPO
from harness.spec import AddedLater


class VSEInfinity(CosineBackbone):
    """VSE-infinity: generalised pooling of regions and words into one vector each; cosine similarity.

    Args:
        embed_dim: length of a vector.
        word_dim: of a word's embedding.
        gpo_dim: of the positions that the pooling reads.
        dropout: on the words' embeddings.
        norm_padding: in training, the statistics of the images' BatchNorm count the padding of dropped regions too.
    """

    def __init__(
        self,
        region_dim: int,
        vocabulary_size: int,
        *,
        embed_dim: Annotated[int, Field(ge=2)] = 1024,
        word_dim: Annotated[int, Field(ge=1)] = 300,
        gpo_dim: Annotated[int, Field(ge=2, multiple_of=2)] = 32,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        norm_padding: Annotated[bool, AddedLater(neutral=False)] = False,
        images: Annotated[Images, AddedLater(neutral="set")] = "set",
        texts: Annotated[Kind, AddedLater(neutral="words")] = "words",
    ) -> None:
        super().__init__(region_dim, vocabulary_size)
        self.embed_dim = embed_dim
        self.word_dim = word_dim
        self.gpo_dim = gpo_dim
        self.dropout = dropout
        self.norm_padding = norm_padding
        self.images = images
        self.texts = texts
        encoder = partial(side_encoder, embed_dim=embed_dim, word_dim=word_dim, dropout=dropout)
        self.regions_to_vectors = encoder(images, partial(RegionProjection, norm_padding=norm_padding), region_dim)
        self.image_pool = GPO(gpo_dim)
        self.words_to_states = encoder(texts, RegionProjection, vocabulary_size)
        self.text_pool = GPO(gpo_dim)

    @property
    def pair_dim(self) -> int:
        """Length of a vector."""
        return self.embed_dim

    def encode_images(self, regions: Tensor, lengths: Tensor) -> Encoded:
        """regions (images, R, region_dim), lengths (images,) -> unit vectors (images, embed_dim)."""
        self._check("regions", regions, lengths)
        vectors = self.regions_to_vectors(regions, lengths)
        return Encoded(l2_normalise(self.image_pool(vectors, lengths)), lengths, "images")

    def encode_texts(self, tokens: Tensor, lengths: Tensor) -> Encoded:
        """tokens (texts, L), or vectors (texts, L, D), lengths (texts,) -> unit vectors (texts, embed_dim)."""
        self._check("tokens", tokens, lengths)
        states = self.words_to_states(tokens, lengths)
        return Encoded(l2_normalise(self.text_pool(states, lengths)), lengths, "texts")
