"""A grid: read, checked, expanded into cells. `experiments/*.toml` holds the declarations; one run is a grid, too."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.grids.expand import PlannedCell
    from harness.grids.grid import Grid
    from harness.grids.load import load_grid
    from harness.grids.rooms import declarations, find, name_of, read_toml
    from harness.grids.single import single_run

__all__ = ["Grid", "PlannedCell", "declarations", "find", "load_grid", "name_of", "read_toml", "single_run"]

# Imported when it is asked for: the names of declarations, which a shell completes, need no network's code.
_WHERE = {
    "Grid": "grid",
    "PlannedCell": "expand",
    "load_grid": "load",
    **dict.fromkeys(("declarations", "find", "name_of", "read_toml"), "rooms"),
    "single_run": "single",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
