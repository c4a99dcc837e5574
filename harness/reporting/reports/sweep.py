"""A report about a search: its trials, its best, the paper's setting."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pandas as pd

from harness.grids import find
from harness.ledger import Ledger
from harness.reporting.figures.sweep import draw_sweep
from harness.reporting.reports import words
from harness.reporting.reports.rendered import Rendered
from harness.reporting.rows.rows import Row
from harness.reporting.runs import Run, read_cell
from harness.reporting.spec import Report
from harness.reporting.tables.numbers import NOTHING, short
from harness.reporting.tables.table import Table, Value, number, plain
from harness.reporting.trials import PAPER, Trials, read_trials

STATES = {"fail": "failed", "pruned": "stopped early"}  # in words


def render_sweep(report: Report, sweep: str, ledger: Ledger) -> Rendered:
    """The trials of a search, and its figures.

    Raises:
        HarnessError: no such search is declared, or its files are not what a search writes.
    """
    name = find(sweep, "sweeps").stem
    trials = read_trials(ledger.root / "sweeps" / (f"{name}-smoke" if report.smoke else name))
    runs = {
        fingerprint: read_cell(ledger.cell(fingerprint))
        for fingerprint in trials.table["fingerprint"].dropna().unique()
        if ledger.cell(fingerprint).path("spec.json").exists()
    }
    command = f"harness sweep {name}{' --smoke' if report.smoke else ''}"
    return Rendered(
        report, caption_trials(report.title, trials), tabulate_trials(trials), list(_rows(trials, runs)), trials.table,
        [*report.notes, *explain_trials(trials, command)], figures=draw_sweep(report.title, trials),
        runs=list(runs.values()),
    )  # fmt: skip


def tabulate_trials(trials: Trials) -> Table:
    """Every trial: number, state, value, what it tried, its cell."""
    titles = ["Trial", "State", trials.objective, *trials.parameters, "Run", "Seconds"]
    numeric = [True, False, True, *map(trials.is_numeric, trials.parameters), False, True]
    rows = [
        [
            str(row["number"]),
            STATES.get(row["state"], row["state"]),
            number(_known(row["value"])),
            *(_setting(row[name]) for name in trials.parameters),
            _setting(row.get("fingerprint")),
            number(_known(row.get("seconds")), 0),
        ]
        for row in trials.table.to_dict("records")
    ]
    return plain(titles, rows, numbers=[place for place, is_number in enumerate(numeric) if is_number], leads=True)


def caption_trials(title: str, trials: Trials) -> str:
    """What was searched on what, by what, and that test had no part in it."""
    if not trials.asked:
        return words.join_sentences(title, "The search has not begun")
    run = trials.asked["run"]
    rate = run["noise"].get("rate")
    noise = f"{words.hyphenate(run['noise']['name'])} noise" + ("" if rate is None else f" at {100 * rate:g} %")
    better = "higher" if trials.higher_is_better else "lower"
    return words.join_sentences(
        title,
        f"Dataset: {words.title_dataset(run['dataset'])}",
        f"Training pairs with {noise}",
        f"Searched on {trials.objective} of the selected network; {better} is better",
        "The test split had no part in the search",
        f"Trial {PAPER} has the paper's values",
    )


def explain_trials(trials: Trials, command: str) -> list[str]:
    """The winner beside the paper's setting, and what is missing with the command that makes it."""
    if not trials.asked:
        return [f"No trial has begun; `{command}` begins the search."]
    notes = []
    winner, paper = trials.winner, trials.paper
    if winner is not None:
        notes.append(f"Best: trial {winner['number']}, {winner['value']:.1f}, with {_settings(trials, winner)}.")
    if winner is not None and paper is not None:
        if winner["number"] == PAPER:
            notes.append("It is the paper's setting: nothing that was tried is better.")
        else:
            notes.append(
                f"The paper's setting (trial {PAPER}): {paper['value']:.1f}, with {_settings(trials, paper)}; "
                f"{abs(winner['value'] - paper['value']):.1f} from the best, which is the best of "
                f"{len(trials.complete)} and so looks better than it is."
            )
    test = (trials.summary.get("test") or {}).items()
    figures = ", ".join(f"{protocol}: rSum {metrics['rsum']:.1f}" for protocol, metrics in test if "rsum" in metrics)
    notes += [f"The winner's network on the test split, scored once: {figures}."] if figures else []
    states = Counter(trials.table["state"].tolist())
    others = ", ".join(f"{n} {STATES.get(state, state)}" for state, n in sorted(states.items()) if state != "complete")
    notes += [f"{len(trials.complete)} trials are complete; {others}."] if others else []
    over = states.total() - states["running"] - states["waiting"]
    if over < trials.budget:
        notes.append(f"{over} of {trials.budget} trials are over; `{command}` makes the others.")
    return notes


def _rows(trials: Trials, runs: dict[str, Run]) -> Iterator[Row]:
    """What stands behind each trial: its run, if it has one."""
    for place, name in zip(trials.table["number"], trials.table["fingerprint"], strict=True):
        mine = [runs[name]] if name in runs else []
        yield Row((place,), [run.spec.name for run in mine], mine)


def _settings(trials: Trials, row: "pd.Series[Any]") -> str:
    return ", ".join(f"{name} = {_setting(row[name]).text}" for name in trials.parameters)


def _setting(value: Any) -> Value:
    known = _known(value)
    return Value(NOTHING) if known is None else Value(short(known), str(known))


def _known(value: Any) -> Any:
    return None if value is None or pd.isna(value) else value
