"""Ranks by counting against ranks by sorting: ties, negative scores, collapse, uneven captions."""

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import retrieval as slow
from torch import Tensor

from harness.errors import Diverged, HarnessError
from harness.evaluation import metrics


@st.composite
def scored(draw: st.DrawFn) -> tuple[list[list[float]], list[int]]:
    """Few distinct scores, so that ties abound; captions in any order, at least one per image."""
    images = draw(st.integers(1, 6))
    more = draw(st.lists(st.integers(0, images - 1), max_size=10))
    owner = draw(st.permutations([*range(images), *more]))
    row = st.lists(st.integers(-3, 3).map(float), min_size=len(owner), max_size=len(owner))
    return draw(st.lists(row, min_size=images, max_size=images)), owner


@settings(max_examples=200, deadline=None)
@given(scored(), st.sampled_from([1, 7, 1 << 20]))
def test_ranks_are_those_of_sorting(case: tuple[list[list[float]], list[int]], block: int) -> None:
    scores, owner = case
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrics, "_BLOCK", block)
        image_to_text, text_to_image = metrics.ranks(torch.tensor(scores), torch.tensor(owner))
        values = metrics.retrieval(torch.tensor(scores), torch.tensor(owner))
    assert (image_to_text.tolist(), text_to_image.tolist()) == slow.ranks(scores, owner)
    assert values == pytest.approx(slow.retrieval(scores, owner))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("each", [1, 5])
def test_precisions(dtype: torch.dtype, each: int) -> None:
    owner = torch.arange(30).repeat_interleave(each)
    scores = torch.randn(30, 30 * each, generator=torch.Generator().manual_seed(each)).to(dtype)
    expected = slow.retrieval(scores.tolist(), owner.tolist())
    assert metrics.retrieval(scores, owner) == pytest.approx(expected)


def test_by_hand() -> None:
    scores = torch.tensor([[0.9, 0.1, 0.8, 0.2], [0.3, 0.4, 0.5, 0.6]])  # captions 0, 1 are of image 0
    image_to_text, text_to_image = metrics.ranks(scores, torch.tensor([0, 0, 1, 1]))
    assert image_to_text.tolist() == [1, 1]
    assert text_to_image.tolist() == [1, 2, 2, 1]
    values = metrics.retrieval(scores, np.array([0, 0, 1, 1]))
    assert values == {
        "i2t_r1": 100, "i2t_r5": 100, "i2t_r10": 100, "i2t_medr": 1, "i2t_meanr": 1,
        "t2i_r1": 50, "t2i_r5": 100, "t2i_r10": 100, "t2i_medr": 1, "t2i_meanr": 1.5, "rsum": 550,
    }  # fmt: skip


@pytest.mark.parametrize("each", [1, 5])
@pytest.mark.parametrize("value", [0.0, -0.5, 1.0])
def test_a_collapsed_model_scores_no_better_than_chance(each: int, value: float) -> None:
    images = 20
    values = metrics.retrieval(torch.full((images, images * each), value), torch.arange(images).repeat_interleave(each))
    assert values["rsum"] == 0
    assert values["t2i_meanr"] == images
    assert values["i2t_meanr"] == (images - 1) * each + 1


def test_a_perfect_model_with_negative_scores() -> None:
    scores = torch.eye(12) - 5
    assert metrics.retrieval(scores, torch.arange(12))["rsum"] == 600


def test_the_best_own_caption_decides_and_own_captions_do_not_compete() -> None:
    scores = torch.tensor([[0.9, 0.9, 0.9, 0.1], [0.0, 0.0, 0.0, 0.0]])
    image_to_text, _ = metrics.ranks(scores, torch.tensor([0, 0, 0, 1]))
    assert image_to_text.tolist() == [1, 4]  # three equal captions of its own; three others that tie


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("place", [(0, 0), (1, 3), (2, 5)])
def test_a_score_that_is_not_finite_is_an_error(
    bad: float, place: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "_BLOCK", 6)  # a row at a time
    scores = torch.zeros(3, 6)
    scores[place] = bad
    message = rf"image {place[0]} and caption {place[1]} is {bad}; accepted: finite"
    with pytest.raises(HarnessError, match=message):
        metrics.ranks(scores, torch.tensor([0, 0, 1, 1, 2, 2]))


@pytest.mark.parametrize(
    ("shape", "owner", "message"),
    [
        ((2, 3), [0, 1], "do not fit; accepted: (images, captions) with (captions,)"),
        ((6,), [0, 1], "do not fit"),
        ((2, 3), [0, 1, 2], "names an image beyond the 2 scored"),
        ((2, 3), [0, 1, -1], "accepted: 0 to 1"),
        ((3, 3), [0, 2, 2], "image 1 has no caption"),
        ((0, 0), [], "there are no captions"),
    ],
)
def test_matrices_that_do_not_fit_are_errors(shape: tuple[int, ...], owner: list[int], message: str) -> None:
    with pytest.raises(HarnessError) as caught:
        metrics.ranks(torch.zeros(shape), torch.tensor(owner, dtype=torch.int64))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def big(images: int) -> tuple[Tensor, Tensor]:
    owner = torch.arange(images).repeat_interleave(5)
    return torch.rand(images, 5 * images, generator=torch.Generator().manual_seed(0)), owner


def test_random_scores_at_1k_are_at_chance() -> None:
    values = metrics.retrieval(*big(1000))
    assert values["t2i_r10"] == pytest.approx(1, abs=0.5)
    assert values["t2i_medr"] == pytest.approx(500, abs=30)


@pytest.mark.long
def test_5k_by_25k_takes_seconds() -> None:
    scores, owner = big(5000)
    start = time.perf_counter()
    metrics.retrieval(scores, owner)
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize("threads_there", [1, 2, 3])
def test_shares_of_threads_count_what_one_loop_counts(monkeypatch: pytest.MonkeyPatch, threads_there: int) -> None:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randint(0, 9, (53, 106), generator=generator).float()  # ties everywhere
    owner = torch.arange(106) // 2
    alone = metrics.ranks(scores, owner)
    monkeypatch.setattr(metrics, "_BLOCK", 212)  # 27 blocks of two images
    usual = torch.get_num_threads()
    torch.set_num_threads(threads_there)
    try:
        shared = metrics.ranks(scores, owner)
        assert torch.get_num_threads() == threads_there
        assert ThreadPoolExecutor(1).submit(torch.get_num_threads).result() == threads_there
        scores[52, 3] = torch.nan
        with pytest.raises(Diverged, match="image 52 and caption 3 is nan"):
            metrics.ranks(scores, owner)
    finally:
        torch.set_num_threads(usual)
    assert all(torch.equal(one, other) for one, other in zip(alone, shared, strict=True))
