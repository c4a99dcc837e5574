"""How a table is laid out on paper so that it fits: size of type, lines instead of columns, blocks, pages.

The width of text is that of Computer Modern, which is wider than the Times of most conferences, so what fits here fits
there too. All lengths are in TeX's points.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import groupby, product
from typing import Literal

from harness.printing.table import DAGGER, Column, Table, Value

# Thousandths of the size of type: the font's own widths (cmr10); a character that is not here is taken for wide.
WIDTHS = {
    letter: width
    for width, letters in {
        277: "!',.:;[]`il ", 305: "fj", 333: "-", 361: "I", 388: "()t", 391: "r", 394: "s", 444: "cez" + DAGGER,
        472: "?", 500: "\"$*/0123456789^ago–", 527: "kqvxy", 555: "Sbdhnpu", 611: "Z", 625: "L", 652: "F", 680: "EP",
        708: "B", 722: "CTw", 736: "R", 750: "AHNUVXY",
        777: "+=@&×", 784: "G", 833: "m%#", 916: "M", 1027: "W",
    }.items()
    for letter in letters
}  # fmt: skip
WIDE, TYPEWRITER, PLUS_MINUS, BOLD = 840, 525, 778, 1.15
SCRIPT_SPACE = 0.5  # points that TeX leaves behind what stands low or high
RULE = 6.0  # points of height, the room around it included
SHORT = {"published": "publ.", "difference": "diff."}  # where a column is short of room


@dataclass(frozen=True)
class Size:
    """A size of type with its distance of lines, half the room between columns, and how much wider than cmr10 the font
    of this size is cut, for text and for what stands low beside it."""

    points: int
    line: float
    gap: float
    cut: float
    low: float  # points of a digit's room in thousandths: size times cut of the script


SIZES = (Size(9, 11, 4, 1.03, 7.4), Size(8, 9.5, 3, 1.07, 7.4), Size(7, 8.5, 2.2, 1.14, 6.85))
Row = list[Value]
Style = Literal["narrow", "wide", "rotated"]


@dataclass(frozen=True)
class Paper:
    """What a table must fit: the environment it stands in, and the room there."""

    environment: str
    width: float
    height: float


MARGIN = 1.0  # pt, for what the estimate of a width leaves out
PAPERS: dict[Style, Paper] = {
    "narrow": Paper("table", 345, 550),  # the text of article at 10 pt on letter paper
    "wide": Paper("table*", 397, 550),  # the text of NeurIPS; less than both columns of the conferences that have two
    "rotated": Paper("sidewaystable", 550, 345),
}


@dataclass(frozen=True)
class Layout:
    """How a table is set.

    Attributes:
        folded: how many keys from the left stand in a line above their rows instead of in columns.
        cap: the room of the last key, where its words are broken; None where none are.
        short: long words of titles are abbreviated.
        count: how many blocks the columns are spread over.
    """

    table: Table
    size: Size
    folded: int
    cap: float | None
    short: bool
    count: int

    @cached_property
    def titles(self) -> list[list[str]]:
        """The lines of each column's title."""
        return [
            break_title(self._title(column), self._body(place), self.size)
            for place, column in enumerate(self.table.columns)
        ]

    @cached_property
    def widths(self) -> list[float]:
        """Of each column."""
        return [
            max([self._body(place), *(measure(line, self.size) for line in lines)])
            for place, lines in enumerate(self.titles)
        ]

    @cached_property
    def blocks(self) -> list[list[int]]:
        """The places of each block's columns: the keys, and some of the others. All are about as wide, and columns that
        share a title stay together."""
        units = list_units(self.table)
        widths = [sum(self.widths[place] + 2 * self.size.gap for place in unit) for unit in units]
        blocks: list[list[int]] = [[] for _ in range(self.count)]
        before = 0.0
        for unit, width in zip(units, widths, strict=True):
            blocks[int(self.count * (before + width / 2) / sum(widths))] += unit
            before += width
        return [[*range(self.folded, self.table.keys), *block] for block in blocks if block]

    @property
    def width(self) -> float:
        """Of the widest block, without room at its sides."""
        heads = (measure(head, self.size) for head, _ in self.by_head(self.table.rows))
        return max([*map(self._width, self.blocks), *heads])

    def _width(self, block: list[int]) -> float:
        room = 2 * self.size.gap
        total = room * (len(block) - 1)
        for over, group in groupby(block, key=lambda place: self.table.columns[place].over):
            widths = [self.widths[place] for place in group]
            total += max(sum(widths), measure(over, self.size) - room * (len(widths) - 1))
        return total

    @cached_property
    def above(self) -> float:
        """Height of the titles of all blocks, with the rules at top and bottom."""
        over = [any(self.table.columns[place].over for place in block) for block in self.blocks]
        lines = [
            max(len(self.titles[place]) for place in block) + each
            for block, each in zip(self.blocks, over, strict=True)
        ]
        return sum(each * self.size.line + 4 * RULE for each in lines)

    def height(self, group: list[Row]) -> float:
        """Of some rows of a group in all blocks, with the rule above them."""
        lines = len(self.by_head(group)) if self.folded else 0
        return len(self.blocks) * (RULE + self.size.line * (lines + sum(map(self._lines, group))))

    def by_head(self, rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
        """The rows below the line that says their folded keys; "" where none are folded."""
        names = [column.title for column in self.table.columns[: self.folded]]
        return [
            ("; ".join(f"{name}: {word}" for name, word in zip(names, key, strict=True)), list(group))
            for key, group in groupby(rows, key=lambda row: [value.text for value in row[: self.folded]])
        ]

    def _title(self, column: Column) -> str:
        return SHORT.get(column.title, column.title) if self.short else column.title

    def _body(self, place: int) -> float:
        """The room of a column's values."""
        wide = max((cell_width(row[place], self.size) for row in self.table.rows), default=0.0)
        return min(wide, self.cap) if self.cap is not None and place == self.table.keys - 1 else wide

    def _lines(self, row: Row) -> int:
        """That a row takes, with its last key broken."""
        if self.cap is None:
            return 1
        return max(1, math.ceil(1.15 * cell_width(row[self.table.keys - 1], self.size) / self.cap))


def lay_out(table: Table, paper: Paper, caption: float, notes: float) -> tuple[Layout, list[list[list[Row]]]]:
    """The layout, and the groups of rows on each page.

    Of the layouts that fit into the paper's width, those in the fewest blocks; of these the one on the fewest pages,
    then in the largest size, then with columns for all keys. The smallest, if none fits.

    Args:
        caption: height of what stands above the table on each page.
        notes: height of what stands below it on the last page.
    """
    layouts: list[Layout] = []
    for count in range(1, max(1, len(list_units(table))) + 1):
        layouts = [*_layouts(table, count, paper.width)]
        fitting = [each for each in layouts if each.width <= paper.width - MARGIN]
        if fitting:
            break
    else:
        fitting = layouts[-1:]
    pages = [paginate(each, paper.height - caption, notes) for each in fitting]
    return min(zip(fitting, pages, strict=True), key=lambda each: len(each[1]))  # the first of equals


def _layouts(table: Table, count: int, width: float) -> Iterator[Layout]:
    """All with this many blocks, the most legible first."""
    folds = [(0, None), (table.keys - 1, None), (table.keys - 1, 0.3 * width)]
    for size, (folded, cap), short in product(SIZES, folds, (False, True)):
        yield Layout(table, size, folded, cap, short, count)


def list_units(table: Table) -> list[list[int]]:
    """The columns that must stay together, by their places; the keys are none of them."""
    places = range(table.keys, len(table.columns))
    return [list(unit) for _, unit in groupby(places, key=lambda place: table.columns[place].over or place)]


def paginate(layout: Layout, room: float, notes: float) -> list[list[list[Row]]]:
    """The groups of each page. A group is cut where it is too long for a page or would leave more than half of one.

    room: points of height for the table and what is below it. notes: what is below the table on the last page.
    """
    pages: list[list[list[Row]]] = [[]]
    used = layout.above
    for group in layout.table.groups:
        while group:
            fits = [n for n in range(1, len(group) + 1) if used + layout.height(group[:n]) <= room]
            most = max(fits, default=0)
            if pages[-1] and (most == 0 or (most < len(group) and used > room / 2)):
                pages.append([])
                used = layout.above
                continue
            pages[-1].append(group[: most or 1])
            used += layout.height(pages[-1][-1])
            group = group[most or 1 :]
    last = pages[-1]
    if used + notes > room and sum(map(len, last)) > 1:
        pages[-1:] = [last[:-1], last[-1:]] if len(last) > 1 else [[last[0][:-1]], [last[0][-1:]]]
    return pages


def break_title(title: str, width: float, size: Size) -> list[str]:
    """The lines of a title: as few as fit into the column, or into its own longest word."""
    parts = re.findall(r"[^\s._]*[._]*\s*", title)  # a dotted key has no spaces
    room = max(width, *(measure(part.strip(), size) for part in parts))
    lines: list[str] = []
    for part in parts:
        if lines and measure((lines[-1] + part).strip(), size) <= room:
            lines[-1] += part
        elif part:
            lines.append(part)
    return [line.strip() for line in lines]


def cell_width(value: Value, size: Size) -> float:
    """Of a value with what stands low and high beside it."""
    low = _units(value.spread) + PLUS_MINUS if value.spread else 0
    beside = max(low, _units(value.mark)) * size.low / 1000 + (SCRIPT_SPACE if low or value.mark else 0)
    return measure(value.text, size) * (BOLD if value.best else 1) + beside


@lru_cache(maxsize=4096)
def measure(text: str, size: Size) -> float:
    """Points that a line of text takes."""
    return _units(text) * size.points * size.cut / 1000


def _units(text: str) -> int:
    """Thousandths of the size; what stands between backticks is typewriter."""
    parts = enumerate(text.split("`"))
    return sum(
        TYPEWRITER * len(part) if number % 2 else sum(WIDTHS.get(each, WIDE) for each in part) for number, part in parts
    )
