"""The fingerprints that finished runs lie under: every cell of every grid, and every method x backbone x noise model.

A change of code must not move them, or finished runs count as not trained. `python tests/golden_fingerprints.py` writes
what is new (a component, a grid) into golden_fingerprints.json; a line that changes there needs a reason.
"""

import json
from pathlib import Path
from typing import Any

from harness.backbones import BACKBONES
from harness.grids import declarations, load_grid
from harness.grids.resolve import resolve_run
from harness.methods import METHODS
from harness.noise import NOISE
from harness.spec import fingerprint

FILE = Path(__file__).with_suffix(".json")
REQUIRED: dict[str, dict[str, Any]] = {"index_file": {"path": "pairs.npy", "rate": 0.4, "sha256": "0" * 64}}
OWN_LENGTH = ("crcl", "zero_shot")  # methods that take no schedule.epochs


def grids() -> dict[str, list[str]]:
    """Fingerprints of every declared grid, in the order of its cells."""
    return {
        name + ("-smoke" if smoke else ""): [cell.fingerprint for cell in load_grid(name, smoke=smoke).cells]
        for name in sorted(declarations("experiments"))
        for smoke in (False, True)
    }


def components() -> dict[str, list[str]]:
    """Fingerprints of "METHOD BACKBONE" with every noise model, in the order of its catalogue, all by default."""
    return {
        f"{method} {backbone}": [_default(method, backbone, noise) for noise in NOISE]
        for method in METHODS
        for backbone in BACKBONES
    }


def _default(method: str, backbone: str, noise: str) -> str:
    table: dict[str, Any] = {"dataset": "flickr30k", "method": method, "backbone": backbone}
    table["noise"] = {"name": noise, **REQUIRED.get(noise, {})}
    if method not in OWN_LENGTH:
        table["schedule"] = {"epochs": 30}
    return fingerprint(resolve_run(table, f"{method}, {backbone}, {noise}"))


def read() -> dict[str, dict[str, list[str]]]:
    parts: dict[str, dict[str, str]] = json.loads(FILE.read_text())
    return {part: {name: line.split() for name, line in lines.items()} for part, lines in parts.items()}


if __name__ == "__main__":
    found = {"grids": grids(), "components": components()}
    lines = {part: {name: " ".join(values) for name, values in rows.items()} for part, rows in found.items()}
    FILE.write_text(json.dumps(lines, indent=1) + "\n")
