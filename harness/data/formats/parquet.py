"""Parquet: what img2dataset writes, and the files of Hugging Face data sets with their pictures inside."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.data.build.sources import BytesSource, Source, TarSource
from harness.data.formats.base import CAPTION, IMAGE, SPLIT, CaptionFile, Row, listed, one_line, pick, to_split, unknown
from harness.errors import HarnessError
from harness.extras import require

BYTES = ("jpg", "jpeg", "png", "webp", "image_bytes")  # columns in which img2dataset keeps the picture itself


class Parquet(CaptionFile):
    """A parquet file, or a folder of them. img2dataset's row names its picture by `key`, which lies in a tar or folder
    of the parquet file's name, or in the row itself. Rows that it could not download have no picture."""

    kind = "parquet"
    suffix = ""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._parquet: Any = require("pyarrow.parquet", "reading parquet", package="pyarrow", extra="parquet")
        self._files = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
        self.suffix = "" if path.is_dir() else ".parquet"
        self._tables: list[Any] = []
        self._owner: list[tuple[int, int]] = []  # of each row: file, and the place in it
        inside: dict[str, tuple[int, int]] = {}
        for number, file in enumerate(self._files):
            try:
                table = self._parquet.read_table(file)
            except Exception as error:  # pyarrow raises its own, and OSError
                raise HarnessError(f"{file}: not readable as parquet ({str(error)[:120]}); copy it again") from None
            self._tables.append(table)
            self._add(number, file, table, inside)
        if not self.rows:
            raise unknown(path, "parquet without rows")
        self.pictures = self._source(inside)

    def _add(self, number: int, file: Path, table: Any, inside: dict[str, tuple[int, int]]) -> None:
        names = list(table.column_names)
        caption, split = pick(names, CAPTION), pick(names, SPLIT)
        blob = next((name for name in names if name.lower() in BYTES), None)
        image = next((names[i] for i in [pick(names, IMAGE)] if i is not None), None)
        if caption is None or (image is None and blob is None and "key" not in names):
            raise HarnessError(
                f"{file}: columns {listed(names)}; accepted: a caption (or {', '.join(CAPTION[1:4])}), and the picture "
                "as image, as img2dataset's key, or as bytes"
            )
        struct = image is not None and "struct" in str(table.schema.field(image).type)
        columns = {
            name: table.column(name).to_pylist()
            for name in names
            if name in (names[caption], "key", "status") or (split is not None and name == names[split])
            or (name == image and not struct)
        }  # fmt: skip
        if struct:
            columns["path"] = table.column(image).combine_chunks().field("path").to_pylist()
        for place in range(table.num_rows):
            where = f"{file.name}: row {place}"
            if blob is not None or struct:
                name = str(columns.get("path", columns.get("key", [None] * table.num_rows))[place] or f"{place:08d}")
                picture = f"{file.stem}/{Path(name).name}"
                inside[picture] = (number, place)
            elif "key" in columns:
                picture = f"{file.stem}/{columns['key'][place]}"
            else:
                picture = str(columns[str(image)][place] or "")
            if "status" in columns and columns["status"][place] not in (None, "success"):
                picture = ""
            home = None if split is None else to_split(columns[names[split]][place], self.path, where)
            texts = columns[names[caption]][place]
            for text in texts if isinstance(texts, list) else [texts]:
                self._owner.append((number, place))
                self.rows.append(Row(picture, one_line(text), home, where))

    def _source(self, inside: Mapping[str, tuple[int, int]]) -> Source | None:
        """What opens the pictures, where they are beside the captions; None: they are in a folder that is given."""
        if inside:
            return BytesSource(self.path, {name: self._bytes(*place) for name, place in inside.items()})
        tars = [file.with_suffix(".tar") for file in self._files if file.with_suffix(".tar").is_file()]
        return TarSource(self.path, tars, folders=True) if tars else None

    def _bytes(self, number: int, place: int) -> Any:
        """A function that reads the picture of a row."""
        table = self._tables[number]
        blob = next((name for name in table.column_names if name.lower() in BYTES), None)

        def read() -> bytes:
            if blob is not None:
                return bytes(table.column(blob)[place].as_py() or b"")
            name = next(name for name in table.column_names if "struct" in str(table.schema.field(name).type))
            return bytes((table.column(name)[place].as_py() or {}).get("bytes") or b"")

        return read

    def write(self, path: Path, kept: Sequence[int], columns: Mapping[str, Sequence[object]] | None = None) -> None:
        """The same files, rows that are not kept left out; of a row with several captions those that are."""
        pa = require("pyarrow", "writing parquet", extra="parquet")

        for number, (file, table) in enumerate(zip(self._files, self._tables, strict=True)):
            rows = [row for row in kept if self._owner[row][0] == number]
            places = list(dict.fromkeys(self._owner[row][1] for row in rows))
            new = table.take(pa.array(places, pa.int64()))
            names = list(new.column_names)
            caption = names[pick(names, CAPTION) or 0]
            if "list" in str(new.schema.field(caption).type):
                texts = pa.array(self._sentences(table, caption, number, rows))
                new = new.set_column(names.index(caption), caption, texts)
            for name, values in (columns or {}).items():
                first = {place: values[row] for row in reversed(rows) for place in [self._owner[row][1]]}
                new = new.append_column(name, pa.array([first[place] for place in places]))
            target = path / file.relative_to(self.path) if self.path.is_dir() else path
            target.parent.mkdir(parents=True, exist_ok=True)
            self._parquet.write_table(new, target)

    def _sentences(self, table: Any, caption: str, number: int, rows: Sequence[int]) -> list[list[str]]:
        """Of each kept row of a file the captions that are kept."""
        before: dict[int, int] = {}
        order = {}
        for row, (owner, place) in enumerate(self._owner):
            if owner == number:
                order[row] = before.get(place, 0)
                before[place] = order[row] + 1
        chosen: dict[int, list[str]] = {}
        texts = table.column(caption).to_pylist()
        for row in rows:
            place = self._owner[row][1]
            chosen.setdefault(place, []).append(texts[place][order[row]])
        return list(chosen.values())
