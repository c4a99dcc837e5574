"""The files that a later version must still read: spec.json, result.json, the rows of metrics.jsonl, the checkpoint.

Each carries `format`. A file without one is of format 1, the one before; it is read and brought to today's shape. A
file of a later format is refused in one line, and so is one that lacks a key or holds another kind of value: it is
damaged, or another program's. No torch here: a table of a thousand results needs none.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NotRequired

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict  # pydantic checks no other before Python 3.12

from harness.errors import HarnessError
from harness.spec.explain import explain

FORMAT = 2  # raised when a key of one of these files goes or changes its meaning; a key more does not need it

Metrics = dict[str, float | None]  # {"i2t_r1": ..., "rsum": ...}; None stands for NaN, which JSON has not


class Spec(TypedDict):
    """spec.json: what is trained."""

    format: int
    fingerprint: str  # of the run; the folder's name
    grid: str  # the grid that asked first
    cell: str  # readable name, "crcl noise.rate=0.4 seed=0"
    labels: dict[str, Any]  # axis -> value, or the variant's name
    run: dict[str, Any]  # the resolved run, as `RunSpec.table` gives it
    sweep: NotRequired[str]  # of a trial: its search
    trial: NotRequired[int]  # and its number there
    members: NotRequired[list[str]]  # of an ensemble: the fingerprints whose similarities are averaged


# Which epoch was selected. The functional form, for a key that is no identifier.
Best = TypedDict(
    "Best",
    {
        "piece": int,  # counted from 0
        "epoch": int,  # within the piece
        "epochs": int,  # the same epoch, counted from the beginning of the run
        "dev/rsum": float | None,
    },
)


class Noise(TypedDict):
    """The training pairs of a run."""

    realised_rate: float | None  # share of wrong pairs
    sha256: str  # of the pairing and the damaged captions


class Data(TypedDict):
    """The data set as it was when the run was trained and scored."""

    name: str
    digest: str  # see `Dataset.digest`
    images: int  # of the training split
    pairs: int  # of the training split
    test_is_dev: NotRequired[bool]  # the two splits hold the same images; the first version did not say
    reads: NotRequired[str]  # what the digest covers besides captions: "regions" or "pixels"; format 1 did not say
    dev_images: NotRequired[int | None]  # how many of the first dev images chose the epoch; None: all; as `reads`


class Result(TypedDict):
    """result.json: the figures at the end of a run, or of an ensemble."""

    format: int
    algorithm: int  # version of the computation (harness/spec/fingerprint.py); 1 where format 1 did not say
    fingerprint: str
    finished: str  # ISO 8601, UTC
    selection: str  # the rule that chose the epoch
    best: Best | None  # None for an ensemble
    dev: Metrics | None  # None for an ensemble
    test: dict[str, Metrics]  # by protocol; {} for a trial of a search
    labels: Metrics  # quality of the correspondence labels, {"labels/auc": ...}; {} for a method without
    noise: Noise
    dataset: Data
    environment: dict[str, Any]  # versions, device, commit, command; see `harness.training.machine.environment`
    seconds: float  # of training, evaluation of dev included
    steps: int  # optimiser steps
    epochs: NotRequired[int]  # trained, over all pieces
    peak_bytes: NotRequired[int]  # the most that the last process to train it held: on CUDA allocated, else resident
    parameters: NotRequired[int]  # numbers that the network has learnt
    networks: NotRequired[list[dict[str, Any]]]  # of several trained side by side: {"test": ...} of each alone
    members: NotRequired[list[str]]  # of an ensemble
    files: NotRequired[dict[str, str]]  # sha256 of each array and of the network beside it
    members_finished: NotRequired[list[str]]  # and when each of them finished: a member trained again is another one


class Holder(TypedDict):
    """claim.json: who works on a cell."""

    token: str
    host: str
    place: NotRequired[str]  # the boot and the namespace in which `pid` counts; the first versions did not say
    pid: int
    since: float  # unix seconds
    started: int | None  # when the process started, in the kernel's ticks


class Failure(TypedDict):
    """failure.json: why a run failed."""

    error: str  # in one line
    traceback: str
    time: float  # unix seconds
    position: dict[str, Any]  # where, as the heartbeat said it last


class Row(TypedDict):
    """A line of metrics.jsonl: one finished epoch."""

    format: int
    epoch: int  # counted from the beginning of the run
    piece: int
    epoch_in_piece: int
    step: int  # optimiser steps since the beginning of the run
    time: float  # unix seconds, at the epoch's end
    seconds: float  # that the epoch took
    values: Metrics  # "train/...", "dev/...", "labels/..."
    steps: list[list[Any]]  # sampled steps: [step, {"step/loss": ...}]
    system: NotRequired[Metrics]  # what the epoch took of the machine: see `harness.training.usage`
    history: NotRequired[int]  # CRC-32 of the epoch's row of label_history.npy


class Schema:
    """A kind of JSON file: how it is read.

    Args:
        kind: the TypedDict of today's format.
        what: it is, in words.
        since: keys that format 1 did not have, with what they stand for there.
    """

    def __init__(self, kind: type, what: str, since: Mapping[str, Any] | None = None) -> None:
        self.what, self.since = what, since or {}
        self._check: TypeAdapter[Any] = TypeAdapter(kind)

    def read(self, value: Any, path: Path) -> dict[str, Any]:
        """`value`, as JSON gives it from `path`, in today's format.

        Raises:
            HarnessError: it is of a later format, damaged, or no file of this kind.
        """
        if isinstance(value, dict):
            refuse_newer(value, str(path))
            value = {**self.since, **value, "format": FORMAT}
        try:
            self._check.validate_python(value)
        except ValidationError as error:
            raise HarnessError(
                f"{explain(error, where=str(path))}; accepted: {self.what} as this version writes it; the file is "
                f"damaged or another program's: move {path.parent} elsewhere and train the run again"
            ) from None
        checked: dict[str, Any] = value  # as it was: validation converts nothing
        return checked


SPEC = Schema(Spec, "a spec")
RESULT = Schema(Result, "a result", since={"algorithm": 1})
ROW = Schema(Row, "the row of an epoch")
HOLDER = Schema(Holder, "a claim")
FAILURE = Schema(Failure, "a failure")


@dataclass(frozen=True)
class Network:
    """One of the networks that are trained side by side."""

    weights: dict[str, Any]  # name -> tensor
    optimizers: dict[str, Any]  # part -> state of its optimiser; "main" is the network's own
    parts: dict[str, dict[str, Any]] = field(default_factory=dict)  # part beside the network -> its weights


@dataclass(frozen=True)
class Checkpoint:
    """checkpoint.pt: everything that training changes, so that a run continues as if it had never stopped.

    Holds tensors, numbers, strings and their nests alone: `torch.load(weights_only=True)` reads what `to_dict` gives.
    """

    fingerprint: str  # of the run; a checkpoint of another one is refused
    data: dict[str, str]  # sha256 of "training pairs" and "features or captions", compared when a run continues
    position: dict[str, int]  # the next step: piece, epoch, round, step; epochs and steps since the run began
    networks: list[Network]  # in the method's order
    state: dict[str, Any]  # what the method keeps per training pair: name -> tensor (pairs, ...), whole
    plan: list[dict[str, Any]] | None  # the round's feeds as `Feed` declares them, rows as tensors; None: not made yet
    best: dict[str, Any]  # the selected epoch: rsum, piece, epoch, epochs, dev; weights: a table per network, or None
    meters: dict[str, Any]  # of the epoch so far: the sum of each value, how many steps gave it, sampled steps
    seconds: float  # of training, up to the last finished epoch
    epoch_seconds: float  # of the epoch that is under way
    format: int = FORMAT

    def to_dict(self) -> dict[str, Any]:
        """Plain nests for `torch.save`; the tensors are the same ones, not copies."""
        table = {each.name: getattr(self, each.name) for each in fields(self)}
        return {**table, "networks": [dict(vars(network)) for network in self.networks]}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any], where: str = "checkpoint.pt") -> "Checkpoint":
        """What `to_dict` gave, or a checkpoint of format 1: one network, no rounds, no plan.

        Args:
            saved: as `torch.load` gives it.
            where: the file, for messages.

        Raises:
            HarnessError: it is of a later format, or a key is missing.
        """
        refuse_newer(saved, where)
        try:
            if "format" not in saved:
                saved = _from_format_1(saved)
            table = {each.name: saved[each.name] for each in fields(cls) if each.name not in ("networks", "format")}
            return cls(**table, networks=[Network(**network) for network in saved["networks"]])
        except (KeyError, TypeError) as error:
            raise HarnessError(
                f"{where}: {error} does not fit: no whole checkpoint of this harness; delete it to train the run afresh"
            ) from None


def refuse_newer(saved: Mapping[str, Any], where: str) -> None:
    """Raises HarnessError for a file that a later version wrote, or whose format is no number."""
    found = saved.get("format", 1)
    if not isinstance(found, int) or found > FORMAT:
        raise HarnessError(
            f"{where}: has format {found}, written by a newer version of harness; accepted: up to {FORMAT}; update"
        )


def _from_format_1(saved: Mapping[str, Any]) -> dict[str, Any]:
    best = dict(saved["best"])
    if best["weights"] is not None:
        best["weights"] = [best["weights"]]
    network = {"weights": saved["backbone"], "optimizers": {"main": saved["optimizer"]}, "parts": {}}
    sums, steps = saved["meters"]["sums"], saved["meters"]["count"]
    new = {
        "networks": [network],
        "plan": [],
        "best": best,
        "position": {"round": 0, **saved["position"]},
        "meters": {"sums": sums, "counts": dict.fromkeys(sums, steps), "samples": saved["meters"]["samples"]},
    }
    return {**saved, **new}
