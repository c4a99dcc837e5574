"""A component is a class with a name; its hyperparameters are the keyword-only arguments of its constructor.

So a component's file is the only place that says which hyperparameters it has, of which type, in which range and with
which default. This module reads that signature and checks a spec against it.
"""

import inspect
from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model, model_serializer

from harness.errors import HarnessError, suggest
from harness.spec.explain import explain

T = TypeVar("T")


class Component(BaseModel):
    """A component's name and all its hyperparameters, defaults included."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    parameters: dict[str, Any] = Field(default_factory=dict)

    @model_serializer
    def _flat(self) -> dict[str, Any]:
        return {"name": self.name, **self.parameters}


@cache
def keywords(cls: type) -> type[BaseModel]:
    """The keyword-only constructor arguments of a component as a pydantic model."""
    signature = inspect.signature(cls)
    hints = get_type_hints(inspect.getattr_static(cls, "__init__"), include_extras=True)
    fields: dict[str, Any] = {
        name: (hints[name], ... if parameter.default is parameter.empty else parameter.default)
        for name, parameter in signature.parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    return create_model(cls.__name__, __config__=ConfigDict(extra="forbid", frozen=True), **fields)


def resolve(raw: str | Mapping[str, Any], catalogue: Mapping[str, type], *, kind: str, where: str) -> Component:
    """A component of a spec, checked against its class, with its defaults filled in.

    Args:
        raw: a bare name, or a table with a name and hyperparameters.
        catalogue: what may be named.
        kind: "method", "backbone", ...: the key in the spec, for messages.
        where: the file, for messages.

    Raises:
        HarnessError: unknown name or key, or a value out of its range; every fault in one line.
    """
    table: dict[str, Any] = {"name": raw} if isinstance(raw, str) else dict(raw)
    name = table.pop("name", None)
    if name not in catalogue:
        raise HarnessError(f"{where}: {kind}.name = {name!r}: unknown {kind}; {suggest(str(name), catalogue)}")
    try:
        checked = keywords(catalogue[name])(**table)
    except ValidationError as error:
        accepted = keywords(catalogue[name]).model_fields
        raise HarnessError(explain(error, where=where, prefix=kind, accepted=accepted)) from None
    return Component(name=name, parameters=checked.model_dump(mode="json"))


def build(component: Component, catalogue: Mapping[str, type[T]], *arguments: Any) -> T:
    """The component itself."""
    return catalogue[component.name](*arguments, **component.parameters)
