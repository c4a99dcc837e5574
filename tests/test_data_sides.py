"""Sides that have any number of vectors for each item: read from disk, in batches, checked, trained on."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from sided import HEARD, write_sides
from toy import finished

from harness.backbones import SAF, VSEInfinity
from harness.data import Augmentation, Dataset, Vectors, open_dataset, write_runs
from harness.data.batches import PairReader
from harness.data.check import check_dataset, why_not_finite
from harness.data.descriptors import image_descriptors
from harness.errors import HarnessError
from harness.spec import RunSpec, resolve
from harness.training.data import read_by
from harness.training.pairs import training_pairs


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("data")
    write_sides(data / "toy")
    return data


@pytest.fixture(scope="module")
def dataset(root: Path) -> Dataset:
    return open_dataset("toy", root)


def one_by_one(folder: Path, name: str) -> list[np.ndarray]:
    values, offsets = np.load(folder / f"{name}.npy"), np.load(folder / f"{name}_offsets.npy")
    return [values[begin:end] for begin, end in pairwise(offsets)]


def test_a_batch_has_the_vectors_of_both_sides(dataset: Dataset) -> None:
    split = dataset.split("train")
    images, captions = one_by_one(dataset.folder, "train_ims"), one_by_one(dataset.folder, "train_caps")
    assert (dataset.region_dim, dataset.caption_dim, dataset.vocabulary_size) == (16, HEARD, HEARD)
    pairs = np.random.default_rng(0).permutation(400)[:40]
    batch = PairReader(split, split.image_of_caption).read(pairs)
    for row, pair in enumerate(pairs):
        for values, lengths, item in (
            (batch.regions, batch.region_lengths, images[pair // 5]),
            (batch.tokens, batch.lengths, captions[pair]),
        ):
            assert lengths[row] == len(item)
            np.testing.assert_array_equal(values[row, : len(item)].numpy(), item)
            assert not values[row, len(item) :].any()
    assert batch.tokens.shape[1] == max(len(captions[pair]) for pair in pairs)
    assert batch.regions.dtype == batch.tokens.dtype == torch.float32


@pytest.mark.parametrize("augmented", [False, True])
def test_shares_of_a_batch_are_the_batch(dataset: Dataset, augmented: bool) -> None:
    split = dataset.split("train")
    reader = PairReader(split, split.image_of_caption, augmentation=Augmentation() if augmented else None)
    pairs = np.arange(0, 60, 3)
    whole = reader.read(pairs, np.random.default_rng(1))
    parts = [reader.read(pairs, np.random.default_rng(1), rows) for rows in (slice(0, 7), slice(7, 20))]
    for name in ("regions", "region_lengths", "tokens", "lengths"):
        assert torch.equal(getattr(whole, name), torch.cat([getattr(part, name) for part in parts])), name
    if augmented:
        plain = reader.read(pairs)
        assert (whole.lengths < plain.lengths).any()
        assert (whole.region_lengths < plain.region_lengths).any()
        assert whole.lengths.min() >= 1


def test_half_floats_and_an_array_without_a_map_read_the_same(tmp_path: Path) -> None:
    items = [np.random.default_rng(n).standard_normal((n, 3)).astype(np.float16) for n in (2, 1, 5, 3)]
    assert write_runs(tmp_path / "x.npy", iter(items)) == 11
    offsets = np.load(tmp_path / "x_offsets.npy")
    mapped = Vectors.of(np.load(tmp_path / "x.npy", mmap_mode="r"), offsets)
    held = Vectors.of(np.load(tmp_path / "x.npy"), offsets)
    for rows in ([2, 0], [3, 3, 1], [1]):
        values, lengths = mapped.padded(np.array(rows))
        assert values.dtype == np.float32
        np.testing.assert_array_equal(values, held.padded(np.array(rows))[0])
        assert lengths.tolist() == [len(items[row]) for row in rows]
    np.testing.assert_allclose(mapped.means(), [item.mean(axis=0, dtype=np.float32) for item in items], rtol=1e-6)
    assert [len(held.chosen(np.array([2, 1])).padded(np.array([0]))[0][0])] == [5]


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    for items, said in (
        ([np.ones((2, 3)), np.ones((1, 4))], r"item 1 has shape \(1, 4\); accepted: \(vectors, 3\)"),
        ([np.ones(3)], r"item 0 has shape \(3,\); accepted: \(vectors, D\)"),
        ([np.ones((0, 3))], "item 0 has shape"),
        ([], "no items"),
    ):
        with pytest.raises(HarnessError, match=said):
            write_runs(tmp_path / "x.npy", items)
    assert not list(tmp_path.iterdir())


def test_captions_of_one_length_need_no_offsets_and_no_text(tmp_path: Path) -> None:
    write_sides(tmp_path / "toy", captions=False)
    for split in ("train", "dev", "test"):
        count = len(np.load(tmp_path / f"toy/{split}_ims_offsets.npy")) - 1
        np.save(tmp_path / f"toy/{split}_caps.npy", np.ones((5 * count, 3, 4), np.float32))
        (tmp_path / f"toy/{split}_caps.txt").unlink()
    split = open_dataset("toy", tmp_path).split("dev")
    assert (len(split.captions), len(split.regions), split.texts[7]) == (100, 20, "caption 7")
    assert split.captions.padded(np.array([3]))[0].shape == (1, 3, 4)
    assert split.images(4).image_of_caption.tolist() == np.repeat(np.arange(4), 5).tolist()


@pytest.mark.parametrize(
    ("file", "spoil", "said"),
    [
        ("train_ims_offsets.npy", lambda a: a[:-1], "goes from 0 to .*; accepted: whole numbers .* rise from 0 to"),
        ("train_ims_offsets.npy", lambda a: np.sort(np.r_[a[:1], a[:-2], a[-1]]), "item . has no vector"),
        ("train_caps_offsets.npy", lambda a: a.astype(float), "dtype float64; accepted: whole numbers"),
        ("train_caps_offsets.npy", lambda a: np.r_[a[:3], a[-1]], "3 captions; accepted: 400, the lines of"),
        ("dev_caps.npy", lambda a: a[:, :5], "vectors of 5 numbers; accepted: 12, as in the other splits"),
        ("dev_ims.npy", lambda a: a[:, :5], "region features of 5 numbers; accepted: 16"),
        ("dev_ims.npy", lambda a: a.astype(int), r"dtype int64; accepted: \(vectors of all items, dim\)"),
        ("dev_caps.npy", None, "is not there, and the captions of other splits are vectors"),
    ],
)
def test_files_that_do_not_fit_are_named(tmp_path: Path, file: str, spoil, said: str) -> None:
    folder = write_sides(tmp_path / "toy")
    if spoil is None:
        (folder / file).unlink()
    else:
        np.save(folder / file, spoil(np.load(folder / file)))
    dataset = open_dataset("toy", tmp_path)
    with pytest.raises(HarnessError, match=said):
        dataset.split(file.split("_")[0])


def test_the_digest_sees_every_file(tmp_path: Path) -> None:
    folder = write_sides(tmp_path / "toy")
    seen = {open_dataset("toy", tmp_path).digest()}
    for name in ("train_ims.npy", "train_ims_offsets.npy", "train_caps.npy", "train_caps_offsets.npy"):
        values = np.load(folder / name)
        values[1 if "offsets" in name else 0] += 1  # of vectors a sample is looked at
        np.save(folder / name, values)
        seen.add(open_dataset("toy", tmp_path).digest())
    assert len(seen) == 5


def test_check_counts_vectors_and_finds_what_is_not_finite(tmp_path: Path) -> None:
    folder = write_sides(tmp_path / "toy")
    lines = {f.name: f for f in check_dataset("toy", tmp_path)}
    assert not [f for f in lines.values() if f.level == "error"]
    assert lines["train shape"].text == "4 to 8 vectors, median 6, of 16 float32 numbers"
    assert lines["dev captions"].text == "18 to 18 vectors, median 18, of 12 float32 numbers"
    values, ends = np.load(folder / "dev_caps.npy"), np.load(folder / "dev_caps_offsets.npy")
    values[ends[3] : ends[4]] = np.nan
    np.save(folder / "dev_caps.npy", values)
    found = {f.name: f for f in check_dataset("toy", tmp_path)}["dev caption values"]
    assert (found.level, "the first is row 3" in found.text) == ("error", True)
    assert "row 3 of dev_caps.npy is not finite" in why_not_finite(open_dataset("toy", tmp_path))


def test_descriptors_are_those_of_the_mean_vectors(dataset: Dataset) -> None:
    means = np.stack([item.mean(axis=0) for item in one_by_one(dataset.folder, "train_ims")])
    centred = means - means.mean(axis=0)
    got = image_descriptors(dataset)
    cosine = centred @ centred.T / np.outer(*[np.linalg.norm(centred, axis=1)] * 2)
    np.testing.assert_allclose(got @ got.T, cosine, atol=2e-4)  # 16 numbers: nothing is left out


@pytest.mark.parametrize(("images", "texts"), [("set", "sequence"), ("sequence", "set")])
def test_a_run_learns_from_vectors_on_both_sides(tmp_path: Path, root: Path, images: str, texts: str) -> None:
    cell = finished(
        tmp_path,
        f'[axes]\n"backbone.images" = ["{images}"]\n"backbone.texts" = ["{texts}"]\n"noise.rate" = [0.2]\n'
        'method = ["infonce"]\n"schedule.epochs" = [8]\n',
        root,
    )
    result = cell.result()
    assert result is not None
    assert result["test"]["full"]["rsum"] > 250  # chance is about 160: 5 + 25 + 50 from either side
    assert 0.15 < result["noise"]["realised_rate"] <= 0.2


def test_frames_of_clips_with_written_captions_that_come_too_early_or_too_late(tmp_path: Path) -> None:
    write_sides(tmp_path / "data/toy", captions=False)
    cell = finished(
        tmp_path,
        '[axes]\n"backbone.images" = ["sequence"]\n"schedule.epochs" = [8]\nmethod = ["infonce"]\n'
        'noise = [{ name = "shifted", rate = 0.2 }]\n',
        tmp_path / "data",
    )
    result = cell.result()
    assert result is not None
    assert result["noise"]["realised_rate"] == 0.2
    assert result["test"]["full"]["rsum"] > 250
    paired = np.load(cell.path("noise.npy"))
    assert set(((paired - np.arange(400) // 5) % 80).tolist()) == {0, 1, 79}


def test_words_and_vectors_are_not_taken_for_each_other(tmp_path: Path, dataset: Dataset) -> None:
    write_sides(tmp_path / "written", captions=False)
    written = open_dataset("written", tmp_path)
    assert read_by(VSEInfinity, {"texts": "set"}, dataset) is dataset
    assert read_by(VSEInfinity, {"texts": "words"}, written) is written
    with pytest.raises(HarnessError, match=r'toy: its captions are vectors, .*; accepted: texts = "sequence" or "set"'):
        read_by(VSEInfinity, {}, dataset)
    with pytest.raises(HarnessError, match=r'written: its captions are words, .*; accepted: texts = "words"'):
        read_by(SAF, {"texts": "set"}, written)


def test_noise_that_writes_words_is_refused(root: Path) -> None:
    run = RunSpec(
        dataset="toy",
        noise=resolve({"name": "text_damage", "rate": 0.4}, kind="noise", where="test"),
        backbone=resolve({"name": "vse_infinity", "texts": "set"}, kind="backbone", where="test"),
        method=resolve({"name": "infonce"}, kind="method", where="test"),
    )
    with pytest.raises(HarnessError, match="toy: its captions are vectors, and no words can be put in their place"):
        training_pairs(run, open_dataset("toy", root))
