"""A checked grid."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.grids.expand import Conditions, PlannedCell, fitting


@dataclass(frozen=True)
class Grid:
    """A checked grid."""

    name: str
    title: str
    claim: str
    path: Path
    axes: dict[str, list[Any]]
    cells: list[PlannedCell]
    ensembles: dict[str, list[str]]  # name -> labels on the axis `backbone`

    def teams(self, cells: Sequence[PlannedCell]) -> Iterator[tuple[str, list[PlannedCell]]]:
        """Name and members of every ensemble whose members are all among `cells`."""
        for name, backbones in self.ensembles.items():
            places: dict[str, dict[str, PlannedCell]] = {}
            for cell in cells:
                place = {axis: label for axis, label in cell.place.items() if axis != "backbone"}
                places.setdefault(str(place), {})[cell.place["backbone"]] = cell
            for found in places.values():
                if all(backbone in found for backbone in backbones):
                    yield name, [found[backbone] for backbone in backbones]

    def only(self, conditions: Conditions) -> list[PlannedCell]:
        """The cells whose label on each of these axes is one of these values, as typed on a command line.

        Raises:
            HarnessError: no such axis, or no cell fits.
        """
        return fitting(self.cells, conditions, self.name)
