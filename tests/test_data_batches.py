import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from synthetic import write_dataset

from harness.data import Augmentation, Batch, Dataset, PairBatches, open_dataset
from harness.errors import HarnessError


def pairs(dataset: Dataset, *, augmented: bool = True, batch_size: int = 10, seed: int = 0) -> PairBatches:
    split = dataset.split("train")
    paired = np.random.default_rng(1).permutation(split.image_of_caption)
    return PairBatches(
        split,
        paired,
        batch_size=batch_size,
        augmentation=Augmentation() if augmented else None,
        vocabulary=dataset.vocabulary,
        seed=seed,
    )


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    root = tmp_path_factory.mktemp("data")
    write_dataset(root / "toy", {"train": 21, "dev": 5}, regions=4, dim=3, dtype=np.float16)
    return open_dataset("toy", root)


def same(left: Batch, right: Batch) -> bool:
    names = ("regions", "region_lengths", "tokens", "lengths", "pair_ids")
    return all(torch.equal(getattr(left, name), getattr(right, name)) for name in names)


def test_a_batch_is_the_pairs_it_names(dataset: Dataset) -> None:
    batches, split = pairs(dataset, augmented=False), dataset.split("train")
    seen = []
    for batch in batches.epoch(0, 0):
        assert batch.regions.dtype == torch.float32
        assert {batch.tokens.dtype, batch.lengths.dtype, batch.pair_ids.dtype} == {torch.int64}
        for row, pair in enumerate(batch.pair_ids.tolist()):
            image = split.regions[batches.paired_image[pair]].astype(np.float32)
            np.testing.assert_array_equal(batch.regions[row].numpy(), image)
            words = split.captions.ids[split.captions.offsets[pair] : split.captions.offsets[pair + 1]]
            assert batch.lengths[row] == len(words)
            assert batch.tokens[row, : len(words)].tolist() == words.tolist()
            assert not batch.tokens[row, len(words) :].any()
        assert batch.region_lengths.tolist() == [4] * len(batch)
        seen += batch.pair_ids.tolist()
    assert sorted(seen) == list(range(105))


def test_starting_at_a_step_gives_the_batches_of_the_whole_epoch(dataset: Dataset) -> None:
    whole = list(pairs(dataset).epoch(1, 2))
    for start in (1, 7, len(whole) - 1, len(whole)):
        rest = list(pairs(dataset).epoch(1, 2, start))
        assert len(rest) == len(whole) - start
        assert all(map(same, rest, whole[start:]))


def test_piece_epoch_and_seed_each_change_the_order(dataset: Dataset) -> None:
    orders = {
        tuple(next(iter(pairs(dataset, seed=seed).epoch(piece, epoch))).pair_ids.tolist())
        for piece, epoch, seed in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
    }
    assert len(orders) == 4


def test_augmentation_differs_by_step_and_leaves_the_features_alone(dataset: Dataset) -> None:
    split = dataset.split("train")
    before = np.array(split.regions)
    plain, changed = list(pairs(dataset, augmented=False).epoch(0, 0)), list(pairs(dataset).epoch(0, 0))
    assert all(torch.equal(a.pair_ids, b.pair_ids) for a, b in zip(plain, changed, strict=True))
    assert not any(map(same, plain, changed))
    dropped = {tuple(batch.region_lengths.tolist()) for batch in changed}
    assert len(dropped) > 1
    np.testing.assert_array_equal(split.regions, before)


@pytest.mark.parametrize(
    ("batch_size", "sizes"),
    [
        (105, [105]),
        (104, [104]),  # the last pair would be alone
        (103, [103, 2]),
        (50, [50, 50, 5]),
        (1000, [105]),
    ],
)
def test_the_last_short_batch_stays_unless_it_is_one_pair(dataset: Dataset, batch_size: int, sizes: list[int]) -> None:
    batches = pairs(dataset, batch_size=batch_size)
    assert len(batches) == len(sizes)
    assert [len(batch) for batch in batches.epoch(0, 0)] == sizes


def test_leaving_an_epoch_early_ends_its_thread(dataset: Dataset) -> None:
    epoch = pairs(dataset).epoch(0, 0)
    next(epoch)
    assert any(thread.name.startswith("batches") for thread in threading.enumerate())
    epoch.close()  # type: ignore[attr-defined]
    assert not any(thread.name.startswith("batches") for thread in threading.enumerate())


def test_an_error_while_reading_reaches_the_training_loop(dataset: Dataset) -> None:
    batches = pairs(dataset)
    batches.paired_image = batches.paired_image + 1000
    with pytest.raises(IndexError):
        list(batches.epoch(0, 0))


def test_pairs_that_do_not_fit_are_named(dataset: Dataset) -> None:
    split = dataset.split("train")
    options = {"augmentation": None, "vocabulary": dataset.vocabulary, "seed": 0}
    for wrong in (np.arange(104) // 5, np.arange(105), np.arange(105) // 5 - 1):
        with pytest.raises(HarnessError, match=r"accepted: one image in 0\.\.20 .* 105 captions of train"):
            PairBatches(split, wrong, batch_size=8, **options)
    with pytest.raises(HarnessError, match="batch_size 1 with 105 pairs; accepted: at least 2"):
        PairBatches(split, split.image_of_caption, batch_size=1, **options)


def test_memory_stays_small_over_a_large_file(tmp_path: Path) -> None:
    """Random rows of a sparse 1.2 GB file, two epochs of them: resident memory does not grow by the file."""
    from harness.data import layout

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
