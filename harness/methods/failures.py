"""Known ways in which training fails, looked for in a run's own figures; those of one method lie in a file beside it.

A signature is a plain function over a run: it says whether the failure is there, with the figures that say so.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from harness.printing.numbers import name_epoch, ordinal

Verdict = Literal["found", "ok", "not judged"]
Judgement = tuple[Verdict, str]  # and the figures in words

COLLAPSED = 0.1  # mean label of the clean pairs below which no pair is trusted any more (CRCL's epsilon by default)
DEAD = 0.95  # share of labels at zero, where the truth is not known; as harness/ledger/collapse.py
FELL = 0.9  # share of the best dev rSum below which the last epoch counts as a fall


@dataclass(frozen=True)
class History:
    """What a signature may look at.

    Attributes:
        settings: the run as its spec says it.
        rows: one for each finished epoch, as in the ledger's metrics.jsonl.
        rsum: dev rSum of the selected network; None while the run is not finished.
    """

    settings: Mapping[str, Any]
    rows: list[dict[str, Any]]
    rsum: float | None = None


# Of a run, and of other finished runs of its method (without their rows).
Signature = Callable[[History, Iterable[History]], Judgement]


def judge(found: bool, figures: str, advice: str) -> Judgement:
    """Figures, and what to do about them where the failure is there."""
    return ("found", f"{figures}. {advice}") if found else ("ok", figures)


def fall_after_best(run: History, _: Iterable[History]) -> Judgement:
    """Dev rSum at the end far below its best, within the last piece."""
    last_piece = [row for row in run.rows if row["piece"] == run.rows[-1]["piece"]]
    best = max(last_piece, key=lambda row: row["values"]["dev/rsum"])
    top, end = best["values"]["dev/rsum"], last_piece[-1]["values"]["dev/rsum"]
    at = name_epoch(best["epoch_in_piece"], len(last_piece), best["piece"], ordinal(run.rows[-1]["piece"]))
    figures = f"best dev rSum {top:.1f} in {at}, {end:.1f} at last"
    advice = "The network memorises wrong pairs, or training diverges: train fewer epochs"
    return judge(end < FELL * top, figures, advice)


def labels_collapsed(run: History, _: Iterable[History]) -> Judgement:
    """Labels at zero, of clean pairs too."""
    return judge_labels(run, "No pair counts any more: a longer warm-up, or a lower threshold of what counts as clean")


def judge_labels(run: History, advice: str) -> Judgement:
    """Whether the labels at the end have collapsed, with a method's own advice."""
    values = run.rows[-1]["values"]
    if "labels/share_zero" not in values:
        return "not judged", "the run keeps no labels"
    zero, clean, noisy = (values.get(f"labels/{key}") for key in ("share_zero", "mean_clean", "mean_noisy"))
    figures = f"{zero:.0%} of the labels are zero"
    of = "" if noisy is None else " of the pairs that noise left alone"  # without noise nobody knows which are clean
    figures += "" if clean is None else f", the mean label{of} is {clean:.3f}"
    figures += "" if noisy is None else f", of the noisy ones {noisy:.3f}"
    return judge(zero >= DEAD or (clean is not None and clean < COLLAPSED), figures, advice)


GENERAL: dict[str, Signature] = {
    "dev retrieval fell after its best epoch": fall_after_best,
    "the labels collapsed": labels_collapsed,
}
