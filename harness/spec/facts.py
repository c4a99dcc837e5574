"""What is asked of a component's class where nothing is trained: for those of this project without importing it."""

import inspect
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import Any

from harness import kept
from harness.spec.catalogue import find, own
from harness.spec.component import keywords
from harness.spec.marks import neutral_values


@dataclass(frozen=True)
class Facts:
    """Of one component.

    Attributes:
        about: the first line of what it says of itself.
        neutral: of each keyword that was added later, the value that runs before it have.
        reads_pixels: of a backbone, as there.
        reconstruction: of a method, as there.
    """

    about: str
    neutral: dict[str, Any] = field(default_factory=dict)
    reads_pixels: bool = False
    reconstruction: str = ""


def facts(kind: str, name: str) -> Facts:
    """Those of a component of this project or any other.

    Raises:
        HarnessError: see `find`.
    """
    known = own_facts(kind)
    return known[name] if name in known else _read(find(kind, name))


def own_facts(kind: str) -> Mapping[str, Facts]:
    """Those of this project's components of a kind, by name."""
    return _kept(kind) if kept.SAVES else {name: _read(cls) for name, cls in own(kind).items()}


@cache
def _kept(kind: str) -> Mapping[str, Facts]:
    found = kept.keep("facts", kind, lambda: {name: asdict(_read(cls)) for name, cls in own(kind).items()})
    return {name: Facts(**table) for name, table in found.items()}


def _read(cls: type) -> Facts:
    about = (inspect.getdoc(cls) or "").partition("\n")[0]
    return Facts(
        about,
        neutral_values(keywords(cls)),
        getattr(cls, "reads_pixels", False),
        getattr(cls, "reconstruction", ""),
    )
