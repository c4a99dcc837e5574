"""Which known failures a run shows: those that can befall every method, and those of its own."""

from collections.abc import Iterable
from dataclasses import dataclass

from harness.ledger import Cell
from harness.ledger.comparable import Trained, TrainedOn
from harness.methods import crcl_failures
from harness.methods.failures import GENERAL, History, Signature, Verdict

OF_METHOD: dict[str, dict[str, Signature]] = {"crcl": crcl_failures.SIGNATURES}
NOT_BEGUN = "nothing to judge"  # stands for every signature of a run without an epoch


@dataclass(frozen=True)
class Finding:
    """One signature of failure in one run: whether it is there, and the figures that say so."""

    signature: str
    verdict: Verdict
    words: str


def diagnose(cell: Cell, others: Iterable[Cell] = ()) -> list[Finding]:
    """Every signature of a run's method, and the general ones.

    Args:
        cell: the run, finished or not.
        others: runs to compare with; those of its method that are finished tell whether a setting did harm.
    """
    state = _state(cell)
    known = [
        History(other.spec["run"], [], _dev_rsum(other))
        for other in others
        if other.fingerprint != cell.fingerprint and _state(other) == state
    ]
    return _look(History(cell.spec["run"], cell.rows(), _dev_rsum(cell)), known)


def diagnose_all(cells: Iterable[Cell]) -> dict[str, list[Finding]]:
    """Fingerprint -> what `diagnose` says of each run among all of them, every file read once."""
    known = [
        (_state(cell), cell.fingerprint, History(cell.spec["run"], cell.rows(), _dev_rsum(cell))) for cell in cells
    ]
    return {
        name: _look(run, [other for same, _, other in known if other is not run and same == state])
        for state, name, run in known
    }


def _look(run: History, others: Iterable[History]) -> list[Finding]:
    if not run.rows:
        return [Finding(NOT_BEGUN, "not judged", "the run has no finished epoch yet")]
    method = run.settings["method"]["name"]
    comparable = [other for other in others if other.rsum is not None and other.settings["method"]["name"] == method]
    signatures = GENERAL | OF_METHOD.get(method, {})
    return [Finding(name, *look(run, comparable)) for name, look in signatures.items()]


def _state(cell: Cell) -> TrainedOn | None:
    """What a finished run was trained on: the dev figures of two runs are held against each other if it is the same."""
    return next((seen.state for seen in Trained.of([cell])), None)


def _dev_rsum(cell: Cell) -> float | None:
    best = (cell.result() or {}).get("best")  # an ensemble has none
    return best["dev/rsum"] if best else None
