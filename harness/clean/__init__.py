"""The wrong pairs out of one's own pictures and captions: `harness clean`."""

from harness.clean.clean import Cleaned, Task, clean
from harness.clean.outputs import Written, apply_decisions, decide, write_all

__all__ = ["Cleaned", "Task", "Written", "apply_decisions", "clean", "decide", "write_all"]
