"""Where the components of a run come from, for its record."""

import hashlib
import inspect
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import Any

from harness.spec.catalogue import KINDS, own
from harness.spec.component import Component
from harness.spec.run import RunSpec


def provenance(run: RunSpec) -> list[dict[str, Any]]:
    """What was imported for a run's components that are none of this project's, whose commit says it already.

    Returns:
        For each {"kind", "name", "class": "module:Class", "file" and its "sha256", "package" and "version", None where
        the module is not part of an installed one}.
    """
    return [
        _origin(component)
        for component in (getattr(run, kind) for kind in KINDS)
        if component.name not in own(component.kind)
    ]


def _origin(component: Component) -> dict[str, Any]:
    cls = component.cls
    file = inspect.getsourcefile(cls)
    package = next(iter(packages_distributions().get(cls.__module__.partition(".")[0], [])), None)
    return {
        "kind": component.kind,
        "name": component.name,
        "class": f"{cls.__module__}:{cls.__qualname__}",
        "file": file,
        "sha256": hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else None,
        "package": package,
        "version": version(package) if package else None,
    }
