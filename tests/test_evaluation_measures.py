"""The list of the metrics is the list of what is measured."""

import torch

from harness.evaluation import bootstrap
from harness.evaluation.measures import CUTOFFS, MEASURES, RECALLS, WAYS
from harness.evaluation.metrics import retrieval


def test_the_list_names_what_is_measured() -> None:
    scores = torch.rand(4, 8, generator=torch.Generator().manual_seed(0))
    assert set(retrieval(scores, torch.arange(4).repeat_interleave(2))) == set(MEASURES)
    assert tuple(f"{way}_r{k}" for way in WAYS for k in CUTOFFS) == RECALLS


def test_every_metric_has_its_title_unit_and_direction() -> None:
    about = {name: (m.title, m.unit, m.higher_is_better) for name, m in MEASURES.items()}
    assert about["i2t_r1"] == ("i2t R@1", "%", True)
    assert about["rsum"] == ("rSum", "points", True)
    assert about["t2i_medr"] == ("t2i median rank", "rank", False)
    assert len({title for title, _, _ in about.values()}) == len(MEASURES)


def test_what_counts_hits_has_a_bootstrap_and_ranks_have_none() -> None:
    assert list(bootstrap.METRICS) == [*RECALLS, "rsum"]
    assert {name for name, measure in MEASURES.items() if measure.unit == "rank"} == MEASURES.keys() - bootstrap.METRICS
