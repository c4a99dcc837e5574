"""Marks in the annotation of a keyword or field that say how it enters the fingerprint.

    chunk: Annotated[int, Field(ge=1), NotScience] = 32           # never
    model: Annotated[str, NotScience(beside="sha256")] = "..."    # not where a sha256 is given too
    warm: Annotated[bool, AddedLater(neutral=False)] = True       # not where it is as it was in the runs before

A keyword without a mark always enters it.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from pydantic.fields import FieldInfo

Fields = Mapping[str, FieldInfo]  # a component's keywords or a model's fields, by name


@dataclass(frozen=True)
class NotScience:
    """It changes where or how something is computed, and not what. May be written without brackets.

    beside: a keyword that pins the same thing by its content; the mark holds only where that one has a value.
    """

    beside: str = ""


@dataclass(frozen=True)
class AddedLater:
    """Runs were trained before it existed, as if it had been `neutral`: with that value they keep their fingerprint."""

    neutral: Any

    @property
    def plain(self) -> Any:
        """The neutral value as JSON has it: a tuple is a list."""
        return json.loads(json.dumps(self.neutral))


def science(fields: Fields, table: Mapping[str, Any]) -> dict[str, Any]:
    """What of `table`, values by key as JSON has them, enters the fingerprint."""
    return {key: value for key, value in table.items() if key not in fields or _counts(fields[key], value, table)}


def neutral_values(fields: Fields) -> dict[str, Any]:
    """Of each that was added later, the value that the runs before it have, as JSON has it."""
    marks = {key: mark for key, field in fields.items() for mark in _marks(field) if isinstance(mark, AddedLater)}
    return {key: mark.plain for key, mark in marks.items()}


def _counts(field: FieldInfo, value: Any, table: Mapping[str, Any]) -> bool:
    for mark in _marks(field):
        if mark is NotScience or (isinstance(mark, NotScience) and (not mark.beside or table.get(mark.beside))):
            return False
        if isinstance(mark, AddedLater) and value == mark.plain:
            return False
    return True


def _marks(field: FieldInfo) -> Iterator[Any]:
    """Also those of `Annotated[int, NotScience] | None`, which pydantic leaves inside."""
    yield from field.metadata
    for inner in get_args(field.annotation):
        yield from getattr(inner, "__metadata__", ())
