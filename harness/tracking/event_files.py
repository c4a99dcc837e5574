"""The mirror in TensorBoard: a folder of event files for each cell, in `tensorboard/` beside the runs.

An event file can only grow, and a writer that is killed leaves half of one. So every update is a file of its own, put
in place whole, and its name says which epochs it holds: what is there is known without reading it. TensorBoard reads
the files of a folder in the order of their names, as one.
"""

import hashlib
import os
import re
import shutil
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.files import write_atomic
from harness.ledger import Cell
from harness.tracking import records
from harness.tracking.target import Extras, Target, cell_lock

FOLDER = "tensorboard"
PREFIX = "events.out.tfevents."
BEGIN, END = f"{PREFIX}000000.begin", f"{PREFIX}999999."
ROWS = re.compile(re.escape(PREFIX) + r"\d{6}\.to-(\d+)")


class EventFiles(Target):
    """Event files, by grid and cell.

    Args:
        runs: the folder of the ledger.
        extras: what is shown beside a run's own files.
    """

    def __init__(self, runs: Path, *, extras: Extras | None = None) -> None:
        super().__init__(extras)
        self.folder = runs.resolve().parent / FOLDER

    @property
    def place(self) -> str:
        return str(self.folder)

    def mirror(self, cell: Cell, grid: str) -> None:
        state, rows = cell.state(), cell.rows()
        if state == "damaged" or (state == "waiting" and not rows):
            return
        try:
            with cell_lock(cell, FOLDER):
                self._update(cell, self._folder(cell, grid), state, rows)
        except OSError as error:
            raise HarnessError(
                f"--mirror tensorboard: {self.folder}: {error.strerror or error}; the runs are safe in their folders, "
                "and `harness sync --mirror tensorboard` brings the copy up to date"
            ) from error

    def forget(self, cell: Cell, grid: str) -> None:
        with cell_lock(cell, FOLDER):
            shutil.rmtree(self._folder(cell, grid), ignore_errors=True)

    def _folder(self, cell: Cell, grid: str) -> Path:
        """Its path below `tensorboard/` is the run's name on the pages."""
        name = re.sub(r"[^\w.=+-]+", "_", cell.spec["cell"])[:100]
        return self.folder / grid / f"{name}_{cell.fingerprint}"

    def _update(self, cell: Cell, folder: Path, state: str, rows: list[dict[str, Any]]) -> None:
        end = f"{END}{_digest(cell)}" if state == "done" else None
        ended = sorted(folder.glob(f"{END}*"))
        if end is not None and folder / end in ended:
            return
        if ended:  # the cell was deleted and trained anew: another run
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / BEGIN).exists():
            self._write(folder / BEGIN, [_hyperparameters(cell, rows)])
        last = max((int(found[1]) for path in folder.iterdir() if (found := ROWS.fullmatch(path.name))), default=-1)
        if new := [row for row in rows if row["epoch"] > last]:
            name = f"{PREFIX}{new[0]['epoch'] + 1:06d}.to-{new[-1]['epoch']}"
            self._write(folder / name, map(_scalar, (point for row in new for point in records.row_points(row))))
        if end is not None:
            self._write(folder / end, self._figures(cell))

    def _figures(self, cell: Cell) -> list[Any]:
        """What stands at the end: test figures, curves, the description."""
        result = cell.result() or {}
        at = records.finished(result)
        events = [_scalar(point) for point in records.result_points(result)]
        for name, figure in (self.extras.figures(cell) if self.extras.figures else {}).items():
            events.append(_event(at, 0, _image(f"figures/{name}", figure)))
        if self.extras.note is not None:
            from torch.utils.tensorboard.summary import text

            events.append(_event(at, 0, text("description", self.extras.note(cell))))
        return events

    def _write(self, path: Path, events: Iterable[Any]) -> None:
        """Whole or not at all, under a name that TensorBoard does not read until it is whole."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.summary.writer.record_writer import RecordWriter

        content = BytesIO()
        writer = RecordWriter(content)
        for event in [Event(wall_time=0.0, file_version="brain.Event:2"), *events]:
            writer.write(event.SerializeToString())
        unseen = path.with_name("unfinished")
        write_atomic(unseen, content.getvalue())
        os.replace(unseen, path)


def _digest(cell: Cell) -> str:
    return hashlib.sha256(cell.path("result.json").read_bytes()).hexdigest()[:16]


def _event(milliseconds: int, step: int, summary: Any) -> Any:
    from tensorboard.compat.proto.event_pb2 import Event

    return Event(wall_time=milliseconds / 1000, step=step, summary=summary)


def _scalar(point: records.Point) -> Any:
    from tensorboard.compat.proto.summary_pb2 import Summary

    return _event(point.time, point.step, Summary(value=[Summary.Value(tag=point.key, simple_value=point.value)]))


def _hyperparameters(cell: Cell, rows: list[dict[str, Any]]) -> Any:
    """The run's settings, for the table of TensorBoard's HParams page."""
    from tensorboard.plugins.hparams.summary_v2 import hparams_pb

    begun = rows[0]["time"] if rows else 0.0
    settings = {key: _setting(value) for key, value in records.flatten(cell.spec["run"])}
    return _event(round(1000 * begun), 0, hparams_pb(settings, trial_id=cell.fingerprint, start_time_secs=begun))


def _setting(value: Any) -> Any:
    return value if isinstance(value, bool | int | float | str) else str(value)


def _image(tag: str, figure: Any) -> Any:
    """A matplotlib figure, or the file of a picture."""
    from tensorboard.compat.proto.summary_pb2 import Summary

    if isinstance(figure, Path):
        content, size = figure.read_bytes(), {}
    else:
        drawn = BytesIO()
        figure.savefig(drawn, format="png", dpi=100)
        content = drawn.getvalue()
        width, height = (round(100 * inches) for inches in figure.get_size_inches())
        size = {"width": width, "height": height}
    return Summary(value=[Summary.Value(tag=tag, image=Summary.Image(encoded_image_string=content, **size))])
