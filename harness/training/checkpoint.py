"""One file with everything that training changes, written atomically, checked when read, the previous one kept."""

import hashlib
import io
import os
from pathlib import Path
from typing import Any

import torch

from harness.errors import HarnessError
from harness.files import write_atomic

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
        content = candidate.read_bytes()
        if hashlib.sha256(content[_DIGEST:]).hexdigest().encode() == content[:_DIGEST]:
            return dict(torch.load(io.BytesIO(content[_DIGEST:]), map_location="cpu", weights_only=True))
    if candidates:
        raise HarnessError(
            f"{path}: every checkpoint of this cell is damaged (checksum); delete {path.parent} to train it afresh"
        )
    return None


def previous(path: Path) -> Path:
    return path.with_name(f"{path.stem}.previous{path.suffix}")
