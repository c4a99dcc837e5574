"""The mean similarity of several finished runs, kept in the ledger as a cell of its own."""

import datetime
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.backbones.weights import load_networks
from harness.data.now import DataNow
from harness.errors import HarnessError
from harness.evaluation import folds, protocols, scoring
from harness.files import write_arrays
from harness.ledger import Cell, Claim, Ledger
from harness.ledger.aside import set_aside
from harness.ledger.comparable import Now, Trained, again, apart, differences, outdated
from harness.spec import RunSpec
from harness.training.data import open_for
from harness.training.machine import Machine, environment


def score_ensemble(
    members: Sequence[Cell], ledger: Ledger, data: Path, machine: Machine, *, name: str | None = None
) -> Cell:
    """Score the mean of the members' similarities on the test split; a finished one of these very members is left as
    it is, one of members that have been trained again since is moved aside.

    SGRAF in the field's tables is this: SAF and SGR trained apart, their similarity matrices averaged.

    Raises:
        HarnessError: a member is not finished; they differ in more than the backbone, or were trained on other data or
            pairs; or the data are others now, so that the networks would be scored on a test split of another state.
    """
    for member in members:
        if member.state() != "done":
            raise HarnessError(f"{member.name}: is {member.state()}, not done; `harness run` it first")
    _refuse_others(members, DataNow(data))
    runs = [RunSpec.from_table(member.spec["run"]) for member in members]
    for run, member in zip(runs, members, strict=True):
        differing = [
            key for key in RunSpec.model_fields if key != "backbone" and getattr(run, key) != getattr(runs[0], key)
        ]
        if differing:
            raise HarnessError(
                f"{member.name} and {members[0].name} differ in {', '.join(differing)}; an ensemble's members "
                "differ in the backbone alone"
            )
    cell = ledger.add(_entry(members, name))
    for scored in Trained.of([cell]):
        if not outdated(scored, Trained.of(members)):
            return cell
        set_aside(cell, scored.result)
    claim = Claim.take(cell.folder)
    if claim is None:
        raise HarnessError(f"{cell.name}: another process is scoring it; wait for it")
    try:
        cell.write_result(_score(cell, members, runs[0], data, machine))
    finally:
        claim.release()
    return cell


def _refuse_others(members: Sequence[Cell], now: Now) -> None:
    for member in members:
        reasons = differences(member, now)
        why = reasons.get("data") or reasons.get("code")
        if why:
            raise HarnessError(
                f"{member.name}: {why}; accepted: members of what lies there now; bring the old data back (--data), or "
                f"{again(member)} trains it again"
            )
    first, *others = Trained.of(members)
    for other in others:
        for why in apart(first, other, now).values():
            raise HarnessError(
                f"{first.cell.name} and {other.cell.name}: {why}; accepted: members of the same; "
                f"{again(other.cell)} trains one of them again"
            )


def _entry(members: Sequence[Cell], name: str | None) -> dict[str, Any]:
    fingerprints = sorted(member.fingerprint for member in members)
    backbones = sorted({member.spec["run"]["backbone"]["name"] for member in members})
    name = name or ("sgraf" if backbones == ["saf", "sgr"] else "+".join(backbones))
    first = members[0].spec
    labels = {**first["labels"], "backbone": name}
    words = [value if isinstance(value, str) else f"{axis}={value}" for axis, value in labels.items()]
    return {
        "fingerprint": hashlib.sha256("+".join(fingerprints).encode()).hexdigest()[:16],
        "grid": first["grid"],
        "cell": " ".join(words),
        "labels": labels,
        "members": fingerprints,
        "run": {**first["run"], "backbone": {"name": name}},
    }


def _score(cell: Cell, members: Sequence[Cell], run: RunSpec, data: Path, machine: Machine) -> dict[str, Any]:
    device = machine.torch_device()
    total = None
    for member in members:
        dataset = open_for(RunSpec.from_table(member.spec["run"]), data)
        split = dataset.split("test")
        backbones = [
            backbone.to(device)
            for backbone in load_networks(member.file("model.safetensors") or member.path("model.safetensors"))
        ]
        scores = scoring.score_matrices(backbones, split, device)[0]
        total = scores if total is None else total.add_(scores)
    assert total is not None
    mean = total.div_(len(members))
    names = protocols.of_test(run, dataset.card)
    test, ranks = folds.measure_all(mean, split.image_of_caption, names)
    write_arrays(cell.path("ranks.npz"), ranks)
    results = [seen.result for seen in Trained.of(members)]
    return {
        "fingerprint": cell.fingerprint,
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "selection": run.evaluation.selection,
        "members": [member.fingerprint for member in members],
        "members_finished": [result["finished"] for result in results],
        "test": test,
        "dev": None,
        "best": None,
        "labels": {},
        "noise": results[0]["noise"],
        "dataset": results[0]["dataset"],
        "environment": environment(machine, device),
        "seconds": 0.0,  # training time is the members'
        "steps": 0,
    }
