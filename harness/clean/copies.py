"""Training copies of a user's pairs: each with swaps planted in it, and each split so that some images choose an epoch.

A copy is a data set in the field's layout beside the whole one. Its training features are the whole one's file, by a
second name: what differs are the captions, and which image each stands with.
"""

import unicodedata
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.clean.settings import COPIES, Settings
from harness.data import Dataset, layout
from harness.data.cards import DatasetCard
from harness.data.sides import Captions
from harness.data.vocabulary import MASK, SPECIAL, Vocabulary
from harness.files import link_or_copy, write_array, write_atomic, write_json
from harness.noise.base import choose, deranged
from harness.seeds import rng_for

Index = NDArray[np.int64]


@dataclass(frozen=True)
class Copy:
    """One data set to train on.

    Attributes:
        name: of its folder.
        number: of the copy; the parts of a copy have the same swaps.
        rows: the pairs it trains on, by their place in the whole set.
        dev: those of the images that choose its epoch.
        image: (pairs,) of the copy: the image each pair of the whole set stands with, swapped ones with a foreign one.
        planted: bool (pairs,), which ones are swapped.
    """

    name: str
    number: int
    rows: Index
    dev: Index
    image: Index
    planted: NDArray[np.bool_]


def known_pairs(whole: Dataset) -> NDArray[np.bool_]:
    """(pairs,), whether the vocabulary knows a word of the caption. Punctuation is none."""
    vocabulary, captions = whole.vocabulary, whole.split("train").captions
    assert isinstance(captions, Captions)
    words = [word not in (*SPECIAL, MASK) and not all(map(_is_mark, word)) for word in vocabulary.words]
    return np.add.reduceat(np.array(words)[captions.ids], captions.offsets[:-1]) > 0


def _is_mark(letter: str) -> bool:
    return unicodedata.category(letter).startswith("P")


def plan_copies(
    image_of_caption: Index, images: int, settings: Settings, seed: int, known: NDArray[np.bool_] | None = None
) -> list[Copy]:
    """The copies of a data set; the same for the same arguments.

    Captions are swapped among the pairs of one part, and among those of none, so that a swapped pair is left out by the
    same trainings as before.

    known: (pairs,), the pairs that are in the copies; None: all.
    """
    known = np.ones(len(image_of_caption), dtype=bool) if known is None else known
    order = rng_for("clean", "parts", seed).permutation(images)
    part = np.full(images, -1)
    for number in range(settings.parts):
        part[order[number * settings.dev : (number + 1) * settings.dev]] = number
    of_pair = part[image_of_caption]
    copies = []
    for number in range(COPIES):
        rng = rng_for("clean", "planted", seed, number)
        image, planted = image_of_caption.copy(), np.zeros(len(image_of_caption), dtype=bool)
        for group in range(-1, settings.parts):
            rows = np.flatnonzero((of_pair == group) & known)
            chosen = rows[choose(len(rows), settings.planted, rng)]
            if len(chosen) > 1:
                image[chosen] = image_of_caption[chosen[deranged(image_of_caption[chosen], rng)]]
                planted[chosen] = image[chosen] != image_of_caption[chosen]
        for left_out in range(settings.parts):
            rows, dev = (np.flatnonzero(chosen & known) for chosen in (of_pair != left_out, of_pair == left_out))
            copies.append(Copy(f"copy{number}_part{left_out}", number, rows, dev, image, planted))
    return copies


def write_copy(copy: Copy, whole: Dataset, root: Path, minimum_count: int) -> None:
    """Make a copy's folder beside the whole set's, if it is not there."""
    folder = root / copy.name
    source = layout.split_files(whole.folder, "train")
    pixels = not source.pixels.is_file() or (folder / "test_pixels.npy").is_file()
    if (folder / "card.json").is_file() and pixels:  # pixels come later, when a CLIP is compared
        return
    folder.mkdir(parents=True, exist_ok=True)
    split = whole.split("train")
    images = np.unique(copy.image[copy.dev])
    for kind, path in (("ims", source.features), ("pixels", source.pixels)):
        if path.is_file():
            link_or_copy(path, folder / f"train_{kind}.npy")
            write_array(folder / f"dev_{kind}.npy", np.load(path, mmap_mode="r")[images])
    _write_captions(
        folder, "train", split.image_ids, [(split.image_ids[copy.image[r]], split.texts[r]) for r in copy.rows]
    )
    # The dev pairs as they were found: a planted one among them would say nothing of the network.
    pairs = [(split.image_ids[split.image_of_caption[row]], split.texts[row]) for row in copy.dev]
    found = np.unique(split.image_of_caption[copy.dev])
    assert np.array_equal(images, found)
    _write_captions(folder, "dev", [split.image_ids[image] for image in found], pairs)
    for end in ("ims.npy", "pixels.npy", "caps.tsv", "ids.txt"):
        if (folder / f"dev_{end}").is_file():
            link_or_copy(folder / f"dev_{end}", folder / f"test_{end}")  # the layout has one; no copy is scored on it
    write_vocabulary(folder, whole, minimum_count)
    DatasetCard(name=copy.name, folder=copy.name, noise="real", tokenizer=whole.card.tokenizer).write(folder)


def _write_captions(folder: Path, name: str, ids: list[str], pairs: list[tuple[str, str]]) -> None:
    lines = "".join(layout.tsv_line(image, caption) + "\n" for image, caption in pairs)
    write_atomic(folder / f"{name}_caps.tsv", lines.encode())
    write_atomic(folder / f"{name}_ids.txt", "".join(f"{image}\n" for image in ids).encode())


def write_vocabulary(folder: Path, whole: Dataset, minimum_count: int) -> None:
    """The words of the whole set as a folder's own vocabulary file, one for all copies."""
    words = Vocabulary.build([whole.tokens("train")], minimum_count).words
    (folder / "vocab").mkdir(exist_ok=True)
    content = {"word2idx": {word: number for number, word in enumerate(words)}, "idx": len(words)}
    write_json(folder / "vocab" / f"{folder.name}_vocab.json", content)
