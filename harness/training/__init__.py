"""The one trainer: pieces, steps, per-pair state, checkpoint and exact resume."""

from harness.training.machine import Machine
from harness.training.work import work

__all__ = ["Machine", "work"]
