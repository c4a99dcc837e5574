"""Freed memory that the process keeps, seen from outside: page faults of a process of its own."""

import platform
import subprocess
import sys

import pytest

SCRIPT = """
import resource
import torch
from harness.memory import keep_freed_memory

if {keep}:
    assert keep_freed_memory()
for _ in range(8):  # the first rounds take the memory, with or without: how many depends on what is loaded
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(4):
        torch.ones(16_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(keep: bool) -> int:
    command = [sys.executable, "-c", SCRIPT.format(keep=keep)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only the GNU C library can be asked")
def test_freed_memory_is_used_again() -> None:
    assert faults(keep=False) > 4 * 64_000_000 // 4096 * 0.9  # every page of every tensor
    assert faults(keep=True) < 1000
