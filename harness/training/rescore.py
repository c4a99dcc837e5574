"""A run that differs from a finished one in its test protocols alone is scored, not trained again.

`evaluation.protocols` selects nothing, and yet a run's fingerprint covers it: a trial of a search, which leaves the
test split alone, must not be taken for the run that has test figures. So such a run takes over what the other trained.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np

from harness.backbones import Backbone
from harness.backbones.weights import load_networks
from harness.data import Dataset
from harness.errors import HarnessError
from harness.files import write_arrays, write_atomic
from harness.ledger import Cell, Ledger
from harness.spec import RunSpec
from harness.spec.fingerprint import ALGORITHM

TRAINED = ("metrics.jsonl", "noise.npy", "pairs.npz", "labels.npy", "label_history.npy", "vocabulary.json")
Score = Callable[[list[Backbone]], tuple[dict[str, Any], dict[str, np.ndarray]]]


def finished_twin(cell: Cell, dataset: Dataset) -> Cell | None:
    """The finished cell beside this one whose run has other protocols and is the same otherwise, on the data as they
    are, computed as this version computes."""
    wanted = _without_protocols(cell)
    for other in Ledger(cell.folder.parent).cells():
        if other.fingerprint == cell.fingerprint or other.spec["run"].get("seed") != wanted["seed"]:
            continue  # the cheap looks first: a ledger may hold a thousand cells, and a digest reads the data
        with suppress(HarnessError):  # a run of a method that is not known here
            if "members" in other.spec or _without_protocols(other) != wanted or other.state() != "done":
                continue
            result = other.result() or {}
            if result["algorithm"] == ALGORITHM and result["dataset"]["digest"] == dataset.digest():
                return other
    return None


def take_over(cell: Cell, twin: Cell, finished: str, score: Score) -> None:
    """Write the twin's training as this cell's, with test figures of its own.

    Args:
        finished: now, as `schema.Result` has it.
        score: networks -> the keys of `schema.Result` that the test split gives, and the arrays of ranks.npz.

    Raises:
        HarnessError: a file of the twin is damaged.
    """
    network = twin.file("model.safetensors")
    assert network is not None
    scored, ranks = score(load_networks(network))
    if ranks:
        write_arrays(cell.path("ranks.npz"), ranks)
    for path in twin.folder.iterdir():
        if path.name in TRAINED or path.suffix == ".safetensors":
            twin.file(path.name)
            write_atomic(cell.path(path.name), path.read_bytes())
    kept = {key: value for key, value in (twin.result() or {}).items() if key not in ("seal", "files", "networks")}
    cell.write_result({**kept, **scored, "fingerprint": cell.fingerprint, "finished": finished})


def _without_protocols(cell: Cell) -> dict[str, Any]:
    run = RunSpec.from_table(cell.spec["run"]).table()
    run["evaluation"].pop("protocols")
    return run
