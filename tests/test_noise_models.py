"""Noise models: the slow twins, the edges, and index files, the published ones among them."""

import gzip
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import noise as slow

from harness.errors import HarnessError
from harness.noise import NOISE, NoiseModel, realised_rate, save_index

rates, seeds = st.floats(0, 1), st.integers(0, 2**32)
shapes = st.tuples(st.integers(1, 40), st.integers(1, 5))  # images, captions of each


def make(name: str, **keywords: Any) -> NoiseModel:
    return NOISE[name](**keywords)


def truth(images: int, each: int = 5, *, shuffle: bool = False) -> np.ndarray:
    owner = np.repeat(np.arange(images), each)
    return np.random.default_rng(0).permutation(owner) if shuffle else owner


def corrupt(name: str, rate: float, owner: np.ndarray, seed: int = 0) -> np.ndarray:
    return make(name, rate=rate).corrupt(owner, np.random.default_rng(seed))


@settings(max_examples=100, deadline=None)
@given(shape=shapes, rate=rates, seed=seeds)
def test_caption_level_is_its_slow_twin(shape: tuple[int, int], rate: float, seed: int) -> None:
    owner = truth(*shape, shuffle=True)
    expected = slow.caption_level(owner.tolist(), rate, np.random.default_rng(seed))
    assert corrupt("caption_level", rate, owner, seed).tolist() == expected


@settings(max_examples=100, deadline=None)
@given(shape=shapes, rate=rates, seed=seeds)
def test_image_level_is_its_slow_twin(shape: tuple[int, int], rate: float, seed: int) -> None:
    owner = truth(*shape, shuffle=True)
    expected = slow.image_level(owner.tolist(), rate, np.random.default_rng(seed))
    assert corrupt("image_level", rate, owner, seed).tolist() == expected


@settings(max_examples=100, deadline=None)
@given(shape=st.tuples(st.integers(4, 40), st.integers(1, 5)), rate=rates, reach=st.integers(1, 3), seed=seeds)
def test_shifted_is_its_slow_twin(shape: tuple[int, int], rate: float, reach: int, seed: int) -> None:
    owner = truth(*shape, shuffle=True)
    expected = slow.shifted(owner.tolist(), rate, reach, np.random.default_rng(seed))
    got = make("shifted", rate=rate, reach=reach).corrupt(owner, np.random.default_rng(seed))
    assert got.tolist() == expected
    assert realised_rate(got, owner) == round(rate * len(owner)) / len(owner)


def test_shifted_captions_stay_near() -> None:
    owner = truth(2000)
    got = make("shifted", rate=0.5, reach=2).corrupt(owner, np.random.default_rng(0))
    far = np.minimum((got - owner) % 2000, (owner - got) % 2000)
    assert np.bincount(far).tolist()[0] == 5000
    assert np.bincount(far)[1:] == pytest.approx([2500, 2500], abs=150)
    assert ((got - owner) % 2000 == 1).sum() == pytest.approx(1250, abs=120)  # as many behind as before
    with pytest.raises(HarnessError, match="reach = 5 among 5 images; accepted: at most 4"):
        make("shifted", rate=0.5, reach=5).corrupt(truth(5), np.random.default_rng(0))
    assert make("shifted", rate=0.0, reach=5).corrupt(truth(5), np.random.default_rng(0)).tolist() == truth(5).tolist()


@pytest.mark.parametrize("name", ["caption_level", "image_level"])
@pytest.mark.parametrize("rate", [0.0, 0.2, 0.6, 1.0])
def test_images_are_exchanged_never_lost(name: str, rate: float) -> None:
    owner = truth(2000)
    before = owner.copy()
    paired = corrupt(name, rate, owner)
    assert paired.dtype == np.int64
    assert paired is not owner
    assert (owner == before).all()
    assert np.bincount(paired).tolist() == [5] * 2000
    assert realised_rate(paired, owner) == pytest.approx(rate, abs=0.003)
    assert (realised_rate(paired, owner) == 0) == (rate == 0)


def test_captions_of_an_image_scatter_or_stay_together() -> None:
    def share_together(paired: np.ndarray) -> float:
        groups = paired.reshape(-1, 5)
        return float((groups == groups[:, :1]).all(1).mean())

    owner = truth(2000)
    assert share_together(corrupt("image_level", 0.6, owner)) == 1
    assert share_together(corrupt("caption_level", 0.6, owner)) < 0.05  # 0.4 ** 5 is 0.01


@pytest.mark.parametrize("name", ["caption_level", "image_level"])
def test_noise_follows_the_generator(name: str) -> None:
    owner = truth(50)
    assert (corrupt(name, 0.5, owner, seed=3) == corrupt(name, 0.5, owner, seed=3)).all()
    assert (corrupt(name, 0.5, owner, seed=3) != corrupt(name, 0.5, owner, seed=4)).any()


@pytest.mark.parametrize("name", ["caption_level", "image_level"])
@pytest.mark.parametrize("rate", [0.0, 0.5, 1.0])
def test_one_image_has_nothing_to_be_confused_with(name: str, rate: float) -> None:
    assert corrupt(name, rate, truth(1)).tolist() == [0] * 5


def read(path: Path, rate: float, owner: np.ndarray) -> np.ndarray:
    return make("index_file", path=str(path), rate=rate).corrupt(owner, np.random.default_rng(0))


@pytest.mark.parametrize("file", ["noise.npy", "pairs"])
def test_saved_pairs_are_read_back(tmp_path: Path, file: str) -> None:
    owner = truth(200)
    paired = corrupt("caption_level", 0.4, owner)
    save_index(paired, tmp_path / file)
    assert (read(tmp_path / file, 0.4, owner) == paired).all()


def test_image_level_file_moves_all_captions_of_an_image(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", np.array([2, 1, 0, 3], dtype=np.int32))
    paired = read(tmp_path / "images.npy", 0.5, truth(4, each=2))
    assert paired.tolist() == [2, 2, 1, 1, 0, 0, 3, 3]


def message(path: Path, rate: float, images: int = 4) -> str:
    with pytest.raises(HarnessError) as caught:
        read(path, rate, truth(images, each=2))
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith(f"noise.path = {path}: ")
    return text


def test_a_file_that_does_not_fit_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "noise.npy"
    assert "there is no such file" in message(path, 0.5)
    path.write_text("not an array")
    assert "not a readable .npy file" in message(path, 0.5)
    np.save(path, np.array([{}]), allow_pickle=True)
    assert "not a readable .npy file" in message(path, 0.5)
    np.save(path, np.array([0.5] * 8))
    assert "holds no whole numbers" in message(path, 0.5)
    np.save(path, np.zeros(0, dtype=int))
    assert "holds no whole numbers" in message(path, 0.5)
    np.save(path, np.arange(7))
    assert "shape (7,) does not fit the training set; accepted: (8,), one per caption" in message(path, 0.5)
    np.save(path, np.zeros((4, 2), dtype=int))
    assert "shape (4, 2) does not fit" in message(path, 0.5)
    np.save(path, np.array([0, 1, 2, 4]))
    assert "image numbers from 0 to 4; accepted: 0 to 3" in message(path, 0.5)
    np.save(path, np.array([-1, 1, 2, 3]))
    assert "image numbers from -1 to 3; accepted: 0 to 3" in message(path, 0.5)
    np.save(path, np.array([1, 0, 2, 3]))
    assert "0.5000 of its pairs are wrong, noise.rate is 0.2" in message(path, 0.2)
    assert read(path, 0.5, truth(4, each=2)).tolist() == [1, 1, 0, 0, 2, 2, 3, 3]


@pytest.mark.parametrize("rate", [0.2, 0.4, 0.6])
def test_published_flickr30k_files_fit_the_real_captions(shared: Path, rate: float) -> None:
    folder = shared / "data" / "flickr30k_captions"
    with gzip.open(folder / "train_caps.txt.gz", "rt", encoding="utf-8") as lines:
        captions = sum(1 for _ in lines)
    images = len((folder / "train_ids.txt").read_text().splitlines())
    owner = truth(images, captions // images)
    path = shared / "data" / "noise_index" / f"f30k_precomp_{rate}.npy"

    paired = read(path, rate, owner)

    assert realised_rate(paired, owner) == pytest.approx(rate, abs=1e-4)
    assert (np.bincount(paired, minlength=images) == 5).all()  # entries are images, each in five pairs
    with pytest.raises(HarnessError, match=re.escape(f"noise.rate is {rate - 0.1}")):
        read(path, rate - 0.1, owner)
    with pytest.raises(HarnessError, match="does not fit the training set"):
        read(path, rate, owner[:-5])


def test_ours_at_the_published_size_keeps_the_rate_to_1e_4() -> None:
    owner = truth(29000)
    for name in ("caption_level", "image_level"):
        assert realised_rate(corrupt(name, 0.6, owner), owner) == pytest.approx(0.6, abs=1e-4)
