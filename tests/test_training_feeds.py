"""Batches by position: of all pairs as they have always been, and of a plan's feeds."""

import threading
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from synthetic import write_dataset

from harness.data import Augmentation, Dataset, open_dataset
from harness.data.batches import Batch, PairReader
from harness.errors import HarnessError
from harness.methods.base import Feed
from harness.seeds import rng_for
from harness.training import feeds as feeds_module
from harness.training.feeds import Batches, Feeds, check_shares
from harness.training.position import Position


def feeds_of(dataset: Dataset, *, augmented: bool = True, seed: int = 0) -> Feeds:
    split = dataset.split("train")
    paired = np.random.default_rng(1).permutation(split.image_of_caption)
    augmentation = Augmentation() if augmented else None
    return Feeds(PairReader(split, paired, augmentation=augmentation, vocabulary=dataset.vocabulary), dataset, seed)


def epoch(
    dataset: Dataset, piece: int = 0, number: int = 0, start: int = 0, *, augmented: bool = True, seed: int = 0,
    batch_size: int = 10,
) -> Iterator[Batch]:  # fmt: skip
    """The batches of all pairs."""
    round = feeds_of(dataset, augmented=augmented, seed=seed).round([], batch_size)
    for (batch,) in round.batches(Position(piece, number, start)):
        assert batch is not None
        yield batch


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    root = tmp_path_factory.mktemp("data")
    write_dataset(root / "toy", {"train": 21, "dev": 5}, regions=4, dim=3, dtype=np.float16)
    return open_dataset("toy", root)


def same(left: Batch, right: Batch) -> bool:
    names = ("regions", "region_lengths", "tokens", "lengths", "pair_ids")
    return all(torch.equal(getattr(left, name), getattr(right, name)) for name in names)


def ids(batch: Batch | None) -> list[int]:
    assert batch is not None
    return [int(pair) for pair in batch.pair_ids]


def test_all_pairs_come_in_the_order_that_finished_runs_had(dataset: Dataset) -> None:
    order = rng_for("batch", 3, 1, 2).permutation(105)
    assert [pair for batch in epoch(dataset, 1, 2, seed=3) for pair in ids(batch)] == order.tolist()


def test_starting_at_a_step_gives_the_batches_of_the_whole_epoch(dataset: Dataset) -> None:
    whole = list(epoch(dataset, 1, 2))
    for start in (1, 7, len(whole) - 1, len(whole)):
        rest = list(epoch(dataset, 1, 2, start))
        assert len(rest) == len(whole) - start
        assert all(map(same, rest, whole[start:]))


def test_piece_epoch_and_seed_each_change_the_order(dataset: Dataset) -> None:
    orders = {
        tuple(next(epoch(dataset, piece, number, seed=seed)).pair_ids.tolist())
        for piece, number, seed in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
    }
    assert len(orders) == 4


def test_augmentation_differs_by_step_and_leaves_the_features_alone(dataset: Dataset) -> None:
    split = dataset.split("train")
    before = np.array(split.regions)
    plain, changed = list(epoch(dataset, augmented=False)), list(epoch(dataset))
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
    assert len(feeds_of(dataset).round([], batch_size)) == len(sizes)
    assert [len(batch) for batch in epoch(dataset, batch_size=batch_size)] == sizes


def test_leaving_an_epoch_early_ends_its_thread(dataset: Dataset) -> None:
    batches = feeds_of(dataset).round([], 10).batches(Position())
    next(batches)
    assert any(thread.name.startswith("batches") for thread in threading.enumerate())
    batches.close()  # type: ignore[attr-defined]
    assert not any(thread.name.startswith("batches") for thread in threading.enumerate())


def test_an_error_while_reading_reaches_the_training_loop(dataset: Dataset) -> None:
    feeds = feeds_of(dataset)
    feeds.reader.paired_image = feeds.reader.paired_image + 1000
    with pytest.raises(IndexError):
        list(feeds.round([], 10).batches(Position()))


# -- plans -------------------------------------------------------------------------------------------------------------

CLEAN, NOISY, DEV = Feed(np.arange(40, 100)), Feed(np.arange(25)), Feed(np.arange(8), split="dev", drop_last=True)


def planned(dataset: Dataset, *plan: Feed, round: int = 0, start: int = 0, epoch: int = 0) -> list[Batches]:
    at = Position(0, epoch, start, round=round)
    return list(feeds_of(dataset).round(plan, 10).batches(at))


def test_the_first_feed_drives_and_the_others_begin_anew(dataset: Dataset) -> None:
    batches = planned(dataset, CLEAN, NOISY)
    clean, noisy = ([ids(batch) for batch in feed] for feed in zip(*batches, strict=True))
    assert sorted(pair for batch in clean for pair in batch) == list(range(40, 100))
    assert [len(batch) for batch in noisy] == [10, 10, 5] * 2
    turns = [noisy[:3], noisy[3:]]
    assert all(sorted(pair for batch in turn for pair in batch) == list(range(25)) for turn in turns)
    assert turns[0] != turns[1]


def test_a_plan_goes_on_in_the_middle(dataset: Dataset) -> None:
    whole = planned(dataset, CLEAN, NOISY, DEV)
    for start in range(len(whole)):
        rest = planned(dataset, CLEAN, NOISY, DEV, start=start)
        assert len(rest) == len(whole) - start
        for left, right in zip(rest, whole[start:], strict=True):
            assert all(a is b is None or (a and b and same(a, b)) for a, b in zip(left, right, strict=True))


def test_every_round_epoch_and_feed_has_an_order_of_its_own(dataset: Dataset) -> None:
    first = [planned(dataset, CLEAN, CLEAN, round=round, epoch=epoch)[0] for round in (0, 1) for epoch in (0, 1)]
    assert len({tuple(ids(batch)) for batches in first for batch in batches}) == 8


def test_a_feed_too_small_for_a_batch_gives_none(dataset: Dataset) -> None:
    one, none = Feed(np.array([7])), Feed(np.array([], dtype=np.int64))
    assert all(batches[1:] == (None, None) for batches in planned(dataset, CLEAN, one, none))
    assert planned(dataset, none, CLEAN) == planned(dataset, one, CLEAN) == []
    assert planned(dataset, DEV) == []  # drop_last: 8 pairs are no batch of 10


def test_drop_last_leaves_out_what_is_not_full(dataset: Dataset) -> None:
    assert [len(ids(batch)) for (batch,) in planned(dataset, Feed(np.arange(25), drop_last=True))] == [10, 10]


def test_another_split_is_read_with_its_own_pairs(dataset: Dataset) -> None:
    split = dataset.split("dev")
    feeds = feeds_of(dataset, augmented=False)
    rows = np.array([3, 20, 11])
    batch = feeds.read(Feed(rows, split="dev"))
    for row, caption in enumerate(rows):
        image = split.regions[split.image_of_caption[caption]].astype(np.float32)
        np.testing.assert_array_equal(batch.regions[row].numpy(), image)
    moved = feeds.read(Feed(rows, images=np.array([4, 0, 2]), split="dev"))
    np.testing.assert_array_equal(moved.regions[0].numpy(), split.regions[4].astype(np.float32))


def test_a_plan_that_names_what_is_not_there_is_one_line(dataset: Dataset) -> None:
    feeds = feeds_of(dataset)
    for wrong, what in (
        (Feed(np.array([105])), r"feed 1 has captions .* from 105 to 105; accepted: .* split train, 0 to 104"),
        (Feed(np.array([25]), split="dev"), r"feed 1 has captions .* split dev, 0 to 24"),
        (Feed(np.array([1, 2]), images=np.array([0])), r"feed 1 has images of shape \(1,\)"),
        (Feed(np.array([True, False])), r"feed 1 has captions of shape \(2,\), bool"),
    ):
        with pytest.raises(HarnessError, match=what):
            feeds.round([CLEAN, wrong], 10)


def test_every_process_needs_a_pair_of_every_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    def check(processes: int, batch_size: int) -> None:
        monkeypatch.setattr(feeds_module, "world", lambda: processes)
        check_shares(130, batch_size)

    check(31, 33)  # 130 pairs: the last batch has 31
    check(33, 43)  # and here a single one, which is left out
    with pytest.raises(HarnessError, match=r"32 processes: the last batch of an epoch has 31 pairs"):
        check(32, 33)
    with pytest.raises(HarnessError, match=r"11 processes: a batch has 10 pairs \(schedule.batch_size = 10 for all"):
        check(11, 10)
