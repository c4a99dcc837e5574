"""Evaluation protocols: which images and captions of a scored split are ranked against each other. No torch here."""

from collections.abc import Sequence
from dataclasses import dataclass

from harness.data.cards import DatasetCard
from harness.errors import HarnessError, suggest
from harness.spec.run import RunSpec


@dataclass(frozen=True)
class Protocol:
    """Consecutive folds of images with their captions; each fold is ranked by itself, and the metrics are averaged.

    images: how many a fold has; None: all images in one fold. What lies beyond the last fold is left out.
    """

    title: str
    images: int | None
    folds: int = 1


PROTOCOLS: dict[str, Protocol] = {
    "1k": Protocol("the first 1,000 images (Flickr30K, CC152K)", 1000),
    "coco_1k_5fold": Protocol("MS-COCO 1K: mean over five folds of 1,000 consecutive images", 1000, 5),
    "coco_5k": Protocol("MS-COCO 5K: 5,000 images at once", 5000),
    "full": Protocol("every image of the split", None),
}


def fit(protocol: str, images: int) -> Protocol:
    """The protocol of a name, for a split with so many images.

    Raises:
        HarnessError: it is unknown, or needs more images.
    """
    if protocol not in PROTOCOLS:
        raise HarnessError(f"evaluation protocol {protocol!r} is unknown; {suggest(protocol, PROTOCOLS)}")
    chosen = PROTOCOLS[protocol]
    needed = (chosen.images or images) * chosen.folds
    if images < needed:
        fitting = [name for name, p in PROTOCOLS.items() if (p.images or 0) * p.folds <= images]
        raise HarnessError(
            f"evaluation protocol {protocol!r} needs {needed} images, the split has {images}; "
            f"accepted: {', '.join(fitting)}; name one of these in evaluation.protocols"
        )
    return chosen


def of_test(run: RunSpec, card: DatasetCard) -> Sequence[str]:
    """The protocols that a run's test split is scored by: its own, else those of the data set's card."""
    return card.protocols if run.evaluation.protocols is None else run.evaluation.protocols
