"""Who works on a cell: an atomic claim, a heartbeat, and taking over from the dead.

A process that shares the holder's kernel and process numbers sees its death at once; one on another machine, or in
another container, when its heartbeat has been silent for `SILENCE` seconds. Deciding and taking happen under a file
lock, so of many workers that want a cell one gets it. A holder that slept through its silence finds out at its next
`verify` and stops before it writes.
"""

import os
import socket
import threading
import time
import uuid
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from filelock import FileLock

from harness.errors import HarnessError
from harness.files import read_json, write_json
from harness.ledger import schema

LOCK = ".claim.lock"  # held while the claim is decided on
BEAT = 1.0  # seconds between heartbeats: what a progress display needs
SILENCE = 60.0  # seconds without one before another machine may take over: longer than a slow network disk stalls


class ClaimLost(Exception):
    """Another worker has taken the cell over; this one must not write to it any more."""


class Claim:
    """The right to work on one cell, held from `take` to `release`; beats in a thread meanwhile."""

    def __init__(self, folder: Path, token: str) -> None:
        self.folder = folder
        self.token = token
        self._progress: dict[str, Any] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True, name="heartbeat")
        self._thread.start()

    @classmethod
    def take(cls, folder: Path) -> "Claim | None":
        """The claim, or None while somebody alive holds it."""
        with FileLock(folder / LOCK):
            holder = read(folder)
            if holder is not None and alive(holder, folder):
                return None
            token = uuid.uuid4().hex
            me = {"token": token, "host": socket.gethostname(), "place": _place(), "pid": os.getpid()}
            (folder / "heartbeat.json").unlink(missing_ok=True)
            write_json(folder / "claim.json", {**me, "since": time.time(), "started": _started(os.getpid())})
            (folder / "failure.json").unlink(missing_ok=True)
        return cls(folder, token)

    def report(self, **progress: Any) -> None:
        """What the next heartbeat says."""
        self._progress = progress

    def verify(self) -> None:
        """Raises ClaimLost if another worker has taken over."""
        holder = read(self.folder)
        if holder is None or holder["token"] != self.token:
            raise ClaimLost(f"{self.folder}: another worker has taken this cell over")

    def release(self) -> None:
        self._stop.set()
        self._thread.join()
        with FileLock(self.folder / LOCK):
            holder = read(self.folder)
            if holder is not None and holder["token"] == self.token:
                (self.folder / "claim.json").unlink()

    def _beat(self) -> None:
        while True:
            with suppress(Exception):  # a disk that is full for a moment costs a beat, never the run
                write_json(self.folder / "heartbeat.json", {"time": time.time(), **self._progress})
            if self._stop.wait(BEAT):
                return


def read(folder: Path) -> dict[str, Any] | None:
    """The holder as `schema.Holder`, or None.

    Raises:
        HarnessError: claim.json is damaged.
    """
    path = folder / "claim.json"
    holder = read_json(path)
    return None if holder is None else schema.HOLDER.read(holder, path)


def alive(holder: dict[str, Any], folder: Path) -> bool:
    """Whether the holder of a claim still works: its process where its number means something, else its heartbeat."""
    if holder["host"] == socket.gethostname() and holder.get("place", _place()) == _place():
        if holder["started"] is None:
            return _running(holder["pid"])
        return _started(holder["pid"]) == holder["started"]
    return not _silent(folder, max(heartbeat(folder).get("time", 0.0), holder["since"]))


def heartbeat(folder: Path) -> dict[str, Any]:
    """The holder's last word; {} where there is none that can be read."""
    with suppress(HarnessError):
        beat = read_json(folder / "heartbeat.json")
        if isinstance(beat, dict) and isinstance(beat.get("time"), float):
            return beat
    return {}


def words(folder: Path) -> str:
    """Who works on a cell, in words."""
    holder = read(folder)
    if holder is None:
        return "somebody"
    since = time.strftime("%Y-%m-%d %H:%M", time.localtime(holder["since"]))
    return f"process {holder['pid']} on {holder['host']} since {since}"


_ahead: dict[Path, tuple[float, float]] = {}  # folder -> a stamp from the future, and our own clock when it came


def _silent(folder: Path, stamp: float) -> bool:
    """Whether nothing was heard since `stamp` for too long. A clock ahead of ours is not believed: there it counts
    whether the stamp changes while we look."""
    age = time.time() - stamp
    if age >= 0:
        return age >= SILENCE
    if _ahead.get(folder, (None, 0.0))[0] != stamp:
        _ahead[folder] = (stamp, time.monotonic())
    return time.monotonic() - _ahead[folder][1] >= SILENCE


@cache
def _place() -> str:
    """Where process numbers mean the same: this boot of this kernel, and this namespace of processes. Linux only."""
    with suppress(OSError):
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {os.readlink('/proc/self/ns/pid')}"
    return ""


def _started(pid: int) -> int | None:
    """When a process started, in the kernel's ticks: tells it from a later one with the same number. Linux only."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == "Z" else int(fields[19])


def _running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
