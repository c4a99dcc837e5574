"""A declared grid: read, checked, expanded into cells. `experiments/*.toml` holds the declarations."""

from harness.grids.grid import CellSpec, Grid, load_grid
from harness.grids.rooms import declarations, find, read_toml

__all__ = ["CellSpec", "Grid", "declarations", "find", "load_grid", "read_toml"]
