"""Tables as TOML, which Python reads but does not write."""

from collections.abc import Mapping
from typing import Any

import tomli_w


def to_toml(table: Mapping[str, Any]) -> str:
    """Nested tables as the text of a TOML file, without what is None, and each list in one line."""
    text = tomli_w.dumps(_written(table), indent=0)
    # Strings have their line breaks escaped, so these stand between the items of a list and nowhere else.
    return text.replace(",\n]", "]").replace("[\n", "[").replace(",\n", ", ")


def _written(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _written(item) for key, item in value.items() if item is not None}
    return [_written(item) for item in value] if isinstance(value, list | tuple) else value
