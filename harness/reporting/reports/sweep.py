"""A report about a search: its trials, its best, the paper's setting."""

from collections import Counter

from harness.errors import HarnessError
from harness.grids import find, name_of
from harness.ledger import Ledger
from harness.ledger.comparable import Nothing, Now, Trained, differences, together
from harness.printing.numbers import NOTHING, count, short
from harness.printing.table import Table, Value, number, plain
from harness.reporting.declaration import Report
from harness.reporting.figures.sweep import draw_sweep
from harness.reporting.reports import words
from harness.reporting.reports.rendered import Rendered
from harness.reporting.rows.rows import Row
from harness.reporting.runs import read_cell
from harness.reporting.trials import PAPER, Trial, Trials, list_trials, read_trials

STATES = {"fail": "failed", "pruned": "stopped early"}  # in words


def render_sweep(report: Report, sweep: str, ledger: Ledger, now: Now | None = None) -> Rendered:
    """The trials of a search, and its figures.

    Raises:
        HarnessError: no such search is declared, its files are not what a search writes, or its trials were trained on
            different data, so that there is no best of them.
    """
    name = name_of(find(sweep, "sweeps"), "sweeps")
    trials = read_trials(ledger.root / "sweeps" / (f"{name}-smoke" if report.smoke else name))
    command = f"harness sweep {sweep}{' --smoke' if report.smoke else ''}"
    rows = []  # what stands behind each trial: its run, if it has one
    for trial in list_trials(trials.table):
        cells = [ledger.cell(trial["fingerprint"])] if trial["fingerprint"] else []
        runs = [read_cell(cell) for cell in cells if cell.path("spec.json").exists()]
        rows.append(Row((trial["number"],), [run.planned.name for run in runs], runs))
    seen = [Trained(run.cell, run.result) for row in rows for run in row.runs if run.result]
    apart = together(seen, Nothing())
    if apart:
        raise HarnessError(
            f"{report.name}: {len(apart)} of {len(seen)} finished trials of the sweep {name} were "
            f"{' or '.join(sorted(set(apart.values())))}, so their values cannot be held against the others'; "
            f"`{command} --retrain` begins the sweep again and keeps the old one"
        )
    other = {", ".join(differences(each.cell, now).values()) for each in seen} - {""} if now else set()
    notes = [f"Its trials: {why}; `{command} --retrain` begins the sweep again." for why in sorted(other)]
    return Rendered(
        report, caption_trials(report.title, trials), tabulate_trials(trials), rows, ["trial"], trials.table,
        [*report.notes, *explain_trials(trials, command), *notes], figures=draw_sweep(report.title, trials),
        trials=(trials.over, trials.budget if trials.run else 0),
    )  # fmt: skip


def tabulate_trials(trials: Trials) -> Table:
    """Every trial: number, state, value, what it tried, its cell."""
    titles = ["Trial", "State", trials.objective, *trials.parameters, "Run", "Seconds"]
    numeric = [True, False, True, *map(trials.is_numeric, trials.parameters), False, True]
    rows: list[list[str | Value]] = [
        [
            str(trial["number"]),
            _word(trial["state"]),
            number(trial["value"]),
            *(Value(_setting(trial, name), str(trial[name])) for name in trials.parameters),
            trial["fingerprint"] or NOTHING,
            number(trial["seconds"], 0),
        ]
        for trial in list_trials(trials.table)
    ]
    return plain(titles, rows, numbers=[place for place, is_number in enumerate(numeric) if is_number], leads=True)


def caption_trials(title: str, trials: Trials) -> str:
    """What was searched on what, by what, and that test had no part in it."""
    if not trials.run:
        return words.join_sentences(title, "The search has not begun")
    noise = trials.run["noise"]
    rate = f" at {100 * noise['rate']:g} %" if noise.get("rate") is not None else ""
    return words.join_sentences(
        title,
        f"Dataset: {words.title_dataset(trials.run['dataset'])}",
        f"Training pairs with {words.hyphenate(noise['name'])} noise{rate}",
        f"Searched on {trials.objective} of the selected network; {'higher' if trials.higher_is_better else 'lower'} "
        "is better",
        "The test split had no part in the search",
        f"Trial {PAPER} has the paper's values",
    )


def explain_trials(trials: Trials, command: str) -> list[str]:
    """The winner beside the paper's setting, and what is missing with the command that makes it."""
    if not trials.run:
        return [f"No trial has begun; `{command}` begins the search."]
    notes = []
    winner, paper = trials.winner, trials.paper
    if winner:
        notes.append(f"Best: trial {winner['number']}, {winner['value']:.1f}, with {_settings(trials, winner)}.")
    if winner and winner == paper:
        notes.append("It is the paper's setting: nothing that was tried is better.")
    elif winner and paper:
        notes.append(
            f"The paper's setting (trial {PAPER}): {paper['value']:.1f}, with {_settings(trials, paper)}; "
            f"{abs(winner['value'] - paper['value']):.1f} from the best, which is the best of {len(trials.complete)} "
            "and so looks better than it is."
        )
    test = (trials.summary.get("test") or {}).items()
    figures = ", ".join(f"{protocol}: rSum {metrics['rsum']:.1f}" for protocol, metrics in test if "rsum" in metrics)
    notes += [f"The winner's network on the test split, scored once: {figures}."] if figures else []
    states = Counter(trials.table["state"].tolist())
    others = ", ".join(f"{n} {_word(state)}" for state, n in sorted(states.items()) if state != "complete")
    notes += [f"{count(len(trials.complete), 'trial')} complete; {others}."] if others else []
    if trials.over < trials.budget:
        notes.append(f"{trials.over} of {count(trials.budget, 'trial')} are over; `{command}` makes the others.")
    return notes


def _word(state: str) -> str:
    return STATES.get(state, state)


def _settings(trials: Trials, trial: Trial) -> str:
    return ", ".join(f"{name} = {_setting(trial, name)}" for name in trials.parameters)


def _setting(trial: Trial, name: str) -> str:
    return NOTHING if trial[name] is None else short(trial[name])
