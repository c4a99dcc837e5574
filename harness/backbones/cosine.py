"""Backbones with one vector per image and per text, compared by the cosine."""

from torch import Tensor

from harness.backbones.base import Backbone, Encoded


class CosineBackbone(Backbone):
    """Its encoders give unit vectors. There is no activation and no head: with or without `raw`, scores are
    cosines."""

    def compare(self, images: Encoded, texts: Encoded) -> Tensor:
        """Cosines (images, texts)."""
        return images.values @ texts.values.T

    def compare_within(self, encoded: Encoded) -> Tensor:
        """Cosines (n, n)."""
        return encoded.values @ encoded.values.T

    def compare_pairs(self, images: Encoded, texts: Encoded) -> Tensor:
        """Cosines (n,)."""
        return (images.values * texts.values).sum(dim=-1)
