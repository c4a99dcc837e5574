"""The labels at the end of every epoch: what an audit shows of a pair's past."""

import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from harness.errors import HarnessError
from harness.files import explain_write_error, open_array, write_atomic


class LabelHistory:
    """`label_history.npy`, float16 (epochs, pairs). Writing an epoch again replaces it, so a resumed run loses none.

    Rows are written, not mapped: on a full disk a map kills the process, a write raises an error. 46 epochs of
    Flickr30K's 145,000 pairs are 13 MB.
    """

    def __init__(self, path: Path, epochs: int, pairs: int) -> None:
        self.path = path
        self.shape = (epochs, pairs)

    def write(self, epoch: int, labels: np.ndarray) -> int:
        """Keep the labels (pairs,) of an epoch, counted from the beginning of the run; their CRC-32.

        A file that is damaged begins anew: the past is lost, the run is not.

        Raises:
            HarnessError: the disk is full.
        """
        row = labels.astype("<f2").tobytes()
        try:
            if not self._whole():
                write_atomic(self.path, self._empty)
            with open(self.path, "r+b") as file:
                file.seek(-len(row) * (self.shape[0] - epoch), 2)
                file.write(row)
        except OSError as error:
            raise explain_write_error(error, self.path) from error
        return zlib.crc32(row)

    def _whole(self) -> bool:
        try:
            return bool(open_array(self.path).shape == self.shape)
        except (OSError, HarnessError):
            return False

    def _empty(self, file: BinaryIO) -> None:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f2", "fortran_order": False, "shape": self.shape})
        file.truncate(file.tell() + 2 * self.shape[0] * self.shape[1])


def read_history(path: Path, rows: Sequence[Mapping[str, Any]]) -> np.ndarray | None:
    """The labels (epochs, pairs) of a run with these rows, one for each of its epochs; None where they are damaged or
    not there."""
    try:
        history: np.ndarray = open_array(path)
        whole = history.dtype == np.float16 and history.ndim == 2 and len(history) >= len(rows)
    except (OSError, HarnessError):
        return None
    kept = ((row["epoch"], row["history"]) for row in rows if "history" in row)
    return history if whole and all(zlib.crc32(history[epoch].tobytes()) == crc for epoch, crc in kept) else None
