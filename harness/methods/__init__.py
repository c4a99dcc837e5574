"""What to do with a similarity matrix and the state of its pairs.

To add a method: a module with its class, one line in `CLASSES`, one test.
"""

from importlib import import_module

from harness.methods.base import Method, Phase, Progress

CLASSES = {  # name in a spec, which is that of its module: class
    "crcl": "CRCL",
    "triplet": "Triplet",
    "sum_hinge": "SumHinge",
    "infonce": "InfoNCE",
    "rcl": "RCL",
    "srem": "SREM",
    "dcl": "DCL",
    "tal": "TAL",
    "osa": "OSA",
    "decl": "DECL",
    "l2rm": "L2RM",
    "gsc": "GSC",
    "ncr": "NCR",
    "bicro": "BiCro",
    "mscn": "MSCN",
    "npc": "NPC",
    "zero_shot": "ZeroShot",
}
METHODS: dict[str, type[Method]] = {
    name: getattr(import_module(f"{__name__}.{name}"), cls) for name, cls in CLASSES.items()
}

__all__ = ["METHODS", "Method", "Phase", "Progress"]
