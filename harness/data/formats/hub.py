"""Data sets of Hugging Face `datasets`: a folder as save_to_disk writes it, or a name on the hub."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.data.build.sources import BytesSource
from harness.data.formats.base import CAPTION, IMAGE, CaptionFile, Row, listed, one_line, pick, to_split
from harness.errors import HarnessError
from harness.extras import require


class HubDataset(CaptionFile):
    """A data set with a column of pictures and one of captions, a caption or a list of them a row. Read with the
    package `datasets`, which caches what it downloads."""

    kind = "a Hugging Face dataset"
    suffix = ""

    def __init__(self, path: Path, *, name: str = "") -> None:
        super().__init__(path)
        library = require("datasets", "reading Hugging Face data sets", extra="datasets")
        try:
            loaded = library.load_dataset(name) if name else library.load_from_disk(str(path))
        except Exception as error:  # the package raises its own and those of its downloads
            said = " ".join(str(error).split())[:160]
            raise HarnessError(
                f"{name or path}: not readable as a Hugging Face data set ({said}); accepted: a folder as save_to_disk "
                "writes it, or OWNER/NAME of the hub"
            ) from None
        self._splits: dict[str, Any] = dict(loaded) if hasattr(loaded, "keys") else {"": loaded}
        self._several = hasattr(loaded, "keys")
        self._library = library
        self._places: list[tuple[str, int, int | None]] = []
        readers: dict[str, Any] = {}
        for split, table in self._splits.items():
            self._add(split, table, readers)
        self.pictures = BytesSource(path, readers)

    def _add(self, split: str, table: Any, readers: dict[str, Any]) -> None:
        names = list(table.column_names)
        kinds = table.features
        pictures = [name for name in names if type(kinds[name]).__name__ == "Image"]
        place = pick(names, IMAGE)
        image = pictures[0] if pictures else None if place is None else names[place]
        caption = pick([name if name != image else "" for name in names], CAPTION)
        if image is None or caption is None or not pictures:
            raise HarnessError(
                f"{self.path}: columns {listed(names)}; accepted: a column of pictures (the feature Image) and one of "
                f"captions (or {', '.join(CAPTION[1:4])})"
            )
        raw = table.cast_column(image, self._library.Image(decode=False))
        home = to_split(split, self.path, "its splits") if split else None
        self._caption = names[caption]
        for number, texts in enumerate(table[self._caption]):
            name = f"{split or 'rows'}/{number:08d}"
            readers[name] = lambda raw=raw, number=number: _content(raw[number][image])
            for k, text in enumerate(texts if isinstance(texts, list) else [texts]):
                said = text.get("raw") if isinstance(text, dict) else text
                self._places.append((split, number, k if isinstance(texts, list) else None))
                self.rows.append(Row(name, one_line(said), home, f"{split or 'rows'}[{number}]"))

    def write(self, path: Path, kept: Sequence[int], columns: Mapping[str, Sequence[object]] | None = None) -> None:
        """A folder as save_to_disk writes it, with the features as they were."""
        new = {}
        for split, table in self._splits.items():
            rows = [row for row in kept if self._places[row][0] == split]
            numbers = list(dict.fromkeys(self._places[row][1] for row in rows))
            chosen = table.select(numbers)
            if rows and self._places[rows[0]][2] is not None:
                left: dict[int, list[int]] = {}
                for row in rows:
                    left.setdefault(self._places[row][1], []).append(self._places[row][2] or 0)
                texts = [[table[number][self._caption][k] for k in ks] for number, ks in left.items()]
                kind = chosen.features[self._caption]
                chosen = chosen.remove_columns(self._caption).add_column(self._caption, texts)
                chosen = chosen.cast_column(self._caption, kind)
            first = {self._places[row][1]: row for row in reversed(rows)}
            for name, values in (columns or {}).items():
                chosen = chosen.add_column(name, [values[first[number]] for number in numbers])
            new[split] = chosen
        whole = self._library.DatasetDict(new) if self._several else new[""]
        whole.save_to_disk(str(path))


def _content(picture: Any) -> bytes:
    if picture is None:
        return b""
    return bytes(picture["bytes"]) if picture.get("bytes") else Path(picture["path"]).read_bytes()
