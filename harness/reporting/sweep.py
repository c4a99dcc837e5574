"""A search in print: its trials, its best, the paper's setting; read from the files that `harness sweep` leaves.

`runs/sweeps/NAME/` holds trials.csv (number, state, value, a column for each parameter by its dotted key, fingerprint,
seconds), importance.json ({parameter: share}) and summary.json, which appears when the search is over.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from harness.data.cards import CARDS
from harness.errors import HarnessError
from harness.files import read_json
from harness.grids import find, read_toml
from harness.grids.tables import merge
from harness.reporting.rendered import Listing

ABOUT = ("number", "state", "value", "fingerprint", "seconds", "host")  # columns that are no parameter
STATES = {"fail": "failed", "pruned": "stopped early"}  # in words
PAPER = 0  # the trial that has the paper's values


@dataclass(frozen=True)
class Trials:
    """A search as declared, and what is there of it.

    Attributes:
        budget: how many trials it is to have.
        best: which is better, "max" or "min".
        table: one row a trial, by number; `value` is NaN where there is none yet, `state` in lower case.
        parameters: the columns that are searched, dotted keys.
        log: the parameters that are drawn from a logarithmic scale.
        importance: parameter -> share; empty where it is not known.
        summary: what the search says of its winner, or {}.
    """

    name: str
    objective: str
    best: str
    budget: int
    dataset: str
    noise: Any
    table: pd.DataFrame
    parameters: list[str]
    log: set[str]
    importance: dict[str, float]
    summary: dict[str, Any]

    @property
    def complete(self) -> pd.DataFrame:
        """The trials with a value that counts."""
        return self.table[(self.table["state"] == "complete") & self.table["value"].notna()]

    @property
    def winner(self) -> "pd.Series[Any] | None":
        values = self.complete["value"]
        if values.empty:
            return None
        at = values.to_numpy().argmax() if self.best == "max" else values.to_numpy().argmin()
        return self.complete.iloc[int(at)]

    @property
    def paper(self) -> "pd.Series[Any] | None":
        found = self.complete[self.complete["number"] == PAPER]
        return None if found.empty else found.iloc[0]

    def numeric(self, parameter: str) -> bool:
        return pd.api.types.is_numeric_dtype(self.table[parameter]) and self.table[parameter].dtype != bool

    def ranked(self) -> list[str]:
        """The parameters, the most important first; in their own order where importance is not known."""
        return sorted(self.parameters, key=lambda name: -self.importance.get(name, 0.0))


def read(name: str, runs: Path, *, smoke: bool = False) -> Trials:
    """A search by its declaration's name; one that has not begun has no trials.

    Raises:
        HarnessError: no such declaration, or its trials.csv is not one.
    """
    declared = read_toml(find(name, "sweeps"))
    run = declared.get("run", {})
    space, budget = dict(declared.get("space", {})), declared.get("trials", 0)
    if smoke:
        small = declared.get("smoke", {})
        run, space = merge(run, small.get("run", {})), {**space, **small.get("space", {})}
        budget = small.get("trials", 3)
        name = f"{name}-smoke"
    folder = runs / "sweeps" / name
    table = _read_trials(folder / "trials.csv", list(space))
    return Trials(
        name,
        declared.get("objective", "dev/rsum"),
        declared.get("direction", "max"),
        budget,
        str(run.get("dataset", "")),
        run.get("noise"),
        table,
        [column for column in table.columns if column not in ABOUT],
        {key for key, choice in space.items() if isinstance(choice, dict) and choice.get("log")},
        read_json(folder / "importance.json") or {},
        read_json(folder / "summary.json") or {},
    )


def _read_trials(path: Path, space: list[str]) -> pd.DataFrame:
    if not path.exists():
        return pd.DataFrame(columns=["number", "state", "value", *space, "fingerprint", "seconds"])
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


def listing(trials: Trials) -> Listing:
    """Every trial: number, state, value, what it tried, its cell."""
    heads = ["Trial", "State", trials.objective, *trials.parameters, "Run", "Seconds"]
    numeric = [True, False, True, *map(trials.numeric, trials.parameters), False, True]
    rows = []
    for row in trials.table.to_dict("records"):
        state = STATES.get(row["state"], row["state"])
        value = "–" if pd.isna(row["value"]) else f"{row['value']:.1f}"
        seconds = "–" if pd.isna(row.get("seconds")) else f"{row['seconds']:.0f}"
        tried = [_text(row[name]) for name in trials.parameters]
        rows.append([str(row["number"]), state, value, *tried, _text(row.get("fingerprint")), seconds])
    return Listing(heads, rows, numeric)


def caption(title: str, trials: Trials) -> str:
    """What was searched on what, by what, and that test had no part in it."""
    card = CARDS.get(trials.dataset)
    noise = trials.noise if isinstance(trials.noise, str) else (trials.noise or {}).get("name", "")
    rate = trials.noise.get("rate") if isinstance(trials.noise, dict) else None
    data = card.title if card and card.title else trials.dataset
    better = "higher" if trials.best == "max" else "lower"
    sentences = (
        title,
        f"Dataset: {data}",
        f"Training pairs with {noise.replace('_', '-')} noise" + (f" at {100 * rate:g} %" if rate is not None else ""),
        f"Searched on {trials.objective} of the selected network, the {better} the better",
        "The test split had no part in the search",
        f"Trial {PAPER} has the paper's values",
    )
    return ". ".join(sentences) + "."


def notes(trials: Trials, *, smoke: bool) -> list[str]:
    """The winner beside the paper's setting, and what is missing with the command that makes it."""
    said = []
    winner, paper = trials.winner, trials.paper
    if winner is not None:
        said.append(f"Best: trial {winner['number']}, {winner['value']:.1f}, with {_setting(trials, winner)}.")
    if paper is not None and winner is not None and winner["number"] == PAPER:
        said.append("It is the paper's setting: nothing that was tried is better.")
    elif paper is not None and winner is not None:
        ahead = abs(winner["value"] - paper["value"])
        said.append(
            f"The paper's setting (trial {PAPER}): {paper['value']:.1f}, with {_setting(trials, paper)}; "
            f"{ahead:.1f} from the best, which is the best of {len(trials.complete)} and so looks better than it is."
        )
    said += _test(trials.summary)
    states = Counter(trials.table["state"].tolist())
    over = states.total() - states["running"] - states["waiting"]
    others = ", ".join(f"{n} {STATES.get(state, state)}" for state, n in sorted(states.items()) if state != "complete")
    if others:
        said.append(f"{len(trials.complete)} trials are complete; {others}.")
    if over < trials.budget:
        command = f"harness sweep {trials.name.removesuffix('-smoke') if smoke else trials.name}"
        said.append(
            f"{over} of {trials.budget} trials are over; `{command}{' --smoke' if smoke else ''}` makes the others."
        )
    return said


def _test(summary: dict[str, Any]) -> list[str]:
    test = summary.get("test") or {}
    figures = [f"{protocol}: rSum {metrics['rsum']:.1f}" for protocol, metrics in test.items() if "rsum" in metrics]
    return [f"The winner's network on the test split, scored once: {', '.join(figures)}."] if figures else []


def _setting(trials: Trials, row: "pd.Series[Any]") -> str:
    return ", ".join(f"{name} = {_text(row[name])}" for name in trials.parameters)


def _text(value: Any) -> str:
    if value is None or (isinstance(value, float) and pd.isna(value)):
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
