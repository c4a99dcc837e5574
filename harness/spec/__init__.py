"""What one run is: typed, frozen, checked, and fingerprinted. Knows components by name alone, imports no torch."""

from harness.spec.catalogue import KINDS, find, kind_of, name_of, own, plugged
from harness.spec.component import Checked, Component, build, check, keywords, make, resolve, schema
from harness.spec.fingerprint import fingerprint
from harness.spec.marks import AddedLater, NotScience
from harness.spec.provenance import provenance
from harness.spec.run import Augmentation, Evaluation, RunSpec, Schedule

__all__ = [
    "KINDS",
    "AddedLater",
    "Augmentation",
    "Checked",
    "Component",
    "Evaluation",
    "NotScience",
    "RunSpec",
    "Schedule",
    "build",
    "check",
    "find",
    "fingerprint",
    "keywords",
    "kind_of",
    "make",
    "name_of",
    "own",
    "plugged",
    "provenance",
    "resolve",
    "schema",
]
