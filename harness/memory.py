"""Memory that a step or an encoder frees stays with the process, for the next one to use."""

import ctypes
import platform

# The GNU C library's names and numbers (malloc.h)
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
TOP_PAD = 256 * 2**20  # bytes asked of the system at once


def keep_freed_memory() -> bool:
    """Have the C library keep what is freed; true where there is one that can (Linux with glibc).

    By default every tensor above 32 MB is a mapping of its own, returned when it is freed. A step makes hundreds of
    them, and the system hands each over page by page, zeroed: most of the time of an elementwise operation on one, and
    a third of a step of SGR on a CPU. Kept, memory grows to what one step needs and stays there.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    library = ctypes.CDLL(None)
    kept = True
    for name, value in {M_MMAP_MAX: 0, M_TRIM_THRESHOLD: -1, M_TOP_PAD: TOP_PAD}.items():
        kept &= library.mallopt(name, value) == 1
    return kept
