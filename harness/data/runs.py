"""Writes a side that has any number of vectors for each item, as they come."""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import numpy as np

from harness.errors import HarnessError
from harness.files import explain_write_error, write_array


def write_runs(path: Path, items: Iterable[np.ndarray], dtype: Literal["float16", "float32"] = "float16") -> int:
    """Write `{split}_ims.npy` or `{split}_caps.npy`, and the offsets beside it; both are whole or not there.

    items: vectors (n, D) of each item, n at least 1, D the same for all. They are not kept in memory.

    Returns:
        How many vectors there are.

    Raises:
        HarnessError: an item is no such array, there is none, or the disk is full.
    """
    kind = np.dtype(dtype).newbyteorder("<")
    raw, whole = path.with_suffix(".partial"), path.with_suffix(".whole")
    offsets, dim = [0], 0
    try:
        with open(raw, "w+b") as file, open(whole, "wb") as result:
            for item in items:
                dim = dim or (item.shape[1] if item.ndim == 2 else 0)
                if item.ndim != 2 or item.shape[1] != dim or 0 in item.shape:
                    raise HarnessError(
                        f"{path}: item {len(offsets) - 1} has shape {item.shape}; accepted: (vectors, {dim or 'D'}), "
                        "at least one vector, of one length in all items"
                    )
                file.write(item.astype(kind).tobytes())
                offsets.append(offsets[-1] + len(item))
            if not dim:
                raise HarnessError(f"{path}: no items; accepted: at least one")
            header = {"descr": kind.str, "fortran_order": False, "shape": (offsets[-1], dim)}
            np.lib.format.write_array_header_1_0(result, header)
            file.seek(0)
            shutil.copyfileobj(file, result)
            result.flush()
            os.fsync(result.fileno())
        write_array(path.with_name(f"{path.stem}_offsets.npy"), np.array(offsets, dtype=np.int64))
        os.replace(whole, path)
    except OSError as error:
        raise explain_write_error(error, path) from error
    finally:
        for left in (raw, whole):
            left.unlink(missing_ok=True)
    return offsets[-1]
