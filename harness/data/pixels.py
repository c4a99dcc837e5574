"""A data set read by a backbone that sees the pictures and brings its own tokens: CLIP."""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path

import numpy as np

from harness.data import layout
from harness.data.dataset import Dataset, sample_rows
from harness.data.sides import Captions, Vectors
from harness.errors import HarnessError

Tokenise = Callable[[Sequence[str]], list[list[int]]]


class PixelDataset(Dataset):
    """The same folder, its splits' `regions` pixels uint8 (images, S, S, 3), its captions another vocabulary's.

    Args:
        dataset: the folder, opened.
        tokenise: texts -> token numbers of each, start and end included.
        vocabulary_size: how many tokens there are.
    """

    def __init__(self, dataset: Dataset, tokenise: Tokenise, vocabulary_size: int) -> None:
        super().__init__(dataset.name, dataset.folder, dataset.card)
        self._tokenise, self._vocabulary_size = tokenise, vocabulary_size

    @cached_property
    def region_dim(self) -> int:
        """Side of the squares in pixels."""
        return int(self._pixels(layout.split_files(self.folder, self.splits[0])).shape[1])

    @property
    def vocabulary_size(self) -> int:
        return self._vocabulary_size

    def captions_of(self, texts: Sequence[str]) -> Captions:
        """The texts in the backbone's tokens; not cached, its tokenizer does thousands of captions a second."""

        def make() -> tuple[np.ndarray, np.ndarray]:
            coded = self._tokenise(texts)
            lengths = np.fromiter(map(len, coded), dtype=np.int64, count=len(coded))
            ids = np.fromiter(chain.from_iterable(coded), dtype=np.int32, count=int(lengths.sum()))
            return ids, np.concatenate(([0], np.cumsum(lengths)))

        return Captions.later(len(texts), make)

    def _rows(self, files: layout.SplitFiles) -> np.ndarray:
        return self._pixels(files)

    def _distinct(self, rows: np.ndarray | Vectors, captions: int, files: layout.SplitFiles) -> np.ndarray | Vectors:
        if captions % len(rows) or self.card.captions_per_image not in (None, captions // len(rows)):
            each = self.card.captions_per_image or "an equal number of"
            raise HarnessError(
                f"{files.pixels}: {len(rows):,} pictures for {captions:,} captions; accepted: {each} captions a "
                f"picture; delete the file, then {self._next_step}"
            )
        return rows

    def _pixels(self, files: layout.SplitFiles) -> np.ndarray:
        if not files.pixels.is_file():
            raise HarnessError(
                f"{self.name}: {self.folder} lacks {files.pixels.name}, the pictures, which this backbone reads; "
                f"{self._next_step}"
            )
        return layout.open_pixels(files.pixels)

    @property
    def _next_step(self) -> str:
        if self.card.name == "twemoji":
            return "run `harness data build twemoji`"
        if (self.folder / "build.json").is_file():
            again = self.card.if_missing or "run its `harness data build` again"
            return f"{again}, now with --pixels 224; the features stay as they are"
        return (
            "features come without them: `harness data build --images DIR --captions FILE.csv --pixels 224 --out DIR` "
            "makes a data set that has both"
        )

    def _digested(self) -> Iterator[tuple[str, bytes]]:
        """Captions, ids and pixels; the tokens are the backbone's and count with its weights."""
        for split in self.splits:
            files = layout.split_files(self.folder, split)
            for path in files.present:
                if path != files.features:
                    yield path.name, path.read_bytes()
            yield from sample_rows(files.pixels, self._pixels(files))


def has_pixels(folder: Path) -> bool:
    """Whether every split of a folder that names its pictures has them."""
    files = [layout.split_files(folder, split) for split in ("train", "dev", "test")]
    return all(each.pixels.is_file() for each in files if each.ids.is_file())
