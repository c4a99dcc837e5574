"""A grid: read, checked, expanded into cells. `experiments/*.toml` holds the declarations; one run is a grid, too."""

from harness.grids.expand import PlannedCell
from harness.grids.grid import Grid
from harness.grids.load import load_grid
from harness.grids.rooms import declarations, find, name_of, read_toml
from harness.grids.single import single_run

__all__ = ["Grid", "PlannedCell", "declarations", "find", "load_grid", "name_of", "read_toml", "single_run"]
