"""One folder per cell, and the folder of all of them."""

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock

from harness.errors import HarnessError
from harness.files import file_sha256, json_line, read_json, read_whole, remove_leftovers, write_atomic, write_json
from harness.ledger import claim, schema
from harness.ledger.seal import sealed, unsealed
from harness.spec.fingerprint import ALGORITHM

State = Literal["waiting", "running", "interrupted", "failed", "done", "damaged"]
FILES = ("noise.npy", "labels.npy", "pairs.npz", "ranks.npz", "model.safetensors")  # of which a result keeps the sha256
CHECKPOINTS = ("checkpoint.pt", "checkpoint.previous.pt", "checkpoint.pt.new")  # the last where a writer was killed


class Cell:
    """One cell's folder. Reading is free for all; the write_* methods are for the holder of its claim.

    fingerprint: of its run, where the folder is called otherwise: one that was taken out of a ledger.
    """

    def __init__(self, folder: Path, fingerprint: str = "") -> None:
        self.folder = folder
        self.fingerprint = fingerprint or folder.name
        self._seen: dict[str, tuple[Any, Any]] = {}  # file -> its stamp, and what it held then

    def __repr__(self) -> str:
        return f"Cell({self.folder})"

    @property
    def spec(self) -> dict[str, Any]:
        """What is trained here, as `schema.Spec`.

        Raises:
            HarnessError: spec.json is missing, damaged or of a later version.
        """
        spec = self._read("spec.json", schema.SPEC)
        if spec is None:
            raise HarnessError(f"{self.folder}: holds no spec.json, so it is not a cell of this ledger")
        return spec

    @property
    def name(self) -> str:
        """The readable one; the fingerprint where spec.json cannot be read."""
        try:
            return str(self.spec["cell"])
        except HarnessError:
            return self.fingerprint

    def path(self, name: str) -> Path:
        return self.folder / name

    def state(self) -> State:
        """done beats running beats failed; a claim without a living holder means interrupted; damaged beats all."""
        if self.damage():
            return "damaged"
        if self.path("result.json").exists():
            return "done"
        holder = claim.read(self.folder)
        if holder is not None:
            return "running" if claim.alive(holder, self.folder) else "interrupted"
        if self.path("failure.json").exists():
            return "failed"
        return "interrupted" if self.path("checkpoint.pt").exists() else "waiting"

    def damage(self) -> str:
        """Which of the files that say what this cell is cannot be read, and what to do about it, or ""."""
        try:
            self._read("spec.json", schema.SPEC)
            self.result()
            self.failure()
            claim.read(self.folder)
        except HarnessError as error:
            return str(error)
        return ""

    def heartbeat(self) -> dict[str, Any]:
        """The holder's last word: {"time", "piece", "epoch", "step", "loss", "seconds_left", ...} or {}."""
        return claim.heartbeat(self.folder)

    def rows(self) -> list[dict[str, Any]]:
        """One `schema.Row` per finished epoch, in order. A line that is torn or damaged is none: see `lost_epochs`.

        Raises:
            HarnessError: a line is of a later version, or the file may not be read.
        """
        path = self.path("metrics.jsonl")
        try:
            lines = read_whole(path).split(b"\n")
        except OSError:
            return []
        return [row for line in lines[:-1] if (row := _row(line, path)) is not None]

    def lost_epochs(self, epochs: int | None = None) -> list[int]:
        """The epochs that have no row, counted from 0. A run trains on without them.

        epochs: how many there should be; left out, as many as the result says, or as the last row does.
        """
        there = {row["epoch"] for row in self.rows()}
        if epochs is None:
            epochs = (self.result() or {}).get("epochs", 1 + max(there, default=-1))
        return sorted(set(range(epochs)) - there)

    def result(self) -> dict[str, Any] | None:
        """The figures at the end, as `schema.Result`, and None before it.

        Raises:
            HarnessError: the file is damaged or of a later version.
        """
        return self._read("result.json", schema.RESULT)

    def failure(self) -> dict[str, Any] | None:
        """Why it failed, as `schema.Failure`, and None where it did not.

        Raises:
            HarnessError: the file is damaged.
        """
        return self._read("failure.json", schema.FAILURE)

    def file(self, name: str) -> Path | None:
        """The path of one of `FILES` of a finished cell; None where it keeps none.

        Raises:
            HarnessError: the file is not the one that the result was written with.
        """
        path, known = self.path(name), ((self.result() or {}).get("files") or {}).get(name)
        if known is None:  # a cell that is not finished, or that an older version finished
            return path if path.is_file() else None
        if self._once(name, lambda: file_sha256(path)) != known:
            raise HarnessError(
                f"{path}: it is {'not the file' if path.exists() else 'missing, and was there'} that this run finished "
                f"with (sha256); bring it back, or move {self.folder} elsewhere and train the run again"
            )
        return path

    def _read(self, name: str, kind: schema.Schema) -> dict[str, Any] | None:
        """A JSON file of a kind; None where it is not there. A file that stays is read once."""
        path = self.path(name)

        def read() -> dict[str, Any] | None:
            value = unsealed(read_json(path), path)
            return None if value is None else kind.read(value, path)

        found: dict[str, Any] | None = self._once(name, read)
        return found

    def _once(self, name: str, read: Callable[[], Any]) -> Any:
        """What `read` gives of a file, as long as that does not change."""
        try:
            status = self.path(name).stat()
        except OSError:
            return read()
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        if name not in self._seen or self._seen[name][0] != stamp:
            self._seen[name] = (stamp, read())
        return self._seen[name][1]

    def tidy(self) -> None:
        """Delete the temporary files of dead workers, unless somebody works on the cell, and a done cell's checkpoints,
        if its worker was killed before it did so."""
        with FileLock(self.path(claim.LOCK)):
            state = self.state()
            if state not in ("running", "damaged"):
                remove_leftovers(self.folder)
            if state == "done":
                self.drop_checkpoints()

    def drop_checkpoints(self) -> None:
        """Of a done cell, which is never continued."""
        for path in map(self.path, CHECKPOINTS):
            if path.exists():  # a disk that is read-only refuses to delete what is not there
                path.unlink(missing_ok=True)

    # -- for the holder of the claim -------------------------------------------------------------------------------

    def append_row(self, row: Mapping[str, Any]) -> None:
        """The row of an epoch that has just ended: the keys of `schema.Row` but the format.

        Raises:
            HarnessError: a key is missing, and the row could not be read again.
        """
        path = self.path("metrics.jsonl")
        line = json_line(sealed(schema.ROW.read({"format": schema.FORMAT, **row}, path)))
        with open(path, "a", encoding="utf-8") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())

    def keep_rows(self, epochs: int) -> None:
        """Drop the rows of epochs that a resumed run is about to train again."""
        rows = [row for row in self.rows() if row["epoch"] < epochs]
        write_atomic(self.path("metrics.jsonl"), "".join(json_line(sealed(row)) for row in rows).encode())

    def write_result(self, result: Mapping[str, Any]) -> None:
        """What makes a cell done: the keys of `schema.Result` but its versions and the files' digests, put in here.

        Raises:
            HarnessError: a key is missing, and the result could not be read again.
        """
        path = self.path("result.json")
        files = {name: file_sha256(self.path(name)) for name in FILES if self.path(name).is_file()}
        whole = {"format": schema.FORMAT, "algorithm": ALGORITHM, **result, "files": files}
        write_json(path, sealed(schema.RESULT.read(whole, path)))
        self.path("failure.json").unlink(missing_ok=True)

    def write_failure(self, error: str, traceback: str, position: dict[str, Any]) -> None:
        write_json(
            self.path("failure.json"),
            sealed({"error": error, "traceback": traceback, "time": time.time(), "position": position}),
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
            write_json(cell.path("spec.json"), sealed({"format": schema.FORMAT, **spec}))
        return cell

    def cell(self, fingerprint: str) -> Cell:
        return Cell(self.root / fingerprint)

    def cells(self) -> Iterator[Cell]:
        """Every cell that says what it trains, by fingerprint."""
        for spec in sorted(self.root.glob("*/spec.json")):
            cell = Cell(spec.parent)
            if not cell.damage():
                yield cell

    def damaged(self) -> Iterator[Cell]:
        """Those that `cells` leaves out, because a file of theirs cannot be read; `Cell.damage` says which."""
        for spec in sorted(self.root.glob("*/spec.json")):
            cell = Cell(spec.parent)
            if cell.damage():
                yield cell

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


def _row(line: bytes, path: Path) -> dict[str, Any] | None:
    """None where the line is damaged."""
    try:
        value = unsealed(json.loads(line), path)
    except (HarnessError, ValueError, RecursionError):
        return None
    if isinstance(value, dict):
        schema.refuse_newer(value, str(path))
    with suppress(HarnessError):
        return schema.ROW.read(value, path)
    return None


def _listed(cells: Iterable[Cell], most: int = 6) -> str:
    named = [f"{c.fingerprint} ({c.name})" for c in cells]
    return ", ".join(named[:most]) + (f" and {len(named) - most} more" if len(named) > most else "")
