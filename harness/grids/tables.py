"""Nested tables: merging one over another, and dotted keys."""

from collections.abc import Mapping
from typing import Any

Table = dict[str, Any]


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> Table:
    """`over` laid on `base`. A component under another name starts afresh: the old one's keys are not its own."""
    merged: Table = dict(base)
    for key, value in over.items():
        old, new = _table(merged.get(key)), _table(value)
        if old is not None and new is not None and not (isinstance(value, str) and isinstance(merged[key], str)):
            renamed = "name" in new and new["name"] != old.get("name")
            merged[key] = new if renamed else merge(old, new)
        else:
            merged[key] = value
    return merged


def nested(dotted: str, value: Any) -> Table:
    """`nested("noise.rate", 0.4)` is `{"noise": {"rate": 0.4}}`."""
    head, _, rest = dotted.partition(".")
    return {head: nested(rest, value) if rest else value}


def at(table: Any, dotted: str) -> Any:
    """`at(run, "method.beta")`; None where there is nothing."""
    for key in dotted.split("."):
        table = table.get(key) if isinstance(table, dict) else None
    return table


def _table(value: Any) -> Table | None:
    """A bare component name counts as a table with that name."""
    if isinstance(value, str):
        return {"name": value}
    return dict(value) if isinstance(value, Mapping) else None
