"""Root reads every file, whatever its mode. Here root does not, so that a test of an unreadable file can fail."""

import contextlib
import ctypes
from collections.abc import Iterator
from typing import Any

VERSION = 0x20080522  # of the capability sets of 64 bits
READ_ANYTHING = 1 << 1 | 1 << 2  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH


class Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class Capabilities(ctypes.Structure):
    """Effective, permitted and inheritable: the lower 32 of each, then the upper ones, which are not touched."""

    _fields_ = (("effective", ctypes.c_uint32), ("others", ctypes.c_uint32 * 5))


@contextlib.contextmanager
def modes_count() -> Iterator[None]:
    """This thread obeys the modes of files, as one that is not root does."""
    libc = ctypes.CDLL(None, use_errno=True)
    header, held = Header(VERSION, 0), Capabilities()

    def ask(call: Any) -> None:
        if call(ctypes.byref(header), ctypes.byref(held)):
            raise OSError(ctypes.get_errno(), "capabilities")

    ask(libc.capget)
    before = held.effective  # type: ignore[attr-defined]
    held.effective = before & ~READ_ANYTHING  # type: ignore[attr-defined]
    ask(libc.capset)
    try:
        yield
    finally:
        held.effective = before  # type: ignore[attr-defined]
        ask(libc.capset)
