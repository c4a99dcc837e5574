"""A table of captions (image, split, caption) becomes a manifest: each split's images with their captions."""

import csv
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.errors import HarnessError, suggest

COLUMNS = ("image", "split", "caption")
SPLITS = ("train", "dev", "test")


@dataclass(frozen=True)
class Item:
    """One picture and its captions, each on one line."""

    image: str
    captions: tuple[str, ...]


@dataclass(frozen=True)
class Manifest:
    """What to build: the items of each split, every one with the same number of captions.

    `test_from` names the split that doubles as test where there are no test rows, else it is None.
    """

    splits: dict[str, list[Item]]
    captions_per_image: int
    test_from: str | None = None

    def items(self) -> Iterator[Item]:
        """All items in the order in which features are written."""
        for items in self.splits.values():
            yield from items

    def __len__(self) -> int:
        return sum(map(len, self.splits.values()))

    def digest(self) -> str:
        """A hash of every name and caption in order."""
        content = {split: [[i.image, *i.captions] for i in items] for split, items in self.splits.items()}
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def read_captions(file: Path, *, captions_per_image: int | None = None, test_from: str = "dev") -> Manifest:
    """Read a CSV table with the columns image, split and caption (others are ignored), one caption a row.

    Args:
        file: UTF-8; an image's rows need not be neighbours. Splits are train, dev and, if there is one, test.
        captions_per_image: how many of each image to take, the first ones; without it all images have the same number.
        test_from: the split that doubles as test where there are no test rows.

    Raises:
        HarnessError: naming file and line, or the image.
    """
    captions: dict[str, list[str]] = {}
    home: dict[str, tuple[str, int]] = {}  # image -> its split, and the line that said so
    for line, image, split, caption in _rows(file):
        if split not in SPLITS:
            raise HarnessError(f"{file}, line {line}: unknown split {split!r}: {suggest(split, SPLITS)}")
        first_split, first_line = home.setdefault(image, (split, line))
        if split != first_split:
            raise HarnessError(
                f"{file}, line {line}: {image!r} is in split {split!r} here and in {first_split!r} on line "
                f"{first_line}; accepted: one split for each image"
            )
        captions.setdefault(image, []).append(caption)
    count = _captions_per_image(file, captions, captions_per_image)
    splits: dict[str, list[Item]] = {name: [] for name in SPLITS}
    for image, texts in captions.items():
        splits[home[image][0]].append(Item(image, tuple(texts[:count])))
    for name in ("train", "dev"):
        if not splits[name]:
            raise HarnessError(f"{file}: no row has split {name!r}; accepted: rows for train and dev, test optional")
    if splits["test"]:
        return Manifest(splits, count)
    return Manifest({"train": splits["train"], "dev": splits["dev"]}, count, test_from)


def _rows(file: Path) -> Iterator[tuple[int, str, str, str]]:
    try:
        with open(file, encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            header = reader.fieldnames or ()
            if missing := [name for name in COLUMNS if name not in header]:
                raise HarnessError(
                    f"{file}, line 1: no column {', '.join(missing)} among: {', '.join(header) or '(none)'}; "
                    "accepted: a header with the columns image,split,caption"
                )
            for row in reader:
                image, split = (row["image"] or "").strip(), (row["split"] or "").strip()
                caption = " ".join((row["caption"] or "").split())  # one line, whatever the cell holds
                if not (image and split and caption) or len(image.splitlines()) > 1:
                    raise HarnessError(
                        f"{file}, line {reader.line_num}: image, split and caption are needed, here are "
                        f"{image!r}, {split!r}, {caption!r}; mend the row or take it out"
                    )
                yield reader.line_num, image, split, caption
    except FileNotFoundError:
        raise HarnessError(f"{file}: no such file; accepted: a CSV file with the columns image,split,caption") from None
    except (UnicodeDecodeError, csv.Error, IsADirectoryError) as error:
        raise HarnessError(f"{file}: not a UTF-8 CSV file ({error}); save it as CSV in UTF-8") from None


def _captions_per_image(file: Path, captions: dict[str, list[str]], asked: int | None) -> int:
    """The number asked for, else the one that all images share."""
    if not captions:
        raise HarnessError(f"{file}: no rows under the header; accepted: one caption a row")
    fewest = min(captions, key=lambda image: len(captions[image]))
    most = max(captions, key=lambda image: len(captions[image]))
    low, high = len(captions[fewest]), len(captions[most])
    if asked is not None:
        if asked > low:
            raise HarnessError(
                f"{file}: {fewest!r} has {low} captions, --captions-per-image is {asked}; accepted: <= {low}"
            )
        return asked
    if low != high:
        raise HarnessError(
            f"{file}: {fewest!r} has {low} captions, {most!r} has {high}; accepted: the same number for "
            f"every image, or --captions-per-image {low} to take the first {low} of each"
        )
    return low
