"""pydantic's faults as one line that says where, what and what is accepted."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticInvalidForJsonSchema
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from harness.errors import suggest

NUMBER, WHOLE, SWITCH, TEXT = "a number", "a whole number", "true or false", "text in quotation marks"
LIST, TABLE = "a list, [...]", "a table of keys and values"
LONG = 200  # characters of a value that are shown
# What is accepted instead, by the type of pydantic's fault; its context stands in braces.
ACCEPTED = {
    "float_type": NUMBER, "float_parsing": NUMBER, "finite_number": "a finite number",
    "int_type": WHOLE, "int_parsing": WHOLE, "int_from_float": WHOLE, "int_parsing_size": "a smaller whole number",
    "bool_type": SWITCH, "bool_parsing": SWITCH,
    "string_type": TEXT, "string_unicode": "text in UTF-8",
    "string_too_short": "{min_length} or more characters", "string_too_long": "{max_length} or fewer characters",
    "string_pattern_mismatch": "text of the form {pattern}",
    "literal_error": "{expected}", "enum": "{expected}", "none_required": "none",
    "greater_than": "more than {gt}", "greater_than_equal": "{ge} or more",
    "less_than": "less than {lt}", "less_than_equal": "{le} or less", "multiple_of": "a multiple of {multiple_of}",
    "list_type": LIST, "tuple_type": LIST, "set_type": LIST, "frozen_set_type": LIST, "iterable_type": LIST,
    "too_short": "{min_length} or more values", "too_long": "{max_length} or fewer values",
    "dict_type": TABLE, "mapping_type": TABLE, "model_type": TABLE, "model_attributes_type": TABLE,
    "invalid_key": "keys that are text", "path_type": "the path of a file or folder", "is_instance_of": "a {class}",
    "json_type": "JSON",
}  # fmt: skip
FORMS = {
    "number": NUMBER, "integer": WHOLE, "boolean": SWITCH, "string": TEXT, "array": LIST, "object": TABLE,
}  # fmt: skip


def explain(error: ValidationError, *, where: str, prefix: str = "", accepted: Iterable[str] = ()) -> str:
    """Every fault of a validation, in one line.

    accepted: the keys of the table; as a model's fields they also say of what kind a missing one is.

    >>> from pydantic import BaseModel, Field
    >>> class M(BaseModel):
    ...     beta: float = Field(ge=0, le=1)
    >>> try:
    ...     M(beta=1.7)
    ... except ValidationError as e:
    ...     print(explain(e, where="a.toml", prefix="method"))
    a.toml: method.beta = 1.7: accepted: 1 or less
    """
    faults = []
    for fault in error.errors():
        parts = [prefix, *map(str, fault["loc"])]
        key = ".".join(part for part in parts if part)
        if fault["type"] == "missing":
            faults.append(f"{key}: is missing; accepted: {_form(fault, accepted)}")
        elif fault["type"] == "extra_forbidden":
            faults.append(f"{key} = {_show(fault['input'])}: unknown key; {suggest(str(fault['loc'][-1]), accepted)}")
        else:
            faults.append(f"{key} = {_show(fault['input'])}: {_say(fault)}" if key else _say(fault))
    return f"{where}: " + "; ".join(faults)


def _show(value: object) -> str:
    try:
        text = repr(value)
    except ValueError:  # Python prints no whole number of more than 4,300 digits
        return "a number too long to print"
    return text if len(text) <= LONG else f"{text[:LONG]}..."


def _say(fault: ErrorDetails) -> str:
    """What is accepted, or what a check of our own says."""
    if fault["type"] in ACCEPTED:
        given = fault.get("ctx", {}).items()
        values = {name: f"{value:g}" if isinstance(value, float) else value for name, value in given}
        return f"accepted: {ACCEPTED[fault['type']].format(**values)}"
    if fault["type"] == "json_invalid":
        return f"is not JSON: {fault['ctx']['error']}"
    return fault["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")


def _form(fault: ErrorDetails, accepted: Iterable[str]) -> str:
    """Of what kind the value of a missing key is."""
    field = accepted.get(str(fault["loc"][-1])) if isinstance(accepted, Mapping) and len(fault["loc"]) == 1 else None
    if not isinstance(field, FieldInfo):
        return "a value"
    try:
        kind: Any = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
        schema: dict[str, Any] = TypeAdapter(kind).json_schema()
    except PydanticInvalidForJsonSchema:
        return "a value"
    if "enum" in schema:
        return " or ".join(map(repr, schema["enum"]))
    kinds = [each.get("type") for each in schema.get("anyOf", [schema])]
    return " or ".join(dict.fromkeys(FORMS[kind] for kind in kinds if kind in FORMS)) or "a value"
