"""What the workers are doing, on the screen: read from their heartbeats, so any pool sees every worker."""

import time
from collections.abc import Callable, Container, Iterable
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from harness.ledger import Cell
from harness.ledger.collapse import collapsed, collapsed_labels
from harness.printing.numbers import count, name_epoch

TURNS = 20  # updates in which every cell is looked at once: with a pool's four a second, each every five seconds


class Display:
    """A line per running cell and one for the whole grid; plain lines where there is no terminal."""

    def __init__(self, cells: Iterable[Cell], summary: Callable[[], tuple[str, int, int]] | None = None) -> None:
        """`summary`: the last line in words, what is done and of how much; by default what the states say."""
        self.cells = list(cells)
        self.summary = summary
        self.console = Console(soft_wrap=True)  # a line of a log stays a line
        self.live = Live(console=self.console, refresh_per_second=4) if self.console.is_terminal else None
        self._told: dict[Cell, str] = {cell: cell.state() for cell in self.cells}
        self._width = max((len(cell.name) for cell in self.cells), default=0)
        self._epochs: dict[Cell, tuple[int, int]] = {}
        self._turn = 0
        self._here: set[Cell] = set()  # ran here at the last update

    def __enter__(self) -> "Display":
        if self.live:
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.live:
            self.live.stop()

    def add(self, cell: Cell) -> None:
        """Follow this cell too."""
        if cell not in self._told:
            self.cells.append(cell)
            self._told[cell] = "waiting"
            self._width = max(self._width, len(cell.name))

    def drop(self, cell: Cell) -> None:
        """Stop following a cell."""
        if self._told.pop(cell, None) is not None:
            self.cells.remove(cell)

    def say(self, line: str, style: str | None = None) -> None:
        """Print a line above the running cells."""
        self.console.print(line, highlight=False, style=style)

    def update(self, running: Container[Cell] | None) -> None:
        """Print what ended since the last call and show what runs here; None: look at every cell, for the last time."""
        for cell in self._due(running):
            state = cell.state()
            if state != self._told[cell]:
                self._told[cell] = state
                self._tell(cell, state)
        active = [cell for cell in self.cells if self._told[cell] == "running"]
        if self.live:
            self.live.update(self._picture(active))
        else:
            self._tell_epochs([cell for cell in active if cell in (running or ())])

    def _due(self, running: Container[Cell] | None) -> list[Cell]:
        """The cells to look at now: those that run, and a few of the others.

        A state costs a few reads of the disk, and a grid may have a thousand cells. A done cell stays done.
        """
        here = {cell for cell in self.cells if running is not None and cell in running}
        recent, self._here = here | self._here, here
        self._turn = (self._turn + 1) % TURNS
        return [
            cell for place, cell in enumerate(self.cells)
            if self._told[cell] != "done"
            and (running is None or place % TURNS == self._turn or self._told[cell] == "running" or cell in recent)
        ]  # fmt: skip

    def _tell(self, cell: Cell, state: str) -> None:
        name = cell.name.ljust(self._width)
        if state == "done":
            result = cell.result() or {}
            rsum = "test " + "  ".join(f"{protocol} rSum {m['rsum']:.1f}" for protocol, m in result["test"].items())
            if not result["test"]:  # a trial of a search: it has none
                rsum = f"dev rSum {result['dev']['rsum']:.1f}"
            auc = result["labels"].get("labels/auc")
            labels = f"  label AUC {auc:.3f}" if auc is not None else ""
            self.console.print(f"done    {name}  {rsum}{labels}  {clock(result['seconds'])}", highlight=False)
            if fault := collapsed_labels(result["labels"]):
                why = f"`harness diagnose {cell.fingerprint}` says more"
                self.console.print(f"        {name}  {fault}; {why}", style="yellow", highlight=False)
        elif state == "failed":
            error = (cell.failure() or {}).get("error", "")
            self.console.print(f"failed  {name}  {error}", style="red", highlight=False)
        elif state == "damaged":
            self.console.print(f"damaged {name}  {cell.damage()}", style="red", highlight=False)
        elif state == "running":
            if not self.live:
                self.console.print(f"begun   {name}", highlight=False)
        elif state == "interrupted":
            self.console.print(f"stopped {name}  the same command continues it from its checkpoint", highlight=False)

    def _tell_epochs(self, active: list[Cell]) -> None:
        """Without a terminal: a line per epoch."""
        for cell in active:
            beat = cell.heartbeat()
            at = (beat.get("piece", -1), beat.get("epoch", -1))
            if ("epoch" in beat or "tokenised" in beat) and self._epochs.get(cell) != at:
                self._epochs[cell] = at
                self.console.print(f"        {cell.name.ljust(self._width)}  {describe(beat)}", highlight=False)

    def _picture(self, active: list[Cell]) -> Group:
        table = Table.grid(padding=(0, 2))
        shares = 0.0
        for cell in active:
            beat = cell.heartbeat()
            share = beat.get("share_done") or 0.0
            shares += share
            table.add_row(cell.name, ProgressBar(total=1.0, completed=share, width=24), describe(beat))
        states = list(self._told.values())
        done, failed = states.count("done"), states.count("failed")
        words, total = (
            f"{done} of {count(len(states), 'cell')} done, {len(active)} running, {failed} failed",
            len(states),
        )
        if self.summary:
            words, done, total = self.summary()
        foot = Table.grid(padding=(0, 2))
        foot.add_row(Text(words, style="bold"), ProgressBar(total=total, completed=done + shares, width=24))
        return Group(table, foot)


def describe(beat: dict[str, Any]) -> str:
    """A heartbeat in words: position, loss, dev rSum, time left."""
    if "scoring" in beat:
        return "scoring the test split and the training pairs"
    if "epoch" not in beat:
        return f"tokenising captions, {beat['tokenised']:.0%}" if "tokenised" in beat else "preparing"
    at = name_epoch(beat["epoch"], beat["epochs"], beat["piece"], beat["pieces"])
    words = [f"{at}, step {beat['step']} of {beat['steps']}"]
    if beat.get("loss") is not None:
        words.append(f"loss {beat['loss']:.3f}")
    if beat.get("dev_rsum") is not None:
        words.append(f"dev rSum {beat['dev_rsum']:.1f}")
    if beat.get("label_mean") is not None:
        auc = f" (AUC {beat['label_auc']:.3f})" if beat.get("label_auc") is not None else ""
        words.append(f"labels {beat['label_mean']:.2f}{auc}")
    if fault := collapsed(beat.get("share_zero")):
        words.append(fault)
    if beat.get("seconds_left") is not None:
        words.append(f"{clock(beat['seconds_left'])} left")
    silent = time.time() - beat.get("time", time.time())
    if silent > 15:
        words.append(f"silent for {clock(silent)}")
    return "  ".join(words)


def clock(seconds: float) -> str:
    """1:02:03 or 2:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
