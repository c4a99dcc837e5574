"""A component is a class with a name; its hyperparameters are the keyword-only arguments of its constructor.

So a component's file is the only place that says which hyperparameters it has, of which type, in which range and with
which default. This module reads that signature, and checks a spec and a call of the constructor against it.
"""

import inspect
from collections.abc import Callable, Mapping
from functools import cache, wraps
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model, model_serializer

from harness.errors import HarnessError
from harness.spec.catalogue import find, kind_of
from harness.spec.explain import explain
from harness.spec.marks import Fields


class Component(BaseModel):
    """A component's name and all its hyperparameters, defaults included. kind: "method", "backbone" or "noise"."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    name: str
    parameters: dict[str, Any] = Field(default_factory=dict)

    @model_serializer
    def _flat(self) -> dict[str, Any]:
        return {"name": self.name, **self.parameters}

    @property
    def cls(self) -> type[Any]:
        """The class that the name stands for.

        Raises:
            HarnessError: see `find`.
        """
        return find(self.kind, self.name)


class Checked:
    """A class whose constructor, and that of every subclass, checks its keyword-only arguments as a spec's are.

    Raises:
        HarnessError: on a call with an unknown keyword, or a value out of its range; every fault in one line.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__init__" in vars(cls):
            setattr(cls, "__init__", _checking(vars(cls)["__init__"]))  # noqa: B010 (mypy refuses the plain form)


def keywords(cls: type) -> Fields:
    """The keyword-only constructor arguments of a component."""
    return _model(_constructor(cls)).model_fields


def schema(cls: type) -> dict[str, Any]:
    """The same as JSON schema, a property for each."""
    properties: dict[str, Any] = _model(_constructor(cls)).model_json_schema()["properties"]
    return properties


def check(cls: type, table: Mapping[str, Any], *, where: str, prefix: str = "") -> dict[str, Any]:
    """All keyword arguments of a component as plain values, the defaults of those that `table` lacks included.

    Args:
        where: the file, for messages.
        prefix: what stands before a key in messages.

    Raises:
        HarnessError: unknown key, or a value out of its range; every fault in one line.
    """
    return _validated(_model(_constructor(cls)), table, where, prefix).model_dump(mode="json")


def resolve(raw: str | Mapping[str, Any], *, kind: str, where: str) -> Component:
    """A component of a spec, checked against its class, with its defaults filled in.

    Args:
        raw: a bare name, or a table with a name and hyperparameters.
        kind: "method", "backbone" or "noise": the key in the spec.
        where: the file, for messages.

    Raises:
        HarnessError: unknown name or key, or a value out of its range; every fault in one line.
    """
    if not isinstance(raw, str | Mapping):
        raise HarnessError(f'{where}: {kind} = {raw!r}: accepted: a name, or a table {{ name = "...", ... }}')
    table: dict[str, Any] = {"name": raw} if isinstance(raw, str) else dict(raw)
    name = table.pop("name", None)
    try:
        cls = find(kind, str(name))
    except HarnessError as error:
        raise HarnessError(f"{where}: {error}") from error
    return Component(kind=kind, name=str(name), parameters=check(cls, table, where=where, prefix=kind))


def build(component: Component, *arguments: Any) -> Any:
    """The component itself; `arguments` are what it takes by position."""
    return component.cls(*arguments, **component.parameters)


def make(what: str | type, *arguments: Any, **parameters: Any) -> Any:
    """A component by its class or its name, which need no kind: `make("crcl", beta=0.9)`.

    Raises:
        HarnessError: unknown name or keyword, or a value out of its range.
    """
    cls = find(kind_of(what), what) if isinstance(what, str) else what
    return cls(*arguments, **parameters)


def _constructor(cls: type) -> Callable[..., None]:
    constructor: Callable[..., None] = inspect.unwrap(inspect.getattr_static(cls, "__init__"))
    return constructor


@cache
def _model(constructor: Callable[..., None]) -> type[BaseModel]:
    parameters = inspect.signature(constructor).parameters.values()
    hints = get_type_hints(constructor, include_extras=True)
    fields: dict[str, Any] = {
        parameter.name: (hints[parameter.name], ... if parameter.default is parameter.empty else parameter.default)
        for parameter in parameters
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    return create_model(constructor.__qualname__, __config__=config, **fields)


def _validated(model: type[BaseModel], table: Mapping[str, Any], where: str, prefix: str) -> BaseModel:
    try:
        return model(**table)
    except ValidationError as error:
        raise HarnessError(explain(error, where=where, prefix=prefix, accepted=model.model_fields)) from None


def _checking(constructor: Callable[..., None]) -> Callable[..., None]:
    """`constructor`, its keyword-only arguments checked, and made what their types say."""
    parameters = inspect.signature(constructor).parameters.values()
    placed = {p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD}  # may be given by keyword as well

    @wraps(constructor)
    def checking(self: Any, *arguments: Any, **given: Any) -> None:
        table = {name: value for name, value in given.items() if name not in placed}
        checked = _validated(_model(constructor), table, type(self).__name__, "")
        constructor(self, *arguments, **{**given, **{name: getattr(checked, name) for name in table}})

    return checking
