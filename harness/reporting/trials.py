"""The trials of a search, read from the files that `harness sweep` leaves in `runs/sweeps/NAME/`.

sweep.json says what is searched; trials.csv holds a row for each trial (number, state, value, a column for each
parameter by its dotted key, fingerprint, seconds, host); importance.json {parameter: share} and summary.json appear
when the search has ended.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from harness.errors import HarnessError
from harness.evaluation.measures import MEASURES
from harness.files import read_json

ABOUT = ("number", "state", "value", "fingerprint", "seconds", "host")  # columns that are no parameter
PAPER = 0  # the trial that has the paper's values


@dataclass(frozen=True)
class Trials:
    """What there is of a search.

    Attributes:
        about: sweep.json; {} before the search has begun.
        table: one row a trial, by number; `value` is NaN where there is none yet, `state` in lower case.
        importance: parameter -> share; empty where it is not known.
        summary: what the search says of its winner, or {}.
    """

    about: dict[str, Any]
    table: pd.DataFrame
    importance: dict[str, float]
    summary: dict[str, Any]

    @property
    def asked(self) -> dict[str, Any]:
        """All that the trials depend on: run, space, objective, direction, ..."""
        return self.about.get("asked", {})

    @property
    def objective(self) -> str:
        """What is searched on, as printed: "dev rSum"."""
        split, _, metric = self.asked.get("objective", "").partition("/")
        return f"{split} {MEASURES[metric].title}" if metric in MEASURES else "value"

    @property
    def higher_is_better(self) -> bool:
        return self.asked.get("direction") != "min"

    @property
    def budget(self) -> int:
        """How many trials there are to be."""
        return self.about.get("trials", 0)

    @property
    def parameters(self) -> list[str]:
        """The columns that are searched, dotted keys."""
        return [column for column in self.table.columns if column not in ABOUT]

    @property
    def complete(self) -> pd.DataFrame:
        """The trials with a value that counts."""
        return self.table[(self.table["state"] == "complete") & self.table["value"].notna()]

    @property
    def winner(self) -> "pd.Series[Any] | None":
        """The best complete trial, the first of equals."""
        done = self.complete
        if done.empty:
            return None
        values = done["value"].to_numpy()
        return done.iloc[int(values.argmax() if self.higher_is_better else values.argmin())]

    @property
    def paper(self) -> "pd.Series[Any] | None":
        found = self.complete[self.complete["number"] == PAPER]
        return None if found.empty else found.iloc[0]

    def is_numeric(self, parameter: str) -> bool:
        return pd.api.types.is_numeric_dtype(self.table[parameter]) and self.table[parameter].dtype != bool

    def is_log(self, parameter: str) -> bool:
        """Whether it is drawn from a logarithmic scale."""
        return bool(self.asked.get("space", {}).get(parameter, {}).get("log"))

    def by_importance(self) -> list[str]:
        """The parameters, the most important first; in their own order where importance is not known."""
        return sorted(self.parameters, key=lambda name: -self.importance.get(name, 0.0))


def read_trials(folder: Path) -> Trials:
    """A search by its folder; one that has not begun has no trials.

    Raises:
        HarnessError: a file of it is not what a search writes.
    """
    files = [read_json(folder / f"{name}.json") or {} for name in ("sweep", "importance", "summary")]
    return Trials(files[0], _read_table(folder / "trials.csv"), files[1], files[2])


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
