"""From pictures and captions to a dataset: `build_dataset` for one's own, the others for ours."""

from harness.data.build.build import Recipe, build_dataset, build_manifest, source_of
from harness.data.build.clipart import build_clipart
from harness.data.build.clips import build_clips
from harness.data.build.speech import build_speech
from harness.data.build.stamps import build_stamps
from harness.data.build.twemoji import build_twemoji, ensure_twemoji

__all__ = [
    "Recipe",
    "build_clipart",
    "build_clips",
    "build_dataset",
    "build_manifest",
    "build_speech",
    "build_stamps",
    "build_twemoji",
    "ensure_twemoji",
    "source_of",
]
