"""Packages that only some verbs need: imported when needed, and one clear line when they are missing."""

from importlib import import_module
from typing import Any

from harness.errors import HarnessError


def require(module: str, purpose: str, *, package: str | None = None, extra: str = "build") -> Any:
    """Import `module`, or say in one line which extra brings it.

    Raises:
        HarnessError: the module, or one that it needs, is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        missing = package if package and (error.name or "").split(".")[0] == module.split(".")[0] else error.name
        raise HarnessError(f"{purpose} needs the package {missing}: pip install 'harness[{extra}]'") from None
