import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from oracles.layout import read_split
from synthetic import write_dataset

from harness.data import CARDS, Dataset, DatasetCard, layout, open_dataset
from harness.errors import HarnessError


@pytest.mark.parametrize("duplicated", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_splits_equal_the_slow_twin(tmp_path: Path, duplicated: bool, dtype: type) -> None:
    folder = write_dataset(tmp_path / "toy", {"train": 30, "dev": 6, "test": 4}, dtype=dtype, duplicated=duplicated)
    dataset = open_dataset("toy", tmp_path)
    assert dataset.splits == ["train", "dev", "test"]
    assert dataset.region_dim == 16
    for name, images in (("train", 30), ("dev", 6), ("test", 4)):
        features, texts = read_split(folder, name, 5)
        split = dataset.split(name)
        assert split.regions.shape == (images, 8, 16)
        assert split.regions.dtype == dtype
        np.testing.assert_array_equal(split.regions, features)
        assert split.texts == texts
        assert split.image_of_caption.tolist() == [caption // 5 for caption in range(5 * images)]
        assert split.image_ids == [f"{name}-{image:05d}.png" for image in range(images)]
        assert len(split.captions) == 5 * images


def test_copies_are_left_out_without_reading_them(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "toy", {"train": 6, "test": 4}, duplicated=True)
    regions = open_dataset("toy", tmp_path).split("test").regions
    whole = np.load(folder / "test_ims.npy", mmap_mode="r")
    assert isinstance(regions, np.memmap)
    assert regions.base is not None
    assert regions.strides[0] == 5 * whole.strides[0]
    assert not regions.flags.writeable


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.uint8])
@pytest.mark.parametrize("part", [slice(None), slice(2, 9), slice(None, None, 5), slice(1, None, 3)])
def test_gather_reads_what_the_memory_map_shows(
    dtype: type, part: slice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = np.random.default_rng(0).integers(0, 200, (20, 3, 4)).astype(dtype)
    np.save(tmp_path / "x.npy", values)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")[part]
    images = np.array([3, 0, 3, 1])
    read = layout.gather(mapped, images)
    monkeypatch.delattr(os, "preadv")
    assert np.array_equal(read, layout.gather(mapped, images))
    assert np.array_equal(read, values[part][images])
    assert read.dtype == (np.uint8 if dtype is np.uint8 else np.float32)


def test_a_file_that_was_cut_meanwhile_is_one_line(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.ones((20, 3, 4), dtype=np.float32))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    os.truncate(tmp_path / "x.npy", 500)
    with pytest.raises(HarnessError, match=r"x\.npy: ends in the middle of image 19; was it written anew"):
        layout.gather(mapped, np.array([0, 19]))


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("duplicated", [False, True])
def test_gather_copies_rows_in_any_order(tmp_path: Path, dtype: type, duplicated: bool) -> None:
    write_dataset(tmp_path / "toy", {"train": 6, "test": 9}, dtype=dtype, duplicated=duplicated)
    split = open_dataset("toy", tmp_path).split("test")
    for images in ([3, 0, 8, 3, 3, 1], [0], [8, 7, 6, 5]):
        rows, lengths = split.gather(np.array(images))
        assert lengths.tolist() == [8] * len(images)
        assert rows.dtype == np.float32
        np.testing.assert_array_equal(rows, np.stack([split.regions[image].astype(np.float32) for image in images]))
    rows[:] = 0
    assert split.regions[8].any()


def test_the_first_images_of_a_split(tmp_path: Path) -> None:
    write_dataset(tmp_path / "toy", {"train": 6, "dev": 7}, duplicated=True)
    dev = open_dataset("toy", tmp_path).split("dev")
    short = dev.images(3)
    assert short.regions.shape[0] == len(short.image_ids) == 3
    assert len(short.captions) == len(short.texts) == len(short.image_of_caption) == 15
    np.testing.assert_array_equal(short.captions.padded(np.arange(15))[0], dev.captions.padded(np.arange(15))[0])
    assert short.image_of_caption.max() == 2
    assert dev.images(None) is dev.images(7) is dev.images(100) is dev


def test_test_means_testall_where_there_is_one(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "coco_precomp", {"train": 6, "dev": 3, "test": 2, "testall": 4})
    (folder / "card.json").unlink()
    dataset = open_dataset("coco", tmp_path)
    assert dataset.card is CARDS["coco"]
    assert len(dataset.split("test").regions) == len(dataset.split("testall").regions) == 4
    assert dataset.split("test").image_ids[0] == "testall-00000.png"
    assert dataset.has("test")
    assert not dataset.has("val")


def test_tab_separated_captions_carry_ids(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "cc152k_precomp", {"train": 6, "dev": 2, "test": 2}, captions_per_image=1)
    for split in ("train", "dev", "test"):
        lines = (folder / f"{split}_caps.txt").read_text().splitlines()
        rows = "".join(f'{number}\t"a ""quoted"" {line}"\n' for number, line in enumerate(lines, start=100))
        (folder / f"{split}_caps.tsv").write_text(rows)
        for name in (f"{split}_caps.txt", f"{split}_ids.txt"):
            (folder / name).unlink()
    (folder / "card.json").unlink()
    split = open_dataset("cc152k", tmp_path).split("dev")
    assert split.image_ids == ["100", "101"]
    assert split.texts[0].startswith('a "quoted" ')
    assert split.image_of_caption.tolist() == [0, 1]


def test_a_caption_may_hold_odd_separators(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "toy", {"train": 2})
    captions = ["one\u2028still one", "two\x0bstill two", *map(str, range(3, 11))]
    (folder / "train_caps.txt").write_bytes("\r\n".join(captions).encode())
    assert open_dataset("toy", tmp_path).split("train").texts == captions


def test_ids_may_be_per_caption_or_absent(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "toy", {"train": 3})
    (folder / "train_ids.txt").write_text("".join(f"{caption // 5 + 70}\n" for caption in range(15)))
    assert open_dataset("toy", tmp_path).split("train").image_ids == ["70", "71", "72"]
    (folder / "train_ids.txt").unlink()
    assert open_dataset("toy", tmp_path).split("train").image_ids == ["0", "1", "2"]


def test_a_folder_without_a_card_opens(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "mine", {"train": 6, "test": 3}, duplicated=True)
    (folder / "card.json").unlink()
    dataset = open_dataset("mine", tmp_path)
    assert dataset.card == DatasetCard(name="mine", folder="mine")
    assert len(dataset.split("test").regions) == 3


def test_digest_is_of_the_content_not_the_place(tmp_path: Path) -> None:
    first = write_dataset(tmp_path / "a" / "toy")
    before = open_dataset("toy", tmp_path / "a").digest()
    shutil.copytree(first, tmp_path / "b" / "other")
    assert open_dataset("other", tmp_path / "b").digest() == before
    dataset = open_dataset("toy", tmp_path / "a")
    dataset.split("train")  # writes the cache
    assert dataset.digest() == before

    def changed(file: str, at: int) -> str:
        content = bytearray((first / file).read_bytes())
        content[at] ^= 1
        (first / file).write_bytes(content)
        digest = open_dataset("toy", tmp_path / "a").digest()
        content[at] ^= 1
        (first / file).write_bytes(content)
        return digest

    digests = {before, changed("train_caps.txt", 3), changed("dev_ims.npy", -1), changed("test_ids.txt", 0)}
    assert len(digests) == 4
    assert open_dataset("toy", tmp_path / "a").digest() == before
    vocabulary = first / "vocab" / "toy_vocab.json"
    vocabulary.parent.mkdir()
    vocabulary.write_text("{}")
    assert open_dataset("toy", tmp_path / "a").digest() != before


# Messages: where, what, what is accepted, what next.


def message(name: str, root: Path, split: str = "train") -> str:
    with pytest.raises(HarnessError) as caught:
        open_dataset(name, root).split(split)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "toy", {"train": 4, "dev": 2})


@pytest.mark.parametrize("name", ["flickr30k", "coco", "cc152k", "twemoji"])
def test_missing_data_names_folder_files_and_next_step(tmp_path: Path, name: str) -> None:
    text = message(name, tmp_path)
    card = CARDS[name]
    assert f"{name}: {tmp_path / card.folder} is not there" in text
    assert "train_ims.npy, train_caps.txt (or .tsv), dev_ims.npy" in text
    assert text.endswith(card.if_missing)


def test_missing_files_of_one_split(toy: Path) -> None:
    assert message("toy", toy.parent, "test") == (
        f"toy: {toy} lacks test_ims.npy, test_caps.txt (or .tsv); make them with `harness data build`"
    )
    (toy / "dev_ims.npy").unlink()
    assert "lacks dev_ims.npy; make" in message("toy", toy.parent, "dev")


@pytest.mark.parametrize("name", ["flicker30k", "../toy", "", ".", "..", "/"])
def test_unknown_dataset(toy: Path, name: str) -> None:
    text = message(name, toy.parent)
    assert text.startswith(f"dataset {name!r}: neither a known data set nor a folder in {toy.parent}")
    known = (
        "cc152k, clipart, clips, coco, coco_pictures, flickr30k, flickr8k, msrvtt, now, speech, stamps, toy, twemoji, "
        "youcook2"
    )
    assert f"accepted: {known}; `harness data build`" in text
    assert ("did you mean 'flickr30k'?" in text) == (name == "flicker30k")


def test_unknown_split(toy: Path) -> None:
    assert message("toy", toy.parent, "tain") == (
        "toy: no split 'tain'; did you mean 'train'? accepted: dev, test, testall, train"
    )


def test_wrong_features(toy: Path) -> None:
    path = toy / "train_ims.npy"
    for array, reason in [
        (np.zeros(4, np.float32), "shape (4,); accepted: (images, regions, dim) or (images, dim) of float32, float16"),
        (np.zeros((0, 8, 16), np.float32), "shape (0, 8, 16); accepted"),
        (np.zeros((4, 8, 16), np.int32), "dtype int32; accepted"),
        (np.array([None]), "regions that differ between images"),
        (np.zeros((3, 8, 16), np.float32), "3 rows for 20 captions; accepted: one row per image"),
        (np.zeros((40, 8, 16), np.float32), "40 rows for 20 captions; accepted: one row per image"),
        (
            np.zeros((10, 8, 16), np.float32),
            "10 rows for 20 captions are 2 captions per image; accepted: 5, so 4 rows",
        ),
        (np.random.default_rng(0).random((20, 8, 16), np.float32), "are 1 captions per image; accepted: 5"),
    ]:
        np.save(path, array, allow_pickle=True)
        assert f"{path}: " in message("toy", toy.parent)
        assert reason in message("toy", toy.parent)
    np.save(toy / "dev_ims.npy", np.zeros((2, 8, 7), np.float32))
    np.save(path, np.zeros((4, 8, 16), np.float32))
    assert "features of 7 numbers; accepted: 16, as in train" in message("toy", toy.parent, "dev")


def test_vectors_and_float64_are_read_as_they_are(toy: Path) -> None:
    """(images, dim) is one region each, and float64 becomes float32 as a batch is read."""
    vectors = np.random.default_rng(0).normal(size=(4, 16))
    for array in (vectors, vectors.astype(np.float32), vectors[:, None]):
        np.save(toy / "train_ims.npy", array)
        split = open_dataset("toy", toy.parent).split("train")
        assert split.regions.shape == (4, 1, 16)
        read = layout.gather(split.regions, np.array([3, 0]))
        assert read.dtype == np.float32
        assert np.array_equal(read[:, 0], vectors[[3, 0]].astype(np.float32))


def test_features_cut_short(toy: Path) -> None:
    path = toy / "train_ims.npy"
    path.write_bytes(path.read_bytes()[:-100])
    assert f"{path}: not a whole .npy file" in message("toy", toy.parent)
    path.write_bytes(b"")
    assert "copy the file again" in message("toy", toy.parent)
    with path.open("wb") as file:
        np.savez(file, a=np.zeros(3))
    assert "an .npz archive" in message("toy", toy.parent)


def test_wrong_captions(toy: Path) -> None:
    path = toy / "train_caps.txt"
    path.write_bytes(b"one\ntwo \xff dogs\n")
    assert message("toy", toy.parent) == f"{path}: line 2: byte 0xff is not UTF-8; save the file as UTF-8"
    for empty in (b"", b"\n\n"):
        path.write_bytes(empty)
        assert message("toy", toy.parent) == f"{path}: holds no caption; copy the file again"
    (toy / "train_caps.tsv").write_text("1\ta dog\n2 a cat\n")
    assert "train_caps.tsv: line 2: one column; accepted: image id, tab, caption" in message("toy", toy.parent)


def test_wrong_ids(toy: Path) -> None:
    (toy / "train_ids.txt").write_text("1\n2\n")
    assert "train_ids.txt: 2 ids; accepted: 4, one per image, or 20, one per caption" in message("toy", toy.parent)


def test_wrong_card(toy: Path) -> None:
    (toy / "card.json").write_text('{"name": "toy", "folder": "toy", "regions": 0}')
    assert "card.json: regions = 0: accepted: 1 or more; mend the file" in message("toy", toy.parent)
    (toy / "card.json").write_text("{")
    assert "card.json: is not JSON: " in message("toy", toy.parent)


def test_cards_round_trip_and_state_the_protocols(tmp_path: Path) -> None:
    for name, card in CARDS.items():
        card.write(tmp_path)
        assert DatasetCard.read(tmp_path) == card
        assert card.name == name
        assert card.if_missing
        assert card.protocols
    assert CARDS["flickr30k"].images == {"train": 29000, "dev": 1014, "test": 1000}
    assert isinstance(open_dataset("mine", write_dataset(tmp_path / "mine", {"train": 4}).parent), Dataset)


def test_captions_of_one_image_have_one_id(tmp_path: Path) -> None:
    toy = write_dataset(tmp_path / "toy", {"train": 4, "dev": 4, "test": 4})
    for file in toy.glob("train_ids*"):
        file.unlink()
    rows = [(image, f"a dog {row}") for image in range(4) for row in range(5)]
    table = toy / "train_caps.tsv"
    table.write_text("".join(f"{image}\t{text}\n" for image, text in rows))
    assert open_dataset("toy", tmp_path).split("train").image_ids == ["0", "1", "2", "3"]
    rows[7], rows[12] = rows[12], rows[7]
    table.write_text("".join(f"{image}\t{text}\n" for image, text in rows))
    assert "rows 6 to 10 are the 5 captions of one image, and name '1' and '2'" in message("toy", tmp_path)
    table.write_text("1\ta dog\tand a cat\n")
    assert "line 1: 3 columns; accepted: image id, tab, caption" in message("toy", tmp_path)
    table.write_text('1\t"a dog\tand a cat"\n' * 20)
    assert open_dataset("toy", tmp_path).split("train").texts[0] == "a dog\tand a cat"
