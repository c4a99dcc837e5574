"""What every file of captions is: rows, and a way to write some of them again as they were."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, ClassVar

from harness.errors import HarnessError, suggest
from harness.files import file_sha256
from harness.uris import shown

# Names of columns as people have them, the best first; case does not matter.
IMAGE = (
    "image", "image_path", "filepath", "file_path", "file_name", "filename", "image_name", "image_file", "img",
    "img_path", "picture", "photo", "file", "path", "image_id", "img_id",
)  # fmt: skip
CAPTION = (
    "caption", "text", "sentence", "title", "comment", "description", "captions", "alt_text", "alt", "sentences", "raw",
)  # fmt: skip
SPLIT = ("split", "partition", "subset", "set", "fold")
SPLITS = {
    "train": "train", "training": "train", "restval": "train",
    "dev": "dev", "val": "dev", "valid": "dev", "validation": "dev", "development": "dev",
    "test": "test", "testing": "test",
}  # fmt: skip
UNLISTED = ""  # the split of a picture that the lists beside its file name in none
PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".jfif", ".avif")
TEXTS = (".txt", ".caption", ".cap")  # files of one picture's captions
ACCEPTED = (
    "accepted: a table with a header (CSV or TSV, columns such as image and caption, split if there is one), "
    "Flickr's captions.txt, *.token or results.csv, Karpathy's dataset_*.json, COCO captions, metadata.jsonl "
    "(also one for each split), a folder with name.txt beside name.jpg, webdataset tars, img2dataset's parquet, a "
    "Hugging Face dataset"
)


@dataclass(frozen=True)
class Row:
    """One pair as its file has it.

    image: the picture's name, empty where the row names none. caption: on one line, empty where there is none. split:
    train, dev or test, None where the file says nothing, `UNLISTED`. where: for messages, "line 7" or "annotations[3]".
    """

    image: str
    caption: str
    split: str | None
    where: str


class CaptionFile:
    """A file or folder that pairs pictures with captions.

    Attributes:
        path: as given.
        rows: all pairs in the file's order.
        pictures: what brings the pictures where the captions do: see `harness.data.build.pictures.Source`; else None.
        suffix: of what `write` writes; empty where that is a folder.
    """

    kind: ClassVar[str]  # in words
    suffix: str

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[Row] = []
        self.pictures: Any = None

    def sha256(self) -> str:
        """Hex digest: of the file's bytes, of a folder its pairs'."""
        return file_sha256(self.path) or hashlib.sha256(repr([astuple(row) for row in self.rows]).encode()).hexdigest()

    def write(self, path: Path, kept: Sequence[int], columns: Mapping[str, Sequence[object]] | None = None) -> None:
        """Write the rows `kept` (indices, ascending) in the file's own format, untouched.

        columns: name -> a value for each row of the file, put behind the file's own where the format has columns.
        """
        raise NotImplementedError


def unknown(path: Path, seen: str) -> HarnessError:
    """The error for what no reader knows. seen: what is there, in a few words and never the content."""
    return HarnessError(f"{path}: {seen[:160]}; {ACCEPTED}")


def one_line(text: object) -> str:
    """A caption on one line, whatever the file holds; NaN is none, as a missing value of pandas is written."""
    return "" if text is None or text != text else " ".join(whole(text).split())


def whole(text: object) -> str:
    """As text that can be written: half of a pair of surrogates, which JSON may hold, becomes a question mark."""
    return str(text).encode("utf-8", "replace").decode()


def to_split(word: object, path: Path, where: str) -> str | None:
    """train, dev or test of the words that people use; None where nothing is said.

    Raises:
        HarnessError: it is none of them.
    """
    if word is None or not str(word).strip():
        return None
    found = SPLITS.get(str(word).strip().lower())
    if found is None:
        raise HarnessError(
            f"{path}, {where}: unknown split {str(word).strip()[:40]!r}: {suggest(str(word).strip().lower(), SPLITS)}; "
            "mend the row"
        )
    return found


def pick(names: Sequence[str], wanted: Sequence[str]) -> int | None:
    """The place in `names` of the best of `wanted`; None where there is none."""
    plain = [name.strip().strip('"').lower().replace(" ", "_").replace("-", "_") for name in names]
    return next((plain.index(name) for name in wanted if name in plain), None)


def listed(names: Sequence[object], most: int = 8) -> str:
    """Names in a message, each cut, the rest counted."""
    cut = [shown(str(name))[:30] for name in names[:most]]
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(cut) + more if names else "(none)"
