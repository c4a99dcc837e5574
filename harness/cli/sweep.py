"""`harness sweep`: search hyperparameters on dev."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from harness.cli import options


@click.command()
@click.argument("sweep_name", metavar="SWEEP", shell_complete=options.complete_names("sweeps"))
@options.runs
@options.data
@options.smoke
@click.option(
    "--jobs", "-j", type=click.IntRange(min=1), default=1, show_default=True, help="How many trials run at once."
)
@options.launcher
@click.option("--trials", type=click.IntRange(min=1), help="How many trials in all.  [default: what the sweep says]")
@options.storage
@click.option(
    "--retrain", is_flag=True,
    help="Begin again a search that is on other data or code than now; the old one moves to runs/.old.",
)  # fmt: skip
@options.mirrors
@options.machine
def command(
    sweep_name: str,
    runs: Path,
    data: Path,
    smoke: bool,
    jobs: int,
    launcher: str,
    profile: Path | None,
    trials: int | None,
    storage: str | None,
    retrain: bool,
    mirrors: list[str],
    machine: dict[str, Any],
) -> None:
    """Search the space of SWEEP (a name in sweeps/ or a .toml file) for the best dev score.

    Trial 0 is the paper's setting. Run the same command again to continue: killed trials continue from their
    checkpoint, and missing trials are made. Several sweeps may run at once in one runs folder. At the end the winner
    alone is scored on test, once. `harness run` with NAME_best.toml confirms it on several seeds. A search does not go
    on when its data have changed, because its trials could not be compared.
    """
    from harness.data.now import DataNow
    from harness.grids import PlannedCell
    from harness.launch.pool import machine_options
    from harness.launch.prepare import prepare_data
    from harness.launch.profile import open_engine
    from harness.ledger import Ledger
    from harness.printing.numbers import count
    from harness.reporting.shown import EXTRAS
    from harness.search import load_sweep
    from harness.search.launcher import Launcher, settings_of, words
    from harness.search.outcome import write_outcome
    from harness.search.records import sweep_folder, winner
    from harness.search.state import differing, set_aside_sweep, state_now
    from harness.search.study import Study
    from harness.spec import fingerprint
    from harness.tracking import Mirror
    from harness.training.machine import Machine

    sweep = load_sweep(sweep_name, smoke=smoke, trials=trials)
    # The workers of a cluster may have another device.
    here = Machine(**{**machine, "device": machine["device"] if launcher == "local" else "auto"})
    here.torch_device()  # a missing device ends it now, and not in every worker
    engine = open_engine(launcher, jobs, profile)
    run = sweep.run(sweep.paper)
    prepare_data([PlannedCell(sweep.name, {}, run, fingerprint(run))], data)
    worker_options = machine_options(machine)
    ledger, folder = Ledger(runs), sweep_folder(sweep.name, runs)
    now = DataNow(data)
    state = state_now(sweep, now)
    why = differing(folder, state)
    if why and retrain:
        print(f"again   {sweep.name} was begun on {why}; what there was is in {set_aside_sweep(folder)}")
    extras = replace(EXTRAS, sweep_figures=lambda at: _draw(sweep.title, at))
    mirror = Mirror(runs, targets=mirrors, grid=sweep.name, extras=extras, sweep=folder)
    study = Study(sweep, folder, storage, state=state)
    try:
        search = Launcher(
            sweep, study, ledger, data,
            engine=engine, jobs=jobs, worker_options=worker_options, now=now, retrain=retrain,
        )  # fmt: skip
        rows = search.run(mirror.update)
        importance = study.importance()
        summary = write_outcome(sweep, rows, importance, folder=folder, ledger=ledger, data=data, machine=here)
        study.show_winner(summary["trial"], summary["test"])
    finally:
        study.close()
        engine.close()
    mirror.update(search.cells)
    mirror.close()
    if mirror.complaint:
        print(f"warning: {mirror.complaint}", file=sys.stderr)
    best = winner(rows, sweep.direction)
    assert best is not None
    counts = ", ".join(f"{number} {state.lower()}" for state, number in summary["trials"].items())
    test = "  ".join(f"test {protocol} rSum {m['rsum']:.1f}" for protocol, m in summary["test"].items())
    print(f"{sweep.name}: {count(len(rows), 'trial')}, {counts}")
    print(f"winner  trial {best.number}: {settings_of(best)}  {words(sweep, best.value)}  {test}")
    print(f"paper   trial 0: {settings_of(rows[0])}  {words(sweep, rows[0].value)}")
    settings = "this setting" if best.parameters == rows[0].parameters else "both"
    grid = folder / f"{sweep.name}_best.toml"
    print(f"next    `harness run {grid}` trains {settings} with {count(len(sweep.seeds), 'seed')}")


def _draw(title: str, folder: Path) -> dict[str, Any]:
    """The figures of a sweep's report, by name."""
    from harness.reporting.figures.sweep import draw_sweep
    from harness.reporting.trials import read_trials

    return {name or "history": figure for name, figure in draw_sweep(title, read_trials(folder)).items()}
