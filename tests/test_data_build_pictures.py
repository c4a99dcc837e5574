"""Pictures: white behind transparency, upright, from folders and archives; bad ones are named."""

from pathlib import Path

import numpy as np
import pytest
from pictures import write_pictures, zipped
from PIL import Image

from harness.data.build.pictures import Pictures
from harness.errors import HarnessError

WHITE, RED = [255, 255, 255], [255, 0, 0]


def test_folder_and_archives_give_the_same_pixels(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "p", ["0.png", "1.png"])
    flat, nested = (
        zipped(folder, tmp_path / "a.zip"),
        zipped(folder, tmp_path / "b.zip", prefix="some/folder/"),
    )
    expected = Pictures(folder).load("1.png", 16)
    assert expected.shape == (16, 16, 3)
    assert expected.dtype == np.uint8
    for archive in (flat, nested):
        np.testing.assert_array_equal(Pictures(archive).load("1.png", 16), expected)
    np.testing.assert_array_equal(Pictures(nested).load("some/folder/1.png", 16), expected)


def test_a_name_that_two_folders_share_is_not_guessed(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "p", ["0.png"])
    archive = zipped(folder, tmp_path / "a.zip", prefix="x/")
    import zipfile

    with zipfile.ZipFile(archive, "a") as file:
        file.write(folder / "0.png", "y/0.png")
    pictures = Pictures(archive)
    pictures.check(["x/0.png", "y/0.png"])
    with pytest.raises(HarnessError, match=r"1 file is named in the captions but not there, first '0.png'"):
        pictures.check(["0.png"])


def test_transparent_pixels_become_white(tmp_path: Path) -> None:
    clear = np.zeros((8, 8, 4), dtype=np.uint8)
    clear[:, 4:] = [255, 0, 0, 255]  # left half transparent black, right half red
    Image.fromarray(clear).save(tmp_path / "rgba.png")
    palette = Image.new("P", (8, 8), 0)
    palette.putpalette([0, 0, 0, 255, 0, 0])
    palette.paste(1, (4, 0, 8, 8))
    palette.save(tmp_path / "palette.png", transparency=0)
    for name in ("rgba.png", "palette.png"):
        pixels = Pictures(tmp_path).load(name, 8)
        assert pixels[0, 0].tolist() == WHITE, name
        assert pixels[0, 7].tolist() == RED, name


def test_grey_and_cmyk_become_rgb(tmp_path: Path) -> None:
    Image.new("L", (8, 8), 100).save(tmp_path / "grey.png")
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "cmyk.jpg")
    assert Pictures(tmp_path).load("grey.png", 4)[0, 0].tolist() == [100, 100, 100]
    red, green, blue = Pictures(tmp_path).load("cmyk.jpg", 4)[0, 0].tolist()
    assert red > 200 > 60 > max(green, blue)


def test_turned_photographs_stand_upright(tmp_path: Path) -> None:
    picture = Image.new("RGB", (8, 8), "white")
    picture.paste((255, 0, 0), (0, 0, 8, 4))  # red on top
    exif = Image.Exif()
    exif[0x0112] = 3  # to be turned by 180 degrees
    picture.save(tmp_path / "turned.png", exif=exif)
    pixels = Pictures(tmp_path).load("turned.png", 8)
    assert (pixels[0, 0].tolist(), pixels[7, 0].tolist()) == (WHITE, RED)


def test_missing_files_are_counted_and_the_first_named(tmp_path: Path) -> None:
    write_pictures(tmp_path / "p", ["0.png"])
    for place in (tmp_path / "p", zipped(tmp_path / "p", tmp_path / "p.zip")):
        with pytest.raises(HarnessError) as told:
            Pictures(place).check(["0.png", "no.png", "nor.png"])
        assert str(told.value).startswith(f"{place}: 2 files are named in the captions but not there, first 'no.png'")


def test_unreadable_files_are_told_before_any_encoding(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "p", ["0.png"])
    (folder / "page.png").write_text("<html>not found</html>")
    (folder / "empty.png").write_bytes(b"")
    for place in (folder, zipped(folder, tmp_path / "p.zip")):
        with pytest.raises(
            HarnessError, match=r"2 files are not readable as a picture: 'page\.png' \(no picture.*'empty\.png'"
        ) as told:
            Pictures(place).check(["0.png", "page.png", "empty.png"])
        assert "\n" not in str(told.value)


def test_a_cut_file_is_named_when_it_is_decoded(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "p", ["0.png"], size=64)
    whole = (folder / "0.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    pictures = Pictures(folder)
    with pytest.raises(HarnessError, match=r"1 file is not .*: 'cut\.png' \(image file is truncated"):
        pictures.check(["cut.png", "0.png"])
    with pytest.raises(HarnessError, match=r"'cut\.png' .*replace the file and run the same command again"):
        pictures.load("cut.png", 16)


def test_stamps_tell_a_replaced_picture(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "p", ["0.png", "1.png"])
    before = Pictures(zipped(folder, tmp_path / "a.zip")).stamp("0.png")
    assert before != Pictures(tmp_path / "a.zip").stamp("1.png")
    pixels = np.asarray(Image.open(folder / "0.png")).copy()
    pixels[0, 0] += 1
    Image.fromarray(pixels).save(folder / "0.png")
    assert Pictures(zipped(folder, tmp_path / "b.zip")).stamp("0.png") != before


@pytest.mark.parametrize("content", [None, b"not a zip"])
def test_no_source(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "images.zip"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(HarnessError, match="accepted: a folder of pictures, a zip archive, or a tar"):
        Pictures(file)
