"""pydantic's faults as one line that says where, what and what is accepted."""

from collections.abc import Iterable

from pydantic import ValidationError

from harness.errors import suggest


def explain(error: ValidationError, *, where: str, prefix: str = "", accepted: Iterable[str] = ()) -> str:
    """Every fault of a validation, in one line.

    >>> from pydantic import BaseModel, Field
    >>> class M(BaseModel):
    ...     beta: float = Field(ge=0, le=1)
    >>> try:
    ...     M(beta=1.7)
    ... except ValidationError as e:
    ...     print(explain(e, where="a.toml", prefix="method"))
    a.toml: method.beta = 1.7: Input should be less than or equal to 1
    """
    faults = []
    for fault in error.errors():
        parts = [prefix, *map(str, fault["loc"])]
        key = ".".join(part for part in parts if part)
        if fault["type"] == "extra_forbidden":
            faults.append(f"{key} = {fault['input']!r}: unknown key; {suggest(str(fault['loc'][-1]), accepted)}")
        elif fault["type"] == "missing":
            faults.append(f"{key}: is missing")
        else:
            faults.append(f"{key} = {fault['input']!r}: {fault['msg'].removeprefix('Value error, ')}")
    return f"{where}: " + "; ".join(faults)
