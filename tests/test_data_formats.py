"""Files of captions as people have them: each is read, written again without some rows, and named where it is none."""

import csv
import io
import json
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from harness.data.build.captions import manifest_of, tenth
from harness.data.build.pictures import Pictures
from harness.data.formats import read_captions
from harness.errors import HarnessError

PAIRS = [("a.jpg", "A red dog."), ("b.jpg", "Two cats, asleep"), ("a.jpg", 'A dog says "wuff"')]


def as_csv(separator: str = ",", header: tuple[str, ...] = ("image", "caption"), **options: object) -> str:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=separator, lineterminator="\n", **options)  # type: ignore[arg-type]
    writer.writerow(header)
    writer.writerows(PAIRS)
    return out.getvalue()


COCO = {
    "info": {"year": 2017},
    "images": [{"id": 7, "file_name": "a.jpg", "height": 2}, {"id": 9, "file_name": "b.jpg"}],
    "annotations": [
        {"id": 70 + n, "image_id": 7 if image == "a.jpg" else 9, "caption": caption}
        for n, (image, caption) in enumerate(PAIRS)
    ],
}
KARPATHY = {
    "dataset": "flickr8k",
    "images": [
        {"filename": "a.jpg", "split": "restval", "sentids": [1, 3], "sentences": [{"raw": PAIRS[0][1], "sentid": 1},
                                                                                  {"raw": PAIRS[2][1], "sentid": 3}]},
        {"filename": "b.jpg", "split": "val", "sentids": [2], "sentences": [{"raw": PAIRS[1][1], "sentid": 2}]},
    ],
}  # fmt: skip
TEXTS = {
    "plain.csv": as_csv(),
    "quoted.csv": as_csv(quoting=csv.QUOTE_ALL),
    "capitals.csv": as_csv(header=("Image", "Caption")),
    "filepath-title.csv": as_csv(header=("filepath", "title")),
    "semicolons.csv": as_csv(";", header=("file_name", "text")),
    "tabs.tsv": as_csv("\t", header=("filename", "sentence")),
    "results.csv": "image_name| comment_number| comment\n"
    + "".join(f"{image}| {n}| {caption}\n" for n, (image, caption) in enumerate(PAIRS)),
    "captions.txt": as_csv(),  # Flickr8k's of today
    "Flickr8k.token.txt": "".join(f"{image}#{n}\t{caption}\n" for n, (image, caption) in enumerate(PAIRS)),
    "no-header.csv": "".join(as_csv().splitlines(keepends=True)[1:]),
    "metadata.jsonl": "".join(json.dumps({"file_name": i, "text": c}) + "\n" for i, c in PAIRS),
    "captions_val2017.json": json.dumps(COCO),
    "dataset_flickr8k.json": json.dumps(KARPATHY),
    "records.json": json.dumps([{"image": image, "caption": caption} for image, caption in PAIRS]),
}


def pairs(path: Path) -> list[tuple[str, str]]:
    return [(row.image, row.caption) for row in read_captions(path).rows]


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_every_format_is_read(name: str, mark: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(mark + TEXTS[name], encoding="utf-8")
    assert sorted(pairs(path)) == sorted(PAIRS)


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("kept", [[0, 2], [1], [0, 1, 2], []])
def test_what_is_written_is_the_kept_rows_in_the_same_format(name: str, kept: list[int], tmp_path: Path) -> None:
    path, out = tmp_path / name, tmp_path / f"cleaned-{name}"
    path.write_text(TEXTS[name])
    read_captions(path).write(out, kept)
    before = pairs(path)
    if kept and name != "no-header.csv":
        assert pairs(out) == [before[row] for row in kept]
    if name.endswith((".csv", ".tsv", ".txt", ".jsonl")):  # byte for byte
        old = path.read_text().splitlines(keepends=True)
        assert set(out.read_text().splitlines(keepends=True)) <= set(old)
        if kept == [0, 1, 2]:
            assert out.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("name", [name for name in TEXTS if "token" not in name])
def test_columns_are_put_behind(name: str, tmp_path: Path) -> None:
    path, out = tmp_path / name, tmp_path / f"cleaned-{name}"
    path.write_text(TEXTS[name])
    read_captions(path).write(out, [0, 1], {"score": ["0.1", "0.2", "0.3"]})
    assert pairs(out) == pairs(path)[:2]
    assert "0.2" in out.read_text()
    assert "0.3" not in out.read_text()


@pytest.mark.parametrize("name", ["c.json", "c.jsonl"])
def test_what_json_may_hold_and_text_may_not(name: str, tmp_path: Path) -> None:
    """Half a pair of surrogates, and NaN, which is how pandas writes a caption that is missing."""
    lines = ['{"image": "a\\ud800.jpg", "caption": "x \\udfff"}', '{"image": "b.jpg", "caption": NaN}']
    (tmp_path / name).write_text("\n".join(lines) if name == "c.jsonl" else f"[{','.join(lines)}]")
    file = read_captions(tmp_path / name)
    assert pairs(tmp_path / name) == [("a?.jpg", "x ?"), ("b.jpg", "")]
    file.write(tmp_path / f"o{name}", [0], {"score": [1, 2]})
    assert '"x \\udfff"' in (tmp_path / f"o{name}").read_text()


def test_coco_keeps_what_it_holds_besides(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text(json.dumps(COCO))
    read_captions(tmp_path / "c.json").write(tmp_path / "o.json", [1])
    assert json.loads((tmp_path / "o.json").read_text()) == {
        **COCO, "images": COCO["images"][1:], "annotations": [COCO["annotations"][1]],  # type: ignore[index]
    }  # fmt: skip


def test_karpathy_keeps_its_ids_and_restval_is_train(tmp_path: Path) -> None:
    (tmp_path / "k.json").write_text(json.dumps(KARPATHY))
    file = read_captions(tmp_path / "k.json")
    assert [row.split for row in file.rows] == ["train", "train", "dev"]
    file.write(tmp_path / "o.json", [1])
    [image] = json.loads((tmp_path / "o.json").read_text())["images"]
    assert image["sentids"] == [3]
    assert [sentence["sentid"] for sentence in image["sentences"]] == [3]


def test_utf_16_as_spreadsheets_save_it(tmp_path: Path) -> None:
    path = tmp_path / "u.txt"
    path.write_text(as_csv("\t"), encoding="utf-16")
    assert pairs(path) == PAIRS
    read_captions(path).write(tmp_path / "o.txt", [2])
    assert (tmp_path / "o.txt").read_text(encoding="utf-16") == '\n'.join(
        line for n, line in enumerate(as_csv("\t").splitlines()) if n in (0, 3)
    ) + "\n"  # fmt: skip


def test_a_caption_over_two_lines_and_a_quote_that_swallows(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_text('image,caption\na.jpg,"two\nlines"\nb.jpg,one\n')
    assert pairs(path) == [("a.jpg", "two lines"), ("b.jpg", "one")]
    read_captions(path).write(tmp_path / "o.csv", [0])
    assert (tmp_path / "o.csv").read_text() == 'image,caption\na.jpg,"two\nlines"\n'
    path.write_text('image,caption\na.jpg,"a lone quote\n' + "b.jpg,x\n" * 50)
    with pytest.raises(HarnessError, match=r"line 2: a quote opens here and 51 lines stand"):
        read_captions(path)
    for swallowed in ('a.jpg,"one\nb.jpg,two\nc.jpg,three" more\n', 'a.jpg,x\nb.jpg,"one\nand nothing closes it\n'):
        path.write_text("image,caption\n" + swallowed)  # few lines: a row among them, or the end of the file
        with pytest.raises(HarnessError, match=r"line [23]: a quote opens here and [23] lines stand"):
            read_captions(path)


def test_the_broken_row_of_flickr30k_s_published_file(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    path.write_text(
        "image_name| comment_number| comment\na.jpg| 0| One dog .\na.jpg| 4   A dog runs across the grass .\n"
    )
    assert pairs(path) == [("a.jpg", "One dog ."), ("a.jpg", "A dog runs across the grass .")]


def test_tars_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "empty.tar").write_bytes(b"")
    (tmp_path / "other.tar").write_bytes(b"hello" * 1000)
    with tarfile.open(tmp_path / "packed.tar", "w:gz") as archive:
        archive.add(tmp_path / "empty.tar", "a.txt")
    for name in ("empty", "other", "packed"):
        for opened in (read_captions, Pictures):
            with pytest.raises(HarnessError, match=r"not a whole tar archive without compression \([^\n]*\); copy"):
                opened(tmp_path / f"{name}.tar")


def test_a_line_that_tells_a_spreadsheet_the_separator(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_text("sep=;\n" + as_csv(";"))
    assert pairs(path) == PAIRS
    read_captions(path).write(tmp_path / "o.csv", [1])
    assert (tmp_path / "o.csv").read_text() == "sep=;\nimage;caption\nb.jpg;Two cats, asleep\n"


def test_flickr8k_s_lists_beside_its_captions_are_the_splits(tmp_path: Path) -> None:
    path = tmp_path / "Flickr8k.token.txt"
    path.write_text("".join(f"{name}.jpg#{n}\ta caption\n" for name in "abcd" for n in range(2)))
    for split, names in (("train", "a.jpg\n"), ("dev", "b.jpg\nc.jpg\n")):
        (tmp_path / f"Flickr_8k.{split}Images.txt").write_text(names)
    manifest = manifest_of(read_captions(path))
    assert {name: [item.image for item in items] for name, items in manifest.splits.items()} == {
        "train": ["a.jpg"], "dev": ["b.jpg", "c.jpg"],
    }  # fmt: skip
    assert manifest.notes == ["Flickr8k.token.txt: 1 image in none of the lists of splits beside it, left out"]
    assert manifest.test_from == "dev"
    (tmp_path / "Flickr_8k.testImages.txt").write_text("b.jpg\n")
    with pytest.raises(HarnessError, match=r"'b\.jpg' is in Flickr_8k\.devImages\.txt too"):
        read_captions(path)


def tar_of(path: Path, files: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def picture(colour: str = "red", kind: str = "JPEG") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (20, 10), colour).save(out, kind)
    return out.getvalue()


def test_webdataset(tmp_path: Path) -> None:
    folder = tmp_path / "shards"
    folder.mkdir()
    tar_of(folder / "0.tar", {"000.jpg": picture(), "000.txt": b"A red dog.", "001.jpg": picture("blue"),
                              "001.json": b'{"caption": "Two cats, asleep"}'})  # fmt: skip
    tar_of(folder / "1.tar", {"000.png": picture(kind="PNG"), "000.txt": b"again"})
    file = read_captions(folder)
    assert [(row.image, row.caption) for row in file.rows] == [
        ("0.tar/000.jpg", "A red dog."), ("0.tar/001.jpg", "Two cats, asleep"), ("1.tar/000.png", "again"),
    ]  # fmt: skip
    assert Pictures(file.pictures).load("0.tar/001.jpg", 4)[0, 0, 2] > 200
    file.write(tmp_path / "out", [1, 2])
    assert [row.caption for row in read_captions(tmp_path / "out").rows] == ["Two cats, asleep", "again"]


def lay(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def test_pictures_with_a_text_beside_each(tmp_path: Path) -> None:
    folder = lay(tmp_path / "d", {
        "train/a.jpg": picture(), "train/a.txt": b"A red dog.\n\nA dog says wuff\n",
        "val/b.PNG": picture("blue", "PNG"),
        "val/b.caption": "Käse".encode("utf-16"), "README.txt": b"About this folder.", ".cache/c.txt": b"hidden",
    })  # fmt: skip
    file = read_captions(folder)
    assert [(row.image, row.caption, row.split) for row in file.rows] == [
        ("train/a.jpg", "A red dog.", "train"), ("train/a.jpg", "A dog says wuff", "train"),
        ("val/b.PNG", "Käse", "dev"),
    ]  # fmt: skip
    assert Pictures(file.pictures).load("val/b.PNG", 4)[0, 0, 2] > 200
    assert [row.where for row in file.rows] == ["train/a.txt, line 1", "train/a.txt, line 2", "val/b.caption"]
    file.write(tmp_path / "out", [1, 2])
    kept = sorted(path for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert [(path.name, path.read_text()) for path in kept] == [("a.txt", "A dog says wuff\n"), ("b.caption", "Käse\n")]


def test_a_picture_without_a_text_and_a_text_without_a_picture_are_named(tmp_path: Path) -> None:
    folder = lay(tmp_path / "d", {"a.jpg": picture(), "a.txt": b"x", "b.jpg": picture(), "c.txt": b"y", "e.jpg": b"",
                                  "e.txt": b""})  # fmt: skip
    rows = read_captions(folder).rows
    assert [(row.image, row.caption, row.split) for row in rows] == [
        ("a.jpg", "x", None), ("b.jpg", "", None), ("", "y", None), ("e.jpg", "", None),
    ]  # fmt: skip
    with pytest.raises(HarnessError, match=r"d, b\.jpg: image and caption are needed"):
        manifest_of(read_captions(folder))
    read_captions(folder).write(tmp_path / "out", [0, 1])
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.txt"]
    lay(folder, {"a.png": picture()})
    with pytest.raises(HarnessError, match=r"a\.jpg and a\.png have one name; accepted: one picture and one text"):
        read_captions(folder)


def test_a_table_in_the_folder_of_each_split(tmp_path: Path) -> None:
    folder = lay(tmp_path / "d", {
        "train/metadata.jsonl": b'{"file_name": "a.jpg", "text": "one"}\n{"file_name": "a.jpg", "text": "two"}\n',
        "train/a.jpg": picture(), "validation/metadata.csv": b"file_name,text\nin/a.jpg,three\n",
        "validation/in/a.jpg": picture("blue"),
    })  # fmt: skip
    file = read_captions(folder)
    assert [(row.image, row.caption, row.split) for row in file.rows] == [
        ("train/a.jpg", "one", "train"), ("train/a.jpg", "two", "train"), ("validation/in/a.jpg", "three", "dev"),
    ]  # fmt: skip
    assert file.rows[2].where == "validation/metadata.csv, line 2"
    assert Pictures(file.pictures).load("validation/in/a.jpg", 4)[0, 0, 2] > 200
    file.write(tmp_path / "out", [1, 2], {"score": [0.1, 0.2, 0.3]})
    again = read_captions(tmp_path / "out")
    assert [(row.image, row.caption, row.split) for row in again.rows] == [
        ("train/a.jpg", "two", "train"), ("validation/in/a.jpg", "three", "dev"),
    ]  # fmt: skip
    assert (tmp_path / "out" / "validation" / "metadata.csv").read_text().splitlines()[1] == "in/a.jpg,three,0.3"


@pytest.mark.parametrize("kind", ["files", "webdataset", "parquet"])
def test_img2dataset(kind: str, tmp_path: Path) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    folder = tmp_path / "data"
    folder.mkdir()
    keys = ["000000000", "000000001", "000000002"]
    table = {
        "url": ["u"] * 3, "caption": ["one", "two", "three"], "key": keys,
        "status": ["success", "failed_to_download", "success"],
    }  # fmt: skip
    content = {keys[0]: picture("red"), keys[2]: picture("blue")}
    if kind == "files":
        (folder / "00000").mkdir()
        for key, bytes_ in content.items():
            (folder / "00000" / f"{key}.jpg").write_bytes(bytes_)
    elif kind == "webdataset":
        tar_of(folder / "00000.tar", {f"{key}.jpg": bytes_ for key, bytes_ in content.items()})
    else:
        table["jpg"] = [content.get(key) for key in keys]  # type: ignore[misc]
    pq.write_table(pa.table(table), folder / "00000.parquet")
    file = read_captions(folder)
    assert [(row.image, row.caption) for row in file.rows] == [
        ("00000/000000000", "one"), ("", "two"), ("00000/000000002", "three"),
    ]  # fmt: skip
    assert Pictures(file.pictures or folder).load("00000/000000002", 4)[0, 0, 2] > 200
    file.write(tmp_path / "out", [2])
    assert pq.read_table(tmp_path / "out" / "00000.parquet").to_pydict()["key"] == [keys[2]]


def test_parquet_of_a_hub_with_the_pictures_inside(tmp_path: Path) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    table = {
        "image": [{"bytes": picture("red"), "path": "a.jpg"}, {"bytes": picture("blue"), "path": "b.jpg"}],
        "caption": [["one", "two"], ["three", "four"]],
    }
    pq.write_table(pa.table(table), tmp_path / "train.parquet")
    file = read_captions(tmp_path / "train.parquet")
    assert [(row.image, row.caption) for row in file.rows] == [
        ("train/a.jpg", "one"), ("train/a.jpg", "two"), ("train/b.jpg", "three"), ("train/b.jpg", "four"),
    ]  # fmt: skip
    assert Pictures(file.pictures).load("train/b.jpg", 4)[0, 0, 2] > 200
    file.write(tmp_path / "o.parquet", [1, 2, 3])
    assert pq.read_table(tmp_path / "o.parquet").to_pydict()["caption"] == [["two"], ["three", "four"]]


def test_a_hugging_face_dataset(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    table = {"image": [{"bytes": picture("red"), "path": None}, {"bytes": picture("blue"), "path": None}],
             "caption": [["one", "two"], ["three"]]}  # fmt: skip
    made = datasets.Dataset.from_dict(table).cast_column("image", datasets.Image())
    datasets.DatasetDict({"train": made, "validation": made}).save_to_disk(str(tmp_path / "d"))
    file = read_captions(tmp_path / "d")
    assert [(row.image, row.caption, row.split) for row in file.rows[:3]] == [
        ("train/00000000", "one", "train"), ("train/00000000", "two", "train"), ("train/00000001", "three", "train"),
    ]  # fmt: skip
    assert file.rows[3].split == "dev"
    assert Pictures(file.pictures).load("validation/00000001", 4)[0, 0, 2] > 200
    file.write(tmp_path / "o", [1, 2, 5])
    again = read_captions(tmp_path / "o")
    assert [(row.caption, row.split) for row in again.rows] == [("two", "train"), ("three", "train"), ("three", "dev")]


def test_a_folder_is_read_by_its_metadata(tmp_path: Path) -> None:
    (tmp_path / "metadata.csv").write_text("file_name,text\na.jpg,x\n")
    assert pairs(tmp_path) == [("a.jpg", "x")]
    (tmp_path / "metadata.csv").rename(tmp_path / "a.txt")
    with pytest.raises(HarnessError, match=r"a folder with a\.txt; accepted"):
        read_captions(tmp_path)


@pytest.mark.parametrize(
    ("content", "seen"),
    [
        (b"", "an empty file"), (b"\n\n", "an empty file"), (b'{"a": 1, "b": [1]}', "keys a, b"),
        (b"[]", "an empty list"), (b"[1, 2]", r"\[0\] is a int and no object"), (b"[" * 100_000, "not JSON"),
        (b'[{"colour": "red"}]', "keys colour"), (b'{"images": [{"id": 1}], "annotations": []}', "without id or"),
        (b'{"images": [{"id": 1, "file_name": "a"}, {"id": 1, "file_name": "b"}], "annotations": []}',
         r"images\[1\]: id 1 is that of another picture too"),
        (b'{"images": [{"id": 1, "file_name": "a"}], "annotations": [{"image_id": [1], "caption": "x"}]}',
         r"annotations\[0\]: image_id \[1\] is no image"),
        (b'{"images": [{"filename": "a", "sentences": null}]}', r"images\[0\]: no list of sentences"),
        (b'{"images": [], "annotations": [{"bbox": [1]}]}', r"annotations\[0\]: has bbox.*take captions_"),
        (b"x" * 1_000_000, "a first line of 1,000,000 characters"),
        (b"\x00\x01\x02\x03" * 50, "a NUL on line 1: a binary file"),
        (b"colour,shape\nred,round\n", "no column image and no column caption among: colour, shape"),
        (b"image,caption\na.jpg,Gr\xf6\xdfe\n", "line 2: byte 0xf6 is not UTF-8"),
        (b"\x1f\x8b123", "a gzip file: unpack it"),
        (b"PK\x03\x04123", "a zip file or spreadsheet: unpack it, save as CSV"),
        ("image,caption\na.jpg,x\n".encode("utf-16-le"), "a NUL on line 1: a binary file, or UTF-16 without its mark"),
        ("image,caption\na.jpg,x\n".encode("utf-16") + b"x", "line 3: byte 0x78 is not UTF-16"),
        (b"image,caption\na.jpg,x,y\n", "line 2: 3 cells under a header of 2.*commas here.*double quotes"),
        (b"image,caption,split\na.jpg,x,trian\n", "line 2: unknown split 'trian': did you mean 'train'"),
        (b'{"image": "a", "caption": "x"}\n{"image"\n', "line 2: is not JSON"),
    ],
)  # fmt: skip
def test_what_no_reader_knows_is_one_line_that_says_what_was_seen(content: bytes, seen: str, tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_bytes(content)
    with pytest.raises(HarnessError, match=seen) as told:
        read_captions(path)
    assert len(str(told.value)) < 800
    assert "\n" not in str(told.value)
    assert "accepted" in str(told.value)


def test_without_a_split_the_image_s_name_decides(tmp_path: Path) -> None:
    rows = [f"{n}.jpg,caption {n}\n" for n in range(500)]
    path = tmp_path / "c.csv"
    path.write_text("image,caption\n" + "".join(rows[:400]))
    before = manifest_of(read_captions(path))
    path.write_text("image,caption\n" + "".join(rows))
    after = manifest_of(read_captions(path))
    home = {item.image: name for name, items in after.splits.items() for item in items}
    assert all(home[item.image] == name for name, items in before.splits.items() for item in items)
    assert 30 < len(after.splits["dev"]) < 70
    assert 30 < len(after.splits["test"]) < 70
    assert "says no split" in after.notes[0]
    assert tenth("1.jpg") == home["1.jpg"]
