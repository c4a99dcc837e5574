"""Which class a component's name stands for.

A name is one of this project ("crcl"), an entry point of another installed package, or "my_package.my_module:MyMethod".
Entry points stand in groups called as the rooms here are: `harness.methods`, `harness.backbones`, `harness.noise`.

A module is looked for as Python does it, and in the folder that the command was started in before all others. Workers
are started as `python -m harness` in that same folder, here, by Slurm and by Ray, and look there first too: so a name
means the same in every process without a setting that would have to be passed on.
"""

import inspect
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from harness.errors import HarnessError, suggest


@dataclass(frozen=True)
class Kind:
    """One kind of component.

    room: the package of those of this project, and the group of other packages' entry points. names: its dict of names
    and classes. base: the class that all of them extend.
    """

    room: str
    names: str
    base: str


KINDS = {
    "noise": Kind("harness.noise", "NOISE", "NoiseModel"),
    "backbone": Kind("harness.backbones", "BACKBONES", "Backbone"),
    "method": Kind("harness.methods", "METHODS", "Method"),
}


def own(kind: str) -> Mapping[str, type]:
    """The components of this project by name."""
    names: Mapping[str, type] = getattr(import_module(KINDS[kind].room), KINDS[kind].names)
    return names


@cache
def plugged(kind: str) -> Mapping[str, EntryPoint]:
    """The entry points of other installed packages, by name, none of them loaded."""
    return {point.name: point for point in _entry_points().select(group=KINDS[kind].room)}


@cache
def _entry_points() -> Any:
    """Of all installed packages, whose files are many."""
    return entry_points()


def find(kind: str, name: str) -> type[Any]:
    """The class of a component.

    Raises:
        HarnessError: the name is unknown, cannot be imported, or is no component of this kind.
    """
    if name in (known := own(kind)):
        return known[name]
    if ":" in name:
        return _imported(kind, name, name)
    if name in (others := plugged(kind)):
        return _imported(kind, name, others[name].value)
    accepted = suggest(name, {*known, *others})
    raise HarnessError(
        f"{kind}.name = {name!r}: unknown {kind}; {accepted}, or one of your own as package.module:Class"
    )


def kind_of(name: str) -> str:
    """The kind of a component that is named alone.

    Raises:
        HarnessError: there is no such component of any kind.
    """
    kinds = [kind for kind in KINDS if name in own(kind) or name in plugged(kind)]
    if ":" in name:
        cls = _attribute(name, name)
        kinds = [kind for kind in KINDS if isinstance(cls, type) and issubclass(cls, _base(kind))]
        if not kinds:
            raise HarnessError(f"{name}: is no method, backbone or noise model; accepted: a class that extends one")
    if not kinds:
        names = {name for kind in KINDS for name in (*own(kind), *plugged(kind))}
        raise HarnessError(f"{name}: no such component; {suggest(name, names)}, or package.module:Class")
    return kinds[0]


def name_of(kind: str, cls: type) -> str:
    """A name that `find` finds the class by."""
    return next((name for name, known in own(kind).items() if known is cls), f"{cls.__module__}:{cls.__qualname__}")


def _base(kind: str) -> type:
    base: type = getattr(import_module(KINDS[kind].room), KINDS[kind].base)
    return base


@cache
def _imported(kind: str, name: str, value: str) -> type[Any]:
    """A class of another package. value: "package.module:Class"."""
    where, base = f"{kind}.name = {name!r}", _base(kind)
    cls = _attribute(where, value)
    if not isinstance(cls, type):
        raise HarnessError(f"{where}: {value} is {type(cls).__name__}, not a class; accepted: a class, with its name")
    if not issubclass(cls, base):
        raise HarnessError(
            f"{where}: {value} is no {kind}; accepted: a class that extends {KINDS[kind].room}.{base.__name__}"
        )
    if fault := _unreadable(cls, base):
        raise HarnessError(
            f"{where}: {value}: its constructor {fault}; accepted: keyword-only arguments, after `*`, each with a type"
        )
    return cls


def _attribute(where: str, value: str) -> Any:
    module_name, _, path = value.partition(":")
    here = str(Path.cwd())
    if sys.path[:1] not in ([here], [""]):
        sys.path.insert(0, here)
    try:
        found: Any = import_module(module_name)
    except Exception as error:  # whatever the module raises while it is imported
        line = f"{type(error).__name__}: {error}".splitlines()[0]
        raise HarnessError(
            f"{where}: {module_name} cannot be imported: {line}; accepted: a module that is installed, or lies in the "
            f"folder of the command, {here}"
        ) from error
    for part in path.split("."):
        if not hasattr(found, part):
            classes = [key for key, member in vars(found).items() if isinstance(member, type)]
            raise HarnessError(f"{where}: {module_name} has no {path}; {suggest(path, classes)}")
        found = getattr(found, part)
    return found


def _unreadable(cls: type, base: type) -> str:
    """Why hyperparameters cannot be read off a constructor; empty where they can."""
    given = inspect.signature(base).parameters  # what every component of this kind takes by position
    for name, parameter in inspect.signature(cls).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            return f"takes {'*' if parameter.kind is parameter.VAR_POSITIONAL else '**'}{name}"
        if parameter.kind is not parameter.KEYWORD_ONLY and name not in given:
            return f"takes {name} by position"
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.annotation is parameter.empty:
            return f"gives {name} no type"
        if parameter.kind is parameter.KEYWORD_ONLY and name == "name":
            return "takes a keyword `name`, which is the component's own"
    return ""
