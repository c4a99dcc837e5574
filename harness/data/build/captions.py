"""Rows of captions become a manifest: each split's images with their captions."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.data.formats import UNLISTED, CaptionFile, Row
from harness.errors import HarnessError
from harness.printing.numbers import count
from harness.seeds import rng_for

SPLITS = ("train", "dev", "test")
_TENTHS = {0: "dev", 1: "test"}  # of the images, by a hash of their names, where no row says a split


@dataclass(frozen=True)
class Item:
    """One picture and its captions, each on one line."""

    image: str
    captions: tuple[str, ...]


@dataclass(frozen=True)
class Manifest:
    """What to build: the items of each split.

    Attributes:
        captions_per_image: the number of captions that every image has; None where they differ.
        test_from: the split that doubles as test where there are no test rows, else None.
        notes: what was decided without being asked.
    """

    splits: dict[str, list[Item]]
    captions_per_image: int | None
    test_from: str | None = None
    notes: list[str] = field(default_factory=list)

    @classmethod
    def shuffled(cls, name: str, items: Sequence[Item], held_out: int, captions_per_image: int) -> "Manifest":
        """Dev and test of `held_out` items each, the rest as train, dealt by a seed of the data set's name."""
        dealt = [items[i] for i in rng_for(name, "split").permutation(len(items))]
        dev, test, train = dealt[:held_out], dealt[held_out : 2 * held_out], dealt[2 * held_out :]
        return cls({"train": train, "dev": dev, "test": test}, captions_per_image)

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

    def without(self, images: set[str]) -> "Manifest":
        """The manifest without some pictures."""
        splits = {name: [item for item in items if item.image not in images] for name, items in self.splits.items()}
        return Manifest(splits, self.captions_per_image, self.test_from, self.notes)


def manifest_of(file: CaptionFile, *, captions_per_image: int | None = None, test_from: str = "dev") -> Manifest:
    """Images with their captions, by split. An image's rows need not be neighbours.

    Where no row says a split, a hash of the image's name does: a tenth is dev, a tenth is test, and an image stays
    where it is when others are added. Images that lists of splits leave out are left out.

    Args:
        captions_per_image: take so many of each image, the first ones; without it all that there are.
        test_from: the split that doubles as test where there are no test rows.

    Raises:
        HarnessError: naming file and line, or the image.
    """
    captions: dict[str, list[str]] = {}
    home: dict[str, Row] = {}  # image -> the row that said its split
    split_of: dict[str, str] = {}
    hashed = all(row.split is None for row in file.rows)
    unlisted = {row.image for row in file.rows if row.split == UNLISTED}
    for row in file.rows:
        if row.split == UNLISTED:
            continue
        _refuse_unusable(file.path, row)
        split = tenth(row.image) if hashed else row.split
        if split is None:
            raise HarnessError(
                f"{file.path}, {row.where}: no split, and others have one; accepted: train, dev or test; mend the row"
            )
        first = home.setdefault(row.image, row)
        if split_of.setdefault(row.image, split) != split:
            raise HarnessError(
                f"{file.path}, {row.where}: {row.image!r} is in split {split!r} here and in "
                f"{split_of[row.image]!r} on {first.where}; accepted: one split for each image"
            )
        captions.setdefault(row.image, []).append(row.caption)
    if not captions:
        raise HarnessError(f"{file.path}: no rows under the header; accepted: one caption a row")
    each = _captions_per_image(file.path, captions, captions_per_image)
    splits: dict[str, list[Item]] = {name: [] for name in SPLITS}
    for image, texts in captions.items():
        splits[split_of[image]].append(Item(image, tuple(texts[:each])))
    notes = []
    if unlisted:
        notes.append(
            f"{file.path.name}: {count(len(unlisted), 'image')} in none of the lists of splits beside it, left out"
        )
    if hashed:
        sizes = ", ".join(f"{len(items):,} {name}" for name, items in splits.items())
        notes.append(f"{file.path.name} says no split, so a hash of the image's name does: {sizes}")
    for name in ("train", "dev"):
        if not splits[name]:
            why = "it is too small for a tenth to hold one" if hashed else "no row has it"
            raise HarnessError(
                f"{file.path}: no image in split {name!r}, {why}; accepted: rows for train and dev, test optional; add "
                "a column split"
            )
    if splits["test"]:
        return Manifest(splits, each, None, notes)
    return Manifest({"train": splits["train"], "dev": splits["dev"]}, each, test_from, notes)


def tenth(image: str) -> str:
    """The split of an image by a hash of its name: a tenth dev, a tenth test, the rest train."""
    return _TENTHS.get(int(hashlib.sha256(image.encode()).hexdigest(), 16) % 10, "train")


def _refuse_unusable(path: Path, row: Row) -> None:
    if not row.image or not row.caption or len(row.image.splitlines()) > 1:
        raise HarnessError(
            f"{path}, {row.where}: image and caption are needed, here are {row.image[:60]!r}, {row.caption[:60]!r}; "
            "mend the row or take it out"
        )


def _captions_per_image(path: Path, captions: dict[str, list[str]], asked: int | None) -> int | None:
    """The number asked for, else the one that all images share, if they do."""
    fewest = min(captions, key=lambda image: len(captions[image]))
    low, high = len(captions[fewest]), max(map(len, captions.values()))
    if asked is not None:
        if asked > low:
            raise HarnessError(
                f"{path}: {fewest!r} has {count(low, 'caption')}, --captions-per-image is {asked}; accepted: <= {low}"
            )
        return asked
    return low if low == high else None
