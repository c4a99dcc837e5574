"""What suits a data set of some size: how training copies are made of it, and how long each is trained.

Where the figures are from: Flickr8k (6,091 photographs, 30,455 pairs) with 5, 20 and 40 % of its captions exchanged,
VSE-infinity of 64 dimensions, batch 256, 6 epochs of 119 steps, one seed. Ranked by match, of as many pairs as are
wrong 0.84, 0.89 and 0.90 were wrong with OSA, 0.79, 0.85, 0.86 with InfoNCE, 0.80, 0.87, 0.89 with DCL, 0.79, 0.86,
0.88 with GSC, 0.66, 0.81, 0.85 with CRCL, whose short pieces leave labels at 0 (ranked by them: 0.11, 0.36, 0.54).
"""

from dataclasses import dataclass
from math import ceil
from typing import Any

from harness.errors import HarnessError, suggest

STEPS = 700  # of a training, at least; Flickr8k's six epochs
EPOCHS = (6, 40)  # the least and the most
COPIES = 2  # with other swaps planted in each: a pair that is swapped in one is judged in the other
DEV_MOST = 500  # images that choose the epoch
RANKINGS = ("osa", "infonce", "dcl", "gsc", "crcl", "clip")


@dataclass(frozen=True)
class Settings:
    """How a data set is cleaned.

    Attributes:
        parts: disjoint groups of images; each copy is trained once without each of them, which chooses the epoch then.
        dev: images of a part.
        planted: share of the pairs of a copy that are swapped.
        batch_size, epochs: of each training.
        minimum_count: how often a word occurs that is not <unk>.
    """

    parts: int
    dev: int
    planted: float
    batch_size: int
    epochs: int
    minimum_count: int


def settings_for(images: int, pairs: int) -> Settings:
    """Settings by size; `images` and `pairs` that can be used.

    Raises:
        HarnessError: too few to tell anything.
    """
    if images < 20 or pairs < 40:
        raise HarnessError(
            f"{images} pictures in {pairs} pairs can be used; accepted: 20 pictures and 40 pairs at the least, better "
            "some hundreds, because what a wrong pair looks like is learnt from the others"
        )
    batch_size = next((size for size, least in ((256, 10_000), (128, 3_000), (64, 800)) if pairs >= least), 32)
    epochs = min(max(EPOCHS[0], ceil(STEPS * batch_size / pairs)), EPOCHS[1])
    return Settings(
        parts=2 if pairs >= 3_000 else 4,
        dev=min(DEV_MOST, max(5, images // 10)),
        planted=min(0.2, max(0.05, 100 / pairs)),
        batch_size=batch_size,
        epochs=epochs,
        minimum_count=4 if pairs >= 10_000 else 2 if pairs >= 1_000 else 1,
    )


def method_tables(ranking: str, settings: Settings, model: str | None, longer: int = 1) -> dict[str, Any]:
    """The keys of a run that belong to a ranking: method, schedule, backbone.

    longer: how many times as long CRCL's labels stay frozen; what is tried where they collapsed.

    Raises:
        HarnessError: the ranking is unknown, or CLIP without a model.
    """
    if ranking not in RANKINGS:
        raise HarnessError(f"--ranking {ranking}: {suggest(ranking, RANKINGS)}")
    if ranking == "clip":
        if model is None:
            raise HarnessError(
                "--ranking clip: needs --clip MODEL, a hub name such as openai/clip-vit-base-patch32 or a local folder"
            )
        return {"method": "zero_shot", "backbone": {"name": "clip", "model": model},
                "schedule": {"batch_size": settings.batch_size}, "augmentation": None}  # fmt: skip
    early = max(1, settings.epochs // 3)
    methods: dict[str, Any] = {
        "osa": ({"name": "osa", "tau": 0.05, "estimator_epochs": early}, settings.epochs - early),
        "infonce": ("infonce", settings.epochs),
        "dcl": ("dcl", settings.epochs),
        "gsc": ("gsc", settings.epochs),
        "crcl": (
            {"name": "crcl", "pieces": [early * longer + 1, settings.epochs], "freeze_epochs": early * longer},
            None,
        ),
    }
    method, epochs = methods[ranking]
    return {
        "method": method,
        "schedule": {
            "batch_size": settings.batch_size, "lr": 4e-3 * (settings.batch_size / 256) ** 0.5,
            **({} if epochs is None else {"epochs": epochs}),
        },
        "backbone": {"name": "vse_infinity", "embed_dim": 64, "word_dim": 64},
        "augmentation": {"token_rate": 0.2, "region_rate": 0.2},
    }  # fmt: skip
