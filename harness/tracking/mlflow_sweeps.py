"""A sweep's own MLflow run, the parent of those of its trials: what was tried, the best so far, at the end the files.

Reads `runs/sweeps/NAME/` as the search leaves it: sweep.json, trials.csv, summary.json.
"""

import csv
import hashlib
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock

from harness.files import read_json
from harness.tracking import records
from harness.tracking.store import Store, explain_failures, log
from harness.tracking.target import PATIENCE, SweepFigures

Row = dict[str, str]


def mirror_sweep(store: Store, folder: Path, *, figures: SweepFigures | None = None) -> None:
    """Bring a sweep's MLflow run up to date. Calling it again adds nothing.

    Raises:
        HarnessError: the store does not answer.
    """
    about = read_json(folder / "sweep.json")
    if about is None:
        return
    locks = folder.parent.parent / ".mirror"
    locks.mkdir(exist_ok=True)
    with explain_failures(store.uri), FileLock(locks / f"sweep-{about['name']}.lock", timeout=PATIENCE):
        _update(store, folder, about, figures)


def points(rows: Iterable[Row], direction: str, after: float = -1.0) -> Iterator[records.Point]:
    """The trials as metrics, step = number: value, best so far, seconds and the parameters that are numbers.

    Only trials before the first that has not ended, so that the best so far is a matter of numbers and not of who was
    quicker, and no point ever changes. `after`: the last number that the store has. `trial` stands last in each.
    """
    best: float | None = None
    pick = max if direction == "max" else min
    now = round(1000 * time.time())
    for row in rows:
        if row["state"] == "RUNNING":
            return
        value = _number(row["value"])
        if row["state"] == "COMPLETE" and value is not None:
            best = value if best is None else pick(best, value)
        number = int(row["number"])
        if number > after:
            parameters = {f"parameter/{key}": _number(row[key]) for key in _keys(row)}
            named = {"value": value, "best": best, "seconds": _number(row["seconds"]), **parameters, "trial": number}
            yield from (records.Point(key, float(v), now, number) for key, v in named.items() if v is not None)


def _update(store: Store, folder: Path, about: dict[str, Any], figures: SweepFigures | None) -> None:
    name, mark = about["name"], about["folder"]  # a sweep begun afresh in the same place is another run
    run = store.find_run(name, mark)
    if run is None:
        tags = {"kind": "sweep", "sweep": name, "grid": name, "fingerprint": mark, "digest": about["digest"]}
        state = about.get("state") or {}
        tags |= {f"dataset.{key}": str(value) for key, value in state.items() if key == "digest" and value}
        tags |= {"mlflow.source.name": "harness", "mlflow.source.type": "LOCAL", "ledger": str(folder.absolute())}
        run = store.client.create_run(store.experiment(name), tags=tags, run_name=f"sweep {name}")
        log(store, run.info.run_id, params=records.params(about["asked"]))
    run_id, has = run.info.run_id, run.data.tags
    new = list(points(_rows(folder / "trials.csv"), about["asked"]["direction"], run.data.metrics.get("trial", -1.0)))
    log(store, run_id, points=new)

    summary = read_json(folder / "summary.json")
    ended = _digest(folder) if summary else None
    if summary is None or has.get("mirrored") == ended:
        return
    for file in _files(folder):
        store.client.log_artifact(run_id, str(file))
    for title, figure in (figures(folder) if figures else {}).items():
        store.client.log_figure(run_id, figure, f"figures/{title}.png", save_kwargs={"dpi": 160})
    best = {f"best.{key}": str(value) for key, value in summary["parameters"].items()}
    best |= {"best.trial": str(summary["trial"]), "best.fingerprint": summary["fingerprint"]}
    best["best.value"] = str(summary["value"])
    log(store, run_id, tags={**best, "mirrored": str(ended)})
    store.client.set_terminated(run_id, status="FINISHED")


def _files(folder: Path) -> list[Path]:
    names = ("sweep.json", "trials.csv", "importance.json", f"{folder.name}_best.toml", "summary.json")
    return [folder / name for name in names if (folder / name).exists()]


def _rows(path: Path) -> list[Row]:
    if not path.exists():
        return []
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _keys(row: Row) -> list[str]:
    """The columns that are parameters: dotted names."""
    return [key for key in row if "." in key]


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _digest(folder: Path) -> str:
    """Of the files, so that a sweep whose budget was raised is mirrored again."""
    whole = hashlib.sha256()
    for file in _files(folder):
        whole.update(file.read_bytes())
    return whole.hexdigest()[:16]
