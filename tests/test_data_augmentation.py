import numpy as np
import pytest
from oracles.augmentation import augment_tokens, drop_regions

from harness.data import Augmentation, Vocabulary

VOCABULARY = Vocabulary(["<pad>", "<start>", "<end>", "<unk>", *(f"w{number}" for number in range(40))])


def batch(rng: np.random.Generator, size: int, longest: int) -> tuple[np.ndarray, np.ndarray]:
    """Padded captions (size, longest) and lengths, every one with <start> and <end>."""
    lengths = rng.integers(2, longest + 1, size)
    lengths[0] = longest
    tokens = rng.integers(4, len(VOCABULARY) - 1, (size, longest))
    tokens[:, 0] = VOCABULARY.start
    tokens[np.arange(size), lengths - 1] = VOCABULARY.end
    tokens[np.arange(longest) >= lengths[:, None]] = 0
    return tokens, lengths


@pytest.mark.parametrize("rate", [0.0, 0.2, 0.7, 1.0])
@pytest.mark.parametrize("size", [1, 33])
def test_tokens_equal_the_slow_twin(rate: float, size: int) -> None:
    for seed in range(20):
        tokens, lengths = batch(np.random.default_rng(seed), size, 12)
        captions = [row[:length].tolist() for row, length in zip(tokens, lengths, strict=True)]
        expected = augment_tokens(
            captions, 12, VOCABULARY.mask, len(VOCABULARY), rate, np.random.default_rng([seed, 1])
        )
        before = tokens.copy()
        got, kept = Augmentation(token_rate=rate).tokens(tokens, lengths, VOCABULARY, np.random.default_rng([seed, 1]))
        assert [row[:length].tolist() for row, length in zip(got, kept, strict=True)] == expected
        assert got.shape[1] == kept.max()
        assert kept.min() >= 1
        assert not got[np.arange(got.shape[1]) >= kept[:, None]].any()
        np.testing.assert_array_equal(tokens, before)


def test_rate_0_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    tokens, lengths = batch(rng, 8, 9)
    regions = rng.standard_normal((8, 5, 3)).astype(np.float32)
    nothing = Augmentation(token_rate=0.0, region_rate=0.0)
    same_tokens, same_lengths = nothing.tokens(tokens, lengths, VOCABULARY, rng)
    same_regions, region_lengths = nothing.regions(regions, rng)
    np.testing.assert_array_equal(same_tokens, tokens)
    np.testing.assert_array_equal(same_lengths, lengths)
    np.testing.assert_array_equal(same_regions, regions)
    assert region_lengths.tolist() == [5] * 8


def test_words_meet_their_fates_at_the_paper_s_rates() -> None:
    tokens = np.full((2000, 50), 7)
    got, kept = Augmentation().tokens(tokens, np.full(2000, 50), VOCABULARY, np.random.default_rng(0))
    words = 2000 * 50
    assert (got == VOCABULARY.mask).sum() / words == pytest.approx(0.2 * 0.5 + 0.02 / 43, abs=0.004)
    assert 1 - kept.sum() / words == pytest.approx(0.2 * 0.4, abs=0.004)
    replaced = np.isin(got, [0, 7, VOCABULARY.mask], invert=True)
    assert replaced.sum() / words == pytest.approx(0.2 * 0.1, abs=0.003)


@pytest.mark.parametrize("rate", [0.0, 0.2, 0.9, 1.0])
@pytest.mark.parametrize("regions", [1, 6])
def test_regions_equal_the_slow_twin(rate: float, regions: int) -> None:
    images = np.random.default_rng(0).standard_normal((17, regions, 4)).astype(np.float32)
    before = images.copy()
    expected = drop_regions(images, rate, np.random.default_rng(3))
    got, kept = Augmentation(region_rate=rate).regions(images, np.random.default_rng(3))
    assert kept.tolist() == [len(image) for image in expected]
    for row, image in enumerate(expected):
        np.testing.assert_array_equal(got[row, : kept[row]], np.stack(image))
        assert not got[row, kept[row] :].any()
    np.testing.assert_array_equal(images, before)
