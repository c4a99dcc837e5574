"""Noise models: which image each training caption is paired with. Adding one: one file, one line here, one
test."""

from harness.noise.base import NoiseModel, realised_rate, save_index
from harness.noise.caption_level import CaptionLevel
from harness.noise.image_level import ImageLevel
from harness.noise.index_file import IndexFile

NOISE: dict[str, type[NoiseModel]] = {
    "caption_level": CaptionLevel,
    "image_level": ImageLevel,
    "index_file": IndexFile,
}

__all__ = ["NOISE", "NoiseModel", "realised_rate", "save_index"]
