"""What a sweep leaves in `runs/sweeps/NAME/`, written and read without optuna:

sweep.json        what is searched, on which state of the data, with its digest and storage
trials.csv        a row per trial: number, state, value, a column per parameter, fingerprint, seconds, host
importance.json   {parameter: share}; empty where there are too few trials
NAME_best.toml    the winner beside the paper's setting, ready for `harness run`
summary.json      the winner, its dev and test figures
journal.log       the study, where no database holds it
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import HarnessError, suggest
from harness.files import read_json, write_atomic
from harness.search.space import Point

BEFORE, AFTER = ("number", "state", "value"), ("fingerprint", "seconds", "host")


@dataclass(frozen=True)
class TrialRow:
    """One trial. `state`: RUNNING, COMPLETE, PRUNED or FAIL. `value`: of the objective; a pruned one's is its last."""

    number: int
    state: str
    value: float | None
    parameters: dict[str, Point]
    fingerprint: str
    seconds: float | None  # of training
    host: str


@dataclass(frozen=True)
class SweepRecord:
    """A sweep as its folder tells it. `importance` and `summary` are empty until it has ended."""

    about: dict[str, Any]  # sweep.json
    trials: list[TrialRow]
    importance: dict[str, float]
    summary: dict[str, Any]


def sweep_folder(name: str, runs: Path) -> Path:
    return runs / "sweeps" / name


def read_sweep(name: str, runs: Path) -> SweepRecord:
    """A sweep by name, in any state.

    Raises:
        HarnessError: it has not begun in these runs.
    """
    folder = sweep_folder(name, runs)
    about = read_json(folder / "sweep.json")
    if about is None:
        known = [path.parent.name for path in folder.parent.glob("*/sweep.json")]
        raise HarnessError(f"{folder}: no sweep {name!r} has begun there; {suggest(name, known)}")
    return SweepRecord(
        about,
        read_trials(folder / "trials.csv", about["asked"]["space"]),
        read_json(folder / "importance.json") or {},
        read_json(folder / "summary.json") or {},
    )


def write_trials(path: Path, keys: Sequence[str], rows: Sequence[TrialRow]) -> None:
    """Atomically; numbers so that they read back as they were."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow([*BEFORE, *keys, *AFTER])
    for row in rows:
        parameters = [row.parameters.get(key) for key in keys]
        table.writerow([row.number, row.state, row.value, *parameters, row.fingerprint, row.seconds, row.host])
    write_atomic(path, text.getvalue().encode())


def read_trials(path: Path, space: dict[str, dict[str, Any]]) -> list[TrialRow]:
    """The rows of trials.csv, none where there is no file yet. `space`: as in sweep.json, for what are numbers."""
    if not path.exists():
        return []
    with open(path, encoding="utf-8", newline="") as file:
        return [
            TrialRow(
                number=int(row["number"]),
                state=row["state"],
                value=_number(row["value"]),
                parameters={key: _point(row[key], table) for key, table in space.items() if row[key]},
                fingerprint=row["fingerprint"],
                seconds=_number(row["seconds"]),
                host=row["host"],
            )
            for row in csv.DictReader(file)
        ]


def winner(rows: Sequence[TrialRow], direction: str) -> TrialRow | None:
    """The best finished trial, the first of equals; None where none has finished."""
    sign = 1 if direction == "max" else -1
    finished = [row for row in rows if row.state == "COMPLETE" and row.value is not None]
    return max(finished, key=lambda row: (sign * (row.value or 0.0), -row.number), default=None)


def _number(text: str) -> float | None:
    return float(text) if text else None


def _point(text: str, table: dict[str, Any]) -> Point:
    """A column's entry as the study held it."""
    if "choices" not in table:
        return int(text) if text.lstrip("-").isdigit() else float(text)
    from harness.search.space import Choices

    return next((point for point in Choices(**table).points() if str(point) == text), text)
