"""Compare this project's numbers with a folder of golden values, computed once by the official implementations."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile
from zlib import error as ZlibError

from harness.errors import HarnessError
from harness.parity.kinds import KINDS
from harness.parity.reading import Comparison


@dataclass(frozen=True)
class Report:
    """All comparisons of one golden file, and the one that deviates most."""

    file: str
    comparisons: int
    worst: Comparison
    tolerance: float

    @property
    def passed(self) -> bool:
        return self.worst.deviation <= self.tolerance


def verify(folder: Path) -> Iterator[Report]:
    """A report for each golden file in `folder`, by name. Files of other names are left alone.

    Raises HarnessError when the folder is missing or holds no golden file, and for one that cannot be used.
    """
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    # Either half of a pair asks for both: a half that is lost is an error, not a silent gap.
    golden = [name for name, kind in KINDS.items() if names & {name, *kind.beside(name)}]
    if not golden:
        reason = "no golden file in this folder" if folder.is_dir() else "there is no such folder"
        raise HarnessError(
            f"{folder}: {reason}; accepted: a folder with any of {', '.join(KINDS)}; give the folder of golden values"
        )
    for name in golden:
        yield _report(folder / name)


def _report(path: Path) -> Report:
    kind = KINDS[path.name]
    try:
        found = list(kind.compare(path))
    except (OSError, BadZipFile, ZlibError, EOFError, ValueError, LookupError, TypeError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise HarnessError(
            f"{path}: not usable as golden values ({type(error).__name__}: {reason}); "
            "accepted: the format in the README of the golden values; copy the file again"
        ) from error
    if not found:
        raise HarnessError(f"{path}: nothing to compare in it; accepted: a case or more; copy the file again")
    return Report(path.name, len(found), max(found, key=lambda one: one.deviation), kind.tolerance)
