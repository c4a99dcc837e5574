"""One file with everything that training changes, written atomically, checked when read, the previous one kept."""

import hashlib
import io
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from harness.errors import HarnessError
from harness.files import write_atomic
from harness.ledger import schema
from harness.ledger.schema import Checkpoint
from harness.methods.base import Feed
from harness.training.best import Best

if TYPE_CHECKING:
    from harness.training.trainer import Trainer

_DIGEST = 64  # hex digits of SHA-256 before the payload


def save(path: Path, state: dict[str, Any]) -> None:
    """Write `state` (tensors, numbers, strings, nested); what was at `path` becomes `<stem>.previous<suffix>`."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    payload = buffer.getbuffer()
    digest = hashlib.sha256(payload).hexdigest().encode()

    def write(file: Any) -> None:
        file.write(digest)
        file.write(payload)

    fresh = path.with_name(path.name + ".new")
    write_atomic(fresh, write)
    if path.exists():
        os.replace(path, previous(path))
    os.replace(fresh, path)


def load(path: Path) -> dict[str, Any] | None:
    """The newest checkpoint whose checksum holds, or None where there never was one.

    Tensors come to the CPU. A crash between the two renames of `save` leaves the fresh file beside the previous one,
    so all three names are tried, newest first.

    Raises:
        HarnessError: there are checkpoints, and each of them is damaged.
    """
    candidates = [p for p in (path.with_name(path.name + ".new"), path, previous(path)) if p.exists()]
    for candidate in candidates:
        state = _read(candidate)
        if state is not None:
            return state
    if candidates:
        raise HarnessError(
            f"{path}: every checkpoint of this cell is damaged (checksum); delete {path.parent} to train it afresh"
        )
    return None


def _read(path: Path) -> dict[str, Any] | None:
    """What is saved at `path`, or None where that is damaged, or is no file of ours."""
    try:
        content = path.read_bytes()
    except IsADirectoryError:
        raise HarnessError(f"{path}: is a folder; accepted: a checkpoint; move it away and continue") from None
    if hashlib.sha256(content[_DIGEST:]).hexdigest().encode() != content[:_DIGEST]:
        return None
    try:
        state = torch.load(io.BytesIO(content[_DIGEST:]), map_location="cpu", weights_only=True)
    except Exception:  # signed, but not what torch wrote: unpickling it may raise anything
        return None
    return state if isinstance(state, dict) else None


def previous(path: Path) -> Path:
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def gather(trainer: "Trainer", state: dict[str, torch.Tensor], epoch_seconds: float) -> Checkpoint:
    """Everything that training changes. state: the per-pair state, whole."""
    return Checkpoint(
        fingerprint=trainer.cell.fingerprint,
        data=trainer.data,
        position=asdict(trainer.at),
        networks=[schema.Network(**network.state_dict()) for network in trainer.networks],
        state=state,
        plan=None if trainer.plan is None else [_saved(feed) for feed in trainer.plan],
        best=dict(vars(trainer.best)),
        meters=trainer.meters.state(),
        seconds=trainer.seconds,
        epoch_seconds=epoch_seconds,
    )


def restore(trainer: "Trainer", saved: Checkpoint) -> None:
    """Put a trainer where `saved` was.

    Raises:
        HarnessError: it is of another run or of other data.
    """
    if saved.fingerprint != trainer.cell.fingerprint:
        raise HarnessError(
            f"{trainer.cell.folder}: its checkpoint is of the run {saved.fingerprint}; accepted: one of this run; "
            "delete the folder to train it afresh"
        )
    try:
        for what, value in trainer.data.items():
            if saved.data[what] != value:
                raise HarnessError(
                    f"{trainer.cell.folder}: the {what} differ from those this cell was begun with; bring the old data "
                    "back, or train it afresh with `harness run GRID --retrain`"
                )
        vars(trainer.at).update(asdict(type(trainer.at)(**saved.position)))
        for network, weights in zip(trainer.networks, saved.networks, strict=True):
            network.load_state_dict(vars(weights))
        for name, values in saved.state.items():
            trainer.state[name].copy_(values)
        trainer.plan = None if saved.plan is None else [_feed(feed) for feed in saved.plan]
        trainer.best = Best(**saved.best)
        trainer.meters.restore(saved.meters)
        trainer.seconds, trainer.epoch_seconds = saved.seconds, saved.epoch_seconds
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise HarnessError(
            f"{trainer.cell.folder}: its checkpoint does not fit this run ({type(error).__name__}: "
            f"{' '.join(str(error).split())[:200]}); delete the folder to train it afresh"
        ) from error


def _saved(feed: Feed) -> dict[str, Any]:
    images = None if feed.images is None else torch.from_numpy(feed.images)
    return {**vars(feed), "captions": torch.from_numpy(feed.captions), "images": images}


def _feed(saved: dict[str, Any]) -> Feed:
    images = None if saved["images"] is None else saved["images"].numpy()
    return Feed(**{**saved, "captions": saved["captions"].numpy(), "images": images})
