"""Image-text similarity models.

To add one: a module with its class, one line in `BACKBONES`, one test.
"""

from harness.backbones.base import Backbone, Encoded, Reader
from harness.backbones.clip import CLIP
from harness.backbones.saf import SAF
from harness.backbones.sgr import SGR
from harness.backbones.vse_infinity import VSEInfinity

BACKBONES: dict[str, type[Backbone]] = {"vse_infinity": VSEInfinity, "saf": SAF, "sgr": SGR, "clip": CLIP}

__all__ = ["BACKBONES", "CLIP", "SAF", "SGR", "Backbone", "Encoded", "Reader", "VSEInfinity"]
