"""A data set on disk: splits, vocabulary, digest. Captions are read, features stay in a memory map."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from harness.data import layout
from harness.data.cards import CARD_FILE, CARDS, DatasetCard, known_card
from harness.data.sides import Captions, Vectors, open_regions, open_spoken
from harness.data.tokenizer import WORDS, Tokens, cached_tokens
from harness.data.vocabulary import Vocabulary, caption_ids
from harness.errors import HarnessError, suggest
from harness.files import open_array
from harness.printing.numbers import count

_SAMPLED_ROWS = 64  # feature rows of a split that its digest covers


@dataclass(frozen=True)
class Split:
    """One split: distinct images, their captions, and which image each caption belongs to."""

    name: str
    # memory map (images, R, D) of floats; of pixels uint8 (images, S, S, 3); any number of vectors: Vectors
    regions: np.ndarray | Vectors
    captions: Captions | Vectors
    texts: list[str]  # captions as written
    image_of_caption: np.ndarray  # int64 (captions,)
    image_ids: list[str]  # (images,)

    def gather(self, images: np.ndarray, part: slice = slice(None)) -> tuple[np.ndarray, np.ndarray]:
        """Regions of `images[part]` (n,), in any order and repetition: copied as float32 (n, R, D), R the most that one
        of `images` has, zeros behind them; and their numbers, int64 (n,)."""
        if isinstance(self.regions, Vectors):
            return self.regions.padded(images, part)
        regions = layout.gather(self.regions, images[part])
        return regions, np.full(len(regions), regions.shape[1], dtype=np.int64)

    @property
    def most_regions(self) -> int:
        """Of an image."""
        return int(self.regions.lengths.max()) if isinstance(self.regions, Vectors) else self.regions.shape[1]

    def chosen(self, rows: np.ndarray) -> "Split":
        """The split with the captions `rows` (n,) alone, and all its images."""
        return replace(
            self,
            captions=self.captions.chosen(rows),
            texts=[self.texts[row] for row in rows],
            image_of_caption=self.image_of_caption[rows],
        )

    def images(self, count: int | None) -> "Split":
        """The split with its first `count` images (all for None, or when it has no more)."""
        if count is None or count >= len(self.regions):
            return self
        chosen = self.chosen(np.flatnonzero(self.image_of_caption < count))
        few = slice(count)
        regions = self.regions.chosen(few) if isinstance(self.regions, Vectors) else self.regions[few]
        return replace(chosen, regions=regions, image_ids=self.image_ids[few])


class Dataset:
    """A folder in the field's layout. Splits are opened when asked for and kept."""

    def __init__(self, name: str, folder: Path, card: DatasetCard) -> None:
        self.name, self.folder, self.card = name, folder, card
        self.tell: Callable[[float], None] = lambda share: None  # how far a long tokenising is, now and then
        self._splits: dict[str, Split] = {}
        self._texts: dict[str, tuple[list[str], list[str] | None]] = {}

    def read_with(self, vocabulary: Vocabulary, tokenizer: str) -> "Dataset":
        """The same folder, its captions in the words of a network that may have been trained on other data."""
        other = Dataset(self.name, self.folder, self.card.model_copy(update={"tokenizer": tokenizer}))
        other.tell, other.vocabulary = self.tell, vocabulary
        return other

    def has(self, split: str) -> bool:
        """Whether the split's features and captions are there."""
        return split in layout.SPLITS and not layout.split_files(self.folder, split).missing

    def split(self, name: str) -> Split:
        """The split "train", "dev", "test" (MS-COCO: all 5,000 images) or "testall"."""
        if name not in self._splits:
            self._splits[name] = self._open(name)
        return self._splits[name]

    @cached_property
    def region_dim(self) -> int:
        """Length of a region's feature vector."""
        for split in self.splits[:-1]:
            with suppress(HarnessError):  # a damaged split is told where it is opened, and not at the others
                return _width(layout.split_files(self.folder, split))
        return _width(layout.split_files(self.folder, self.splits[-1]))

    @cached_property
    def caption_dim(self) -> int | None:
        """Length of a caption's vectors; None where captions are words."""
        files = (layout.split_files(self.folder, split) for split in layout.SPLITS)
        spoken = next((each for each in map(open_spoken, files) if each is not None), None)
        return None if spoken is None else spoken.dim

    @property
    def splits(self) -> list[str]:
        """Names of the splits that are there; testall is known as test."""
        return [name for name in ("train", "dev", "test") if self.has(name)]

    @property
    def vocabulary_file(self) -> Path | None:
        """vocab/<folder or card name>_vocab.json in the data set's folder or beside that folder."""
        names = dict.fromkeys((self.folder.name, self.card.folder, self.card.name, self.name))
        places = (self.folder / "vocab", self.folder.parent / "vocab")
        files = (place / f"{name}_vocab.json" for place in places for name in names)
        return next((file for file in files if file.is_file()), None)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The official file's words, else those seen at least 4 times in train and dev."""
        if self.vocabulary_file:
            return Vocabulary.load(self.vocabulary_file)
        if not self.has("train"):
            raise HarnessError(
                f"{self.name}: no vocabulary: {self.folder} has neither vocab/{self.folder.name}_vocab.json "
                "nor train captions to build one from; copy either there"
            )
        return Vocabulary.build(self.tokens(split) for split in ("train", "dev") if self.has(split))

    def texts(self, split: str) -> tuple[list[str], list[str] | None]:
        """The split's captions as written, and the image ids that their file carries, if any."""
        if split not in self._texts:
            if split not in layout.SPLITS:
                raise HarnessError(f"{self.name}: no split {split!r}; {suggest(split, layout.SPLITS)}")
            files = layout.split_files(self.folder, split)
            if files.missing:
                raise missing(self.name, self.folder, files.missing, self.card)
            spoken = open_spoken(files)
            if spoken is not None and not files.captions.is_file():
                texts, ids = [f"caption {row}" for row in range(len(spoken))], None
            else:
                texts, ids = layout.read_captions(files.captions)
            if not texts[-1]:
                texts = layout.without_blank_end(texts, len(open_regions(files)))
            self._texts[split] = texts, ids
        return self._texts[split]

    @property
    def vocabulary_size(self) -> int:
        """How many different numbers a caption may hold; of captions that are vectors, the length of one."""
        return self.caption_dim or len(self.vocabulary)

    def captions_of(self, texts: Sequence[str]) -> Captions:
        """Any texts as captions of this data set, as its own are: tokens, cached, and their word numbers.

        Raises:
            HarnessError: its captions are vectors.
        """
        if self.caption_dim is not None:
            raise HarnessError(
                f"{self.name}: its captions are vectors, and no words can be put in their place; accepted: noise that "
                "changes which image a caption is paired with, such as caption_level"
            )
        if self.vocabulary_file or not self.has("train"):
            _ = self.vocabulary  # costs nothing, and says now what is wrong with it
        return Captions.later(len(texts), lambda: caption_ids(self._tokens(texts), self.vocabulary))

    def tokens(self, split: str) -> Tokens:
        """The split's tokens, from the cache where there is one."""
        return self._tokens(self.texts(split)[0])

    def _tokens(self, texts: Sequence[str]) -> Tokens:
        return cached_tokens(texts, self.folder, self.tell, self.card.tokenizer)

    def _open(self, name: str) -> Split:
        texts, ids = self.texts(name)
        files = layout.split_files(self.folder, name)
        rows = self._rows(files)
        named = layout.owners(files, len(rows), ids)
        if named is None:
            try:
                regions = self._distinct(rows, len(texts), files)
            except HarnessError as error:
                raise HarnessError(f"{error}{_why(texts, files)}") from None
            owner = np.arange(len(texts), dtype=np.int64) // (len(texts) // len(regions))
            named = layout.read_ids(files, len(regions), len(texts), ids), owner
        else:
            regions = rows
        return Split(
            name=name,
            regions=regions,
            captions=self._spoken(files, texts) or self.captions_of(texts),
            texts=texts,
            image_of_caption=named[1],
            image_ids=named[0],
        )

    def _spoken(self, files: layout.SplitFiles, texts: list[str]) -> Vectors | None:
        """The captions that are vectors."""
        spoken = open_spoken(files)
        if self.caption_dim is None:
            return None
        if spoken is None:
            raise HarnessError(
                f"{files.spoken}: is not there, and the captions of other splits are vectors; accepted: one kind of "
                "captions; make it, or take the others away"
            )
        if len(spoken) != len(texts):
            raise HarnessError(
                f"{files.spoken}: {len(spoken):,} captions; accepted: {len(texts):,}, the lines of "
                f"{files.captions.name}; make both from one list"
            )
        if spoken.dim != self.caption_dim:
            raise HarnessError(
                f"{files.spoken}: vectors of {spoken.dim} numbers; accepted: {self.caption_dim}, as in the other "
                "splits; make the splits with one encoder"
            )
        return spoken

    def _distinct(self, rows: np.ndarray | Vectors, captions: int, files: layout.SplitFiles) -> np.ndarray | Vectors:
        """One row per image, where the files do not say which image a caption belongs to."""
        return layout.distinct_images(rows, captions, self.card.captions_per_image, files.features)

    def _rows(self, files: layout.SplitFiles) -> np.ndarray | Vectors:
        """What stands for a split's images: region features (rows, R, D), or any number of vectors each."""
        regions, width = open_regions(files), _width(files)
        if width != self.region_dim:
            raise HarnessError(
                f"{files.features}: region features of {width} numbers; accepted: "
                f"{self.region_dim}, as in {self.splits[0]}; make the splits with one encoder"
            )
        return regions

    def digest(self) -> str:
        """A sha256 over captions, ids, vocabulary file, and the features' sizes, headers and sampled rows.

        Cheap (it reads about 20 MB of a split) and the same wherever the folder lies. It does not notice a change
        between sampled rows.
        """
        whole = hashlib.sha256()
        for label, content in self._digested():
            whole.update(label.encode() + b"\0" + hashlib.sha256(content).digest())
        return whole.hexdigest()

    def _digested(self) -> Iterator[tuple[str, bytes]]:
        for split in self.splits:
            files = layout.split_files(self.folder, split)
            for path in files.present:
                if path in (files.features, files.spoken):
                    yield from sample_rows(path, open_array(path))
                else:
                    yield path.name, path.read_bytes()
        if self.vocabulary_file:
            yield "vocabulary", self.vocabulary_file.read_bytes()
        if self.card.tokenizer != WORDS:
            yield "tokenizer", self.card.tokenizer.encode()


def _width(files: layout.SplitFiles) -> int:
    """Length of a region's feature vector."""
    regions = open_regions(files)
    return regions.dim if isinstance(regions, Vectors) else int(regions.shape[2])


def sample_rows(path: Path, rows: np.ndarray) -> Iterator[tuple[str, bytes]]:
    """What a digest covers of an array: size, header, and rows spread evenly over it."""
    yield path.name, f"{path.stat().st_size} {rows.dtype.str} {rows.shape}".encode()
    for row in np.unique(np.linspace(0, len(rows) - 1, _SAMPLED_ROWS).astype(int)):
        yield f"{path.name} {row}", np.ascontiguousarray(rows[row]).tobytes()


def missing(name: str, folder: Path, files: list[str], card: DatasetCard) -> HarnessError:
    """The error for files that are not there: the folder, the files, the next step."""
    where = "lacks" if folder.is_dir() else "is not there, it should hold"
    step = card.if_missing or "make them with `harness data build`"
    return HarnessError(f"{name}: {folder} {where} {', '.join(files)}; {step}")


def find(name: str, root: Path) -> tuple[Path, DatasetCard]:
    """Folder and card of `name`: a card's name, or a folder under `root`, by its card.json if it has one."""
    known = known_card(name)
    folder = root / (known.folder if known else name)
    if name in ("", "..") or Path(name).name != name or not (known or folder.is_dir()):
        here = [path.name for path in root.iterdir() if (path / CARD_FILE).is_file()] if root.is_dir() else []
        raise HarnessError(
            f"dataset {name!r}: neither a known data set nor a folder in {root}; "
            f"{suggest(name, {*CARDS, *here})}; `harness data build` makes one from your own pictures"
        )
    return folder, DatasetCard.read(folder) or known or DatasetCard(name=name, folder=name)


def open_dataset(name: str, root: Path) -> Dataset:
    """The data set `name` (a card's name, or a folder's) under the data folder `root`.

    Raises HarnessError with the folder, the files and the next step when none of its splits is there.
    """
    folder, card = find(name, root)
    dataset = Dataset(name, folder, card)
    if not dataset.splits:
        files = (layout.split_files(folder, split) for split in ("train", "dev", "test"))
        raise missing(name, folder, [file for each in files for file in each.missing], card)
    return dataset


def swallowing(texts: Sequence[str]) -> list[int]:
    """Captions, from 1, in which a lone quote of a .tsv has swallowed the rows behind it: they hold line ends and
    tabs."""
    return [number for number, text in enumerate(texts, start=1) if "\n" in text and "\t" in text]


def _why(texts: Sequence[str], files: layout.SplitFiles) -> str:
    """What to add to an error about the number of captions: empty lines, and rows that a quote has swallowed."""
    if swallowed := swallowing(texts):
        return (
            f"; a quote that opens in caption {swallowed[0]} of {files.captions.name} swallows the rows behind it: "
            "accepted: quotes in pairs, one within a quoted caption written twice"
        )
    lines = [line for line, text in enumerate(texts, start=1) if not text]
    if not lines:
        return ""
    return (
        f"; of {files.captions.name} {count(len(lines), 'line')} without a word, the first is line {lines[0]}: take it "
        "out if it is no caption"
    )
