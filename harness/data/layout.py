"""The field's folder layout (SCAN, NCR): {train,dev,test,testall}_ims.npy, _caps.txt or _caps.tsv, _ids.txt.

One file is ours: _pixels.npy, the pictures themselves, for a backbone that reads those. And a _caps.tsv whose ids are
those of an _ids.txt with one id per image may give images any number of captions, in any order. NoW's captions, token
ids, are a _caps_bpe.txt.

Two things more are ours, for other data than pictures and words. A side may have any number of vectors for each item,
frames of a video or of sound: {split}_ims.npy is then (vectors of all images, D), and {split}_ims_offsets.npy int64
(images + 1,) says where each begins and the last one ends. And captions may be vectors in place of words:
{split}_caps.npy with {split}_caps_offsets.npy, or (captions, R, D) without; a _caps.txt beside it then only says what a
person reads.

Features stay in a memory map, also when they have 33 GB. Some published dev and test files hold one feature row per
caption instead of one per image: those copies are recognised and left out by a stride, so nothing is read or copied for
it.
"""

import csv
import io
import mmap
import os
from collections.abc import Sequence, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from harness.errors import HarnessError
from harness.files import open_array

SPLITS = ("train", "dev", "test", "testall")
CAPTIONS_PER_IMAGE = 5  # the field's number, tried where no card says another
T = TypeVar("T", bound=Sized)
_SAMPLED_GROUPS = 16  # images whose rows are compared to tell copies; `check` compares all
_PART = 32768  # numbers that torch converts in one thread; it shares out more than these


@dataclass(frozen=True)
class SplitFiles:
    """The files of one split. Features and captions, as text or `spoken` as vectors, have to exist."""

    features: Path
    captions: Path
    ids: Path
    pixels: Path
    offsets: Path  # of the features
    spoken: Path
    spoken_offsets: Path

    @property
    def missing(self) -> list[str]:
        """Names of the files that a split cannot do without and that are not there."""
        names = {self.features: self.features.name, self.captions: f"{self.captions.name} (or .tsv)"}
        if self.spoken.is_file():
            del names[self.captions]
        return [name for path, name in names.items() if not path.is_file()]

    @property
    def present(self) -> list[Path]:
        """What a data set's digest is made of."""
        files = (self.features, self.captions, self.ids, self.offsets, self.spoken, self.spoken_offsets)
        return [path for path in files if path.is_file()]


def split_files(folder: Path, split: str) -> SplitFiles:
    """The files of `split`. "test" means testall where there is one: MS-COCO's 5,000 test images."""
    if split == "test" and (folder / "testall_ims.npy").is_file():
        split = "testall"
    candidates = [folder / f"{split}_{end}" for end in ("caps.tsv", "caps.txt", "caps_bpe.txt", "caps_bert.txt")]
    captions = next((path for path in candidates if path.is_file()), candidates[1])
    features, *others = (
        folder / f"{split}_{end}"
        for end in ("ims.npy", "ids.txt", "pixels.npy", "ims_offsets.npy", "caps.npy", "caps_offsets.npy")
    )
    return SplitFiles(features, captions, *others)


def read_text(path: Path) -> str:
    """A file's text; HarnessError with line and byte where it is not UTF-8."""
    content = path.read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise HarnessError(
            f"{path}: line {line}: byte 0x{content[error.start]:02x} is not UTF-8; save the file as UTF-8"
        ) from None


def read_lines(path: Path) -> list[str]:
    """Lines, stripped. One ends at \\n, \\r or \\r\\n only: a caption may hold other separators."""
    return [line.strip() for line in io.StringIO(read_text(path), newline=None)]


def without_blank_end(lines: list[str], rows: int | None = None) -> list[str]:
    """`lines` without the empty ones at their end. rows: of images; where given, only if the captions then share out
    equally among them and do not now: an image's last caption may be empty."""
    whole = list(lines)
    while whole and not whole[-1]:
        whole.pop()
    shares = rows is None or (len(lines) % rows and whole and not len(whole) % rows)
    return whole if shares else lines


def tsv_line(image: str, caption: str) -> str:
    """A pair as a line of a .tsv that `read_captions` reads, without its end."""
    out = io.StringIO()
    csv.writer(out, delimiter="\t", lineterminator="").writerow([image, caption])
    return out.getvalue()


def read_captions(path: Path) -> tuple[list[str], list[str] | None]:
    """Captions, and the image ids where the file carries them.

    `.txt`: one caption a line. `.tsv` (CC152K): image id, caption, separated by a tab, with csv quoting.
    """
    ids: list[str] | None = None
    if path.suffix == ".tsv":
        rows = csv.reader(io.StringIO(read_text(path), newline=None), delimiter="\t")
        ids, texts = [], []
        try:
            for row in rows:
                if len(row) < 2:
                    raise HarnessError(f"{path}: line {rows.line_num}: one column; accepted: image id, tab, caption")
                if len(row) > 2:
                    raise HarnessError(
                        f"{path}: line {rows.line_num}: {len(row)} columns; accepted: image id, tab, caption; "
                        "a caption that holds a tab stands in double quotes"
                    )
                ids.append(row[0].strip())
                texts.append(row[1].strip())
        except csv.Error as error:
            raise HarnessError(f"{path}: line {rows.line_num}: {error}; accepted: image id, tab, caption") from None
    else:
        texts = read_lines(path)
    if not any(texts):
        raise HarnessError(f"{path}: holds no caption; copy the file again")
    return texts, ids


def open_features(path: Path) -> np.ndarray:
    """The features as a read-only memory map (rows, regions, dim), float32, float16 or float64; (rows, dim) has one
    region."""
    accepted = "(images, regions, dim) or (images, dim) of float32, float16 or float64, none of them 0"
    values = _floats(path, (2, 3), accepted)
    return values[:, None] if values.ndim == 2 else values


def open_runs(path: Path, offsets: Path) -> tuple[np.ndarray, np.ndarray]:
    """Vectors as a read-only memory map (vectors of all items, dim), and the offsets int64 (items + 1,) in memory."""
    values = _floats(path, (2,), f"(vectors of all items, dim) of float32, float16 or float64 beside {offsets.name}")
    ends = open_array(offsets)
    accepted = f"accepted: whole numbers (items + 1,) that rise from 0 to {len(values):,}, the rows of {path.name}"
    if ends.ndim != 1 or len(ends) < 2 or ends.dtype.kind not in "iu":
        raise HarnessError(f"{offsets}: shape {ends.shape}, dtype {ends.dtype}; {accepted}")
    ends = np.array(ends, dtype=np.int64)
    if ends[0] != 0 or ends[-1] != len(values):
        raise HarnessError(f"{offsets}: goes from {ends[0]:,} to {ends[-1]:,}; {accepted}")
    if (np.diff(ends) < 1).any():
        item = int((np.diff(ends) < 1).argmax())
        raise HarnessError(f"{offsets}: item {item} has no vector; {accepted}, at least one for each item")
    return values, ends


def _floats(path: Path, dimensions: tuple[int, ...], accepted: str) -> np.ndarray:
    values: np.ndarray = open_array(path)
    if values.ndim not in dimensions or 0 in values.shape:
        raise HarnessError(f"{path}: shape {values.shape}; accepted: {accepted}")
    if values.dtype not in (np.float32, np.float16, np.float64):
        raise HarnessError(f"{path}: dtype {values.dtype}; accepted: {accepted}")
    return values


def open_pixels(path: Path) -> np.ndarray:
    """The pictures as a read-only memory map (images, S, S, 3), uint8 RGB."""
    pixels = open_array(path)
    if pixels.ndim != 4 or pixels.shape[1:] != (pixels.shape[1], pixels.shape[1], 3) or 0 in pixels.shape:
        raise HarnessError(f"{path}: shape {pixels.shape}; accepted: (images, S, S, 3), squares of RGB")
    if pixels.dtype != np.uint8:
        raise HarnessError(f"{path}: dtype {pixels.dtype}; accepted: uint8")
    return pixels


def rows_repeat(features: np.ndarray, times: int) -> bool:
    """Whether every image's row is there `times` times in sequence, judged by a sample of images."""
    if times < 2 or len(features) % times:
        return False
    groups = np.unique(np.linspace(0, len(features) // times - 1, _SAMPLED_GROUPS).astype(int))
    return all(
        np.array_equal(features[group * times], features[group * times + copy], equal_nan=True)
        for group in groups
        for copy in range(1, times)
    )


def distinct_images(features: T, captions: int, expected: int | None, path: Path) -> T:
    """The features with one row per image, a strided view (images, regions, dim) where rows are copies.

    features: an array, or anything that has a length and holds no copies.

    expected: the card's number of captions per image; None: not promised.

    Raises:
        HarnessError: rows and captions do not fit.
    """
    rows = len(features)
    if captions % rows:
        raise HarnessError(
            f"{path}: {rows} rows for {captions} captions; accepted: one row per image with an equal number "
            "of captions each, or one row per caption"
        )
    each = expected or CAPTIONS_PER_IMAGE
    if rows == captions and isinstance(features, np.ndarray) and rows_repeat(features, each):
        return features[::each]  # type: ignore[return-value]  # an array for an array
    if expected is not None and captions // rows != expected:
        raise HarnessError(
            f"{path}: {rows} rows for {captions} captions are {captions // rows} captions per image; "
            f"accepted: {expected}, so {captions // expected} rows, or {captions} where each row stands "
            f"there {expected} times"
        )
    return features


def owners(files: SplitFiles, images: int, from_captions: list[str] | None) -> tuple[list[str], np.ndarray] | None:
    """Ids (images,) and the image of each caption, int64 (captions,), where both files name images: an _ids.txt with
    one id per image, and a .tsv. None where they do not say it; then the captions of an image stand together.

    Raises:
        HarnessError: a caption names an image that is not there.
    """
    if from_captions is None or not files.ids.is_file():
        return None
    ids = without_blank_end(read_lines(files.ids))
    row_of = {name: row for row, name in enumerate(ids)}
    if len(ids) != images or len(row_of) != images:
        return None
    for line, name in enumerate(from_captions, start=1):
        if name not in row_of:
            raise HarnessError(
                f"{files.captions}: caption {line:,} names the image {name!r}, which is not in {files.ids.name}; "
                "accepted: ids of that file; correct one of the two"
            )
    return ids, np.fromiter((row_of[name] for name in from_captions), dtype=np.int64, count=len(from_captions))


def read_ids(files: SplitFiles, images: int, captions: int, from_captions: list[str] | None) -> list[str]:
    """One id per image, from _ids.txt, else the captions' file, else the position."""
    ids = without_blank_end(read_lines(files.ids)) if files.ids.is_file() else from_captions
    if ids is None:
        return [str(image) for image in range(images)]
    if len(ids) == images:
        return ids
    if len(ids) == captions:
        each = captions // images
        for first in range(0, captions if ids is from_captions else 0, each):
            others = [other for other in ids[first : first + each] if other != ids[first]]
            if others:
                raise HarnessError(
                    f"{files.captions}: rows {first + 1:,} to {first + each:,} are the {each} captions of one image, "
                    f"and name {ids[first]!r} and {others[0]!r}; accepted: the captions of an image one after another, "
                    "in the order of the features"
                )
        return ids[::each]
    raise HarnessError(
        f"{files.ids}: {len(ids)} ids; accepted: {images}, one per image, or {captions}, one per caption"
    )


def gather(regions: np.ndarray, images: np.ndarray) -> np.ndarray:
    """The regions of `images` (n,), in that order, as float32 (n, R, D), read from disk in file order.

    Pixels stay uint8 (n, S, S, 3): a quarter of the memory, and the backbone scales them where it computes.

    Rows of a memory map are read with a system call each, not through the map: from MS-COCO's 33 GB, a batch takes a
    tenth of the time, as no page is faulted in and none read ahead, and the process's resident memory does not grow.

    Raises:
        HarnessError: the file ends before a row does.
        IndexError: there is no such image.
    """
    if len(images) and not 0 <= images.min() <= images.max() < len(regions):
        raise IndexError(f"images {images.min()} to {images.max()} of {len(regions)}")
    dtype = regions.dtype if regions.dtype == np.uint8 else np.float32
    batch = np.empty((len(images), *regions.shape[1:]), dtype=dtype)
    read_runs(regions, images, batch[:, None])
    return batch


def read_runs(values: np.ndarray, starts: np.ndarray, targets: np.ndarray | Sequence[np.ndarray]) -> None:
    """Copy rows of `values`, from each of `starts` (n,) on, into a target (rows of that run, ...); read as by `gather`.

    A run of more than one row needs rows that follow each other in the file.

    Raises:
        HarnessError: the file ends before a run does.
    """
    order = np.argsort(starts, kind="stable")
    place = _place_in_file(values)
    if place is None:
        for run in order:
            targets[run][...] = values[starts[run] : starts[run] + len(targets[run])]
        release(values)
        return
    path, first = place
    with open(path, "rb", buffering=0) as file:
        for run in order:
            target = targets[run]
            row: Any = target if values.dtype == target.dtype else np.empty(target.shape, dtype=values.dtype)
            read = os.preadv(file.fileno(), [row], first + int(starts[run]) * values.strides[0])
            if read != row.nbytes:
                raise HarnessError(
                    f"{path}: ends in the middle of image {starts[run]}; was it written anew? "
                    "`harness data check` says what it holds"
                )
            if row is not target:
                _convert(row, target)


def _convert(row: np.ndarray, target: np.ndarray) -> None:
    """target[...] = row. numpy takes float16 number by number, torch ten times as fast, to the same float32."""
    if row.dtype != np.float16 or target.dtype != np.float32 or not target.flags.c_contiguous:
        target[...] = row
        return
    import torch

    half, full = torch.from_numpy(row).flatten(), torch.from_numpy(target).view(-1)
    # In parts too small for torch to share out among threads: a batch is read beside a step that has the cores.
    for begin in range(0, len(half), _PART):
        full[begin : begin + _PART].copy_(half[begin : begin + _PART])


def _place_in_file(regions: np.ndarray) -> tuple[str, int] | None:
    """File and byte of the first row of a memory map or of a slice of one; None where rows cannot be read from it."""
    mapped = getattr(regions, "_mmap", None)
    whole_rows = len(regions) and regions[0].flags.c_contiguous and regions.strides[0] > 0
    if mapped is None or not whole_rows or not hasattr(os, "preadv"):
        return None
    assert isinstance(regions, np.memmap)
    begin = np.frombuffer(mapped, dtype=np.uint8).ctypes.data
    return str(
        regions.filename
    ), regions.offset - regions.offset % mmap.ALLOCATIONGRANULARITY + regions.ctypes.data - begin


def release(regions: np.ndarray) -> None:
    """Drop the memory map's pages from this process; the system's file cache keeps them."""
    mapped = getattr(regions, "_mmap", None)
    if mapped is not None and hasattr(mapped, "madvise"):
        mapped.madvise(mmap.MADV_DONTNEED)
