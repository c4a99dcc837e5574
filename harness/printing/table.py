"""The one model of a table. Reports, searches, theory, comparisons and the pages build it; every format prints it."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from harness.printing.numbers import NOTHING, decimal

Kind = Literal["word", "number", "ours", "published", "difference"]
DAGGER = "†"  # marks what is not distinguishable from the best


@dataclass(frozen=True)
class Column:
    """A column of words, or of numbers of some kind.

    Attributes:
        over: a title that stands over this column and its neighbours with the same one.
        metric: what of a row stands behind its values, on a page where they lead there; "" for all of the row, None
            for values that lead nowhere.
    """

    title: str
    kind: Kind = "number"
    over: str = ""
    metric: str | None = None


@dataclass(frozen=True)
class Value:
    """What stands in one place.

    Attributes:
        sort: a number or word to sort by; "" comes last.
        spread: the standard deviation, as printed.
        mark: printed small behind it: the dagger, or the letter of a footnote.
        best: printed bold.
        link: where a page says more about it.
        over: what a mean is over: seed and value of each run.
    """

    text: str
    sort: str = ""
    spread: str = ""
    mark: str = ""
    best: bool = False
    link: str = ""
    over: tuple[tuple[int, float], ...] = ()

    @property
    def missing(self) -> bool:
        return self.text == NOTHING


@dataclass(frozen=True)
class Table:
    """Rows in groups of like with like: formats rule a line between groups, and a page sorts within them.

    Attributes:
        groups: the rows of each group, a value for each column.
        keys: how many columns at the left name a row.
    """

    columns: list[Column]
    groups: list[list[list[Value]]]
    keys: int = 1

    @property
    def rows(self) -> list[list[Value]]:
        return [row for group in self.groups for row in group]

    @property
    def printed(self) -> list[list[list[Value]]]:
        """The groups as they stand on paper: a row's first word is not said again below a row that said it."""
        if self.keys == 1:
            return self.groups
        return [
            [[Value("") if above and row[0] == above[0] else row[0], *row[1:]] for above, row in pairwise([[], *group])]
            for group in self.groups
        ]

    @property
    def heads(self) -> list[tuple[str, int]]:
        """Of the line above the titles: each word with how many columns it spans; empty where there is none."""
        spans: list[tuple[str, int]] = []
        for column in self.columns:
            if column.over and spans and spans[-1][0] == column.over:
                spans[-1] = (column.over, spans[-1][1] + 1)
            else:
                spans.append((column.over, 1))
        return spans if any(word for word, _ in spans) else []

    @property
    def bodies(self) -> list[list[list[Value]]]:
        """The groups as a page sorts them: groups of one row are one, because there is nothing to sort within them."""
        return self.groups if any(len(group) > 1 for group in self.groups) else [self.rows]

    @property
    def shared(self) -> int:
        """How many columns from the left are the same within every body; never the last key, which tells rows apart."""
        for column in range(self.keys - 1):
            if any(len({row[column].text for row in body}) > 1 for body in self.bodies):
                return column
        return max(0, self.keys - 1)

    @property
    def spreads(self) -> set[int]:
        """The columns in which some value has a standard deviation."""
        return {place for row in self.rows for place, value in enumerate(row) if value.spread}


Block = str | Table | list[str]  # a paragraph, a table, notes


@dataclass(frozen=True)
class Section:
    """A title and what stands below it: paragraphs, tables, lists of notes. `level` 1 is a page's title."""

    title: str
    blocks: list[Block]
    level: int = 2


def number(
    value: float | None, digits: int = 1, *, sign: bool = False, spread: float | None = None, mark: str = "",
    best: bool = False, over: Iterable[tuple[int, float]] = (),
) -> Value:  # fmt: skip
    """A number as printed, or a dash where it is missing."""
    if value is None:
        return Value(NOTHING)
    return Value(
        decimal(value, digits, sign=sign), f"{value:.6g}", decimal(spread, digits), mark, best, over=tuple(over)
    )


def plain(
    titles: Sequence[str], rows: Iterable[Sequence[str | Value]], numbers: Collection[int] = (), *, leads: bool = False
) -> Table:
    """A table in one group whose rows are named by their first column.

    numbers: the columns that hold numbers. leads: on a page they lead to what stands behind their row.
    """
    columns = [
        Column(title, "number", metric="" if leads else None) if place in numbers else Column(title, "word")
        for place, title in enumerate(titles)
    ]
    return Table(columns, [[[_value(value) for value in row] for row in rows]])


def _value(value: str | Value) -> Value:
    return value if isinstance(value, Value) else Value(value, "" if value == NOTHING else value)
