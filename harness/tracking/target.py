"""What a mirror of the ledger must do, whichever program shows it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from harness.ledger import Cell

PATIENCE = 60.0  # seconds before a store that failed is tried again

Figures = Callable[[Cell], Mapping[str, Any]]
Note = Callable[[Cell], str]
SweepFigures = Callable[[Path], Mapping[str, Any]]


@dataclass(frozen=True)
class Extras:
    """What is shown beside a run's own files. Each is called once, when a cell or a sweep has ended.

    Attributes:
        figures: cell -> name -> matplotlib figure or image file.
        note: cell -> its description, in Markdown.
        sweep_figures: a sweep's folder -> name -> matplotlib figure.
    """

    figures: Figures | None = None
    note: Note | None = None
    sweep_figures: SweepFigures | None = None


class Target(ABC):
    """One program's copy of the ledger, written from the cell folders alone.

    Whatever was killed, resumed or called twice, a point is there once: what the copy lacks is told by the copy itself.
    """

    def __init__(self, extras: Extras | None = None) -> None:
        self.extras = extras or Extras()

    @property
    @abstractmethod
    def place(self) -> str:
        """Where the copy lies, for people."""

    @abstractmethod
    def mirror(self, cell: Cell, grid: str) -> None:
        """Bring a cell's copy under a grid up to date; one that has not begun is left alone.

        Raises:
            HarnessError: the copy cannot be written.
        """

    @abstractmethod
    def forget(self, cell: Cell, grid: str) -> None:
        """Delete a cell's copy, so that `mirror` makes it anew."""

    def mirror_sweep(self, folder: Path) -> None:  # noqa: B027 (not every program shows one)
        """Bring the copy of a sweep itself up to date, where the program shows one. Before its trials' cells."""

    def whole(self, cells: Iterable[Cell], grid: str | None) -> set[Cell]:
        """Which of these finished cells are surely copied to the last file; the others are looked at one by one."""
        return set()

    def close(self) -> None:  # noqa: B027 (not every target keeps something open)
        """Let go of what is open; what is half written stays to be brought up to date."""


def cell_lock(cell: Cell, target: str = "") -> FileLock:
    """Of two launchers that mirror a cell to one target, one at a time."""
    folder = cell.folder.parent / ".mirror"
    folder.mkdir(exist_ok=True)
    return FileLock(folder / f"{cell.fingerprint}{target and '.' + target}.lock", timeout=PATIENCE, thread_local=False)
