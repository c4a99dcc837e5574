"""The build on disk: a folder `OUT.partial` that becomes `OUT` by one rename, and continues after a kill.

Features go straight to their place in the `.npy` files, by writes and not through a memory map: on a full disk a map
kills the process (SIGBUS), while a write raises an error that makes one line. For the same reason the space is reserved
before the first picture is encoded.
"""

import hashlib
import json
import math
import os
import shutil
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np

from harness.errors import HarnessError
from harness.files import FULL, explain_write_error, read_json, remove_leftovers, write_atomic, write_json

PROGRESS = "progress.json"
SETTINGS = "build.json"  # also what marks a finished folder as made by a build


class Store:
    """The unfinished folder; `done` counts the pictures whose features are written, over all splits."""

    def __init__(self, out: Path, settings: dict[str, Any]) -> None:
        self.out = out
        self.folder = out.with_name(out.name + ".partial")
        self.settings = settings
        self.done = 0
        self._stamps = hashlib.sha256()
        self._files: dict[str, tuple[FileIO, int]] = {}  # split -> file, where its rows start
        self._row_bytes = 0

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the feature files; closing twice is harmless."""
        for file, _start in self._files.values():
            file.close()
        self._files.clear()

    def resume(self, stamps: list[str], *, overwrite: bool = False) -> None:
        """Start, or continue what a former process left.

        Args:
            stamps: what identifies each picture's content, in order; those encoded have to be as they were.
            overwrite: throw away what cannot be continued.

        Raises:
            HarnessError: the unfinished build has other settings or other pictures.
        """
        progress = read_json(self.folder / PROGRESS)
        if progress is not None:
            try:
                self._accept(progress, stamps)
                return
            except HarnessError:
                if not overwrite:
                    raise
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()

    def _accept(self, progress: dict[str, Any], stamps: list[str]) -> None:
        refuse_other_settings(self.folder, "an unfinished build", progress["settings"], self.settings)
        digest = _digest(stamps[: progress["done"]])
        if digest.hexdigest() != progress["pictures"]:
            raise HarnessError(
                f"{self.folder}: pictures that this unfinished build has already encoded have changed; "
                "bring them back to continue, or --overwrite to start again"
            )
        self.done, self._stamps = progress["done"], digest
        remove_leftovers(self.folder)

    def create(self, split: str, shape: tuple[int, ...], dtype: str, *, kind: str = "ims") -> None:
        """Open `{split}_{kind}.npy` (images, R, D), of pixels (images, S, S, 3); a new file gets its full size at once.

        Raises:
            HarnessError: the disk has no room for it; an empty build is taken away again.
        """
        path = self.folder / f"{split}_{kind}.npy"
        self._row_bytes = math.prod(shape[1:]) * np.dtype(dtype).itemsize
        rows = shape[0] * self._row_bytes
        try:
            if not path.exists():
                with open(path, "wb", buffering=0) as file:
                    header = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": shape}
                    np.lib.format.write_array_header_1_0(file, header)
                    _reserve(file, file.tell() + rows)
            self._files[split] = open(path, "r+b", buffering=0), path.stat().st_size - rows  # noqa: SIM115
        except OSError as error:
            self.close()
            free = shutil.disk_usage(self.folder).free
            if not self.done:
                shutil.rmtree(self.folder, ignore_errors=True)  # gives the reserved space back
            if error.errno not in FULL:
                raise
            what, less = kind, "fewer --pixels"
            if kind == "ims":
                what, less = "features", "fewer --regions or --dtype float16"
            raise HarnessError(
                f"{path}: no space left on the disk for {rows / 2**20:,.1f} MiB of {what} "
                f"({free / 2**20:,.1f} MiB free); make room, or ask for {less}"
            ) from error

    def write(self, split: str, row: int, features: np.ndarray, stamps: list[str]) -> None:
        """Put features (n, R, D) or pixels, already of the file's type, at `row`; `save` makes them count."""
        file, start = self._files[split]
        try:
            file.seek(start + row * self._row_bytes)
            rest = memoryview(features.tobytes())
            while rest:  # an unbuffered write may take less than it is given
                rest = rest[file.write(rest) :]
        except OSError as error:
            raise explain_write_error(error, self.folder) from error
        self.done += len(features)
        self._stamps.update(_lines(stamps))

    def save(self) -> None:
        """Features first, then the record of how many: the record never promises what a crash can lose."""
        try:
            for file, _ in self._files.values():
                os.fsync(file.fileno())
        except OSError as error:
            raise explain_write_error(error, self.folder) from error
        record = {"settings": self.settings, "done": self.done, "pictures": self._stamps.hexdigest()}
        write_json(self.folder / PROGRESS, record)

    def text(self, name: str, lines: list[str]) -> None:
        """A text file, one line each."""
        write_atomic(self.folder / name, "".join(line + "\n" for line in lines).encode())

    def finish(self, card: dict[str, Any], *, overwrite: bool = False) -> None:
        """Card and settings, then the one rename that makes the dataset exist."""
        self.close()
        write_json(self.folder / "card.json", card)
        write_json(self.folder / SETTINGS, self.settings)
        if overwrite and self.out.exists():
            shutil.rmtree(self.out)
        os.replace(self.folder, self.out)
        (self.out / PROGRESS).unlink(missing_ok=True)


def refuse_other_settings(folder: Path, what: str, former: dict[str, Any], now: dict[str, Any]) -> None:
    """Raises HarnessError with the first setting that differs, its old and its new value."""
    now = json.loads(json.dumps(now))
    for key in sorted(former.keys() | now.keys()):
        if former.get(key) != now.get(key):
            raise HarnessError(
                f"{folder}: {what} with other settings ({key} was {former.get(key)}, is now {now.get(key)}); "
                "use the former settings, another --out, or --overwrite to start again"
            )


def _digest(stamps: list[str]) -> "hashlib._Hash":
    return hashlib.sha256(_lines(stamps))


def _lines(stamps: list[str]) -> bytes:
    return "".join(stamp + "\n" for stamp in stamps).encode()


def _reserve(file: FileIO, size: int) -> None:
    """Give the file its size, with the space behind it where the system can promise that."""
    try:
        os.posix_fallocate(file.fileno(), 0, size)
    except AttributeError:  # macOS has no such call
        file.truncate(size)
    except OSError as error:
        if error.errno in FULL:
            raise
        file.truncate(size)  # a file system that cannot reserve
