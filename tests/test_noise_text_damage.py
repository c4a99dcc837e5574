"""Damaged captions: how many, how much, and what with."""

from itertools import pairwise

import numpy as np
import pytest

from harness.noise import NOISE
from harness.noise.text_damage import TextDamage

WORDS = 20
TEXTS = [" ".join(f"{caption}.{place}" for place in range(WORDS)) for caption in range(500)]


def damage(texts: list[str], rate: float, strength: float = 1.0, seed: int = 0) -> dict[int, str]:
    return TextDamage(rate=rate, strength=strength).damage(texts, np.random.default_rng(seed))


def test_the_pairing_stays() -> None:
    owner = np.repeat(np.arange(100), 5)
    paired = TextDamage(rate=0.6).corrupt(owner, np.random.default_rng(0))
    assert (paired == owner).all()
    assert paired is not owner


@pytest.mark.parametrize("name", sorted(set(NOISE) - {"text_damage", "index_file"}))
def test_other_noise_damages_no_caption(name: str) -> None:
    assert NOISE[name](**({} if name == "none" else {"rate": 1.0})).damage(TEXTS, np.random.default_rng(0)) == {}


@pytest.mark.parametrize("rate", [0.0, 0.2, 0.6, 1.0])
@pytest.mark.parametrize("strength", [0.001, 0.5, 1.0])
def test_the_realised_rate_is_the_nominal_one(rate: float, strength: float) -> None:
    before = list(TEXTS)
    damaged = damage(TEXTS, rate, strength)
    assert before == TEXTS
    assert len(damaged) == round(rate * len(TEXTS))
    assert all(text.split() != TEXTS[caption].split() and text for caption, text in damaged.items())
    assert damage(TEXTS, rate, strength) == damaged
    assert not rate or damage(TEXTS, rate, strength, seed=1) != damaged


@pytest.mark.parametrize("strength", [0.3, 0.6, 1.0])
def test_strength_is_the_share_of_words_touched(strength: float) -> None:
    replaced, dropped, in_place = [], [], []
    for caption, text in damage(TEXTS, 1.0, strength).items():
        words = text.split()
        own = [word for word in words if word.split(".")[0] == str(caption)]
        assert len(set(own)) == len(own)  # no word of its own twice
        replaced.append(len(words) - len(own))
        dropped.append(WORDS - len(words))
        in_order = [int(word.split(".")[1]) for word in own]
        in_place.append(sum(a < b for a, b in pairwise(in_order)) / max(1, len(own) - 1))
    assert np.mean(replaced) / WORDS == pytest.approx(0.5 * strength, rel=0.12)
    assert np.mean(dropped) / WORDS == pytest.approx(0.25 * strength, rel=0.12)
    if strength == 1:
        assert np.mean(in_place) == pytest.approx(0.5, abs=0.05)  # what is left is in random order
    else:
        assert 0.75 < np.mean(in_place) < 1


def test_at_least_one_word_is_touched_and_one_stays() -> None:
    faint = damage(TEXTS, 1.0, 1e-9)
    for caption, text in faint.items():
        before, after = TEXTS[caption].split(), text.split()
        assert len(after) == WORDS - 1 or sum(a != b for a, b in zip(before, after, strict=True)) == 1
    assert len(faint) == len(TEXTS)


def test_a_caption_of_one_word_gets_the_word_of_another() -> None:
    texts = [f"word{number}" for number in range(200)]
    damaged = damage(texts, 1.0)
    assert len(damaged) == 200
    assert all(text in texts and text != texts[caption] for caption, text in damaged.items())


def test_what_cannot_differ_stays() -> None:
    assert damage(["alone"], 1.0) == {}
    assert damage(["same", "same"], 1.0) == {}
    assert set(damage(["", "two words"], 1.0)) == {1}
    assert set(damage(["a b c"], 1.0)) == {0}
