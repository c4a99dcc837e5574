"""A run's name for the machine: a hash of the science, the same wherever the data and the runs lie."""

import hashlib
import json

from harness.spec.run import RunSpec

# Raised by hand when a change to the code changes what an unchanged spec computes: old cells then count as not trained.
ALGORITHM = 1

# Keywords that change where or how something is computed and not what: a file's place (what is in it counts through
# its sha256), and how much of a similarity is computed at once.
OUTSIDE = ("path", "chunk", "recompute")
PLACES = ("model",)  # the same, but only where a sha256 stands beside it: else the name is all there is (a hub's)


def fingerprint(run: RunSpec) -> str:
    """16 hex digits."""
    table = run.table()
    for part in table.values():
        if isinstance(part, dict):
            for key in OUTSIDE + (PLACES if part.get("sha256") else ()):
                part.pop(key, None)
    canonical = json.dumps({"algorithm": ALGORITHM, **table}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
