"""From pictures and captions to a dataset folder in the field's layout: features, captions, names, card."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from harness.data import layout
from harness.data.build.captions import Manifest, manifest_of
from harness.data.build.encode import encode
from harness.data.build.encoders import EFFICIENTNET_LITE0, Encoder, open_encoder
from harness.data.build.pictures import Pictures
from harness.data.build.pixels import add_pixels
from harness.data.build.sound import FRAME_MS, add_recordings
from harness.data.build.sources import Source, open_source
from harness.data.build.store import SETTINGS, Store, refuse_other_settings
from harness.data.cards import DatasetCard, known_card
from harness.data.formats import CaptionFile, read_captions
from harness.data.tokenizer import WORDS, splitter
from harness.errors import HarnessError
from harness.files import link_or_copy, read_json, write_json

Say = Callable[[str], None]


@dataclass(frozen=True)
class Recipe:
    """How pictures become features.

    Attributes:
        encoder: efficientnet-lite0, or a transformers vision model by hub name or local folder.
        regions: a square number; the encoder's last feature map is pooled to that grid.
        dtype: of the files; float16 halves them.
        batch_size: pictures encoded at once.
        device: auto, cpu, cuda or mps.
        pixels: side of the squares that the pictures themselves are kept as; None: they are not.
    """

    encoder: str = EFFICIENTNET_LITE0
    regions: int = 36
    dtype: Literal["float32", "float16"] = "float32"
    batch_size: int = 16
    device: str = "auto"
    pixels: int | None = None


def say_nothing(line: str) -> None:
    """Say nothing."""


def build_dataset(
    images: Path | None,
    captions: Path,
    out: Path,
    recipe: Recipe,
    *,
    captions_per_image: int | None = None,
    test_from: str = "dev",
    licence: str = "not stated",
    benchmark: bool = False,
    tokenizer: str = WORDS,
    recordings: Path | None = None,
    frame_ms: int = FRAME_MS,
    skip_unreadable: bool = False,
    overwrite: bool = False,
    say: Say = say_nothing,
) -> Path:
    """Build a dataset folder from one's own pictures and captions; the same call continues after a kill.

    Args:
        images: a folder, a zip archive or a tar; None where the captions bring their pictures.
        captions: a file or folder that `harness.data.formats` knows.
        out: the folder to make; its last part becomes the dataset's name. Until then there is `OUT.partial`.
        benchmark: its pairs count as right, so that noise may be put among them; else they are as they were found.
        tokenizer: how captions become tokens, see `harness.data.tokenizer.splitter`.
        recordings: a folder, a zip archive or a tar: the captions name recordings in it, which are heard.
        frame_ms: how much of a recording a vector is.
        skip_unreadable: leave out pictures that are missing or damaged, with their captions, and say how many.
        overwrite: replace a finished dataset in `out`, or an unfinished one with other settings.
        say: is given each line for the user.

    Returns:
        `out`.

    Raises:
        HarnessError: anything wrong with the table, the pictures, the encoder, the settings or the disk.
    """
    splitter(tokenizer)
    file = read_captions(captions)
    manifest = manifest_of(file, captions_per_image=captions_per_image, test_from=test_from)
    for note in manifest.notes:
        say(note)
    pictures = Pictures(source_of(images, file))
    images = pictures.source
    if skip_unreadable:
        manifest = _without_unreadable(manifest, pictures, say)
    known = known_card(out.name)
    card = DatasetCard(
        name=known.name if known else out.name,
        folder=out.name,
        title=known.title if known else out.name,
        protocols=known.protocols if known else ["full"],
        source=f"built from {images.name} and {captions.name}",
        licence=licence,
        noise="synthetic" if benchmark or (known is not None and known.noise == "synthetic") else "real",
        tokenizer=tokenizer,
        if_missing=f"run `harness data build` with {images.name} and {captions.name} again",
    )
    sounds = None if recordings is None else open_source(recordings)
    build_manifest(manifest, pictures, out, recipe, card, overwrite=overwrite, say=say)
    if sounds is not None:
        with hold_build(out.absolute(), wait=False):
            add_recordings(out, sounds, frame_ms=frame_ms, say=say)
    return out


def source_of(images: Path | None, file: CaptionFile) -> Path | Source:
    """Where pictures come from: what is given, else the captions themselves, else the folder that they lie in.

    Raises:
        HarnessError: the captions bring no pictures, and none are given.
    """
    if images is not None:
        return images
    if file.pictures is not None:
        found: Source = file.pictures
        return found
    if file.path.parent.is_dir() and file.path.stem == "metadata":
        return file.path.parent
    raise HarnessError(f"{file.path}: brings no pictures; accepted: --images DIR|ZIP|TAR beside it")


def _without_unreadable(manifest: Manifest, pictures: Pictures, say: Say) -> Manifest:
    faults = pictures.faults(item.image for item in manifest.items())
    if faults:
        shown = "; ".join(f"{name} ({fault})" for name, fault in list(faults.items())[:10])
        more = f"; and {len(faults) - 10:,} more" if len(faults) > 10 else ""
        say(f"{len(faults):,} of {len(manifest):,} pictures are left out: {shown}{more}")
    return manifest.without(set(faults))


def build_manifest(
    manifest: Manifest,
    images: Path | Pictures,
    out: Path,
    recipe: Recipe,
    card: DatasetCard,
    *,
    overwrite: bool = False,
    wait: bool = False,
    checked: bool = False,
    say: Say = say_nothing,
) -> Path:
    """`build_dataset` from a manifest; fills counts and shapes into `card`; `wait` for another builder; `checked`: the
    caller has looked at every picture."""
    out = out.absolute()
    pictures = Pictures(images) if isinstance(images, Path) else images
    with hold_build(out, wait=wait):
        _refuse_foreign(out)
        if not checked:
            pictures.check(item.image for item in manifest.items())
        _build(manifest, pictures, out, recipe, card, overwrite, say)
        if recipe.pixels is not None:
            add_pixels(out, pictures, recipe.pixels, say=say)
    return out


@contextmanager
def hold_build(out: Path, *, wait: bool) -> Iterator[None]:
    """The right to build `out`, held by one process at a time; `wait` for another one's end.

    Raises:
        HarnessError: another process has it.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(out.with_name(f".{out.name}.lock"), timeout=-1 if wait else 0):
            yield
    except Timeout:
        raise HarnessError(
            f"{out}: another process is building it; wait for it, or stop it and run this command again"
        ) from None


def build_whole(
    out: Path, make: Callable[[Path], dict[str, Any]], *, overwrite: bool = False, say: Say = say_nothing
) -> Path:
    """A data set made in one go: `make` fills `OUT.partial`, which becomes `out`; another process is waited for.

    Args:
        out: the folder; one that is built stays as it is, unless it is to be written over.
        make: what fills an empty or half filled folder, and gives what its build.json says.
    """
    out = out.absolute()
    with hold_build(out, wait=True):
        if (out / SETTINGS).is_file() and not overwrite:
            say(f"{out}: already built, nothing to do")
            return out
        folder = out.with_name(f"{out.name}.partial")
        folder.mkdir(exist_ok=True)
        write_json(folder / SETTINGS, make(folder))
        if out.exists():
            shutil.rmtree(out)
        folder.rename(out)
    return out


def _build(
    manifest: Manifest, pictures: Pictures, out: Path, recipe: Recipe, card: DatasetCard, overwrite: bool, say: Say
) -> None:
    names = [item.image for item in manifest.items()]
    encoder = open_encoder(recipe.encoder, regions=recipe.regions, device=recipe.device)
    settings = {
        "captions": manifest.digest(),
        "captions_per_image": manifest.captions_per_image,
        "encoder": encoder.name,
        "weights": encoder.digest(),
        "input": encoder.size,
        "regions": recipe.regions,
        "dtype": recipe.dtype,
    }
    if not overwrite and (former := read_json(out / SETTINGS)) is not None:
        pixels = former.pop("pixels", None)  # `add_pixels` looks after these, and `add_sound` after the frames
        former.pop("frame_ms", None)
        refuse_other_settings(out, "a finished dataset", former, settings)
        done = recipe.pixels in (None, pixels)
        say(f"{out}: already built with these settings, {'nothing to do' if done else 'pixels are added'}")
        return

    counts = {split: len(items) for split, items in manifest.splits.items()}
    shape = f"{recipe.regions} regions of {encoder.region_dim}, {recipe.dtype}"
    listed = ", ".join(f"{count:,} {split}" for split, count in counts.items())
    each = manifest.captions_per_image
    captions = f"{each or 'any number of'} caption{'' if each == 1 else 's'}"
    say(f"{out}: {listed} images, {captions} each, {shape}")
    if manifest.test_from:
        say(f"{out}: no test rows, so {manifest.test_from} doubles as test: test figures will be dev figures")
    started = time.monotonic()
    with Store(out, settings) as store:
        stamps = [pictures.stamp(name) for name in names]
        store.resume(stamps, overwrite=overwrite)
        before = store.done
        if before:
            say(f"{out}: continuing after {before:,} of {len(names):,} images")
        for split, count in counts.items():
            store.create(split, (count, recipe.regions, encoder.region_dim), recipe.dtype)
        encode(manifest, pictures, encoder, store, stamps, recipe.dtype, recipe.batch_size, say)
        _write_texts(manifest, store)
        store.finish(_filled(card, manifest, encoder, counts).model_dump(), overwrite=overwrite)
    rate = (len(names) - before) / (time.monotonic() - started)
    size = sum({file.stat().st_ino: file.stat().st_size for file in out.glob("*_ims.npy")}.values()) / 2**20
    say(f"{out}: built, {rate:.0f} images/s, {size:,.0f} MiB of features")


def _write_texts(manifest: Manifest, store: Store) -> None:
    equal = manifest.captions_per_image is not None
    captions_file = "caps.txt" if equal else "caps.tsv"
    for split, items in manifest.splits.items():
        lines = [
            caption if equal else layout.tsv_line(item.image, caption) for item in items for caption in item.captions
        ]
        store.text(f"{split}_{captions_file}", lines)
        store.text(f"{split}_ids.txt", [item.image for item in items])
    if manifest.test_from:  # the layout has a test split: a second name for the same file, no copy where possible
        for end in ("ims.npy", captions_file, "ids.txt"):
            source, twin = store.folder / f"{manifest.test_from}_{end}", store.folder / f"test_{end}"
            link_or_copy(source, twin)


def _filled(card: DatasetCard, manifest: Manifest, encoder: Encoder, counts: dict[str, int]) -> DatasetCard:
    doubles = f"; no test rows: test is {manifest.test_from}" if manifest.test_from else ""
    images = counts | ({"test": counts[manifest.test_from]} if manifest.test_from else {})
    grid = f"{encoder.grid} x {encoder.grid} grid"
    return card.model_copy(
        update={
            "images": images,
            "captions_per_image": manifest.captions_per_image,
            "regions": encoder.grid**2,
            "region_dim": encoder.region_dim,
            "dev_images": counts.get("dev"),
            "source": f"{card.source}; {encoder.name} at {encoder.size} pixels, {grid}{doubles}",
        }
    )


def _refuse_foreign(out: Path) -> None:
    """Never touch a folder that no build made, whatever is asked."""
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / SETTINGS).exists())):
        raise HarnessError(f"{out}: exists and was not made by `data build`; accepted: a new folder as --out")
