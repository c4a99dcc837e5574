"""The folder that a build makes, what it refuses, and what a full disk leaves behind."""

import errno
import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from pictures import rows_for, source, write_captions, write_pictures, zipped
from vision import write_vit

from harness.data.build import Recipe, build_dataset, encode, store
from harness.data.build.captions import Item, Manifest
from harness.data.build.encode import batches
from harness.data.build.encoders import open_encoder
from harness.data.build.pictures import Pictures
from harness.data.build.store import Store
from harness.data.dataset import open_dataset
from harness.errors import HarnessError
from harness.files import explain_write_error


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_vit(tmp_path_factory.mktemp("vit")))


@contextmanager
def file_size_limit(limit: int) -> Iterator[None]:
    """Writes beyond `limit` bytes fail, as on a full disk (EFBIG in place of ENOSPC)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_the_layout_and_its_features(tmp_path: Path, vit: str, dtype: str) -> None:
    pictures, captions = source(tmp_path, {"train": 5, "dev": 3, "test": 2})
    archive = zipped(pictures, tmp_path / "pictures.zip", prefix="pictures/")
    said: list[str] = []
    recipe = Recipe(encoder=vit, regions=9, dtype=dtype, batch_size=2, device="cpu")  # type: ignore[arg-type]
    out = build_dataset(archive, captions, tmp_path / "data" / "mine", recipe, licence="CC0", say=said.append)

    encoder, loader = open_encoder(vit, regions=9), Pictures(pictures)
    dataset = open_dataset("mine", tmp_path / "data")
    number = 0
    for split_name, count in {"train": 5, "dev": 3, "test": 2}.items():
        split = dataset.split(split_name)
        raw = np.load(out / f"{split_name}_ims.npy")
        assert raw.shape == (count, 9, 16)
        assert raw.dtype == dtype
        assert split.image_ids == [f"{number + i}.png" for i in range(count)]
        assert split.image_of_caption.tolist() == [i // 2 for i in range(2 * count)]
        for row in range(count):
            assert split.texts[2 * row + 1] == f"caption 1 of picture {number}"
            pixels = torch.from_numpy(loader.load(f"{number}.png", encoder.size)[None].copy())
            expected = encoder.regions(pixels)[0].numpy()  # one picture at a time: the slow twin of batches
            np.testing.assert_allclose(raw[row], expected, atol=1e-5 if dtype == "float32" else 5e-3)
            number += 1
    card = dataset.card
    assert (card.images, card.captions_per_image) == ({"train": 5, "dev": 3, "test": 2}, 2)
    assert (card.regions, card.region_dim, card.dev_images, card.licence) == (9, 16, 3, "CC0")
    assert f"{vit} at 48 pixels, 3 x 3 grid" in card.source
    assert "5 train, 3 dev, 2 test images, 2 captions each" in said[0]
    assert not (tmp_path / "data" / "mine.partial").exists()
    assert not (out / "progress.json").exists()


def test_dev_doubles_as_test_without_a_second_copy(tmp_path: Path, vit: str) -> None:
    pictures, captions = source(tmp_path, {"train": 3, "dev": 2})
    said: list[str] = []
    out = build_dataset(pictures, captions, tmp_path / "mine", Recipe(encoder=vit), say=said.append)
    for end in ("ims.npy", "caps.txt", "ids.txt"):
        assert (out / f"test_{end}").read_bytes() == (out / f"dev_{end}").read_bytes()
    assert (out / "test_ims.npy").stat().st_ino == (out / "dev_ims.npy").stat().st_ino
    assert any("dev doubles as test" in line for line in said)
    card = json.loads((out / "card.json").read_text())
    assert card["images"] == {"train": 3, "dev": 2, "test": 2}
    assert "no test rows: test is dev" in card["source"]


def test_the_same_command_again_does_nothing(tmp_path: Path, vit: str) -> None:
    pictures, captions = source(tmp_path, {"train": 2, "dev": 1})
    recipe = Recipe(encoder=vit, regions=4)
    out = build_dataset(pictures, captions, tmp_path / "mine", recipe)
    before = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    said: list[str] = []
    build_dataset(pictures, captions, out, recipe, say=said.append)
    assert said == [f"{out}: already built with these settings, nothing to do"]
    assert {path.name: path.stat().st_mtime_ns for path in out.iterdir()} == before


def test_other_settings_are_refused_unless_overwriting(tmp_path: Path, vit: str) -> None:
    pictures, captions = source(tmp_path, {"train": 2, "dev": 1})
    out = build_dataset(pictures, captions, tmp_path / "mine", Recipe(encoder=vit, regions=4))
    before = files(out)
    with pytest.raises(HarnessError, match=r"a finished dataset with other settings \(regions was 4, is now 9\)"):
        build_dataset(pictures, captions, out, Recipe(encoder=vit, regions=9))
    assert files(out) == before
    build_dataset(pictures, captions, out, Recipe(encoder=vit, regions=9), overwrite=True)
    assert np.load(out / "train_ims.npy").shape == (2, 9, 16)


def test_a_folder_that_no_build_made_is_never_touched(tmp_path: Path, vit: str) -> None:
    pictures, captions = source(tmp_path, {"train": 2, "dev": 1})
    out = tmp_path / "mine"
    out.mkdir()
    (out / "thesis.tex").write_text("years of work")
    for overwrite in (False, True):
        with pytest.raises(HarnessError, match="was not made by `data build`"):
            build_dataset(pictures, captions, out, Recipe(encoder=vit), overwrite=overwrite)
    assert files(out) == {"thesis.tex": b"years of work"}
    (out / "thesis.tex").unlink()
    build_dataset(pictures, captions, out, Recipe(encoder=vit))  # an empty folder is fine
    assert (out / "card.json").exists()


def test_a_cut_picture_keeps_what_is_done_and_mending_it_continues(
    tmp_path: Path, vit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures, captions = source(tmp_path, {"train": 12, "dev": 2})
    recipe = Recipe(encoder=vit, regions=4, batch_size=1)
    whole = (pictures / "9.png").read_bytes()
    reference = files(build_dataset(pictures, captions, tmp_path / "reference" / "mine", recipe))
    (pictures / "9.png").write_bytes(whole[: len(whole) // 2])
    with monkeypatch.context() as patch:
        patch.setattr(Pictures, "check", lambda self, names: None)  # it was whole when all were looked at
        with pytest.raises(HarnessError, match=r"'9\.png' .*replace the file and run"):
            build_dataset(pictures, captions, tmp_path / "mine", recipe)
    assert not (tmp_path / "mine").exists()
    (pictures / "9.png").write_bytes(whole)
    said: list[str] = []
    out = build_dataset(pictures, captions, tmp_path / "mine", recipe, say=said.append)
    assert f"{out}: continuing after 9 of 14 images" in said
    assert files(out) == reference


def test_an_unfinished_build_refuses_other_settings_and_other_pictures(
    tmp_path: Path, vit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures, captions = source(tmp_path, {"train": 6, "dev": 2})
    recipe = Recipe(encoder=vit, regions=4, batch_size=1)
    whole = (pictures / "4.png").read_bytes()
    (pictures / "4.png").write_bytes(whole[:-400])
    with monkeypatch.context() as patch:
        patch.setattr(Pictures, "check", lambda self, names: None)
        with pytest.raises(HarnessError, match=r"4\.png"):
            build_dataset(pictures, captions, tmp_path / "mine", recipe)
    (pictures / "4.png").write_bytes(whole)

    with pytest.raises(
        HarnessError, match=r"unfinished build with other settings \(dtype was float32, is now float16\)"
    ):
        build_dataset(pictures, captions, tmp_path / "mine", Recipe(encoder=vit, regions=4, dtype="float16"))
    first = (pictures / "0.png").read_bytes()
    write_pictures(pictures, ["0.png"], size=40)
    with pytest.raises(HarnessError, match="pictures that this unfinished build has already encoded have changed"):
        build_dataset(pictures, captions, tmp_path / "mine", recipe)
    (pictures / "0.png").write_bytes(first)
    said: list[str] = []
    build_dataset(
        pictures, captions, tmp_path / "mine", Recipe(encoder=vit, regions=9), overwrite=True, say=said.append
    )
    assert not any("continuing" in line for line in said)
    assert np.load(tmp_path / "mine" / "train_ims.npy").shape == (6, 9, 16)


def test_a_full_disk_is_told_before_the_first_picture(tmp_path: Path, vit: str) -> None:
    pictures, captions = source(tmp_path, {"train": 20, "dev": 2})  # 20 x 36 x 16 x 4 = 46,080 bytes and a header
    with (
        file_size_limit(40_000),
        pytest.raises(HarnessError, match=r"train_ims\.npy: no space left on the disk for 0\.0 MiB") as told,
    ):
        build_dataset(pictures, captions, tmp_path / "mine", Recipe(encoder=vit))
    assert "\n" not in str(told.value)
    assert not (tmp_path / "mine").exists()
    assert not (tmp_path / "mine.partial").exists()  # nothing is left that fills the disk
    build_dataset(pictures, captions, tmp_path / "mine", Recipe(encoder=vit))
    assert np.load(tmp_path / "mine" / "train_ims.npy").shape == (20, 36, 16)


def test_a_disk_that_fills_up_on_the_way_loses_nothing(
    tmp_path: Path, vit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a file system that cannot reserve space the write itself fails, late; the same command continues."""
    pictures, captions = source(tmp_path, {"train": 20, "dev": 2})
    recipe = Recipe(encoder=vit, batch_size=1)
    reference = files(build_dataset(pictures, captions, tmp_path / "reference" / "mine", recipe))
    monkeypatch.setattr(store, "_reserve", lambda file, size: file.truncate(size))
    create, limits = Store.create, []

    def create_then_fill(self: Store, split: str, shape: tuple[int, int, int], dtype: str) -> None:
        create(self, split, shape, dtype)
        if split == "dev":
            limit = file_size_limit(30_000)
            limit.__enter__()
            limits.append(limit)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "create", create_then_fill)
        try:
            with pytest.raises(HarnessError, match="no space left on the disk"):
                build_dataset(pictures, captions, tmp_path / "mine", recipe)
        finally:
            limits[0].__exit__(None, None, None)
    assert not (tmp_path / "mine").exists()
    said: list[str] = []
    out = build_dataset(pictures, captions, tmp_path / "mine", recipe, say=said.append)
    assert f"{out}: continuing after 12 of 22 images" in said  # 12 x 2,304 bytes and the header lie under 30,000
    assert files(out) == reference


def test_an_error_that_is_no_full_disk_is_not_told_as_one(tmp_path: Path) -> None:
    assert isinstance(explain_write_error(OSError(errno.ENOSPC, "full"), tmp_path), HarnessError)
    other = OSError(errno.EACCES, "denied")
    assert explain_write_error(other, tmp_path) is other


def test_features_too_large_for_float16_are_refused(tmp_path: Path, vit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures, captions = source(tmp_path, {"train": 4, "dev": 1})
    from harness.data.build.encoders import TransformersVision

    normal = TransformersVision.feature_map
    monkeypatch.setattr(TransformersVision, "feature_map", lambda self, pixels: normal(self, pixels) * 1e6)
    with pytest.raises(
        HarnessError, match=r"features of '0\.png' are not finite as float16; accepted: --dtype float32"
    ):
        build_dataset(pictures, captions, tmp_path / "mine", Recipe(encoder=vit, dtype="float16"))


@pytest.mark.parametrize("done", range(9))
def test_batches_go_on_where_they_were(done: int) -> None:
    manifest = Manifest({"train": [Item(str(i), ("x",)) for i in range(5)], "dev": [Item("d", ("x",))] * 3}, 1)
    seen = [(b.split, b.row + k) for b in batches(manifest, done, 2) for k in range(len(b.images))]
    assert seen == ([("train", i) for i in range(5)] + [("dev", i) for i in range(3)])[done:]


def test_captions_with_odd_line_ends_stay_on_their_line(tmp_path: Path, vit: str) -> None:
    rows = rows_for({"train": 1, "dev": 1})
    rows[0] = (rows[0][0], "train", "one\x0b two\x85three\u2028four\r\nfive")
    pictures = write_pictures(tmp_path / "pictures", ["0.png", "1.png"])
    out = build_dataset(pictures, write_captions(tmp_path / "c.csv", rows), tmp_path / "mine", Recipe(encoder=vit))
    lines = (out / "train_caps.txt").read_text(encoding="utf-8").splitlines()
    assert lines == ["one two three four five", "caption 1 of picture 0"]


def test_the_record_is_saved_on_the_way(tmp_path: Path, vit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures, captions = source(tmp_path, {"train": 6, "dev": 2})
    monkeypatch.setattr(encode, "SAVE_SECONDS", 0.0)
    saved: list[int] = []
    save = Store.save
    monkeypatch.setattr(Store, "save", lambda self: (saved.append(self.done), save(self))[1])
    build_dataset(pictures, captions, tmp_path / "mine", Recipe(encoder=vit, batch_size=2))
    assert saved == [2, 4, 6, 8, 8]
