"""What follows from the code and a few values alone, kept in the user's cache from one command to the next.

A verb that trains nothing needs signatures and files, and no tensors. But a signature is read off a class, and the
classes import torch, which takes two seconds. So what was once read off them is kept, under a hash of all of the code
and of what it was asked for. The folder is `harness` in $XDG_CACHE_HOME, else in ~/.cache; it may be deleted at any
time, and nothing is said where it cannot be written.
"""

import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.files import write_atomic

SAVES = "torch" not in sys.modules  # in a process that has torch already, keeping saves nothing
OLD = 30 * 86400  # seconds after which what other versions of the code have kept is deleted


def keep(what: str, of: Any, make: Callable[[], Any]) -> Any:
    """What `make` gives, from the cache where it is there.

    Args:
        what: a short name, of the kind of thing.
        of: all that it depends on beside the code, as JSON.
        make: gives something of JSON; None is not kept.
    """
    if not SAVES:
        return make()
    try:
        path = _folder() / f"{what}-{hashlib.sha256(json.dumps(of, sort_keys=True).encode()).hexdigest()[:32]}.json"
    except (RuntimeError, TypeError):  # no home; or a value, such as a date of TOML, that is none of JSON
        return make()
    with suppress(OSError, ValueError):
        return json.loads(path.read_bytes())
    made = make()
    if made is not None:
        with suppress(OSError, HarnessError):
            _begin(path.parent)
            write_atomic(path, json.dumps(made).encode())
    return made


def _begin(folder: Path) -> None:
    """Make the folder of this version of the code, and delete those of versions that are long out of use."""
    if folder.is_dir():
        return
    folder.mkdir(parents=True, exist_ok=True)
    for other in folder.parent.iterdir():
        if time.time() - other.stat().st_mtime > OLD:
            shutil.rmtree(other, ignore_errors=True)


def _folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "harness" / _code()


@cache
def _code() -> str:
    """A hash of every file of the package."""
    whole, package = hashlib.sha256(sys.version.encode()), Path(__file__).parent
    for path in sorted(package.rglob("*.py")):
        whole.update(f"{path.relative_to(package)}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()[:16]
