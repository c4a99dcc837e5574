"""CRCL Harness: reproduce, compare and extend methods for noisy correspondence in image-text matching.

The Python API; docs/api.md shows all of it at work:

    run       train a grid, as `harness run` does
    train     train one run, without a file
    runs      all runs as a table, every setting a column
    curves    their epochs as a table
    open      one run: its labels, its pairs, its networks
    make      a method, backbone or noise model by its name, checked as a spec is
    losses    the losses, for a loop of one's own
    testing   the suite for a method of one's own

What cannot be done raises `HarnessError`, whose one line says where, what, what is accepted and what to do next.
Nothing is imported before it is asked for, so `import harness` costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness import losses as losses
    from harness import testing as testing
    from harness.api.opened import Run as Run
    from harness.api.opened import open as open
    from harness.api.tables import curves as curves
    from harness.api.tables import runs as runs
    from harness.api.training import run as run
    from harness.api.training import train as train
    from harness.errors import HarnessError as HarnessError
    from harness.spec import make as make

__version__ = "0.2.0"

# Name -> where it is. No `__all__`: `from harness import *` would hide Python's own `open`.
_PUBLIC = {
    "HarnessError": "harness.errors:HarnessError",
    "Run": "harness.api.opened:Run",
    "curves": "harness.api.tables:curves",
    "losses": "harness.losses",
    "make": "harness.spec:make",
    "open": "harness.api.opened:open",
    "run": "harness.api.training:run",
    "runs": "harness.api.tables:runs",
    "testing": "harness.testing",
    "train": "harness.api.training:train",
}


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'harness' has no attribute {name!r}")
    module, _, attribute = _PUBLIC[name].partition(":")
    found = import_module(module)
    return getattr(found, attribute) if attribute else found


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
