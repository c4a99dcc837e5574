"""How fast training is at the paper's sizes, and whether another commit is faster."""

from harness.bench.run import bench
from harness.bench.sizes import PAPER, SMALL, Plan, Sizes

__all__ = ["PAPER", "SMALL", "Plan", "Sizes", "bench"]
