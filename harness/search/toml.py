"""Plain values as TOML, which Python reads but does not write."""

import json
import re
from collections.abc import Mapping
from typing import Any

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def to_toml(value: Any) -> str:
    """A value as it stands behind `key =`; a table in one line, without what is None."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)  # JSON's escapes are among TOML's
    if isinstance(value, Mapping):
        pairs = [f"{key(name)} = {to_toml(item)}" for name, item in value.items() if item is not None]
        return f"{{ {', '.join(pairs)} }}" if pairs else "{}"
    return f"[{', '.join(map(to_toml, value))}]"


def key(name: str) -> str:
    """A key, in quotation marks where it needs them."""
    return name if _BARE.fullmatch(name) else json.dumps(name, ensure_ascii=False)
