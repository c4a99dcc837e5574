"""What the page shows of one pair."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.audit.alternatives import Alternatives
from harness.audit.evidence import Evidence
from harness.audit.ranking import Ranking

Thumbnail = Callable[[int, int], dict[str, Any] | None]

SIDE, SMALL_SIDE = 160, 96  # pixels of the pair's picture, and of the others
WIDTH, HEIGHT, MARGIN = 160, 44, 4  # of a sparkline


@dataclass(frozen=True)
class Sparkline:
    """The label of one pair from epoch to epoch, in the coordinates of a drawing WIDTH x HEIGHT.

    Attributes:
        points: "x,y x,y ..." for a polyline.
        end: x, y of the last epoch.
        bounds: x where a new self-refining piece begins.
        words: the same for those who cannot see it.
    """

    points: str
    end: tuple[float, float]
    bounds: list[float]
    words: str


def sparkline(labels: np.ndarray, pieces: list[int]) -> Sparkline:
    """labels (epochs,) in 0..1 and the piece of each epoch; at least one epoch."""
    step = (WIDTH - 2 * MARGIN) / max(len(labels) - 1, 1)
    places = [
        (round(MARGIN + step * epoch, 1), round(MARGIN + (HEIGHT - 2 * MARGIN) * (1 - float(label)), 1))
        for epoch, label in enumerate(labels)
    ]
    bounds = [round(MARGIN + step * (n - 0.5), 1) for n in range(1, len(pieces)) if pieces[n] != pieces[n - 1]]
    words = "label at the end of each epoch: " + ", ".join(
        f"{'piece ' + str(pieces[n] + 1) + ': ' if n == 0 or pieces[n] != pieces[n - 1] else ''}{label:.2f}"
        for n, label in enumerate(labels)
    )
    return Sparkline(" ".join(f"{x:g},{y:g}" for x, y in places), places[-1], bounds, words)


def cards(evidence: Evidence, ranking: Ranking, found: Alternatives, thumbnail: Thumbnail) -> Iterator[dict[str, Any]]:
    """One card for each row of `found`."""
    split, paired, true = evidence.pairs.split, evidence.pairs.paired_image, evidence.true_image
    history = None if evidence.history is None else evidence.history[: len(evidence.pieces)][:, found.shown]
    rank_of = np.argsort(ranking.order) + 1  # (pairs,)

    def picture(image: int, side: int) -> dict[str, Any]:
        return {"id": split.image_ids[image], "thumbnail": thumbnail(image, side)}

    for row, pair in enumerate(found.shown):
        other, other_caption = int(found.picture[row]), int(found.caption[row])
        image, own = int(paired[pair]), int(true[pair])
        card: dict[str, Any] = {
            "rank": int(rank_of[pair]),
            "pair": int(pair),
            "caption": split.texts[pair],
            "picture": picture(image, SIDE),
            "label": None if evidence.label is None else f"{evidence.label[pair]:.3f}",
            "match": f"{evidence.match[pair]:.3g}",
            "similarity": f"{evidence.similarity[pair]:.3f}",
            "sparkline": None if history is None or not len(history) else sparkline(history[:, row], evidence.pieces),
            "clean": bool(evidence.pairs.clean[pair]) if evidence.known else None,
            "original": evidence.original(int(pair)),
            "own_picture": None,
            "other_picture": None,
            "other_caption": None,
        }
        if other >= 0:
            card["other_picture"] = {
                **picture(other, SMALL_SIDE),
                "similarity": f"{found.picture_similarity[row]:.3f}",
                "own": evidence.known and other == own,
            }
        if evidence.known and own not in (image, other):
            card["own_picture"] = picture(own, SMALL_SIDE)
        if other_caption >= 0:
            card["other_caption"] = {
                **picture(int(paired[other_caption]), SMALL_SIDE),
                "text": split.texts[other_caption],
                "similarity": f"{found.caption_similarity[row]:.3f}",
                "own": evidence.known and int(true[other_caption]) == image,
            }
        yield card
