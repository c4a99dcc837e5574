"""What `harness data check` finds: counts, shapes, finite values, duplicates, captions, vocabulary, noise.

Every feature value is read once, in chunks, so memory stays small; 33 GB take a few minutes.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from harness.data import layout
from harness.data.dataset import Dataset, Split, open_dataset, swallowing
from harness.data.sides import Captions, Vectors, open_regions, open_spoken
from harness.errors import HarnessError
from harness.files import open_array

CHUNK_BYTES = 32 * 2**20
UNKNOWN_SHARE = 0.05  # of a split's words; above it the vocabulary hardly fits the captions
LONG_CAPTION = 100  # words; one such caption makes its whole batch as long
NEEDED = {"train": "what runs train on", "dev": "what chooses their epoch", "test": "what they are scored on"}
RATE_TOLERANCE = 0.005  # between a noise file's realised rate and the one in its name


@dataclass(frozen=True)
class Finding:
    """One line of the report: what was looked at, how it stands, and the figure behind it."""

    name: str
    level: Literal["ok", "warning", "error"]
    text: str


def _finding(name: str, text: str, *, error: str = "", warning: str = "") -> Finding:
    """A finding whose level is the worst that has a text: error, warning, or ok without either."""
    level: Literal["ok", "warning", "error"] = "error" if error else "warning" if warning else "ok"
    return Finding(name, level, "; ".join(part for part in (text, error, warning) if part))


def check_dataset(
    name: str, root: Path, noise_file: Path | None = None, *, fit: Callable[[str, int], object] = lambda *_: None
) -> list[Finding]:
    """Findings on the data set `name` under the data folder `root`, and on how `noise_file` (.npy) fits it.

    fit: raises HarnessError where a test split of so many images cannot be scored by a protocol.

    Raises HarnessError when the data set is not there at all; everything else is a finding.
    """
    dataset = open_dataset(name, root)
    promised = [split for split in dataset.card.images if split in layout.SPLITS]
    findings: list[Finding] = []
    images: dict[str, list[bytes]] = {}  # split -> hash of each image's features
    for split_name in dict.fromkeys([*dataset.splits, *promised]):
        try:
            split = dataset.split(split_name)
            findings += _counts(dataset, split)
            features = open_regions(layout.split_files(dataset.folder, split_name))
            bad, empty, hashes = _scan(features)
            findings.append(_values(f"{split_name} values", features, bad, empty))
            copies = len(features) // len(split.regions)
            if copies > 1:
                findings.append(_copies(split, copies, hashes))
            images[split_name] = hashes[::copies]
            findings += [_captions(split), _repeats(split)]
            if isinstance(split.captions, Captions):
                findings.append(_coverage(dataset, split, split.captions))
            else:
                findings.append(_values(f"{split_name} caption values", split.captions, *_scan(split.captions)[:2]))
            pixels = layout.split_files(dataset.folder, split_name).pixels
            if pixels.is_file():
                findings.append(_pixels(split, layout.open_pixels(pixels)))
        except HarnessError as error:
            findings.append(_finding(split_name, "", error=str(error)))
    for split_name in ("train", "dev", "test"):
        if split_name not in dataset.splits and split_name not in promised:
            files = f"accepted: {split_name}_ims.npy and {split_name}_caps.txt (or .tsv)"
            findings.append(_finding(split_name, NEEDED[split_name], error=f"it is not here; {files}"))
    findings += _protocols(dataset, fit)
    findings += _duplicates(dataset, images)
    if noise_file is not None:
        findings.append(_noise(dataset, noise_file))
    return findings


def _protocols(dataset: Dataset, fit: Callable[[str, int], object]) -> Iterator[Finding]:
    """Whether the test split can be scored as the card says."""
    try:
        images, faults = len(dataset.split("test").regions) if "test" in dataset.splits else 0, []
    except HarnessError:
        return  # told above
    if images:
        for name in dataset.card.protocols:
            try:
                fit(name, images)
            except HarnessError as error:
                faults.append(str(error))
        yield _finding("test protocols", ", ".join(dataset.card.protocols), error="; ".join(faults))


def _counts(dataset: Dataset, split: Split) -> Iterator[Finding]:
    card = dataset.card
    images = len(split.regions)
    each = len(split.captions) // images
    expected = card.images.get(split.name)
    wrong = "" if expected in (None, images) else f"the card of {dataset.name} says {expected:,} images"
    text = f"{images:,} images, {len(split.captions):,} captions, {each} each"
    yield _finding(f"{split.name} counts", text, error=wrong)

    if isinstance(split.regions, Vectors):
        yield _finding(f"{split.name} shape", _spread(split.regions))
        return
    _, regions, dim = split.regions.shape
    wanted = (card.regions or regions, card.region_dim or dim)
    wrong = f"the card of {dataset.name} says {wanted[0]} regions of {wanted[1]}"
    text = f"{regions} regions of {dim} {split.regions.dtype} numbers"
    yield _finding(f"{split.name} shape", text, error=wrong if wanted != (regions, dim) else "")


def _spread(items: Vectors) -> str:
    low, high, middle = items.lengths.min(), items.lengths.max(), np.median(items.lengths)
    return f"{low} to {high} vectors, median {middle:g}, of {items.dim} {items.values.dtype} numbers"


def _blocks(features: np.ndarray | Vectors) -> Iterator[tuple[int, np.ndarray]]:
    """The features with the first row of each block: of an array, blocks of rows; of vectors, one item at a time."""
    if isinstance(features, Vectors):
        for item, (start, length) in enumerate(zip(features.starts, features.lengths, strict=True)):
            yield item, features.values[None, start : start + length]
        layout.release(features.values)
        return
    rows = max(1, CHUNK_BYTES // features[0].nbytes)
    for start in range(0, len(features), rows):
        yield start, features[start : start + rows]
        layout.release(features)


def _scan(features: np.ndarray | Vectors) -> tuple[list[int], list[int], list[bytes]]:
    """Rows with values that are not finite, rows of zeros, and a hash of every row."""
    bad: list[int] = []
    empty: list[int] = []
    hashes: list[bytes] = []
    for start, chunk in _blocks(features):  # (rows, regions, dim)
        bad += (start + np.flatnonzero(~np.isfinite(chunk).all(axis=(1, 2)))).tolist()
        empty += (start + np.flatnonzero(~chunk.any(axis=(1, 2)))).tolist()
        hashes += [hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in chunk]
    return bad, empty, hashes


def why_not_finite(dataset: Dataset) -> str:
    """The first feature row that holds NaN or infinity, in a sentence; empty where all are finite."""
    for name in dataset.splits:
        files = layout.split_files(dataset.folder, name)
        for path, features in ((files.features, open_regions(files)), (files.spoken, open_spoken(files))):
            for start, chunk in () if features is None else _blocks(features):
                finite = np.isfinite(chunk).all(axis=(1, 2))
                if not finite.all():
                    return (
                        f"{path.parent}: row {start + int(finite.argmin())} of {path.name} is not finite, and nothing "
                        f"can be learnt from it; `harness data check {dataset.name}` counts such rows; make them "
                        "again, as float32 if they were float16"
                    )
    return ""


def _values(name: str, features: np.ndarray | Vectors, bad: list[int], empty: list[int]) -> Finding:
    wrong = f"rows with NaN or infinity: {len(bad):,}, the first is row {bad[0]}" if bad else ""
    odd = f"rows of zeros alone: {len(empty):,}, the first is row {empty[0]}" if empty else ""
    size = features.values.size if isinstance(features, Vectors) else features.size
    text = f"{size:,} values in {len(features):,} rows"
    return _finding(name, text + ("" if bad else ", all finite"), error=wrong, warning=odd)


def _copies(split: Split, copies: int, hashes: list[bytes]) -> Finding:
    unlike = [row for row in range(len(hashes)) if hashes[row] != hashes[row - row % copies]]
    wrong = f"row {unlike[0]} is no copy (such rows: {len(unlike):,})" if unlike else ""
    text = f"each image's row is there {copies} times; one is used"
    return _finding(f"{split.name} copies", text, error=wrong)


def _captions(split: Split) -> Finding:
    if isinstance(split.captions, Vectors):
        return _finding(f"{split.name} captions", _spread(split.captions))
    words = split.captions.lengths - 2  # without <start> and <end>
    odd = []
    if swallowed := swallowing(split.texts):
        odd.append(
            f"{len(swallowed)} hold whole rows, the first is caption {swallowed[0]}: a lone quote swallows the rows "
            "behind it"
        )
    if empty := int((words == 0).sum()):
        odd.append(f"{empty} are empty, the first is line {int(words.argmin()) + 1}")
    if long := int((words > LONG_CAPTION).sum()):
        odd.append(
            f"{long} have more than {LONG_CAPTION} and slow down their batches, "
            f"the longest is line {int(words.argmax()) + 1}"
        )
    text = f"{words.min()} to {words.max()} words, median {np.median(words):g}"
    return _finding(f"{split.name} captions", text, warning="; ".join(odd))


def _repeats(split: Split) -> Finding:
    """Captions that stand at several images: boilerplate, or a quote that swallowed a line."""
    homes: dict[str, set[int]] = {}
    for text, image in zip(split.texts, split.image_of_caption.tolist(), strict=True):
        homes.setdefault(text, set()).add(image)
    most = max(homes, key=lambda text: len(homes[text]))
    times = len(homes[most])
    several = sum(len(images) > 1 for images in homes.values())
    odd = f"{most[:60]!r} stands at {times:,} images" if times > max(3, len(split.regions) // 1000) else ""
    return _finding(f"{split.name} repeats", f"{several:,} captions stand at more than one image", warning=odd)


def _coverage(dataset: Dataset, split: Split, captions: Captions) -> Finding:
    words = len(captions.ids) - 2 * len(captions)
    unknown = int((captions.ids == dataset.vocabulary.unk).sum())
    share = unknown / max(1, words)
    origin = dataset.vocabulary_file or "built from train and dev"
    odd = f"above {UNKNOWN_SHARE:.0%} it hardly fits these captions" if share > UNKNOWN_SHARE else ""
    text = f"{share:.2%} of words are unknown to the {len(dataset.vocabulary):,} of the vocabulary ({origin})"
    return _finding(f"{split.name} vocabulary", text, warning=odd)


def _pixels(split: Split, pixels: np.ndarray) -> Finding:
    """The pictures: as many as there are images, and how many show nothing."""
    blank: list[int] = []
    rows = max(1, CHUNK_BYTES // pixels[0].nbytes)
    for start in range(0, len(pixels), rows):
        chunk = pixels[start : start + rows]  # (rows, S, S, 3)
        blank += (start + np.flatnonzero((chunk == chunk[:, :1, :1]).all(axis=(1, 2, 3)))).tolist()
        layout.release(pixels)
    images = len(split.regions)
    wrong = f"the split has {images:,} images" if len(pixels) != images else ""
    odd = f"{len(blank)} are of one colour, the first is row {blank[0]}" if blank else ""
    side = pixels.shape[1]
    return _finding(f"{split.name} pixels", f"{len(pixels):,} pictures of {side} x {side}", error=wrong, warning=odd)


def _duplicates(dataset: Dataset, images: dict[str, list[bytes]]) -> Iterator[Finding]:
    """Images with the features, or the id, of another one in the same split or in one looked at before."""
    first: dict[bytes | str, str] = {}
    for split, hashes in images.items():
        again = _again(first, split, hashes)
        odd = f"{len(again)} are alike, such as {again[0]}" if again else ""
        yield _finding(f"{split} duplicates", "features compared with all before", warning=odd)
        if layout.split_files(dataset.folder, split).ids.is_file():
            again = _again(first, split, dataset.split(split).image_ids)
            odd = f"{len(again)} occur twice, such as {again[0]}" if again else ""
            yield _finding(f"{split} ids", "image ids compared with all before", warning=odd)


def _again(first: dict[bytes | str, str], split: str, keys: Iterable[bytes | str]) -> list[str]:
    """Where a key was met before, as "test 3 = train 7"; `first` remembers where each was met first."""
    met = [(f"{split} {image}", key) for image, key in enumerate(keys)]
    return [f"{place} = {first[key]}" for place, key in met if first.setdefault(key, place) != place]


def _noise(dataset: Dataset, path: Path) -> Finding:
    """How a published noise index fits: length, range, realised rate against the one in its name."""
    try:
        index = open_array(path)
        split = dataset.split("train")
    except OSError as error:
        return _finding("noise file", f"{path}", error=f"cannot be read ({error.strerror})")
    except HarnessError as error:
        return _finding("noise file", f"{path}", error=str(error))
    images, truth = len(split.regions), split.image_of_caption
    accepted = f"accepted: whole numbers, {len(truth)} (one per caption) or {images} (one per image)"
    if index.dtype.kind not in "iu":
        return _finding("noise file", f"{path}", error=f"not an array of whole numbers; {accepted}")
    if index.shape not in ((len(truth),), (images,)):
        return _finding("noise file", f"{path}", error=f"shape {index.shape}; {accepted}")
    if index.min() < 0 or index.max() >= images:
        wrong = f"values {index.min()} to {index.max()}; accepted: 0 to {images - 1}"
        return _finding("noise file", f"{path}", error=wrong)
    paired = index if len(index) == len(truth) else index[truth]  # one image per caption
    rate = float((paired != truth).mean())
    named = re.search(r"_([01]?\.\d+|[01])$", path.stem)
    wrong = f"its name says {named[1]}" if named and abs(float(named[1]) - rate) > RATE_TOLERANCE else ""
    return _finding("noise file", f"{path}: {len(index):,} entries, realised rate {rate:.4f}", error=wrong)
