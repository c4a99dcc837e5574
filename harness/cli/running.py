"""What `harness run` and `harness train` say before and after."""

import shlex
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from harness.ledger.collapse import collapsed_labels
from harness.printing.numbers import count

if TYPE_CHECKING:
    from harness.api.running import Ran
    from harness.grids import Grid
    from harness.ledger import Cell

LISTED = 3  # names in a line


def show_plan(grid: "Grid", *, runs: Path, data: Path, retrain: bool) -> None:
    """What `run_grid` would train."""
    from harness.data.now import DataNow
    from harness.launch.retrain import find_others
    from harness.ledger import Ledger

    known = {cell.fingerprint: Ledger(runs).cell(cell.fingerprint) for cell in grid.cells}
    reasons = {other.cell.fingerprint: other.why for other in find_others(known.values(), DataNow(data))}
    for cell in grid.cells:
        state, why = known[cell.fingerprint].state(), reasons.get(cell.fingerprint, "")
        skip = state == "done" and not (why and retrain)
        words = f"{state}, {why}" if why else state
        print(f"{'skip' if skip else 'train':5s} {cell.fingerprint}  {cell.name}  ({words})")


def show_end(name: str, ran: "Ran") -> int:
    """How it ended, in a few lines; gives the exit status."""
    done = len(ran.states) - len(ran.failed) - len(ran.later)
    other = f" ({ran.other} on other data or code than now)" if ran.other else ""
    print(f"{name}: {done} of {count(len(ran.states), 'cell')} done{other}, {len(ran.failed)} failed")
    if faults := [cell.name for cell, state in ran.states.items() if state == "done" and _collapsed(cell)]:
        listed = ", ".join(faults[:LISTED]) + (f" and {len(faults) - LISTED} more" if len(faults) > LISTED else "")
        print(f"  labels collapsed in {listed}; `harness diagnose` says more of each")
    if ran.later:
        print(f"  the budget is spent; the same command continues the {count(len(ran.later), 'cell')} not finished yet")
    for cell, state in ran.failed.items():
        if state == "damaged":
            print(f"  {cell.name}: {cell.damage()}")
            continue
        why = (cell.failure() or {}).get("error", f"is {state}; the same command continues it")
        print(f"  {cell.name}: {why} (log: {cell.path('log.txt')})")
    return 1 if ran.failed else 0


def show_next(ran: "Ran", *, runs: Path, report: str) -> None:
    """Where the results are, and what to do with them; nothing where there are none.

    report: the command that shows more of the numbers.
    """
    done = [cell for cell, state in ran.states.items() if state == "done"]
    if not done:
        return
    where = "" if runs == Path("runs") else f" --runs {shlex.quote(str(runs))}"
    place = done[0].folder if len(done) == 1 else f"{runs}, a folder for each run"
    print(f"results: {place}\nnext:    `{report}{where}`, `harness ui{where}`")


def name_report(grid: Path, *, smoke: bool) -> str:
    """The command that shows the results of a grid: of its first report, or of the grid where none is declared."""
    from harness.errors import HarnessError
    from harness.grids import declarations, find, read_toml

    small = " --smoke" if smoke else ""
    for name, path in declarations("reports").items():
        with suppress(HarnessError):  # a faulty report is no fault of this grid
            if any(find(str(each), "experiments").samefile(grid) for each in read_toml(path).get("grids", [])):
                return f"harness report {name}{small}"
    return f"harness status {shlex.quote(str(grid))}{small}"


def _collapsed(cell: "Cell") -> str:
    return collapsed_labels((cell.result() or {}).get("labels", {}))
