"""What one run is: typed, frozen, checked, and fingerprinted. Knows no component, imports no torch."""

from harness.spec.component import Component, build, keywords, resolve
from harness.spec.fingerprint import fingerprint
from harness.spec.run import Augmentation, Evaluation, RunSpec, Schedule

__all__ = [
    "Augmentation",
    "Component",
    "Evaluation",
    "RunSpec",
    "Schedule",
    "build",
    "fingerprint",
    "keywords",
    "resolve",
]
