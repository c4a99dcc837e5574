"""Label quality against comparing every true pair with every false one."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import retrieval as slow
from sklearn.metrics import roc_auc_score

from harness.errors import HarnessError
from harness.evaluation.correspondence import label_report

tied = st.sampled_from([0.0, 0.1, 0.5, 1.0])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(tied | st.floats(0, 1), st.booleans()), min_size=1, max_size=30))
def test_report_is_the_slow_twin(pairs: list[tuple[float, bool]]) -> None:
    labels, clean = [label for label, _ in pairs], [truth for _, truth in pairs]
    report = label_report(labels, clean)
    assert report["labels/share_zero"] == pytest.approx(labels.count(0.0) / len(labels))
    for truth, name in ((True, "labels/mean_clean"), (False, "labels/mean_noisy")):
        of = [label for label, t in pairs if t == truth]
        assert report[name] == pytest.approx(sum(of) / len(of)) if of else math.isnan(report[name])
    if len(set(clean)) == 1:
        assert math.isnan(report["labels/auc"])
    else:
        assert report["labels/auc"] == pytest.approx(slow.auc(labels, clean))


def test_agrees_with_scikit_learn_on_many_tied_labels() -> None:
    rng = np.random.default_rng(0)
    clean = rng.random(20_000) < 0.6
    labels = np.clip(rng.random(20_000) + 0.3 * clean - 0.4, 0, 1).astype(np.float32)
    assert label_report(labels, clean)["labels/auc"] == pytest.approx(roc_auc_score(clean, labels), abs=1e-12)


def test_extremes() -> None:
    clean = [True, True, False, False]
    assert label_report([1, 0.9, 0.1, 0], clean)["labels/auc"] == 1
    assert label_report([0, 0.1, 0.9, 1], clean)["labels/auc"] == 0
    assert label_report([1, 1, 1, 1], clean)["labels/auc"] == 0.5  # before the first estimates
    assert label_report([0, 0, 0, 0], clean) == {
        "labels/auc": 0.5, "labels/mean_clean": 0, "labels/mean_noisy": 0, "labels/share_zero": 1,
    }  # fmt: skip


def test_messages() -> None:
    with pytest.raises(HarnessError, match=r"labels \(2,\) and the truth \(3,\) do not fit"):
        label_report([0, 1], [True, False, True])
    with pytest.raises(HarnessError, match="do not fit"):
        label_report([], [])
    with pytest.raises(HarnessError, match="label of pair 1 is not a number"):
        label_report([0, math.nan], [True, False])
