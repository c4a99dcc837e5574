"""A cell's files as MLflow's params, tags and metrics. Pure functions; nothing here knows mlflow."""

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from harness.printing.numbers import ordinal

LONGEST_PARAM = 6000  # MLflow cuts longer values without a word; the whole spec is an artifact anyway
HEADLINES = ("rsum", "auc")
LARGEST_BATCH = 800  # metrics in one call: MLflow takes 1,000 entries, and 100 tags and 100 params may come along


class Point(NamedTuple):
    """One value of one metric; `time` in unix milliseconds."""

    key: str
    value: float
    time: int
    step: int


def params(run: Mapping[str, Any]) -> dict[str, str]:
    """A run's settings by dotted name, e.g. {"method.beta": "0.8"}. Too long ones are left to the spec artifact."""
    flat = {name: _text(value) for name, value in flatten(run)}
    return {name: value for name, value in flat.items() if len(value) <= LONGEST_PARAM}


def flatten(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested tables as dotted names; lists are values."""
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def spec_tags(spec: Mapping[str, Any]) -> dict[str, str]:
    """Tags known before training: the fingerprint, and one tag `axis.NAME` for each axis of its grid."""
    plain = {key: str(spec[key]) for key in ("fingerprint", "grid", "sweep", "trial") if key in spec}
    axes = {f"axis.{name}": _text(value) for name, value in spec["labels"].items()}
    return {**plain, "group": group(spec), **axes}


def group(spec: Mapping[str, Any], result: Mapping[str, Any] | None = None) -> str:
    """What the pages may average over: the name without the seed, and six digits that stand for everything else.

    They are of every other setting, and at the end of the data and the code too: names are alike where a grid was
    edited, where an exception makes a cell differ, and where data were mended between two seeds.
    """
    name = " ".join(word for word in spec["cell"].split() if not word.startswith("seed="))
    same: dict[str, Any] = {key: value for key, value in spec["run"].items() if key != "seed"}
    if result is not None:
        same |= {"digest": result["dataset"]["digest"], "algorithm": result["algorithm"]}
    canonical = json.dumps(same, sort_keys=True, separators=(",", ":"))
    return f"{name} [{hashlib.sha256(canonical.encode()).hexdigest()[:6]}]"


def result_tags(result: Mapping[str, Any]) -> dict[str, str]:
    """Tags known at the end: what results must share to stand side by side. result.json has the rest."""
    environment = result.get("environment", {})
    tags = {"algorithm": str(result["algorithm"]), "dataset.digest": str(result["dataset"]["digest"])}
    tags |= {key: str(environment[key]) for key in ("device", "hostname") if environment.get(key)}
    if environment.get("git_commit"):
        tags["mlflow.source.git.commit"] = str(environment["git_commit"])
    return tags


def row_points(row: Mapping[str, Any]) -> list[Point]:
    """One epoch's row: its values at the epoch, counted from 1 as everywhere that people look; its sampled steps at the
    global step.

    The figures that runs are judged by stand first: a run's page lists them in the order of their first points. `epoch`
    stands last: a store that has it has the whole row, so it tells what is still to be logged. Times are
    computed from the row alone, so that logging a row again gives the same points, which MLflow then recognises.
    """
    end, seconds, epoch = float(row["time"]), float(row.get("seconds") or 0.0), ordinal(int(row["epoch"]))
    steps = row.get("steps") or []
    whole = {key: row["values"].get(key) for key in ("dev/rsum", "labels/auc", "train/loss")}
    whole |= {placed(key): value for key, value in row["values"].items()}
    whole |= {"progress/piece": _ordinal(row.get("piece")), "progress/seconds_per_epoch": row.get("seconds")}
    whole |= {f"system/{key}": value for key, value in row.get("system", {}).items()}
    points = [Point(key, value, _milliseconds(end), epoch) for key, value in _finite(whole)]
    for number, (step, values) in enumerate(steps, start=1):
        at = _milliseconds(end - seconds * (1 - number / len(steps)))
        named = {f"train/steps/{key.removeprefix('step/')}": value for key, value in values.items()}
        points += [Point(key, value, at, int(step)) for key, value in _finite(named)]
    return [*points, Point("epoch", float(epoch), _milliseconds(end), epoch)]


def placed(key: str) -> str:
    """A figure's name in the pages, which draw what lies under one prefix together, by the alphabet: the figures that
    runs are judged by stay, e.g. "dev/rsum", the others go one deeper, e.g. "dev/detail/i2t_r1"."""
    part, slash, name = key.rpartition("/")
    return key if name in HEADLINES or not slash or part == "train" else f"{part}/detail/{name}"


def result_points(result: Mapping[str, Any]) -> list[Point]:
    """The figures at the end, all at step 0 so that runs of any length stand side by side. What else the selected
    epoch has of dev and labels is in the curves, at `progress/selected_epoch`."""
    test = result["test"]
    named: dict[str, Any] = {}
    for protocol, metrics in test.items():
        prefix = "test/" if len(test) == 1 else f"test/{protocol}/"
        named |= {placed(prefix + key): value for key, value in metrics.items()}
    best = result.get("best") or {}
    named |= {"dev/rsum_selected": best.get("dev/rsum"), "progress/selected_epoch": _ordinal(best.get("epochs"))}
    named["progress/realised_noise"] = result.get("noise", {}).get("realised_rate")
    named["progress/seconds"] = result.get("seconds")
    at = finished(result)
    return [Point(key, value, at, 0) for key, value in _finite(named)]


def finished(result: Mapping[str, Any]) -> int:
    """When the run ended, in unix milliseconds."""
    return _milliseconds(datetime.fromisoformat(result["finished"]).timestamp())


def batches(rows: Iterable[list[Point]], most: int = LARGEST_BATCH) -> Iterator[list[Point]]:
    """Whole rows together while they fit into one call; only a row longer than a call is split."""
    batch: list[Point] = []
    for row in rows:
        if batch and len(batch) + len(row) > most:
            yield batch
            batch = []
        batch = [*batch, *row]
        while len(batch) > most:
            yield batch[:most]
            batch = batch[most:]
    if batch:
        yield batch


def _ordinal(place: int | None) -> int | None:
    return None if place is None else ordinal(place)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _finite(values: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Numbers that can be drawn: no NaN (a label AUC without noisy pairs), no infinity (kept as 1.8e308).

    To ten digits, so that a sum of recalls is 318.4 on the pages and not 318.40000000000003.
    """
    for key, value in values.items():
        if isinstance(value, int | float) and math.isfinite(value):
            yield key, float(f"{value:.10g}")


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
