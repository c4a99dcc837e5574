"""The failure signatures of CRCL, each looked for in a run's own figures and said in words with those figures."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal

from harness.ledger import Cell

Verdict = Literal["found", "not found", "not judged"]
Rows = list[dict[str, Any]]

SAME_AUC = 0.005  # a smaller gain of label AUC between pieces is none: seeds differ by about as much
SAME_RSUM = 2.0  # a smaller difference of dev rSum is none
DOMINATED = (
    0.99  # complementary share of the loss: sound runs on two datasets ended at 86 to 98 %, a collapsed one at 99.9 %
)
COLLAPSED = 0.1  # mean label of the clean pairs under which no pair is trusted any more (epsilon's default)
DEAD = 0.95  # share of labels at zero, where truth is unknown
FELL = 0.9  # share of the best dev rSum under which the last epoch counts as a fall


@dataclass(frozen=True)
class Finding:
    """One signature: whether it is there, and the figures that say so."""

    signature: str
    verdict: Verdict
    words: str


def diagnose(cell: Cell, others: Iterable[Cell] = ()) -> list[Finding]:
    """Every signature, judged for one run.

    Args:
        cell: the run, finished or not.
        others: runs to compare with; those that differ from it in beta alone tell whether a higher beta hurt.
    """
    rows = cell.rows()
    if not rows:
        return [Finding("nothing to judge", "not judged", "the run has no finished epoch yet")]
    return [_pieces(rows), _beta(cell, others), _complementary(rows), _collapse(rows), _memorised(rows)]


def _pieces(rows: Rows) -> Finding:
    name = "labels do not improve from piece to piece"
    ends = [list(piece)[-1]["values"].get("labels/auc") for _, piece in groupby(rows, key=lambda row: row["piece"])]
    known = [auc for auc in ends if auc is not None]
    if len(known) < 2:
        return Finding(name, "not judged", "it takes two pieces with labels and known noise")
    figures = "label AUC at the end of each piece: " + ", ".join(f"{auc:.3f}" for auc in known)
    if known[-1] - known[0] > SAME_AUC:
        return Finding(name, "not found", figures)
    return Finding(
        name, "found", f"{figures}. Look at the first estimates: a longer freeze (method.freeze_epochs or "
        "freeze_steps) lets the network learn before labels are written"
    )  # fmt: skip


def _beta(cell: Cell, others: Iterable[Cell]) -> Finding:
    name = "a higher beta made things worse"
    own, score = cell.spec["run"], _dev_rsum(cell)
    if "beta" not in own["method"] or score is None:
        return Finding(name, "not judged", "the run has no beta or is not finished")
    points = [(own["method"]["beta"], score)]
    for other in others:
        run, rsum = other.spec["run"], _dev_rsum(other)
        if other.fingerprint != cell.fingerprint and rsum is not None and _without_beta(run) == _without_beta(own):
            points.append((run["method"]["beta"], rsum))
    if len(points) < 2:
        return Finding(name, "not judged", "no other finished run differs from this one in beta alone")
    points.sort()
    figures = "dev rSum by beta: " + ", ".join(f"{beta:g}: {rsum:.1f}" for beta, rsum in points)
    lower = max(rsum for beta, rsum in points if beta <= own["method"]["beta"])
    highest = points[-1][1]
    if lower - highest > SAME_RSUM or max(r for _, r in points[:-1]) - highest > SAME_RSUM:
        return Finding(name, "found", f"{figures}. Errors of early estimates stay in the labels for long; lower beta")
    return Finding(name, "not found", figures)


def _complementary(rows: Rows) -> Finding:
    name = "the complementary loss dominates"
    shares = [row["values"]["train/share_active"] for row in rows if "train/share_active" in row["values"]]
    if not shares:
        return Finding(name, "not judged", "the method has no complementary loss beside an active one")
    figures = f"complementary share of the loss: {1 - shares[0]:.0%} in the first epoch, {1 - shares[-1]:.1%} at last"
    if 1 - shares[-1] < DOMINATED:
        return Finding(name, "not found", figures)
    return Finding(
        name, "found", f"{figures}. The active loss hardly counts: see whether labels are near zero, or lower "
        "method.complementary_weight"
    )  # fmt: skip


def _collapse(rows: Rows) -> Finding:
    name = "the labels collapsed"
    values = rows[-1]["values"]
    if "labels/share_zero" not in values:
        return Finding(name, "not judged", "the method keeps no labels")
    zero, clean = values["labels/share_zero"], values.get("labels/mean_clean")
    figures = f"{zero:.0%} of the labels are zero"
    if clean is not None:
        figures += f", the mean label of the pairs known to be clean is {clean:.3f}"
    if values.get("labels/mean_noisy") is not None:
        figures += f", of the noisy ones {values['labels/mean_noisy']:.3f}"
    if zero < DEAD and (clean is None or clean >= COLLAPSED):
        return Finding(name, "not found", figures)
    return Finding(
        name, "found", f"{figures}. First estimates lay under epsilon: freeze for more steps (method.freeze_steps), or "
        "lower method.epsilon"
    )  # fmt: skip


def _memorised(rows: Rows) -> Finding:
    name = "dev retrieval fell after its best epoch"
    last_piece = [row for row in rows if row["piece"] == rows[-1]["piece"]]
    best = max(last_piece, key=lambda row: row["values"]["dev/rsum"])
    top, end = best["values"]["dev/rsum"], last_piece[-1]["values"]["dev/rsum"]
    figures = f"best dev rSum {top:.1f} in epoch {best['epoch_in_piece'] + 1} of {len(last_piece)}, {end:.1f} at last"
    if end >= FELL * top:
        return Finding(name, "not found", figures)
    return Finding(name, "found", f"{figures}. Wrong pairs are being memorised, or training diverges: fewer epochs")


def _dev_rsum(cell: Cell) -> float | None:
    best = (cell.result() or {}).get("best")  # an ensemble has none
    return best["dev/rsum"] if best else None


def _without_beta(run: dict[str, Any]) -> dict[str, Any]:
    return {**run, "method": {key: value for key, value in run["method"].items() if key != "beta"}}
