"""Labels that have collapsed: nearly all pairs count for nothing, and whatever is reported of the run, this goes first.

`harness diagnose` says more (harness/methods/failures.py).
"""

from collections.abc import Mapping

COLLAPSED = 0.95  # share of labels at zero: no data set that anybody trains on has so many wrong pairs


def collapsed(share_zero: float | None) -> str:
    """What there is to say about a share of labels that are zero, or ""."""
    if share_zero is None or share_zero < COLLAPSED:
        return ""
    return f"labels collapsed: {share_zero:.0%} are zero"


def collapsed_labels(labels: Mapping[str, float | None]) -> str:
    """The same of a result's `labels`."""
    return collapsed(labels.get("labels/share_zero"))
