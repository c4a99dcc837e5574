"""The table of captions: what is accepted, and one clear line for everything else."""

import re
from pathlib import Path
from typing import Any

import pytest
from pictures import rows_for, write_captions

from harness.data.build.captions import Item, Manifest, manifest_of
from harness.data.formats import read_captions
from harness.errors import HarnessError


def read_manifest(file: Path, **options: Any) -> Manifest:
    return manifest_of(read_captions(file), **options)


def refuses(file: Path, *parts: str, **options: int) -> None:
    with pytest.raises(HarnessError) as told:
        read_manifest(file, **options)  # type: ignore[arg-type]
    message = str(told.value)
    assert "\n" not in message
    assert str(file) in message
    for part in parts:
        assert part in message


def test_reads_splits_in_order_of_first_appearance(tmp_path: Path) -> None:
    rows = [
        ("b.png", "train", "one"),
        ("a.png", "dev", " first\nline \u2028 second "),
        ("c.png", "test", "Größe"),
        ("b.png", "train", 'two, "quoted"'),
        ("a.png", "dev", "again"),
        ("c.png", "test", "x"),
    ]
    manifest = read_manifest(write_captions(tmp_path / "c.csv", rows))
    assert manifest.splits == {
        "train": [Item("b.png", ("one", 'two, "quoted"'))],
        "dev": [Item("a.png", ("first line second", "again"))],
        "test": [Item("c.png", ("Größe", "x"))],
    }
    assert (manifest.captions_per_image, manifest.test_from, len(manifest)) == (2, None, 3)


def test_without_test_rows_dev_doubles_as_test(tmp_path: Path) -> None:
    manifest = read_manifest(write_captions(tmp_path / "c.csv", rows_for({"train": 2, "dev": 1})))
    assert manifest.test_from == "dev"
    assert list(manifest.splits) == ["train", "dev"]


def test_extra_columns_and_byte_order_mark_are_fine(tmp_path: Path) -> None:
    file = tmp_path / "c.csv"
    file.write_text("\ufeffid,image,caption,split\n1,a.png,hello,train\n2,b.png,there,dev\n", encoding="utf-8")
    assert read_manifest(file).splits["train"] == [Item("a.png", ("hello",))]


def test_digest_tells_captions_apart(tmp_path: Path) -> None:
    rows = rows_for({"train": 2, "dev": 1})
    first = read_manifest(write_captions(tmp_path / "a.csv", rows)).digest()
    assert read_manifest(write_captions(tmp_path / "b.csv", rows)).digest() == first
    rows[0] = (*rows[0][:2], "another caption")
    assert read_manifest(write_captions(tmp_path / "c.csv", rows)).digest() != first


def test_wrong_columns(tmp_path: Path) -> None:
    file = write_captions(tmp_path / "c.csv", [("a", "train", "x")], header=("files", "split", "words"))
    refuses(file, "line 1: no column image and no column caption among: files, split, words", "accepted:")
    empty = tmp_path / "empty.csv"
    empty.write_text("")
    refuses(empty, "an empty file", "accepted: a table with a header")


def test_unknown_split_names_the_line(tmp_path: Path) -> None:
    rows = [*rows_for({"train": 1, "dev": 1}), ("z.png", "tran", "x")]
    refuses(write_captions(tmp_path / "c.csv", rows), "line 6", "'tran'", "did you mean 'train'?")


def test_image_in_two_splits_names_both_lines(tmp_path: Path) -> None:
    rows = [("a.png", "train", "x"), ("b.png", "dev", "x"), ("a.png", "dev", "y")]
    refuses(
        write_captions(tmp_path / "c.csv", rows),
        "line 4: 'a.png' is in split 'dev' here",
        "'train' on line 2",
    )


@pytest.mark.parametrize("row", [("a.png", "train", "  "), ("", "train", "x"), ("n.png", "", "x")])
def test_empty_cells_name_the_line(tmp_path: Path, row: tuple[str, str, str]) -> None:
    rows = [*rows_for({"train": 1, "dev": 1}, captions=1), row]
    refuses(write_captions(tmp_path / "c.csv", rows), "line 4", "needed" if row[1] else "no split, and others have one")


def test_a_short_row_names_the_line(tmp_path: Path) -> None:
    file = tmp_path / "c.csv"
    file.write_text("image,split,caption\na.png,train\n")
    refuses(file, "line 2")


def test_uneven_counts_say_the_way_out_and_it_works(tmp_path: Path) -> None:
    rows = [*rows_for({"train": 2, "dev": 1}, captions=3), ("0.png", "train", "a fourth")]
    file = write_captions(tmp_path / "c.csv", rows)
    assert [len(item.captions) for item in read_manifest(file).items()] == [4, 3, 3]
    assert read_manifest(file).captions_per_image is None
    manifest = read_manifest(file, captions_per_image=2)
    assert [item.captions for item in manifest.items()] == [
        (f"caption 0 of picture {n}", f"caption 1 of picture {n}") for n in range(3)
    ]
    refuses(file, "'1.png' has 3 captions, --captions-per-image is 4", captions_per_image=4)


@pytest.mark.parametrize("absent", ["train", "dev"])
def test_train_and_dev_are_needed(tmp_path: Path, absent: str) -> None:
    counts = {name: 1 for name in ("train", "dev", "test") if name != absent}
    refuses(write_captions(tmp_path / "c.csv", rows_for(counts)), f"no image in split '{absent}', no row has it")


def test_no_file_no_rows_no_text(tmp_path: Path) -> None:
    refuses(tmp_path / "none.csv", "no such file")
    refuses(write_captions(tmp_path / "c.csv", []), "no rows under the header")
    latin = tmp_path / "latin.csv"
    latin.write_bytes("image,split,caption\na.png,train,Größe\n".encode("latin-1"))
    refuses(latin, "UTF-8")
    assert re.search("UTF-8", str(latin)) is None  # the words above come from the message
