"""What is written when a sweep has ended: the winner, its test figures, and the grid that confirms it."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock

from harness.data.now import DataNow
from harness.errors import HarnessError
from harness.files import read_json, remove_leftovers, write_atomic, write_json
from harness.grids.resolve import resolve_run
from harness.grids.toml import to_toml
from harness.ledger import Cell, Ledger
from harness.ledger.comparable import differences
from harness.printing.numbers import count
from harness.search.declaration import Sweep, Values, laid_over
from harness.search.records import TrialRow, winner
from harness.spec import fingerprint
from harness.training.machine import Machine


def write_outcome(
    sweep: Sweep, rows: Sequence[TrialRow], importance: tuple[dict[str, float], str], *, folder: Path,
    ledger: Ledger, data: Path, machine: Machine,
) -> dict[str, Any]:  # fmt: skip
    """importance.json, NAME_best.toml and summary.json of a sweep whose trials have all ended; gives the summary.

    Several launchers may come here; the first scores the winner on the test split, under a lock, and no other does. A
    larger budget may find another winner later; the figures of the earlier one stay in `scored`.

    Raises:
        HarnessError: no trial has finished, or the winner's network is gone.
    """
    best = winner(rows, sweep.direction)
    if best is None:
        raise HarnessError(
            f"{sweep.name}: none of {count(len(rows), 'trial')} has finished, so there is no winner; "
            "`harness status` and the log.txt in their folders say why: "
            f"{', '.join(row.fingerprint for row in rows[:3])}"
        )
    shares, judged = importance
    write_json(folder / "importance.json", shares)
    values = sweep.values(best.parameters)
    write_atomic(folder / f"{sweep.name}_best.toml", best_toml(sweep, best, values).encode())
    with FileLock(folder / ".test.lock"):
        remove_leftovers(folder, "summary.json")
        old: dict[str, Any] = read_json(folder / "summary.json") or {}
        scored: dict[str, Any] = old.get("scored", {})
        cell = ledger.cell(best.fingerprint)
        if best.fingerprint not in scored:
            scored[best.fingerprint] = score_winner(cell, sweep, values, data, machine)
        summary = {
            "sweep": sweep.name,
            "digest": sweep.digest(),
            "objective": sweep.objective,
            "direction": sweep.direction,
            "trials": dict(Counter(row.state for row in rows)),
            "trial": best.number,
            "fingerprint": best.fingerprint,
            "value": best.value,
            "parameters": best.parameters,
            "dev": (cell.result() or {})["dev"],
            "test": scored[best.fingerprint],
            "paper": {"trial": 0, "value": rows[0].value, "parameters": sweep.points(sweep.paper)},
            "importance": judged,
            "scored": scored,  # fingerprint -> test figures of every winner there has been
        }
        if summary != old:
            write_json(folder / "summary.json", summary)
    return summary


def score_winner(cell: Cell, sweep: Sweep, values: Values, data: Path, machine: Machine) -> dict[str, dict[str, float]]:
    """The test split through the network that the winning trial has kept: protocol -> metrics."""
    from harness.backbones.weights import load_networks
    from harness.training.data import open_for
    from harness.training.work import score_test

    network = cell.file("model.safetensors")
    if network is None:
        raise HarnessError(
            f"{cell.folder}: the network of the winner is gone (model.safetensors); delete the folder and "
            f"{sweep.name}'s summary.json, then `harness run` the grid {sweep.name}_best.toml beside it"
        )
    other = differences(cell, DataNow(data)).get("data")
    if other:
        raise HarnessError(
            f"{cell.name}: the winner was {other}; accepted: the test split of the data it was trained on; bring them "
            f"back (--data), or begin the sweep again with --retrain"
        )
    run = resolve_run(laid_over(sweep.base, values), f"{sweep.path}: the winner")
    device = machine.torch_device()
    backbones = [backbone.to(device) for backbone in load_networks(network)]
    return score_test(backbones, open_for(run, data), run, device)[0]["test"]


def best_toml(sweep: Sweep, best: TrialRow, values: Values) -> str:
    """A grid: the winner's setting beside the paper's, with the seeds of [confirm]."""
    settings = {"best": values, "paper": sweep.paper}
    found = f"Trial {best.number}, {sweep.objective} {best.value:.2f}, seed {sweep.run(values).seed}."
    if fingerprint(sweep.run(values)) == fingerprint(sweep.run(sweep.paper)):
        settings = {"paper": sweep.paper}
        found += " It is the paper's setting: nothing that was tried is better."
    grid = {
        "title": f"{sweep.title}: the winner beside the paper",
        "claim": f"What wins on dev with one seed still wins with {count(len(sweep.seeds), 'seed')}.",
        "run": {name: value for name, value in sweep.base.items() if name != "seed"},
        "axes": {
            "seed": sweep.seeds,
            "setting": {name: laid_over({}, setting) for name, setting in settings.items()},
        },
    }
    return f"# Written by `harness sweep {sweep.name}`. {found}\n{to_toml(grid)}"
