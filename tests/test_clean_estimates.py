"""Shares and probabilities of wrong pairs, against made-up scores whose truth is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.clean.estimates import (
    Share,
    doubt,
    least_share,
    measure_cut,
    p_values,
    probabilities,
    read_off,
    sample_size,
    share_with_interval,
    wilson,
    wrong_share,
)  # fmt: skip
from harness.clean.settings import RANKINGS, method_tables, settings_for
from harness.errors import HarnessError
from harness.spec import KINDS, resolve


def scores(rng: np.random.Generator, wrong: float, pairs: int = 20_000, apart: float = 3.0) -> tuple[np.ndarray, ...]:
    """Scores of pairs, which of them are wrong, and of 2,000 planted ones."""
    truth = rng.random(pairs) < wrong
    return np.where(truth, 0.0, apart) + rng.normal(size=pairs), truth, rng.normal(size=2_000)


def test_a_p_value_counts_planted_pairs_that_score_as_high() -> None:
    planted = np.array([1.0, 2.0, 3.0])
    assert p_values(np.array([0.0, 1.0, 2.5, 9.0]), planted).tolist() == [1.0, 1.0, 0.5, 0.25]


@pytest.mark.slow
@pytest.mark.parametrize("wrong", [0.0, 0.02, 0.05, 0.2, 0.4, 0.8])
def test_the_share_is_near_the_truth_and_mostly_in_its_interval(wrong: float) -> None:
    inside = 0
    for seed in range(8):
        rng = np.random.default_rng(seed)
        found, truth, planted = scores(rng, wrong)
        share = share_with_interval(found, planted, rng)
        assert abs(share.value - truth.mean()) < 0.01 + 0.15 * wrong
        inside += share.low - 0.005 <= truth.mean() <= share.high + 0.005
    assert inside >= 6


@pytest.mark.parametrize("wrong", [0.05, 0.2, 0.4])
def test_probabilities_are_calibrated(wrong: float) -> None:
    rng = np.random.default_rng(3)
    found, truth, planted = scores(rng, wrong)
    p = p_values(found, planted)
    chance, edges, curve = probabilities(p, wrong_share(p))
    for low, high in ((0.0, 0.1), (0.1, 0.5), (0.5, 0.9), (0.9, 1.01)):
        inside = (chance >= low) & (chance < high)
        if inside.sum() > 500:
            assert abs(chance[inside].mean() - truth[inside].mean()) < 0.12
    cut = measure_cut(chance, read_off(p_values(planted, planted), edges, curve), 0.5)
    dropped = chance > 0.5
    assert abs(cut.precision - truth[dropped].mean()) < 0.08
    assert abs(cut.recall - dropped[truth].mean()) < 0.08
    assert abs(cut.found - cut.recall) < 0.08


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 400), st.integers(1, 200), st.integers(0, 5), st.floats(0, 1))
def test_probabilities_never_fall_as_p_rises_and_stay_in_range(n: int, m: int, seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    p = p_values(rng.normal(size=n).round(1), rng.normal(size=m).round(1))
    chance, _, _ = probabilities(p, share)
    assert chance.min() >= 0
    assert chance.max() <= 1
    assert (np.diff(chance[np.argsort(p, kind="stable")]) >= -1e-12).all()
    assert 0 <= wrong_share(p) <= 1


def test_scores_that_tell_nothing_drop_nothing_much() -> None:
    rng = np.random.default_rng(0)
    p = p_values(rng.normal(size=5_000), rng.normal(size=500))
    chance, _, _ = probabilities(p, wrong_share(p))
    assert chance.std() < 0.15  # all alike: the share says all could be wrong, and the AUC that nothing is known


def auc(scores: np.ndarray, planted: np.ndarray) -> float:
    below = np.searchsorted(np.sort(scores), planted)
    return float(1 - below.mean() / len(scores))


@pytest.mark.parametrize("apart", [0.55, 1.19, 2.0, 2.9])
@pytest.mark.parametrize("wrong", [0.02, 0.05, 0.2, 0.4, 0.6])
def test_a_precision_that_is_promised_is_nearly_kept(apart: float, wrong: float) -> None:
    """The same scores as above, less far apart: either there is a doubt, or the precision is at most 0.15 too high."""
    rng = np.random.default_rng(0)
    found, truth, planted = scores(rng, wrong, apart=apart)
    share = share_with_interval(found, planted, rng)
    chance, *_ = probabilities(p_values(found, planted), share.value)
    dropped = chance > 0.5
    doubted = doubt(share, auc(found, planted))
    assert doubted or chance[dropped].mean() - truth[dropped].mean() < 0.15
    assert bool(doubted) == (apart < 1 or (apart < 2 and wrong < 0.6) or (apart == 2.0 and wrong < 0.2))


def test_what_right_pairs_leave_of_a_share() -> None:
    assert least_share(0.07, 0.65) == 0.0  # right pairs alone would look like 42 %
    assert least_share(0.36, 0.79) == pytest.approx(0.36, abs=0.01)  # 40 % wrong, told from the others by 0.98
    assert least_share(0.0, 0.98) == 0.0


def test_the_cases_that_were_measured() -> None:
    """Open Clip Art with --tokenizer characters, whose precision was 12 % and not 74; Flickr8k with 5, 20, 40 % wrong,
    where swaps are told from right pairs by an AUC of 0.98."""
    assert "right pairs alone would look like 42.3 % wrong ones" in doubt(Share(0.259, 0.073, 0.526), 0.647)
    for value, low, high in ((0.053, 0.045, 0.060), (0.206, 0.187, 0.229), (0.402, 0.356, 0.446)):
        assert doubt(Share(value, low, high), value / 2 + (1 - value) * 0.98) == ""
        assert doubt(Share(value, low, high), value / 2 + (1 - value) * 0.96) == ""
    assert "hardly told from the rest (AUC 0.55" in doubt(Share(0.8, 0.4, 1.0), 0.55)
    assert "known only as 0 to 12.0 %" in doubt(Share(0.05, 0.0, 0.12), 0.95)


def test_how_many_to_look_at() -> None:
    assert sample_size(0.9, 10_000) == 137  # 138.3 of an endless number, corrected
    assert sample_size(0.9, 50) == 37
    assert sample_size(1.0, 10_000) == sample_size(0.95, 10_000) == 73
    assert sample_size(0.9, 0) == 0


def test_wilson_by_hand() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    low, high = wilson(9, 10)
    assert (round(low, 3), round(high, 3)) == (0.596, 0.982)
    assert wilson(10, 10)[1] == 1.0


@pytest.mark.parametrize(("images", "pairs"), [(20, 40), (60, 300), (400, 400), (6_091, 30_455), (100_000, 500_000)])
def test_settings_suit_the_size(images: int, pairs: int) -> None:
    found = settings_for(images, pairs)
    steps = found.epochs * pairs / found.batch_size
    assert found.batch_size <= pairs
    assert steps >= min(600, 40 * pairs / found.batch_size)
    assert found.parts * found.dev < images or images < 40
    assert 0.05 <= found.planted <= 0.2
    for ranking in RANKINGS:
        tables = method_tables(ranking, found, "openai/clip-vit-base-patch32")
        for kind in set(KINDS) & set(tables):
            resolve(tables[kind], kind=kind, where=ranking)


def test_too_few_pairs_are_refused() -> None:
    with pytest.raises(HarnessError, match="12 pictures in 60 pairs can be used; accepted: 20 pictures"):
        settings_for(12, 60)
    with pytest.raises(HarnessError, match="needs --clip MODEL"):
        method_tables("clip", settings_for(60, 300), None)
