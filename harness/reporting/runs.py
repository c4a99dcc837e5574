"""The runs behind a report. This is the one place where cells of the ledger are read: tables, figures, words and pages
take their numbers from `Run`."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import HarnessError
from harness.evaluation.bootstrap import Ranks, read_ranks
from harness.grids import Grid, PlannedCell
from harness.ledger import Cell, Ledger
from harness.ledger.comparable import Nothing, Now, Trained, differences, outdated, together
from harness.spec import RunSpec

OUTDATED = "an ensemble of members that were trained again since"
LEFT_OUT = "left out"  # stands as the state of a finished run whose result must not be averaged with the others


@dataclass(frozen=True, eq=False)
class Run:
    """A run that a grid plans, finished or not.

    Attributes:
        planned: its place on the axes of the grid, and what it trains.
        cell: its folder, which a run that has not begun does not have.
        result: the ledger's result.json; {} while the run is not finished, and where it is left out.
        failure: why it failed, or which file of it is damaged, in one line, or "".
        left_out: why the result does not count in this report, or "".
        other: why training it now would give something else, or "".
    """

    planned: PlannedCell
    cell: Cell
    state: str
    result: dict[str, Any]
    failure: str = ""
    left_out: str = ""
    other: str = ""

    @property
    def fingerprint(self) -> str:
        return self.planned.fingerprint

    @property
    def environment(self) -> dict[str, Any]:
        return self.result.get("environment") or {}

    @property
    def dataset(self) -> dict[str, Any]:
        """What the run recorded of its data: name, digest, whether dev doubles as test."""
        return self.result.get("dataset") or {}

    @property
    def noise_rate(self) -> float | None:
        """The realised rate."""
        return (self.result.get("noise") or {}).get("realised_rate")

    @property
    def seconds(self) -> float:
        return self.result.get("seconds") or 0.0

    @property
    def epochs(self) -> int:
        """How many it was trained, over all pieces; an older version did not write it into the result."""
        return self.result.get("epochs") or (len(self.cell.rows()) if self.result else 0)

    def score(self, metric: str, split: str, protocol: str) -> float | None:
        """One metric of the selected network on a split, under a protocol (which does not matter on dev)."""
        scored = self.result.get("dev") if split == "dev" else (self.result.get("test") or {}).get(protocol)
        return (scored or {}).get(metric)

    def alone(self, metric: str, protocol: str) -> list[float]:
        """One metric of each network by itself on the test split, where several score together; else nothing."""
        found = ((each.get("test") or {}).get(protocol, {}).get(metric) for each in self.result.get("networks", []))
        return [value for value in found if value is not None]

    def ranks(self, protocol: str) -> Ranks | None:
        """Of the test queries; None where the run kept none, or they are damaged."""
        path = self._file("ranks.npz")
        return None if path is None else read_ranks(path).get(protocol)

    def pairs(self) -> dict[str, NDArray[Any]]:
        """What a finished run knows of each of its training pairs; empty where it kept nothing, or that is damaged.

        Arrays (pairs,): `clean` (bool); `similarity`, `match` and, of a method with labels, `label` (float64).
        """
        pairs, labels = (self._file(name) if self.result else None for name in ("pairs.npz", "labels.npy"))
        if pairs is None:
            return {}
        with np.load(pairs, allow_pickle=False) as file:
            found = {name: file[name].astype(np.float64) for name in ("similarity", "match")} | {"clean": file["clean"]}
        if labels is not None:
            found["label"] = np.load(labels, allow_pickle=False).astype(np.float64)
        return found

    @property
    def damage(self) -> str:
        """Which of the files that a report reads beside the result is not what it was, in one line, or ""."""
        try:
            for name in ("ranks.npz", "pairs.npz", "labels.npy"):
                self.cell.file(name)
        except HarnessError as error:
            return str(error)
        return ""

    def _file(self, name: str) -> Path | None:
        try:
            return self.cell.file(name)
        except HarnessError:  # the report goes on without, and says so: `damage`
            return None


def read_run(spec: PlannedCell, ledger: Ledger) -> Run:
    """A planned run as its cell has it now."""
    cell = ledger.cell(spec.fingerprint)
    state = cell.state()
    result = (cell.result() or {}) if state == "done" else {}
    failure = (cell.failure() or {}).get("error", "") if state == "failed" else cell.damage()
    return Run(spec, cell, state, result, failure)


def read_cell(cell: Cell) -> Run:
    """A run that no grid plans: an ensemble, a trial of a search."""
    spec = PlannedCell(cell.name, cell.spec["labels"], RunSpec.from_table(cell.spec["run"]), cell.fingerprint)
    return read_run(spec, Ledger(cell.folder.parent))


def read_grids(grids: Iterable[Grid], ledger: Ledger, now: Now | None = None) -> list[Run]:
    """Every run of some grids once, then what `harness ensemble` scored over runs of theirs.

    Results that are not comparable do not stand together: those of `now` count, else those of the most frequent state
    of the data (harness/ledger/comparable.py); the others are left out.

    Args:
        now: what lies in the data folder; None where that is not known.
    """
    grids = list(grids)
    planned = {cell.fingerprint: read_run(cell, ledger) for grid in grids for cell in grid.cells}
    ensembles = _read_ensembles(ledger, {grid.name for grid in grids}, planned)
    return _judge(list({**planned, **ensembles}.values()), now or Nothing())


def _read_ensembles(ledger: Ledger, grids: set[str], planned: dict[str, Run]) -> dict[str, Run]:
    """The ensembles whose members are all planned: others are of settings that these grids do not have (any more)."""
    found = {}
    for cell in ledger.cells():
        members = [planned.get(name) for name in cell.spec.get("members", [])]
        if members and all(members) and cell.spec["grid"] in grids and cell.state() == "done":
            run, first = read_cell(cell), members[0]
            assert first is not None
            # The settings as the grid has them now: what is stored may lack a keyword that its members have gained.
            settings = first.planned.run.model_copy(update={"backbone": run.planned.run.backbone})
            found[cell.fingerprint] = replace(run, planned=replace(run.planned, run=settings))
    return found


def _judge(runs: list[Run], now: Now) -> list[Run]:
    """The runs with `left_out` and `other` as they are."""
    trained = {run.fingerprint: Trained(run.cell, run.result) for run in runs if run.result}
    why = {
        name: OUTDATED
        for name, seen in trained.items()
        if "members" in seen.cell.spec
        and outdated(seen, [trained[m] for m in seen.cell.spec["members"] if m in trained])
    }
    why |= together((seen for name, seen in trained.items() if name not in why), now)
    other = {name: ", ".join(differences(seen.cell, now).values()) for name, seen in trained.items() if name not in why}
    return [
        replace(run, state=LEFT_OUT, result={}, left_out=why[run.fingerprint])
        if run.fingerprint in why
        else replace(run, other=other.get(run.fingerprint, ""))
        for run in runs
    ]
