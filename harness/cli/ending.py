"""How a launcher says that it has ended."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.api.running import Ran


def show_end(name: str, ran: Ran) -> int:
    """How it ended, in a few lines; gives the exit status."""
    done = len(ran.states) - len(ran.failed) - len(ran.later)
    print(f"{name}: {done} of {len(ran.states)} cells done, {len(ran.failed)} failed")
    if ran.later:
        print(f"  the budget is spent and leaves {len(ran.later)} unfinished; the same command continues them")
    for cell, state in ran.failed.items():
        why = (cell.failure() or {}).get("error", f"is {state}; the same command continues it")
        print(f"  {cell.name}: {why} (log: {cell.path('log.txt')})")
    return 1 if ran.failed else 0
