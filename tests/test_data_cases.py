"""Inputs that people had and the harness once refused or misread, and others of their kind."""

import unicodedata
import zipfile
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from synthetic import write_dataset
from toy import CRCL, write_grid
from vision import write_vit

from harness.cli import group
from harness.data import open_dataset
from harness.data.build.pictures import Pictures
from harness.data.cards import DatasetCard
from harness.data.check import check_dataset
from harness.data.formats import read_captions
from harness.errors import HarnessError
from harness.grids import load_grid


def say(*words: object) -> str:
    result = CliRunner().invoke(group, [str(word) for word in words], standalone_mode=False)
    return result.output + (str(result.exception) if isinstance(result.exception, HarnessError) else "")


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_vit(tmp_path_factory.mktemp("vit")))


@pytest.mark.parametrize("end", ["\n", "\n\n\n", "\r\n", "  \n"])
def test_blank_lines_at_the_end_of_the_captions_are_none(tmp_path: Path, end: str) -> None:
    write_dataset(tmp_path / "toy")
    for path in (tmp_path / "toy").glob("*_caps.txt"):
        path.write_text(path.read_text() + end)
    before = open_dataset("toy", tmp_path).split("train")
    assert len(before.captions) == 5 * len(before.regions)


@pytest.mark.parametrize("line", [1, 3])
def test_a_blank_line_elsewhere_is_named(tmp_path: Path, line: int) -> None:
    write_dataset(tmp_path / "toy")
    path = tmp_path / "toy" / "train_caps.txt"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[: line - 1], "", *lines[line - 1 :]]) + "\n")
    with pytest.raises(
        HarnessError, match=rf"1001 captions.*of train_caps\.txt 1 line without a word, the first is line {line}"
    ):
        open_dataset("toy", tmp_path).split("train")


@pytest.mark.parametrize("close", [13, 1000])
def test_a_lone_quote_that_swallows_rows_of_a_tsv_is_named(tmp_path: Path, close: int) -> None:
    """Whether the numbers then fit, as with one caption a row that swallows five, or not."""
    write_dataset(tmp_path / "toy")
    path = tmp_path / "toy" / "train_caps.txt"
    rows = [f"{n // 5}\t{line}" for n, line in enumerate(path.read_text().splitlines())]
    rows[7] = rows[7].replace("\t", '\t"')
    rows[close - 1] += '"' * (close < 1000)
    path.unlink()
    (tmp_path / "toy" / "train_ids.txt").unlink(missing_ok=True)
    path.with_suffix(".tsv").write_text("\n".join(rows) + "\n")
    found = {finding.name: finding.text for finding in check_dataset("toy", tmp_path) if finding.level != "ok"}
    assert "caption 8" in str(found)
    assert "swallows the rows behind it" in str(found)


def test_a_last_caption_that_is_empty_stays(tmp_path: Path) -> None:
    write_dataset(tmp_path / "toy")
    path = tmp_path / "toy" / "train_caps.txt"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:-1], ""]) + "\n")
    split = open_dataset("toy", tmp_path).split("train")
    assert len(split.captions) == len(lines)
    assert split.texts[-1] == ""


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("archive", [False, True])
def test_names_in_either_form_of_unicode(tmp_path: Path, form: str, archive: bool) -> None:
    folder = tmp_path / "p"
    folder.mkdir()
    name = unicodedata.normalize("NFD" if form == "NFC" else "NFC", "café.png")
    Image.new("RGB", (8, 8)).save(folder / name)
    if archive:
        with zipfile.ZipFile(tmp_path / "p.zip", "w") as file:
            file.write(folder / name, name)
    Pictures(tmp_path / "p.zip" if archive else folder).check([unicodedata.normalize(form, "café.png")])


def test_a_name_may_leave_out_its_folder_and_its_ending(tmp_path: Path) -> None:
    (tmp_path / "train2014").mkdir()
    Image.new("RGB", (8, 8), "red").save(tmp_path / "train2014" / "a.jpg")
    for name in ("a.jpg", "a", "train2014/a", "elsewhere/a.jpg", "./train2014/a.jpg"):
        assert Pictures(tmp_path).load(name, 4)[0, 0, 0] > 200
    (tmp_path / "val").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "val" / "a.jpg")
    assert Pictures(tmp_path).faults(["a.jpg"]) == {"a.jpg": "not there"}  # which of the two?


RAMP = np.linspace(0, 1, 64)[None].repeat(8, 0)  # (8, 64)
MODES = {
    "1": Image.fromarray(RAMP > 0.5),
    "L": Image.fromarray((RAMP * 255).astype(np.uint8)),
    "LA": Image.fromarray((RAMP * 255).astype(np.uint8)).convert("LA"),
    "P": Image.fromarray((RAMP * 255).astype(np.uint8)).convert("P"),
    "RGB": Image.fromarray((RAMP * 255).astype(np.uint8)).convert("RGB"),
    "RGBA": Image.fromarray((RAMP * 255).astype(np.uint8)).convert("RGBA"),
    "CMYK": Image.fromarray((RAMP * 255).astype(np.uint8)).convert("CMYK"),
    "YCbCr": Image.fromarray((RAMP * 255).astype(np.uint8)).convert("YCbCr"),
    "I;16": Image.fromarray((RAMP * 65535).astype(np.uint16)),
    "I": Image.fromarray((RAMP * 65535).astype(np.int32)),
    "F one": Image.fromarray(RAMP.astype(np.float32)),
    "F 255": Image.fromarray((RAMP * 255).astype(np.float32)),
    "F any": Image.fromarray((RAMP * 3e6 - 1e6).astype(np.float32)),
    "F nan": Image.fromarray(np.where(RAMP > 2, 0, np.where(RAMP == 0, np.nan, RAMP)).astype(np.float32)),
}


@pytest.mark.parametrize("mode", MODES)
def test_a_ramp_of_every_mode_is_a_ramp(mode: str, tmp_path: Path) -> None:
    jpeg = mode in ("CMYK", "YCbCr")
    path = tmp_path / ("x.jpg" if jpeg else "x.tif" if mode.startswith("F") or mode == "I" else "x.png")
    MODES[mode].save(path, **({"quality": 95} if jpeg else {}))
    seen = Pictures(tmp_path).load(path.name, 64)
    assert seen.dtype == np.uint8
    assert 115 < seen.mean() < 140
    assert seen[:, 0].mean() < 12
    assert seen[:, -1].mean() > 243
    assert (np.diff(seen[4, :, 0].astype(int)) >= (-6 if jpeg else -1)).all()


def test_what_is_turned_is_turned_back(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    Image.fromarray((RAMP * 255).astype(np.uint8)).save(tmp_path / "x.jpg", exif=exif, quality=95)
    assert Pictures(tmp_path).upright("x.jpg", 64).size == (8, 64)


def test_all_bad_pictures_are_told_and_may_be_left_out(tmp_path: Path, vit: str) -> None:
    folder = tmp_path / "p"
    folder.mkdir()
    rows = ["image,caption"]
    for n in range(30):
        Image.effect_noise((64, 64), 50).convert("RGB").save(folder / f"{n}.jpg")
        rows.append(f"{n}.jpg,number {n}")
    for n in (3, 4):
        (folder / f"{n}.jpg").write_bytes((folder / f"{n}.jpg").read_bytes()[:-600])
    (folder / "5.jpg").unlink()
    (tmp_path / "c.csv").write_text("\n".join(rows) + "\n")
    words = ("data", "build", "--images", folder, "--captions", tmp_path / "c.csv", "--out", tmp_path / "mine",
             "--encoder", vit, "--regions", "4")  # fmt: skip
    assert "1 file is named in the captions but not there, first '5.jpg'" in say(*words)
    Image.new("RGB", (8, 8)).save(folder / "5.jpg")
    said = say(*words)
    assert "2 files are not readable as a picture" in said
    assert "'3.jpg'" in said
    assert "'4.jpg'" in said
    assert not list(tmp_path.glob("mine*"))
    said = say(*words, "--skip-unreadable")
    assert "2 of 30 pictures are left out: 3.jpg (" in said
    assert sum(len(open_dataset("mine", tmp_path).split(name).regions) for name in ("train", "dev", "test")) == 28


def test_any_number_of_captions(tmp_path: Path, vit: str) -> None:
    folder = tmp_path / "p"
    folder.mkdir()
    rows = ["image,caption"]
    for n in range(30):
        Image.new("RGB", (8, 8), (n, 0, 0)).save(folder / f"{n}.png")
        rows += [f'{n}.png,"caption ""{k}"" of {n}"' for k in range(1 + n % 3)]
    (tmp_path / "c.csv").write_text("\n".join(rows) + "\n")
    said = say("data", "build", "--images", folder, "--captions", tmp_path / "c.csv", "--out", tmp_path / "mine",
               "--encoder", vit, "--regions", "4")  # fmt: skip
    assert "any number of captions each" in said
    for name in ("train", "dev", "test"):
        split = open_dataset("mine", tmp_path).split(name)
        for text, image in zip(split.texts, split.image_of_caption, strict=True):
            assert text.endswith(f"of {split.image_ids[image].removesuffix('.png')}")
    first = split.images(2)
    assert set(first.image_of_caption) == {0, 1}
    assert len(first.captions) == len(first.texts) == len(first.image_of_caption)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["train", "dev"])
def test_a_value_that_is_not_finite_is_named_and_not_the_rate(tmp_path: Path, kind: str) -> None:
    write_dataset(tmp_path / "data" / "toy")
    path = tmp_path / "data" / "toy" / f"{kind}_ims.npy"
    features = np.load(path)
    features[7] = np.inf
    np.save(path, features)
    write_grid(tmp_path, CRCL)
    said = say("run", tmp_path / "toy.toml", "--data", tmp_path / "data", "--runs", tmp_path / "runs")
    assert f"row 7 of {kind}_ims.npy is not finite" in said
    assert "harness data check" in said
    assert "lower schedule.lr" not in said


def test_data_check_tells_the_cause(tmp_path: Path) -> None:
    write_dataset(tmp_path / "toy")
    folder = tmp_path / "toy"
    ragged = np.empty(3, dtype=object)
    ragged[:] = [np.zeros((2, 4)), np.zeros((3, 4)), np.zeros((2, 4))]
    np.save(folder / "train_ims.npy", ragged)
    errors = {finding.name: finding.text for finding in check_dataset("toy", tmp_path) if finding.level == "error"}
    assert list(errors) == ["train"]
    assert "regions that differ between images" in errors["train"]


def test_data_check_names_captions_that_repeat(tmp_path: Path) -> None:
    write_dataset(tmp_path / "toy")
    path = tmp_path / "toy" / "train_caps.txt"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(["the same everywhere"] * 25 + lines[25:]) + "\n")
    found = {finding.name: finding for finding in check_dataset("toy", tmp_path)}
    assert "stands at 5 images" in found["train repeats"].text
    assert found["train repeats"].level == "warning"


def test_gpus_without_a_gpu(tmp_path: Path, toy_data: Path) -> None:
    write_grid(tmp_path, CRCL)
    (tmp_path / "p.toml").write_text("[local]\ngpus = [0, 1]\n")
    said = say("run", tmp_path / "toy.toml", "--data", toy_data, "--runs", tmp_path / "runs", "--profile",
               tmp_path / "p.toml")  # fmt: skip
    assert "CUDA" in said
    assert not list((tmp_path / "runs").glob("*/result.json"))


def test_the_shared_inputs(shared: Path) -> None:
    cases = shared / "cases"
    assert len(open_dataset("blankend", cases / "blank-last-line" / "data").split("train").captions) == 200
    folder = next(path for path in (cases / "object-array" / "data").iterdir() if path.is_dir())
    with pytest.raises(HarnessError, match="regions that differ between images"):
        open_dataset(folder.name, folder.parent).split("train")
    assert len(read_captions(cases / "karpathy-json" / "dataset_flickr30k.json").rows) > 480
    for name in ("hcase.csv", "semi.csv", "tab.tsv"):
        assert read_captions(cases / "semicolon" / name).rows[0].caption == "near runs man tree tree red"
    ramps = Pictures(cases / "gray16")
    assert 100 < ramps.load("gray16.png", 32).mean() < 155
    assert 100 < ramps.load("float.tif", 32).mean() < 155
    nfd = Pictures(cases / "unicode-form" / "nfd")
    nfd.check(row.image for row in read_captions(cases / "unicode-form" / "nfd.csv").rows)
    cut = read_captions(cases / "truncated-jpeg" / "trunc.csv")
    assert len(Pictures(cases / "truncated-jpeg" / "trunc").faults({row.image for row in cut.rows})) >= 1


@pytest.mark.slow
def test_own_data_are_not_corrupted_unasked(tmp_path: Path) -> None:
    """Without a noise there is none; noise is refused before training, and `planted` is the word for wanting it."""
    write_dataset(tmp_path / "data" / "mine")
    DatasetCard(name="mine", folder="mine", noise="real").write(tmp_path / "data" / "mine")
    places = ("--data", tmp_path / "data", "--runs", tmp_path / "runs")
    grid = (
        'title = "t"\n[run]\ndataset = "mine"\nbackbone = { name = "vse_infinity", embed_dim = 8, word_dim = 8 }\n'
        'method = "infonce"\nschedule = { epochs = 1, batch_size = 32 }\n'
    )
    path = tmp_path / "g.toml"
    path.write_text(grid)
    assert load_grid(path).cells[0].run.noise.name == "none"
    text = grid.replace('method = "infonce"\n', 'method = "infonce"\nnoise = { name = "caption_level", rate = 0.4 }\n')
    path.write_text(text)
    said = say("run", path, *places)
    assert 'accepted: noise = "none"' in said
    assert "planted" in said
    assert not list((tmp_path / "runs").glob("*/checkpoint.pt"))
    path.write_text(text.replace("caption_level", "planted"))
    assert "1 of 1 cell done" in say("run", path, *places)
    path.write_text(grid.replace("mine", "twemoji"))
    with pytest.raises(HarnessError, match='noise: is missing; accepted: noise = "none"'):
        load_grid(path)
