"""Start many cells: today a pool of processes on this machine. An engine only starts `harness cell FINGERPRINT`."""

from harness.launch.local import run_cells

__all__ = ["run_cells"]
