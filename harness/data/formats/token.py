"""Flickr8k.token.txt and results.token: `name.jpg#0`, a tab, the caption; a row each.

Flickr8k's splits are lists of names beside it (`LISTS`). They are read where one is there.
"""

import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.data.formats.base import UNLISTED, CaptionFile, Row, one_line
from harness.data.formats.delimited import decoded
from harness.errors import HarnessError
from harness.files import write_atomic

LINE = re.compile(r"([^\t]+)#(\d+)\t(.*)")
LISTS = {
    "train": "Flickr_8k.trainImages.txt", "dev": "Flickr_8k.devImages.txt", "test": "Flickr_8k.testImages.txt",
}  # fmt: skip


class Token(CaptionFile):
    """No header: each line says its picture, the caption's number there, and the caption."""

    kind = "Flickr's name.jpg#0<tab>caption"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.suffix = path.suffix or ".txt"
        self.mark, self.encoding, text = decoded(path)
        self._lines: list[str] = []
        home = _split_lists(path.parent)
        for number, line in enumerate(io.StringIO(text, newline=None), start=1):
            if not line.strip():
                continue
            found = LINE.fullmatch(line.rstrip("\n"))
            if found is None:
                raise HarnessError(f"{path}, line {number}: accepted: name.jpg#0, a tab, the caption; mend the line")
            self._lines.append(line)
            name = found[1].strip()
            split = home.get(name, UNLISTED) if home else None
            self.rows.append(Row(name, one_line(found[3]), split, f"line {number}"))

    @classmethod
    def fits(cls, first: str) -> bool:
        """Whether the first line of a file is one of these."""
        return LINE.fullmatch(first.rstrip("\r\n")) is not None

    def write(self, path: Path, kept: Sequence[int], columns: Mapping[str, Sequence[object]] | None = None) -> None:
        """The format has no columns, so `columns` are left out."""
        text = "".join(line if line.endswith("\n") else line + "\n" for line in (self._lines[row] for row in kept))
        write_atomic(path, self.mark + text.encode(self.encoding))


def _split_lists(folder: Path) -> dict[str, str]:
    """Picture -> split, by the lists that are there; empty where none is."""
    home: dict[str, str] = {}
    for split, name in LISTS.items():
        if (folder / name).is_file():
            for image in decoded(folder / name)[-1].split():
                if home.setdefault(image, split) != split:
                    raise HarnessError(
                        f"{folder / name}: {image[:60]!r} is in {LISTS[home[image]]} too; accepted: one split for each "
                        "picture; mend the lists, or take them away"
                    )
    return home
