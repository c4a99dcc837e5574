"""One folder per cell, and the folder of all of them."""

import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from harness.errors import HarnessError
from harness.files import json_line, read_json, write_atomic, write_json
from harness.ledger import claim, schema
from harness.spec.fingerprint import ALGORITHM

State = Literal["waiting", "running", "interrupted", "failed", "done"]


class Cell:
    """One cell's folder. Reading is free for all; the write_* methods are for the holder of its claim."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.fingerprint = folder.name

    def __repr__(self) -> str:
        return f"Cell({self.folder})"

    @cached_property
    def spec(self) -> dict[str, Any]:
        """What is trained here, as `schema.Spec`.

        Raises:
            HarnessError: spec.json is missing, damaged or of a later version.
        """
        spec = read_json(self.path("spec.json"))
        if spec is None:
            raise HarnessError(f"{self.folder}: holds no spec.json, so it is not a cell of this ledger")
        return schema.SPEC.read(spec, self.path("spec.json"))

    @property
    def name(self) -> str:
        return str(self.spec["cell"])

    def path(self, name: str) -> Path:
        return self.folder / name

    def state(self) -> State:
        """done beats running beats failed; a claim without a living holder means interrupted."""
        if self.path("result.json").exists():
            return "done"
        holder = claim.read(self.folder)
        if holder is not None:
            return "running" if claim.alive(holder, self.folder) else "interrupted"
        if self.path("failure.json").exists():
            return "failed"
        return "interrupted" if self.path("checkpoint.pt").exists() else "waiting"

    def heartbeat(self) -> dict[str, Any]:
        """The holder's last word: {"time", "piece", "epoch", "step", "loss", "seconds_left", ...} or {}."""
        return read_json(self.path("heartbeat.json")) or {}

    def rows(self) -> list[dict[str, Any]]:
        """One `schema.Row` per finished epoch, in order. A line torn by a crash is not a row.

        Raises:
            HarnessError: a line is damaged or of a later version.
        """
        path = self.path("metrics.jsonl")
        try:
            lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        except FileNotFoundError:
            return []
        return [_row(line, number, path) for number, line in enumerate(lines, start=1) if line.endswith("\n")]

    def result(self) -> dict[str, Any] | None:
        """The figures at the end, as `schema.Result`, and None before it.

        Raises:
            HarnessError: the file is damaged or of a later version.
        """
        path = self.path("result.json")
        result = read_json(path)
        return None if result is None else schema.RESULT.read(result, path)

    def failure(self) -> dict[str, Any] | None:
        """{"error": one line, "traceback", "time", "position"} or None."""
        return read_json(self.path("failure.json"))

    # -- for the holder of the claim -------------------------------------------------------------------------------

    def append_row(self, row: Mapping[str, Any]) -> None:
        """The row of an epoch that has just ended: the keys of `schema.Row` but the format.

        Raises:
            HarnessError: a key is missing, and the row could not be read again.
        """
        path = self.path("metrics.jsonl")
        line = json_line(schema.ROW.read({"format": schema.FORMAT, **row}, path))
        with open(path, "a", encoding="utf-8") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())

    def keep_rows(self, epochs: int) -> None:
        """Drop the rows of epochs that a resumed run is about to train again."""
        rows = [row for row in self.rows() if row["epoch"] < epochs]
        write_atomic(self.path("metrics.jsonl"), "".join(map(json_line, rows)).encode())

    def write_result(self, result: Mapping[str, Any]) -> None:
        """What makes a cell done: the keys of `schema.Result` but its two versions, which are put in here.

        Raises:
            HarnessError: a key is missing, and the result could not be read again.
        """
        path = self.path("result.json")
        write_json(path, schema.RESULT.read({"format": schema.FORMAT, "algorithm": ALGORITHM, **result}, path))
        self.path("failure.json").unlink(missing_ok=True)

    def write_failure(self, error: str, traceback: str, position: dict[str, Any]) -> None:
        write_json(
            self.path("failure.json"),
            {"error": error, "traceback": traceback, "time": time.time(), "position": position},
        )


class Ledger:
    """The folder of all cells."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def add(self, spec: Mapping[str, Any]) -> Cell:
        """The cell of a spec, made if it is not there yet. The first grid that asks for a cell names it.

        spec: the keys of `schema.Spec`, without the format.
        """
        cell = self.cell(spec["fingerprint"])
        if not cell.path("spec.json").exists():
            cell.folder.mkdir(parents=True, exist_ok=True)
            write_json(cell.path("spec.json"), {"format": schema.FORMAT, **spec})
        return cell

    def cell(self, fingerprint: str) -> Cell:
        return Cell(self.root / fingerprint)

    def cells(self) -> Iterator[Cell]:
        """Every cell, by fingerprint."""
        for spec in sorted(self.root.glob("*/spec.json")):
            yield Cell(spec.parent)

    def find(self, word: str) -> Cell:
        """A cell by the beginning of its fingerprint or by its whole name.

        Raises:
            HarnessError: none or several fit.
        """
        if (self.root / word / "spec.json").is_file():  # whole, as a launcher gives it: no look at the other thousand
            return self.cell(word)
        cells = list(self.cells())
        found = [c for c in cells if c.fingerprint.startswith(word)] or [c for c in cells if c.name == word]
        if len(found) == 1:
            return found[0]
        if found:
            raise HarnessError(f"{self.root}: {len(found)} runs fit {word!r}: {_listed(found)}; give more letters")
        raise HarnessError(f"{self.root}: no run is called {word!r}; there are: {_listed(cells) or 'none yet'}")


def _row(line: str, number: int, path: Path) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise HarnessError(f"{path}: line {number} is damaged ({error}); delete the line to go on without it") from None
    return schema.ROW.read(row, path)


def _listed(cells: Iterable[Cell], most: int = 6) -> str:
    named = [f"{c.fingerprint} ({c.name})" for c in cells]
    return ", ".join(named[:most]) + (f" and {len(named) - most} more" if len(named) > most else "")
