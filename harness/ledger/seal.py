"""A checksum in the files of a cell, so that a figure that was changed on the disk is refused and never shown.

A JSON object carries `seal`, the CRC-32 of all its other keys. Files of older versions have none and are read as they
are: a seal tells of damage, not of forgery.
"""

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.files import plain

KEY = "seal"


def sealed(value: Mapping[str, Any]) -> dict[str, Any]:
    """The object with its seal, to be written as JSON."""
    return {**value, KEY: _sum(value)}


def unsealed(value: Any, path: Path) -> Any:
    """What `sealed` was given, from its JSON; whatever has no seal as it is.

    Raises:
        HarnessError: the seal does not fit.
    """
    if not isinstance(value, dict) or KEY not in value:
        return value
    bare = {key: item for key, item in value.items() if key != KEY}
    if value[KEY] != _sum(bare):
        raise HarnessError(
            f"{path}: its checksum does not fit: it was changed by hand or damaged on the disk; bring the old back, "
            f"or move {path.parent} elsewhere and train the run again"
        )
    return bare


def _sum(value: Mapping[str, Any]) -> int:
    text = json.dumps(plain(value), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return zlib.crc32(text.encode("utf-8", "surrogatepass"))
