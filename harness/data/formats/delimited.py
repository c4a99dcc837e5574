"""Tables of text: CSV and its relatives, with any common separator, and with a header or without."""

import codecs
import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from harness.data.formats.base import (
    CAPTION,
    IMAGE,
    PICTURES,
    SPLIT,
    CaptionFile,
    Row,
    listed,
    one_line,
    pick,
    to_split,
    unknown,
)  # fmt: skip
from harness.errors import HarnessError
from harness.files import write_atomic

SEPARATORS = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars"}
_EXCEL = re.compile(r"(?i)sep=([,;|\t])")  # a first line that says the separator, as a spreadsheet takes it
MOST_LINES = 20  # of one cell; a caption has fewer, and a lone quote swallows more
_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_PACKED = (
    (b"\x1f\x8b", "a gzip file: unpack it"),
    (b"PK\x03\x04", "a zip file or spreadsheet: unpack it, save as CSV"),
)
_LOST_BAR = re.compile(r"\s*(\d+)\s{2,}(\S.*)")  # "4   A dog runs": a row of Flickr30k's results.csv as published


class Delimited(CaptionFile):
    """One pair a row. Which columns hold picture, caption and split is told by their names."""

    kind = "a table with a header"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.suffix = path.suffix or ".csv"
        self.mark, self.encoding, text = decoded(path)
        self._lines = list(io.StringIO(text, newline=""))
        if not any(line.strip() for line in self._lines):
            raise unknown(path, "an empty file")
        self._skip = 0  # lines before the header
        self.separator, self.header = self._shape()
        records = list(self._records())
        self.names = records[0][1] if self.header else ["image", "caption"]
        self._raw = records[1:] if self.header else records
        image, caption = pick(self.names, IMAGE), pick(self.names, CAPTION)
        split = pick(self.names, SPLIT)
        assert image is not None
        assert caption is not None
        for line, cells, _ in self._raw:
            where = f"line {line}"
            if len(cells) > len(self.names) and caption == len(self.names) - 1 and self.separator != ",":
                cells[caption:] = [self.separator.join(cells[caption:])]
            if len(cells) > len(self.names) and any(cell.strip() for cell in cells[len(self.names) :]):
                raise HarnessError(
                    f"{path}, {where}: {len(cells)} cells under a header of {len(self.names)}; accepted: a cell that "
                    f"holds the separator ({SEPARATORS[self.separator]} here) stands in double quotes"
                )
            lost = _LOST_BAR.fullmatch(cells[-1]) if len(cells) == len(self.names) - 1 else None
            if lost and self.separator == "|":
                cells[-1:] = lost.groups()
            cells += [""] * (len(self.names) - len(cells))
            self.rows.append(
                Row(
                    cells[image].strip(), one_line(cells[caption]),
                    None if split is None else to_split(cells[split], path, where), where,
                )
            )  # fmt: skip

    def _shape(self) -> tuple[str, bool]:
        """The separator, and whether there is a header."""
        lines = [line for line in self._lines if line.strip()]
        first = lines[0]
        if (said := _EXCEL.fullmatch(first.strip("\r\n "))) and len(lines) > 1:
            self._skip, first = self._lines.index(first) + 1, lines[1]
        if len(first) > 10_000:
            raise unknown(self.path, f"a first line of {len(first):,} characters, no header of a table")
        for separator in [said[1]] if said else SEPARATORS:
            names = next(csv.reader([first], delimiter=separator))
            if pick(names, IMAGE) is not None and pick(names, CAPTION) is not None:
                if pick(names, IMAGE) == pick(names, CAPTION):
                    continue
                return separator, True
        for separator in SEPARATORS:
            cells = next(csv.reader([first], delimiter=separator))
            if len(cells) == 2 and cells[0].strip().lower().endswith(PICTURES):
                return separator, False
        separator = max(SEPARATORS, key=lambda mark: first.count(mark))
        names = next(csv.reader([first], delimiter=separator))
        lacks = [word for word, known in (("image", IMAGE), ("caption", CAPTION)) if pick(names, known) is None]
        raise HarnessError(
            f"{self.path}, line 1: no column {' and no column '.join(lacks)} among: {listed(names)}; accepted: a "
            f"header with image (or {', '.join(IMAGE[1:6])}) and caption (or {', '.join(CAPTION[1:5])}), separated by "
            f"{', '.join(SEPARATORS.values())}; rename the columns"
        )

    def _records(self) -> Iterator[tuple[int, list[str], str]]:
        """Line, cells, and the text as it stands, of every row that is not empty."""
        lines = self._lines[self._skip :]
        reader = csv.reader(iter(lines), delimiter=self.separator, skipinitialspace=self.separator == "|")
        before = 0
        names: list[str] = []
        try:
            for cells in reader:
                inside = lines[before : reader.line_num]
                number = self._skip + before + 1
                if len(inside) > 1 and self._swallowed(names, inside, reader.line_num == len(lines)):
                    raise HarnessError(
                        f"{self.path}, line {number}: a quote opens here and {len(inside):,} lines stand before the "
                        "next; accepted: quotes in pairs, one within a quoted cell written twice; mend that line"
                    )
                if any(cell.strip() for cell in cells):
                    yield number, cells, "".join(inside)
                    names = names or cells
                before = reader.line_num
        except csv.Error as error:
            raise HarnessError(f"{self.path}, line {before + 1}: {error}; accepted: CSV; mend that line") from None

    def _swallowed(self, names: list[str], lines: Sequence[str], last: bool) -> bool:
        """Whether a row over several lines is a lone quote and the rows behind it: too many, a quote that the end of
        the file leaves open, or a line that is a row by itself, with a picture's name where names stand."""
        if len(lines) > MOST_LINES or (last and sum(line.count('"') for line in lines) % 2):
            return True
        image = pick(names, IMAGE) if self.header else 0
        rows = [next(csv.reader([line], delimiter=self.separator)) for line in lines[1:]]
        return image is not None and any(
            len(row) >= max(2, len(names)) and row[image].strip().lower().endswith(PICTURES) for row in rows
        )

    def write(self, path: Path, kept: Sequence[int], columns: Mapping[str, Sequence[object]] | None = None) -> None:
        if not columns:
            head = "".join(self._lines[: self._raw[0][0] - 1]) if self._raw else "".join(self._lines)
            parts = [self._raw[row][2] for row in kept]
            parts = [part if part.endswith(("\n", "\r")) else part + "\n" for part in parts]
            write_atomic(path, self.mark + (head + "".join(parts)).encode(self.encoding))
            return
        out = io.StringIO()
        writer = csv.writer(out, delimiter=self.separator, lineterminator="\n")
        writer.writerow([*self.names, *columns])
        for row in kept:
            writer.writerow([*self._raw[row][1], *(values[row] for values in columns.values())])
        write_atomic(path, self.mark + out.getvalue().encode(self.encoding))


def decoded(path: Path) -> tuple[bytes, str, str]:
    """A file's mark of its encoding, the encoding, and its text behind the mark.

    Raises:
        HarnessError: it is neither UTF-8 nor, with its mark, UTF-16; naming the line.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise HarnessError(f"{path}: no such file; accepted: the file of captions") from None
    mark, encoding = next((pair for pair in _MARKS if content.startswith(pair[0])), (b"", "utf-8"))
    content = content[len(mark) :]
    if packed := next((what for start, what in _PACKED if content.startswith(start)), ""):
        raise unknown(path, packed)
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        if b"\0" in content[:4096] and encoding == "utf-8":
            raise unknown(path, "a binary file") from None
        line = content.count(b"\n", 0, error.start) + 1
        raise HarnessError(
            f"{path}, line {line}: byte 0x{content[error.start]:02x} is not {encoding.upper()[:6]}; accepted: "
            "UTF-8; save the file so"
        ) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise unknown(path, f"a NUL on line {line}: a binary file, or UTF-16 without its mark (save as UTF-8)")
    return mark, encoding, text
