"""What is trained anew is moved aside and kept: `runs/.old/<name>-<date>`, where no verb looks."""

import os
import time
from pathlib import Path
from typing import Any

from filelock import FileLock

from harness.files import write_json
from harness.ledger import claim
from harness.ledger.cell import Cell

OLD = ".old"


def set_aside(cell: Cell, judged: dict[str, Any] | None) -> Path | None:
    """Move a cell's files aside; what remains is a cell that waits. Moving the folder back undoes it.

    Args:
        cell: finished or not.
        judged: its result when it was decided that the cell is to go; None where it had none.

    Returns:
        Where the files are now; None where somebody works on the cell, or has trained it again in the meantime.
    """
    with FileLock(cell.folder / claim.LOCK):
        holder = claim.read(cell.folder)
        if (holder is not None and claim.alive(holder, cell.folder)) or cell.result() != judged:
            return None
        spec = cell.spec
        target = move_aside(cell.folder, cell.folder.parent, cell.fingerprint, claim.LOCK)
        write_json(cell.path("spec.json"), spec)
    return target


def move_aside(folder: Path, runs: Path, name: str, lock: str) -> Path:
    """Move a folder of `runs` aside and make an empty one in its place; gives where it went.

    The caller holds the file `lock` of the folder. It stays, because others wait for that very file.
    """
    target = _free(runs / OLD / f"{name}-{time.strftime('%Y-%m-%d-%H%M%S')}")
    target.parent.mkdir(exist_ok=True)
    os.rename(folder, target)
    folder.mkdir()
    os.rename(target / lock, folder / lock)
    return target


def _free(path: Path) -> Path:
    number, found = 1, path
    while found.exists():
        number += 1
        found = path.with_name(f"{path.name}-{number}")
    return found
