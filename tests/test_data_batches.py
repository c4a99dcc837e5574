from pathlib import Path

import numpy as np
import pytest
import torch
from synthetic import write_dataset

from harness.data import Dataset, layout, open_dataset
from harness.data.batches import PairReader
from harness.errors import HarnessError


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    root = tmp_path_factory.mktemp("data")
    write_dataset(root / "toy", {"train": 21, "dev": 5}, regions=4, dim=3, dtype=np.float16)
    return open_dataset("toy", root)


def test_a_batch_is_the_pairs_it_names(dataset: Dataset) -> None:
    split = dataset.split("train")
    reader = PairReader(split, np.random.default_rng(1).permutation(split.image_of_caption))
    pairs = np.random.default_rng(2).permutation(105)[:40]
    for images in (None, pairs % 21):
        batch = reader.read(pairs, images=images)
        assert batch.regions.dtype == torch.float32
        assert {batch.tokens.dtype, batch.lengths.dtype, batch.pair_ids.dtype} == {torch.int64}
        assert batch.pair_ids.tolist() == pairs.tolist()
        for row, pair in enumerate(pairs):
            image = reader.paired_image[pair] if images is None else images[row]
            np.testing.assert_array_equal(batch.regions[row].numpy(), split.regions[image].astype(np.float32))
            words = split.captions.ids[split.captions.offsets[pair] : split.captions.offsets[pair + 1]]
            assert batch.lengths[row] == len(words)
            assert batch.tokens[row, : len(words)].tolist() == words.tolist()
            assert not batch.tokens[row, len(words) :].any()
        assert batch.region_lengths.tolist() == [4] * len(batch)


def test_pairs_that_do_not_fit_are_named(dataset: Dataset) -> None:
    split = dataset.split("train")
    for wrong in (np.arange(104) // 5, np.arange(105), np.arange(105) // 5 - 1):
        with pytest.raises(HarnessError, match=r"accepted: one image in 0\.\.20 .* 105 captions of train"):
            PairReader(split, wrong)


def test_memory_stays_small_over_a_large_file(tmp_path: Path) -> None:
    """Random rows of a sparse 1.2 GB file, two epochs of them: resident memory does not grow by the file."""

    path = tmp_path / "train_ims.npy"
    np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(4000, 36, 2048))  # sparse: takes no disk space
    features = layout.open_features(path)
    rng = np.random.default_rng(0)
    layout.gather(features, rng.integers(0, 4000, 64))
    before = resident_mb()
    highest = 0.0
    for _ in range(125):
        layout.gather(features, rng.integers(0, 4000, 64))
        highest = max(highest, resident_mb())
    assert features.nbytes > 1.1e9
    assert highest - before < 150


def resident_mb() -> float:
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("resident memory is read from /proc")
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def test_float16_is_converted_as_numpy_does(tmp_path: Path) -> None:
    every = np.arange(2**16, dtype=np.uint16).view(np.float16)
    finite = every[np.isfinite(every)]
    rows = np.concatenate([finite, finite[::-1]]).reshape(2, 1, -1)  # rows longer than a part
    np.save(tmp_path / "rows.npy", rows)
    read = layout.gather(np.load(tmp_path / "rows.npy", mmap_mode="r"), np.array([1, 0]))
    np.testing.assert_array_equal(read, rows[::-1].astype(np.float32))
    assert (np.signbit(read) == np.signbit(rows[::-1])).all()
