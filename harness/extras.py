"""Packages that only some verbs need: imported when needed, and one clear line when they are missing."""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from harness.errors import HarnessError

DISTRIBUTION = "crcl-harness"  # as pip knows it; `harness` is another project there


def install(extra: str) -> str:
    """The command that brings the packages of an extra."""
    return f"pip install '{DISTRIBUTION}[{extra}]'"


def require(module: str, purpose: str, *, package: str | None = None, extra: str = "build") -> Any:
    """Import `module`, or say in one line which extra brings it.

    Raises:
        HarnessError: the module, or one that it needs, is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        missing = package if package and (error.name or "").split(".")[0] == module.split(".")[0] else error.name
        raise HarnessError(f"{purpose} needs the package {missing}: {install(extra)}") from None


def demand(module: str, purpose: str, *, extra: str) -> None:
    """HarnessError, which says what brings it, where `module` is not installed. It is not imported."""
    if find_spec(module) is None:
        raise HarnessError(f"{purpose} needs the package {module}: {install(extra)}")
