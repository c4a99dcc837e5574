"""How training with CRCL goes wrong. The thresholds were set by sound and by broken runs on two datasets."""

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any

from harness.methods.failures import History, Judgement, Signature, judge, judge_labels

SAME_AUC = 0.005  # a smaller gain of label AUC between pieces is none: seeds differ by about as much
SAME_RSUM = 2.0  # a smaller difference of dev rSum is none
DOMINATED = 0.99  # complementary share of the loss: sound runs ended at 0.86 to 0.98, a collapsed one at 0.999


def labels_do_not_improve(run: History, _: Iterable[History]) -> Judgement:
    """Label AUC at the end of the last piece no higher than at the end of the first."""
    ends = [list(piece)[-1]["values"].get("labels/auc") for _, piece in groupby(run.rows, key=lambda row: row["piece"])]
    known = [auc for auc in ends if auc is not None]
    if len(known) < 2:
        return "not judged", "it takes two pieces with labels and known noise"
    figures = "label AUC at the end of each piece: " + ", ".join(f"{auc:.3f}" for auc in known)
    advice = (
        "Look at the first estimates: a longer freeze (method.freeze_epochs or freeze_steps) lets the network learn "
        "before labels are written"
    )
    return judge(known[-1] - known[0] <= SAME_AUC, figures, advice)


def higher_beta_hurt(run: History, others: Iterable[History]) -> Judgement:
    """Dev rSum by beta, over finished runs that differ in beta alone."""
    if run.rsum is None:
        return "not judged", "the run is not finished"
    alike = [run, *(other for other in others if _without_beta(other.settings) == _without_beta(run.settings))]
    points = sorted((each.settings["method"]["beta"], each.rsum) for each in alike if each.rsum is not None)
    if len(points) < 2:
        return "not judged", "no other finished run differs from this one in beta alone"
    figures = "dev rSum by beta: " + ", ".join(f"{beta:g}: {rsum:.1f}" for beta, rsum in points)
    advice = "Errors of early estimates stay in the labels for long; lower beta"
    return judge(max(rsum for _, rsum in points[:-1]) - points[-1][1] > SAME_RSUM, figures, advice)


def complementary_loss_dominates(run: History, _: Iterable[History]) -> Judgement:
    """The share of the complementary loss in the whole."""
    shares = [1 - row["values"]["train/share_active"] for row in run.rows if "train/share_active" in row["values"]]
    if not shares:
        return "not judged", "the run has no complementary loss beside an active one"
    figures = f"complementary share of the loss: {shares[0]:.0%} in the first epoch, {shares[-1]:.1%} at last"
    advice = "The active loss hardly counts: see whether labels are near zero, or lower method.complementary_weight"
    return judge(shares[-1] >= DOMINATED, figures, advice)


def labels_collapsed(run: History, _: Iterable[History]) -> Judgement:
    """Labels at zero, of clean pairs too."""
    return judge_labels(
        run, "First estimates lay under epsilon: freeze for more steps (method.freeze_steps), or lower method.epsilon"
    )


SIGNATURES: dict[str, Signature] = {
    "labels do not improve from piece to piece": labels_do_not_improve,
    "a higher beta made things worse": higher_beta_hurt,
    "the complementary loss dominates": complementary_loss_dominates,
    "the labels collapsed": labels_collapsed,
}


def _without_beta(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {**settings, "method": {key: value for key, value in settings["method"].items() if key != "beta"}}
