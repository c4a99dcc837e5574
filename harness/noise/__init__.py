"""Noise models: which image each training caption is paired with, and which captions are damaged.

To add one: a module with its class, one line in `NOISE`, one test.
"""

from harness.noise.base import Descriptors, NoiseModel, realised_rate, save_index
from harness.noise.caption_level import CaptionLevel
from harness.noise.category_level import CategoryLevel
from harness.noise.image_level import ImageLevel
from harness.noise.index_file import IndexFile
from harness.noise.none import NoNoise
from harness.noise.planted import Planted
from harness.noise.shifted import Shifted
from harness.noise.similarity_dependent import SimilarityDependent
from harness.noise.text_damage import TextDamage

NOISE: dict[str, type[NoiseModel]] = {
    "caption_level": CaptionLevel,
    "image_level": ImageLevel,
    "index_file": IndexFile,
    "category_level": CategoryLevel,
    "similarity_dependent": SimilarityDependent,
    "text_damage": TextDamage,
    "none": NoNoise,
    "planted": Planted,
    "shifted": Shifted,
}

__all__ = ["NOISE", "Descriptors", "NoiseModel", "realised_rate", "save_index"]
