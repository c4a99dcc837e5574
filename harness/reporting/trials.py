"""The trials of a search, read from the files that `harness sweep` leaves in `runs/sweeps/NAME/`.

sweep.json says what is searched; trials.csv holds a row for each trial (number, state, value, a column for each
parameter by its dotted key, fingerprint, seconds, host); importance.json {parameter: share} and summary.json appear
when the search has ended.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from harness.errors import HarnessError
from harness.evaluation.measures import MEASURES
from harness.files import read_json

ABOUT = ("number", "state", "value", "fingerprint", "seconds", "host")  # columns that are no parameter
PAPER = 0  # the trial that has the paper's values

Trial = dict[str, Any]  # a row of the table by column; None where there is no value


@dataclass(frozen=True)
class Trials:
    """What there is of a search; the defaults are those of one that has not begun.

    Attributes:
        table: one row a trial, by number; `value` is NaN where there is none yet, `state` in lower case.
        run: the paper's, as its spec says it; {} before the search has begun.
        objective: what is searched on, as printed.
        budget: how many trials there are to be.
        log: the parameters that are drawn from a logarithmic scale.
        importance: parameter -> share; empty where it is not known.
        summary: what the search says of its winner, or {}.
    """

    table: pd.DataFrame
    run: dict[str, Any] = field(default_factory=dict)
    objective: str = "value"
    higher_is_better: bool = True
    budget: int = 0
    log: set[str] = field(default_factory=set)
    importance: dict[str, float] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)

    @property
    def parameters(self) -> list[str]:
        """The columns that are searched, dotted keys."""
        return [column for column in self.table.columns if column not in ABOUT]

    @property
    def complete(self) -> pd.DataFrame:
        """The trials with a value that counts."""
        return self.table[(self.table["state"] == "complete") & self.table["value"].notna()]

    @property
    def over(self) -> int:
        """How many have ended, with a value or without."""
        return int((~self.table["state"].isin(["running", "waiting"])).sum())

    @property
    def winner(self) -> Trial | None:
        """The best complete trial, the first of equals."""
        best = self.complete.sort_values("value", ascending=not self.higher_is_better, kind="stable")
        return next(iter(list_trials(best)), None)

    @property
    def paper(self) -> Trial | None:
        """The trial with the paper's values, if it is complete."""
        return next((trial for trial in list_trials(self.complete) if trial["number"] == PAPER), None)

    def is_numeric(self, parameter: str) -> bool:
        return pd.api.types.is_numeric_dtype(self.table[parameter]) and self.table[parameter].dtype != bool

    def by_importance(self) -> list[str]:
        """The parameters, the most important first; in their own order where importance is not known."""
        return sorted(self.parameters, key=lambda name: -self.importance.get(name, 0.0))


def read_trials(folder: Path) -> Trials:
    """A search by its folder.

    Raises:
        HarnessError: a file of it is not what a search writes.
    """
    table = _read_table(folder / "trials.csv")
    about = read_json(folder / "sweep.json")
    if about is None:
        return Trials(table)
    asked = about["asked"]
    split, _, metric = asked["objective"].partition("/")
    log = {name for name, choice in asked["space"].items() if choice.get("log")}
    importance, summary = (read_json(folder / f"{name}.json") or {} for name in ("importance", "summary"))
    objective = f"{split} {MEASURES[metric].title}"
    return Trials(
        table, asked["run"], objective, asked["direction"] == "max", about["trials"], log, importance, summary
    )


def list_trials(table: pd.DataFrame) -> list[Trial]:
    """The rows of a table of trials."""
    rows = table.to_dict("records")
    return [{str(name): None if pd.isna(value) else value for name, value in row.items()} for row in rows]


def _read_table(path: Path) -> pd.DataFrame:
    if not path.exists():
        return pd.DataFrame(columns=list(ABOUT))
    try:
        table = pd.read_csv(path, dtype={"fingerprint": str, "state": str}, keep_default_na=True)
    except (OSError, ValueError) as error:
        raise HarnessError(f"{path}: is not a table of trials ({error}); `harness sweep` writes it again") from None
    lacking = [column for column in ("number", "state", "value") if column not in table]
    if lacking:
        raise HarnessError(f"{path}: has no column {lacking[0]!r}; `harness sweep` writes it again")
    table["state"] = table["state"].str.lower()
    table["value"] = pd.to_numeric(table["value"], errors="coerce")
    return table.sort_values("number", ignore_index=True)
