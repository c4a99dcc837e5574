"""The paired bootstrap against slow twins, exact enumeration, and simulations whose truth is known."""

from math import comb
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from oracles import bootstrap as slow
from oracles.bootstrap import Run

from harness.errors import HarnessError
from harness.evaluation import folds
from harness.evaluation.bootstrap import METRICS, Ranks, compare, holm, read_ranks


def as_ranks(run: Run) -> Ranks:
    owner = [image for image, captions in enumerate(run.t2i) for _ in captions]
    return Ranks(np.array(run.i2t), np.array([rank for captions in run.t2i for rank in captions]), np.array(owner))


def a_run(captions: list[int], rng: Random, worst: int = 14) -> Run:
    return Run([rng.randint(1, worst) for _ in captions], [[rng.randint(1, worst) for _ in range(n)] for n in captions])


def simulated(rng: np.random.Generator, hard: np.ndarray, skill: float, captions: int = 5) -> Ranks:
    """Ranks of a run on images of these hardnesses: an image's own hardness is felt by all its queries."""
    owner = np.repeat(np.arange(len(hard)), captions)
    shift = hard + 0.7 * rng.standard_normal(len(hard)) - skill  # what this run finds hard about an image
    i2t = np.ceil(np.exp(shift + rng.standard_normal(len(hard))))
    t2i = np.ceil(np.exp(shift[owner] + rng.standard_normal(len(owner))))
    return Ranks(i2t.astype(np.int32), t2i.astype(np.int32), owner)


@pytest.mark.parametrize("seeds", [(1, 1), (2, 2), (1, 2)])
@pytest.mark.parametrize("metric", METRICS)
def test_every_resample_of_four_images(metric: str, seeds: tuple[int, int]) -> None:
    """Unequal numbers of captions: all 256 resamples of images and all of seeds by hand, and the share on each side of
    zero."""
    rng = Random(metric)
    captions = [1, 3, 2, 2]
    a, b = ([a_run(captions, rng) for _ in range(n)] for n in seeds)
    exact = list(slow.every(a, b, metric))
    below, above = (sum(sign * value <= 1e-9 for value in exact) / len(exact) for sign in (1, -1))
    got = compare([*map(as_ranks, a)], [*map(as_ranks, b)], metric, resamples=200_000)
    assert got.points == pytest.approx(slow.difference(a, b, range(4), metric))
    assert got.p == pytest.approx(min(1, 2 * min(below, above)), abs=0.01)
    assert min(exact) - 1e-9 <= got.low <= got.high <= max(exact) + 1e-9
    for end, share in ((got.low, 0.025), (got.high, 0.975)):  # the share of resamples below each end, ties to either
        assert np.mean([value < end - 1e-9 for value in exact]) <= share + 0.005
        assert np.mean([value <= end + 1e-9 for value in exact]) >= share - 0.005


@pytest.mark.parametrize("metric", ["i2t_r1", "t2i_r5", "rsum"])
def test_interval_of_images_drawn_one_by_one(metric: str) -> None:
    rng = Random(3)
    captions = [rng.choice([1, 5]) for _ in range(60)]
    a, b = [a_run(captions, rng, 12)], [a_run(captions, rng, 16) for _ in range(2)]
    draws = slow.drawn(a, b, metric, 3000, rng)
    got = compare([*map(as_ranks, a)], [*map(as_ranks, b)], metric)
    width = got.high - got.low
    assert [got.low, got.high] == pytest.approx(list(np.quantile(draws, [0.025, 0.975])), abs=0.07 * width)


def test_one_seed_gives_the_numbers_that_it_gave_before_seeds_were_drawn() -> None:
    rng = np.random.default_rng(10)
    hard = rng.standard_normal(100)
    got = compare([simulated(rng, hard, 0.1)], [simulated(rng, hard, 0.0)], "rsum", seed=["fixed"])
    assert (got.points, got.low, got.high, got.p) == (27.400000000000002, 3.9999999999999996, 51.0, 0.0225977402259774)


def test_seeds_that_differ_widen_the_interval_and_equal_ones_do_not() -> None:
    rng = np.random.default_rng(11)
    hard = rng.standard_normal(200)
    a, b = simulated(rng, hard, 0.3), simulated(rng, hard, 0.0)
    once, thrice = compare([a], [b], "rsum"), compare([a] * 3, [b] * 3, "rsum")
    assert [thrice.low, thrice.high] == pytest.approx([once.low, once.high], abs=0.1 * (once.high - once.low))
    own = [[simulated(rng, hard, skill + 0.5 * rng.standard_normal()) for _ in range(4)] for skill in (0.3, 0.0)]
    one, several = compare([own[0][0]], [own[1][0]], "rsum"), compare(*own, "rsum")
    assert several.high - several.low > 0.6 * (one.high - one.low)  # a mean of four alone would have half of it
    other = compare(own[1], own[0], "rsum")
    assert (other.points, other.low, other.high, other.p) == (-several.points, -several.high, -several.low, several.p)
    alone = compare(*own, "rsum", paired=False)
    assert alone.points == several.points
    assert alone.p != several.p


def test_points_are_the_difference_of_the_protocols_metrics() -> None:
    """Five folds of equal size: their mean is the mean over all queries, so the bootstrap needs no folds."""
    rng = np.random.default_rng(4)
    owner = np.repeat(np.arange(5000), 2)
    found = []
    for skill in (4.0, 3.5):
        scores = rng.standard_normal((5000, 10000), dtype=np.float32)
        scores[owner, np.arange(10000)] += skill
        found.append(folds.measure(torch.from_numpy(scores), owner, "coco_1k_5fold"))
    (a, ranks_a), (b, ranks_b) = found
    for metric in METRICS:
        assert compare([Ranks(**ranks_a)], [Ranks(**ranks_b)], metric, resamples=10).points == pytest.approx(
            a[metric] - b[metric]
        )


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    """Coverage of the 95 % interval over 300 test sets of 200 images from a large population."""
    rng = np.random.default_rng(0)

    def pair(images: int) -> tuple[Ranks, Ranks]:
        hard = 1.5 * rng.standard_normal(images)
        return simulated(rng, hard, 0.3), simulated(rng, hard, 0.0)

    large = pair(200_000)
    for metric in ("rsum", "t2i_r1"):
        truth = compare([large[0]], [large[1]], metric, resamples=1).points
        held = 0
        for trial in range(300):
            a, b = pair(200)
            got = compare([a], [b], metric, resamples=1000, seed=[trial])
            held += got.low <= truth <= got.high
        assert 0.91 <= held / 300 <= 0.98  # 0.95 within three standard errors of 0.013


def test_p_is_uniform_where_there_is_no_difference() -> None:
    rng = np.random.default_rng(1)
    p = []
    for trial in range(400):
        hard = 1.5 * rng.standard_normal(200)
        a, b = simulated(rng, hard, 0.0), simulated(rng, hard, 0.0)
        p.append(compare([a], [b], "rsum", resamples=1000, seed=[trial]).p)
    gap = np.abs(np.sort(p) - (np.arange(400) + 0.5) / 400).max()
    assert gap < 1.63 / 400**0.5  # Kolmogorov and Smirnov's bound at 1 %
    assert 0.02 <= np.mean(np.array(p) < 0.05) <= 0.085


def test_an_image_and_its_captions_stand_or_fall_together() -> None:
    """Captions of an image that always agree are one query, not five: the interval is that of the image's own."""
    rng = np.random.default_rng(2)
    images = rng.integers(1, 3, (2, 300))
    a, b = (Ranks(ranks, np.repeat(ranks, 5), np.repeat(np.arange(300), 5)) for ranks in images)
    i2t, t2i = compare([a], [b], "i2t_r1"), compare([a], [b], "t2i_r1")
    assert (t2i.points, t2i.low, t2i.high, t2i.p) == (i2t.points, i2t.low, i2t.high, i2t.p)


def test_identical_runs_differ_in_nothing() -> None:
    run = simulated(np.random.default_rng(5), np.zeros(50), 0.0)
    for metric in METRICS:
        for a, b in (([run], [run]), ([run, run], [run]), ([run], [run, run, run])):
            got = compare(a, b, metric, resamples=100)
            assert (got.points, got.low, got.high, got.p) == (0.0, 0.0, 0.0, 1.0)


def test_better_on_every_query_is_as_sure_as_resampling_can_be() -> None:
    owner = np.repeat(np.arange(40), 2)
    good, bad = (Ranks(np.full(40, rank), np.full(80, rank), owner) for rank in (1, 11))
    got = compare([good], [bad], "rsum", resamples=999)
    assert (got.points, got.low, got.high) == (600.0, 600.0, 600.0)
    assert got.p == pytest.approx(2 / 1000)


@pytest.mark.parametrize(("won", "lost"), [(15, 5), (40, 30), (60, 20), (20, 20)])
def test_one_query_per_image_agrees_with_mcnemar(won: int, lost: int) -> None:
    """R@1 of single queries is a table of wins and losses; McNemar's mid-p is its test."""
    rank_a, rank_b = np.full(500, 1), np.full(500, 1)
    rank_b[:won], rank_a[won : won + lost] = 2, 2
    owner = np.arange(500)
    got = compare([Ranks(rank_a, rank_a, owner)], [Ranks(rank_b, rank_b, owner)], "i2t_r1")
    n, k = won + lost, max(won, lost)
    mcnemar = min(1, (2 * sum(comb(n, i) for i in range(k, n + 1)) - comb(n, k)) / 2**n)
    assert got.points == pytest.approx((won - lost) / 5)
    assert got.p == pytest.approx(mcnemar, abs=max(0.02, 0.1 * mcnemar))


def test_order_changes_signs_and_names_change_draws() -> None:
    rng = np.random.default_rng(6)
    hard = rng.standard_normal(100)
    a, b = simulated(rng, hard, 0.1), simulated(rng, hard, 0.0)
    one, other = compare([a], [b], "rsum"), compare([b], [a], "rsum")
    assert (other.points, other.low, other.high, other.p) == (-one.points, -one.high, -one.low, one.p)
    assert compare([a], [b], "rsum") == one
    assert compare([a], [b], "rsum", seed=["again"]).p != one.p


def test_several_blocks_are_one_bootstrap(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(7)
    hard = rng.standard_normal(100)
    a, b = simulated(rng, hard, 0.1), simulated(rng, hard, 0.0)
    whole = compare([a], [b], "rsum", resamples=1001)
    monkeypatch.setattr("harness.evaluation.bootstrap._BLOCK", 500)
    assert compare([a], [b], "rsum", resamples=1001) == whole


@pytest.mark.parametrize("count", [1, 2, 7, 30])
def test_holm(count: int) -> None:
    rng = Random(count)
    p = [round(rng.random() ** 3, 2) for _ in range(count)]  # rounded: ties
    assert holm(p).tolist() == pytest.approx(slow.holm(p))
    missing = holm([*p, float("nan")])
    assert missing[:-1].tolist() == pytest.approx(slow.holm(p))
    assert np.isnan(missing[-1])


def test_ranks_are_read_by_protocol(tmp_path: Path) -> None:
    path = tmp_path / "ranks.npz"
    assert read_ranks(path) == {}
    run = simulated(np.random.default_rng(8), np.zeros(3), 0.0)
    arrays = {f"{protocol}/{key}": value for protocol in ("1k", "full") for key, value in vars(run).items()}
    np.savez(path, **arrays)
    read = read_ranks(path)
    assert list(read) == ["1k", "full"]
    assert compare([read["1k"]], [run], "rsum", resamples=10).points == 0
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(HarnessError, match=r"ranks\.npz: not a whole file of ranks"):
        read_ranks(path)
    path.write_bytes(b"")
    with pytest.raises(HarnessError, match=r"ranks\.npz: not a whole file of ranks"):
        read_ranks(path)


def test_messages() -> None:
    run = simulated(np.random.default_rng(9), np.zeros(4), 0.0)
    fewer = simulated(np.random.default_rng(9), np.zeros(3), 0.0)
    other = Ranks(run.i2t, run.t2i, run.image_of_caption[::-1].copy())
    with pytest.raises(
        HarnessError, match=r"'i2t_medr' has no paired bootstrap, median and mean ranks .* accepted: i2t_r1"
    ):
        compare([run], [run], "i2t_medr")
    with pytest.raises(HarnessError, match=r"'t2i_r50' has no .* did you mean 't2i_r5'\?"):
        compare([run], [run], "t2i_r50")
    for bad in (fewer, other):
        with pytest.raises(HarnessError, match="not the same queries; accepted: runs scored on one test split"):
            compare([run], [bad], "rsum")
    with pytest.raises(HarnessError, match="0 runs against 1: accepted: at least one run on each side"):
        compare([], [run], "rsum")
    with pytest.raises(HarnessError, match="resamples = 0: accepted: 1 or more"):
        compare([run], [run], "rsum", resamples=0)
    with pytest.raises(HarnessError, match=r"ranks of images \(4,\) and captions \(20,\).*do not fit"):
        Ranks(run.i2t, run.t2i, run.image_of_caption[:3])
