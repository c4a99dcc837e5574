"""Randomness has a name: a seed is a hash of what it is for, so a run can continue from any step.

`seed_for("batch", seed, piece, epoch)` gives the same number in every process and on every machine, and differs from
`seed_for("augment", seed, piece, epoch)`. Nothing carries a generator's state across steps, so a checkpoint needs none.
"""

import hashlib
import json

import numpy as np

Name = str | int | float


def seed_for(*names: Name) -> int:
    """A seed in [0, 2**63) that depends on the names, their order and their types alone."""
    digest = hashlib.sha256(json.dumps(names).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def rng_for(*names: Name) -> np.random.Generator:
    """A fresh numpy generator for `names`."""
    return np.random.default_rng(seed_for(*names))
