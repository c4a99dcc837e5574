"""Settings laid over every cell of a grid from outside its file: `--set method.beta=0.9`."""

from collections.abc import Mapping
from typing import Any

from harness.errors import HarnessError
from harness.grids.tables import Table, at, merge, nested
from harness.spec import KINDS


def laid(settings: Mapping[str, Any]) -> Table:
    """Settings by dotted key as a run's nested table. A component's name comes before its keywords, however given."""
    table: Table = {}
    for key in sorted(settings, key=lambda key: (key.count("."), not key.endswith(".name"))):
        table = merge(table, _named(nested(key, settings[key])))
    return table


def refuse_axes(settings: Mapping[str, Any], axes: Mapping[str, list[Any] | dict[str, Table]], grid: str) -> None:
    """What the cells of a grid differ in cannot be set for all of them.

    Args:
        settings: by dotted key.
        axes: values of a key, or named variants.
        grid: the grid's name, for the message.

    Raises:
        HarnessError: a setting is of the key of an axis, or of the component that the variants of an axis name.
    """
    table = laid(settings)
    for axis, values in axes.items():
        keys = [f"{axis}.name" if axis in KINDS else axis]
        if isinstance(values, dict):
            names = [f"{kind}.name" for kind in KINDS]
            keys = [key for key in names if any(at(_named(variant), key) for variant in values.values())]
        for key in keys:
            if at(table, key) is not None:
                raise HarnessError(
                    f"--set {key}: the cells of {grid} differ in it; accepted: one of its values by --only: "
                    f"{', '.join(map(str, values))}"
                )


def _named(table: Table) -> Table:
    """Components that are named alone as tables, which others can be laid over."""
    return {key: {"name": value} if key in KINDS and isinstance(value, str) else value for key, value in table.items()}
